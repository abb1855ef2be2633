//! What other programs write: a server's log, and the output of psql, of migration tools, of hooks.
//!
//! Statements, details and contexts in them are dropped, values in a server's messages are hidden. What a
//! session did is no part of why a server was lost, so a log keeps only the words of the server itself.
//! Pure.

use super::server::{context, loose};
use super::sql::{is_sql, shown};
use super::{hide, known};
use crate::plan::Literals;

/// What begins a piece that repeats a statement or rows, to its end.
const REPEATS: [&str; 14] = [
    "STATEMENT:",
    "DETAIL:",
    "QUERY:",
    "Query Text:",
    "Command was:",
    "[SQL:",
    "[parameters:",
    "Parameters:",
    "parameters:",
    "Failing row contains",
    "statement: ",
    "execute ",
    "Key (",
    "plan:",
];

const LEVELS: [&str; 14] = [
    "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3", "DEBUG4", "DEBUG5", "LOG", "INFO", "NOTICE", "WARNING",
    "ERROR", "FATAL", "PANIC", "HINT",
];

/// First words of what a server itself logs.
const OWN_WORDS: [&str; 44] = [
    "starting",
    "listening",
    "database",
    "checkpoint",
    "checkpoints",
    "restartpoint",
    "received",
    "server",
    "terminating",
    "all",
    "could",
    "aborting",
    "shutting",
    "background",
    "redo",
    "restored",
    "entering",
    "consistent",
    "unexpected",
    "autovacuum",
    "automatic",
    "recovery",
    "selected",
    "startup",
    "configuration",
    "parameter",
    "issuing",
    "archive",
    "last",
    "data",
    "lock",
    "bogus",
    "performing",
    "process",
    "invalid",
    "logical",
    "replication",
    "started",
    "out",
    "disabling",
    "using",
    "no",
    "worker",
    "skipping",
];

/// The last lines of a server's log, as far as they may be shown.
pub fn log<I>(lines: I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    pieces(lines, of_the_log)
}

/// Lines that a program wrote, as far as they may be shown.
pub fn output<I>(lines: I, literals: Literals) -> Vec<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    match literals {
        Literals::Hidden => pieces(lines, of_a_program),
        Literals::Shown => lines
            .into_iter()
            .map(|line| without_passwords(line.as_ref()))
            .collect(),
    }
}

/// A text of several lines, as [`output()`] has it without literals.
pub fn text(text: &str) -> String {
    let mut shown = output(text.split('\n'), Literals::Hidden).join("\n");
    if text.ends_with('\n') && !shown.ends_with('\n') {
        shown.push('\n');
    }
    shown
}

fn without_passwords(line: &str) -> String {
    hide(&if is_sql(line) {
        shown(line, Literals::Shown)
    } else {
        line.to_owned()
    })
}

/// What goes on in the lines that follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// Nothing.
    Nothing,
    /// Indented lines belong to what was dropped.
    Indented,
    /// All lines do, up to the next that a program begins by its name.
    On,
    /// The line with the caret under a statement does.
    Caret,
}

fn pieces<I>(lines: I, of: fn(&str) -> (String, Goes)) -> Vec<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut kept: Vec<String> = Vec::new();
    let mut goes = Goes::Nothing;
    // The last line that has a level, and how many characters stand before its words.
    let mut last: Option<(usize, usize)> = None;
    for line in lines {
        // Whole first: of one that was torn up nothing would be known.
        let line = &known::hide(line.as_ref());
        // Our own errors have a bar before the lines of others.
        let bare = line.trim_start_matches("  | ");
        let belongs = match goes {
            Goes::Nothing => false,
            Goes::Indented => {
                bare.starts_with(['\t', ' ']) && level(bare).is_none() || bare.is_empty()
            }
            Goes::On => {
                level(bare).is_none() && !begins_anew(bare) && !line.starts_with("  help: ")
            }
            Goes::Caret => bare.trim() == "^",
        };
        if belongs {
            continue;
        }
        let (shown, next) = of(line);
        goes = next;
        let raised = [" at RAISE", " at ASSERT"]
            .iter()
            .any(|end| line.ends_with(end));
        if line.contains("CONTEXT:") && raised {
            // Only now is it known that code of the user's said it, in whatever words.
            if let Some((index, at)) = last.take() {
                kept.truncate(index + 1);
                if let Some(said) = kept.get_mut(index) {
                    let before: String = said.chars().take(at).collect();
                    *said = format!("{before}?");
                }
            }
        } else if let Some((_, at)) = level(&shown).filter(|(level, _)| *level != "HINT") {
            last = Some((kept.len(), shown[..at].chars().count()));
        }
        kept.push(hide(&shown));
    }
    kept
}

