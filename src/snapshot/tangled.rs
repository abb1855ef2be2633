//! Puts the lines of a `pg_restore` with jobs together again.
//!
//! Each process writes a line in pieces (its name, a blank, the level, the message with its end) into one pipe, and
//! those of another may come between: `pg_restore:pg_restore:  error:  launching item 7 TABLE DATA a`. A message
//! itself, of one line or several, is never cut. Pure.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::course::tells_of_progress;

const NAME: &str = "pg_restore:";
const LEVELS: [&str; 2] = ["error: ", "warning: "];

/// What was written ahead of messages that are still to come.
#[derive(Debug, Default)]
pub(super) struct Tangled {
    names: usize,
    levels: VecDeque<&'static str>,
}

impl Tangled {
    /// The line as its process meant it; borrowed if that is how it came.
    pub fn line<'a>(&mut self, line: &'a str) -> Cow<'a, str> {
        let mut message = line;
        let mut names = self.names;
        let mut levels = self.levels.clone();
        loop {
            let level = LEVELS.into_iter().find(|level| message.starts_with(level));
            if let Some(rest) = message.strip_prefix(NAME) {
                names += 1;
                message = rest;
            } else if let Some(rest) = message.strip_prefix(' ') {
                message = rest;
            } else if let Some(level) = level {
                levels.push_back(level);
                message = &message[level.len()..];
            } else {
                break;
            }
        }
        let is_progress = tells_of_progress(message);
        let has_front = names > self.names;
        // The second line of a message, or a line of some other program.
        if names == 0 || !(has_front || is_progress || !levels.is_empty()) {
            return Cow::Borrowed(line);
        }
        let level = match is_progress {
            true => None,
            false => levels.pop_front(),
        };
        self.names = names - 1;
        self.levels = levels;
        let meant = format!("{NAME} {}{message}", level.unwrap_or_default());
        match meant == line {
            true => Cow::Borrowed(line),
            false => Cow::Owned(meant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(lines: &[&str]) -> Vec<String> {
        let mut tangled = Tangled::default();
        lines
            .iter()
            .map(|line| tangled.line(line).into_owned())
            .collect()
    }

    #[test]
    fn lines_that_nobody_disturbed_stay() {
        let lines = [
            "pg_restore: launching item 20 TABLE DATA large",
            "pg_restore: error: could not execute query: ERROR:  relation \"a\" already exists",
            "LINE 1: CREATE TABLE a",
            "        ^",
            "Command was: CREATE TABLE a",
            "pg_restore: warning: errors ignored on restore: 1",
            "psql: error: no such file",
            "",
        ];
        assert_eq!(meant(&lines), lines);
    }

    #[test]
    fn names_that_came_early_go_to_the_messages_that_follow() {
        assert_eq!(
            meant(&[
                "pg_restore: pg_restore:processing data for table \"public.t47\"",
                " creating CONSTRAINT \"public.t45 t45_pkey\"",
                "pg_restore:pg_restore:  finished item 37 CONSTRAINT t62 t62_pkey",
                "creating CONSTRAINT \"public.t63 t63_pkey\"",
                "creating havoc",
            ]),
            [
                "pg_restore: processing data for table \"public.t47\"",
                "pg_restore: creating CONSTRAINT \"public.t45 t45_pkey\"",
                "pg_restore: finished item 37 CONSTRAINT t62 t62_pkey",
                "pg_restore: creating CONSTRAINT \"public.t63 t63_pkey\"",
                // Nobody's name is left for this one.
                "creating havoc",
            ]
        );
    }

    #[test]
    fn an_error_is_neither_lost_nor_taken_for_progress() {
        assert_eq!(
            meant(&[
                "pg_restore: error: pg_restore: launching item 7 TABLE DATA a",
                "COPY failed for table \"a\": ERROR:  no such relation",
                "CONTEXT:  COPY a, line 1",
                "pg_restore: launching item 8 TABLE DATA b",
            ]),
            [
                "pg_restore: launching item 7 TABLE DATA a",
                "pg_restore: error: COPY failed for table \"a\": ERROR:  no such relation",
                "CONTEXT:  COPY a, line 1",
                "pg_restore: launching item 8 TABLE DATA b",
            ]
        );
    }

    #[test]
    fn an_error_that_another_s_name_precedes_is_whole() {
        assert_eq!(
            meant(&[
                "pg_restore:pg_restore: error:  could not read from input file: end of file",
                "finished item 7 TABLE DATA a",
            ]),
            [
                "pg_restore: error: could not read from input file: end of file",
                "pg_restore: finished item 7 TABLE DATA a",
            ]
        );
    }
}
