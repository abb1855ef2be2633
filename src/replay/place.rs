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
    let label = error.hint().unwrap_or("here");
    let report = [Level::ERROR.primary_title(error.message()).element(
        Snippet::source(text)
            .path(path)
            .annotation(AnnotationKind::Primary.span(span).label(label)),
    )];
    Renderer::plain()
        .render(&report)
        .lines()
        .skip(1)
        .map(|line| line.trim_end().to_owned())
        .collect()
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