fn begins_anew(line: &str) -> bool {
    ["pg_restore:", "psql:", "pg_dump:"]
        .iter()
        .any(|name| line.starts_with(name))
}

/// Where a line's level is, and what it says behind it.
fn level(line: &str) -> Option<(&str, usize)> {
    LEVELS
        .iter()
        .filter_map(|level| {
            let at = line
                .find(&format!("{level}:  "))
                .or_else(|| line.find(&format!("{level}: ")))?;
            let before = line[..at].chars().next_back();
            (!before.is_some_and(char::is_alphanumeric)).then_some((*level, at))
        })
        .min_by_key(|(_, at)| *at)
        .map(|(level, at)| {
            let behind = at + level.len() + 1;
            (
                level,
                behind + line[behind..].len() - line[behind..].trim_start().len(),
            )
        })
}

fn of_the_log(line: &str) -> (String, Goes) {
    if let Some(dropped) = repeats(line) {
        return dropped;
    }
    match level(line) {
        Some(("FATAL" | "PANIC", at)) => (
            format!("{}{}", &line[..at], loose(&line[at..])),
            Goes::Nothing,
        ),
        Some(("HINT", _)) => (line.to_owned(), Goes::Nothing),
        Some((level, at)) => {
            let said = &line[at..];
            let first = said.split([' ', ':', ',']).next().unwrap_or_default();
            let is_own = match level {
                "LOG" => OWN_WORDS.contains(&first),
                "ERROR" | "WARNING" => {
                    said.starts_with("could not ") || said.starts_with("out of ")
                }
                _ => false,
            };
            let said = if is_own { loose(said) } else { "?".to_owned() };
            (format!("{}{said}", &line[..at]), Goes::Indented)
        }
        // It goes on with what a session said, or is the shell's.
        None if line.starts_with('\t') => ("\t?".to_owned(), Goes::Indented),
        None => (line.to_owned(), Goes::Nothing),
    }
}

fn of_a_program(line: &str) -> (String, Goes) {
    if let Some(dropped) = repeats(line) {
        return dropped;
    }
    if let Some((_, at)) = level(line) {
        return (
            format!("{}{}", &line[..at], loose(&line[at..])),
            Goes::Nothing,
        );
    }
    // A program that repeats the statements that it runs.
    if is_sql(line.trim_start()) && line.contains(['\'', '$']) {
        return (shown(line, Literals::Hidden), Goes::Nothing);
    }
    // The server's words behind the name of an exception, or in the middle of a sentence.
    for words in [
        "invalid input syntax for type",
        "invalid input value for enum",
        "syntax error at or near",
        "value \"",
    ] {
        if let Some(at) = line.find(words) {
            return (
                format!("{}{}", &line[..at], loose(&line[at..])),
                Goes::Nothing,
            );
        }
    }
    (line.to_owned(), Goes::Nothing)
}

