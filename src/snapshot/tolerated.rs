//! What a tolerant restore left out, for every report: the objects, and the server's words for each.

/// How many are named.
const NAMED: usize = 20;

/// One line for all that was tolerated; `errors` are those of the tool's lines that tell of one.
pub(super) fn note(stderr: &[String], errors: &[&str]) -> String {
    let mut objects: Vec<String> = Vec::new();
    let mut entry = None;
    for line in stderr {
        if let Some((_, rest)) = line.split_once("from TOC entry ") {
            entry = Some(object(rest));
        } else if errors.contains(&line.as_str()) {
            let words = words(line);
            let told = match entry.take() {
                Some(object) if object.starts_with("TABLE DATA ") => {
                    // The server's words on a row may hold a part of it.
                    format!("{object} (its rows)")
                }
                Some(object) => format!("{object} ({words})"),
                // The line that only counts what was ignored.
                None if !line.contains("ERROR:  ") => continue,
                None => words,
            };
            if !objects.contains(&told) {
                objects.push(told);
            }
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

/// `215; 1259 16400 TABLE public events postgres` without its numbers.
fn object(entry: &str) -> String {
    let words: Vec<&str> = entry.split_whitespace().skip(3).collect();
    words.join(" ")
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
    fn objects_of_an_archive_are_named() {
        let note = noted(&[
            "pg_restore: while PROCESSING TOC:",
            "pg_restore: from TOC entry 2; 3079 16385 EXTENSION nonesuch (no owner)",
            "pg_restore: error: could not execute query: ERROR:  extension \"nonesuch\" is not available",
            "DETAIL:  Could not open extension control file",
            "Command was: CREATE EXTENSION IF NOT EXISTS nonesuch WITH SCHEMA public;",
            "pg_restore: from TOC entry 3401; 0 0 TABLE DATA public t postgres",
            "pg_restore: error: COPY failed for table \"t\": ERROR:  invalid input syntax for type integer: \"secret\"",
            "pg_restore: warning: errors ignored on restore: 2",
        ]);
        assert_eq!(
            note,
            "not restored, as tolerated by `restore.tolerate`: EXTENSION nonesuch (no owner) \
             (extension \"nonesuch\" is not available); TABLE DATA public t postgres (its rows)"
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
