//! What a tolerant restore left out, for every report: the objects, and the server's words for each.

use crate::sql::normalise;

/// How many are named.
const NAMED: usize = 20;
/// Characters of a statement that are shown.
const WIDTH: usize = 70;

/// One line for all that was tolerated; `errors` are those of the tool's lines that tell of one.
pub(super) fn note(stderr: &[String], errors: &[&str]) -> String {
    let mut told: Vec<String> = Vec::new();
    for line in stderr {
        if let Some(command) = line.strip_prefix("Command was: ") {
            // pg_restore's, of the error that it just told.
            if let Some(last) = told.pop() {
                told.push(left_out(command, &last));
            }
        } else if errors.contains(&line.as_str()) && line.contains("ERROR:  ") {
            told.push(words(line));
        }
    }
    let mut objects: Vec<String> = Vec::new();
    for object in told {
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    let count = objects.len();
    objects.truncate(NAMED);
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "not restored, as tolerated by `restore.tolerate`: {}{more}",
        objects.join("; ")
    )
}

/// The statement that was left out, by its first line, and why.
fn left_out(command: &str, words: &str) -> String {
    let rows = command.starts_with("COPY ") || command.starts_with("INSERT ");
    let command = normalise(command.split(" (").next().unwrap_or(command));
    let command: String = command.trim_end_matches(';').chars().take(WIDTH).collect();
    if rows {
        // The server's words on a row may hold a part of it.
        format!("{command} (its rows)")
    } else {
        format!("{command} ({words})")
    }
}

/// The server's words, without the tool's in front, and without a value that they may quote.
fn words(line: &str) -> String {
    let words = line
        .rsplit_once("ERROR:  ")
        .map_or(line, |(_, words)| words);
    let about_a_value = [
        "invalid ",
        "malformed ",
        "value ",
        "duplicate ",
        "could not convert",
    ]
    .iter()
    .any(|start| words.starts_with(start));
    if about_a_value {
        words
            .split([':', '"'])
            .next()
            .unwrap_or(words)
            .trim_end()
            .to_owned()
    } else {
        words.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(lines: &[&str]) -> String {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let errors: Vec<&str> = lines
            .iter()
            .filter(|line| line.contains("rror: "))
            .map(String::as_str)
            .collect();
        note(&lines, &errors)
    }

    #[test]
    fn what_an_archive_could_not_restore_is_named_with_the_reason() {
        let note = noted(&[
            "pg_restore: error: could not execute query: ERROR:  extension \"nonesuch\" is not available",
            "DETAIL:  Could not open extension control file",
            "Command was: CREATE EXTENSION IF NOT EXISTS nonesuch WITH SCHEMA public;",
            "",
            "pg_restore: error: could not execute query: ERROR:  type \"public.x\" does not exist",
            "Command was: CREATE TABLE public.t (",
            "    a public.x",
            "pg_restore: error: could not execute query: ERROR:  invalid input syntax for type integer: \"secret\"",
            "Command was: COPY public.t (a) FROM stdin;",
            "pg_restore: warning: errors ignored on restore: 3",
        ]);
        assert_eq!(
            note,
            "not restored, as tolerated by `restore.tolerate`: \
             CREATE EXTENSION IF NOT EXISTS nonesuch WITH SCHEMA public (extension \"nonesuch\" is not available); \
             CREATE TABLE public.t (type \"public.x\" does not exist); COPY public.t (its rows)"
        );
    }

    #[test]
    fn words_of_psql_are_told_without_values() {
        let note = noted(&[
            "psql:<stdin>:7: error: ERROR:  type \"geometry\" does not exist",
            "psql:<stdin>:9: error: ERROR:  invalid input syntax for type integer: \"secret\"",
        ]);
        assert!(
            note.contains(
                "type \"geometry\" does not exist; invalid input syntax for type integer"
            )
        );
        assert!(!note.contains("secret"));
    }

    #[test]
    fn a_long_list_is_cut() {
        let lines: Vec<String> = (0..30)
            .map(|n| format!("x error: ERROR:  no {n}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(noted(&lines).ends_with("no 19; and 10 more"));
    }
}