/// A line with a piece that repeats a statement or rows, without that.
fn repeats(line: &str) -> Option<(String, Goes)> {
    // psql's `LINE 1: …`, with a caret below.
    if let Some(at) = line.find("LINE ")
        && let Some((number, _)) = line[at + 5..].split_once(": ")
        && number.chars().all(|c| c.is_ascii_digit())
    {
        return Some((format!("{}LINE {number}: ?", &line[..at]), Goes::Caret));
    }
    let place = |mark: &'static str| {
        let at = line.find(mark)?;
        let before = line[..at].chars().next_back();
        // A word of its own, at the beginning of what is said.
        let begins = before.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '|'));
        let is_marker = mark.starts_with(|c: char| c.is_ascii_uppercase() || c == '[');
        // `LOG:  execute <unnamed>: …`, and not a sentence with the word.
        let in_log = level(line).is_some_and(|(level, _)| level == "LOG")
            && (mark != "execute " || line[..at].ends_with("  "));
        (begins && (is_marker || in_log)).then_some((at, mark))
    };
    if let Some(at) = line.find("CONTEXT:") {
        let behind = line[at + 8..].trim();
        return Some((
            format!("{}CONTEXT:  {}", &line[..at], context(behind)),
            Goes::Indented,
        ));
    }
    let (at, mark) = REPEATS
        .iter()
        .filter_map(|mark| place(mark))
        .min_by_key(|(at, _)| *at)?;
    let goes = if mark == "Command was:" {
        Goes::On
    } else {
        Goes::Indented
    };
    let space = if mark.ends_with(' ') { "" } else { " " };
    Some((format!("{}{mark}{space}?", &line[..at]), goes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_the_server_s_own_words() {
        let shown = log([
            "2026-01-01 10:00:00 UTC [7] LOG:  database system is ready to accept connections",
            "2026-01-01 10:00:00 UTC [7] ERROR:  customer v1 is bad",
            "2026-01-01 10:00:00 UTC [7] DETAIL:  Failing row contains (v2).",
            "2026-01-01 10:00:00 UTC [7] CONTEXT:  PL/pgSQL function f() line 1 at RAISE",
            "2026-01-01 10:00:00 UTC [7] STATEMENT:  ALTER USER x",
            "\tPASSWORD 'v3';",
            "2026-01-01 10:00:01 UTC [7] LOG:  statement: SELECT 'v4'",
            "2026-01-01 10:00:01 UTC [7] LOG:  duration: 1.2 ms  execute <unnamed>: SELECT 'v5'",
            "\tFROM v6",
            "2026-01-01 10:00:01 UTC [7] LOG:  customer v7",
            "2026-01-01 10:00:02 UTC [7] PANIC:  could not write to file \"pg_wal/x\": No space left on device",
            "2026-01-01 10:00:02 UTC [1] LOG:  server process (PID 7) was terminated by signal 6: Aborted",
            "2026-01-01 10:00:02 UTC [1] DETAIL:  Failed process was running: UPDATE t SET a = 'v8'",
        ])
        .join("\n");
        assert!((1..9).all(|n| !shown.contains(&format!("v{n}"))), "{shown}");
        for kept in [
            "ready to accept",
            "at RAISE",
            "No space left",
            "terminated by signal 6",
            "STATEMENT: ?",
        ] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }

    #[test]
    fn output_of_tools_keeps_what_went_wrong() {
        let shown = output(
            [
                "psql:x.sql:3: ERROR:  invalid input syntax for type integer: \"v1\"",
                "LINE 1: SELECT 'v2'::int",
                "               ^",
                "pg_restore: error: could not execute query: ERROR:  relation \"items\" does not exist",
                "Command was: ALTER TABLE items",
                "  SET x = 'v3',",
                "y = 'v4';",
                "pg_restore: warning: errors ignored on restore: 1",
                "sqlalchemy.exc.DataError: (psycopg2) invalid input syntax for type integer: \"v5\"",
                "[SQL: INSERT INTO t VALUES ('v6')]",
                "[parameters: {'a': 'v7'}]",
                "DETAIL:  Key (email)=(v8) already exists.",
                "INSERT INTO t VALUES ('v9');",
                "Running migrations:",
                "ERROR:  bad customer v10",
                "who is v11",
                "HINT:  ask v12",
                "CONTEXT:  PL/pgSQL function complain(text) line 1 at RAISE",
            ],
            Literals::Hidden,
        )
        .join("\n");
        assert!(
            (1..13).all(|n| !shown.contains(&format!("v{n}"))),
            "{shown}"
        );
        for kept in [
            "relation \"items\" does not exist",
            "errors ignored on restore: 1",
            "Running migrations:",
            "type integer: ?",
            "INSERT INTO t VALUES (?);",
        ] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert!(!shown.contains('^'), "{shown}");
    }

    #[test]
    fn ordinary_text_stays() {
        for said in [
            "error: `x` cannot be read\n  help: try again\n",
            "a  b\n\n  | c: d",
            "execute the plan: now",
        ] {
            assert_eq!(text(said), said);
        }
    }

    #[test]
    fn shown_literals_stay_and_passwords_do_not() {
        assert_eq!(
            output(
                ["ALTER USER x PASSWORD 'pw99'", "DETAIL:  v"],
                Literals::Shown
            ),
            ["ALTER USER x PASSWORD '***'", "DETAIL:  v"]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(said in "(ERROR:  |LINE 1: |DETAIL:|\t|\n|\"|: |é|CONTEXT:|COPY |a| ){0,20}") {
            let _ = text(&said);
            let _ = log(said.split('\n'));
        }
    }
}
