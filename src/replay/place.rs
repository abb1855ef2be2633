//! A failed statement with a caret below its place in the user's file.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use tokio_postgres::error::{DbError, ErrorPosition};

/// Lines of the user's file around the place of a failure.
pub fn lines(
    error: &DbError,
    file: Option<&Path>,
    text: &str,
    statement: std::ops::Range<usize>,
) -> Vec<String> {
    let body = &text[statement.clone()];
    // The server counts characters from 1.
    let at = match error.position() {
        Some(ErrorPosition::Original(position)) => body
            .char_indices()
            .nth((*position as usize).saturating_sub(1))
            .map(|(offset, _)| offset),
        _ => None,
    };
    let span = match at {
        Some(offset) => {
            let start = statement.start + offset;
            start..word_end(text, start)
        }
        // No place was given: the statement's first line.
        None => {
            let first = body.lines().next().unwrap_or(body);
            statement.start..statement.start + first.trim_end().len()
        }
    };
    let path = file.map_or_else(|| "<sql>".to_owned(), |file| file.display().to_string());
    let place = Snippet::source(text)
        .path(path)
        .annotation(AnnotationKind::Primary.span(span).label("here"));
    let detail = detail(error);
    let title = Level::ERROR.primary_title(error.message());
    let report = [title
        .element(place)
        .elements(detail.map(|detail| Level::NOTE.message(detail)))
        .elements(hint(error).map(|hint| Level::HELP.message(hint)))];
    Renderer::plain()
        .render(&report)
        .lines()
        .skip(1)
        .map(|line| line.trim_end().to_owned())
        .collect()
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
