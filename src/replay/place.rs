//! A failed statement with a caret below its place in the user's file.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use tokio_postgres::error::{DbError, ErrorPosition};

use crate::pg::session::said;
use crate::plan::Literals;
use crate::redact;
use crate::sql::line_column;

/// Where a statement stands.
pub struct Place<'a> {
    /// The user's file; None: it is written in the TOML.
    pub file: Option<&'a Path>,
    /// All of its text.
    pub text: &'a str,
    /// The statement in it.
    pub statement: Range<usize>,
}

/// The lines of the statement around the place of a failure, as far as they may be shown.
pub fn lines(error: &DbError, place: &Place<'_>, literals: Literals) -> Vec<String> {
    let Place {
        text, statement, ..
    } = place;
    let body = &text[statement.clone()];
    // The server counts characters from 1.
    let at = match error.position() {
        Some(ErrorPosition::Original(position)) => body
            .char_indices()
            .nth((*position as usize).saturating_sub(1))
            .map(|(offset, _)| offset),
        _ => None,
    };
    let (shown, moved) = around(place, literals);
    let start = statement.start + at.unwrap_or_default();
    let first = moved(start);
    let span = match at {
        Some(_) => first..word_end(&shown, first),
        // No place was given: the statement's first line.
        None => {
            let line = shown[first..].lines().next().unwrap_or_default();
            first..first + line.trim_end().len()
        }
    };
    let path = place
        .file
        .map_or_else(|| "<sql>".to_owned(), |file| file.display().to_string());
    let said = said(error);
    let hint = hint(error).map(|hint| said.filter(&hint, Some(body), literals));
    let snippet = Snippet::source(shown.as_str())
        .path(path.as_str())
        .annotation(AnnotationKind::Primary.span(span).label("here"));
    let detail = detail(error);
    let title = Level::ERROR.primary_title("failed");
    let report = [title
        .element(snippet)
        .elements(detail.map(|detail| Level::NOTE.message(detail)))
        .elements(hint.map(|hint| Level::HELP.message(hint)))];
    let (line, column) = line_column(text, start);
    Renderer::plain()
        .render(&report)
        .lines()
        .skip(1)
        .map(|shown| match shown.trim_start().strip_prefix("--> ") {
            // Counted in the user's file, where literals are as long as they are.
            Some(_) => {
                let arrow = shown.find("--> ").unwrap_or_default();
                format!("{}--> {path}:{line}:{column}", &shown[..arrow])
            }
            None => shown.trim_end().to_owned(),
        })
        .collect()
}

/// The file with nothing but this statement in it, as far as that may be shown, each line in its place; and where
/// an offset of the statement is there.
fn around(place: &Place<'_>, literals: Literals) -> (String, impl Fn(usize) -> usize) {
    let Range { start, end } = place.statement.clone();
    // What stands on the same line before it may be a value of another.
    let blank = |text: &str| -> String {
        let blank = |c| if c == '\n' { '\n' } else { ' ' };
        text.chars().map(blank).collect()
    };
    let mut shown = blank(&place.text[..start]);
    let (body, moved) = redact::sql::masked(&place.text[start..end], literals);
    let before = shown.len();
    shown.push_str(&body);
    shown.push_str(
        place.text[end..]
            .chars()
            .next()
            .filter(|c| *c == ';')
            .map_or("", |_| ";"),
    );
    let place = move |at: usize| before + moved.get(at - start).copied().unwrap_or(body.len());
    (shown, place)
}

/// The DETAIL, as far as the server itself made it of sessions and objects: any other may have a row in it, which is
/// somebody's.
fn detail(error: &DbError) -> Option<String> {
    const LINES: usize = 10;
    const WIDTH: usize = 500;
    let of_no_row = ["DeadLockReport", "reportDependentObjects"];
    let detail = error.detail()?;
    error
        .routine()
        .filter(|routine| of_no_row.contains(routine))?;
    let short = |line: &str| line.chars().take(WIDTH).collect();
    let mut lines: Vec<String> = detail.lines().take(LINES).map(short).collect();
    match detail.lines().count().saturating_sub(LINES) {
        0 => {}
        more => lines.push(format!("and {more} more")),
    }
    Some(lines.join("\n"))
}

/// The HINT, unless it leads to the log of a server that is gone by then.
fn hint(error: &DbError) -> Option<String> {
    const LONGEST: usize = 1000;
    let hint = error.hint().filter(|hint| !hint.contains("server log"))?;
    Some(hint.chars().take(LONGEST).collect())
}

/// The end of the word that begins at `start`, at least one character.
fn word_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let word = rest
        .char_indices()
        .find(|(_, c)| !(c.is_alphanumeric() || *c == '_'))
        .map_or(rest.len(), |(end, _)| end);
    let one = rest.chars().next().map_or(0, char::len_utf8);
    start + word.max(one)
}
