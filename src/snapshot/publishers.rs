//! Statements of a dump or a generator that would connect to a publisher while it is restored: they make
//! or drop a slot there, so they are refused before they run.
//!
//! Looked for in the text alone, since the server runs none that makes or drops a slot from within a function or
//! a transaction. `pg_dump` itself writes `connect = false`.

use crate::Error;
use crate::sql::{Kind, Object, Verb, split};

/// No statement about a subscription is longer, unless it is made to hide one.
const LONGEST: usize = 64 * 1024;

/// Follows the statements of a file.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    /// A subscription was made, so that a later statement may drop it.
    made: bool,
    /// The lines since the last one that ended a statement, or that did not belong to one about a subscription.
    recent: String,
    /// The line of the file that is at hand.
    number: u64,
    /// The first line that is refused.
    refused: Option<u64>,
}

impl Publishers {
    /// Whether the statement connects to a publisher, behind those that came before.
    pub fn refuses(&mut self, kind: &Kind) -> bool {
        let asks = match kind.verb() {
            // Of what was not made here there is none: `pg_dump --clean` begins so.
            Verb::Drop(Object::Subscription) => self.made,
            _ => kind.asks_publisher(),
        };
        self.made |= kind.verb() == Verb::Create(Object::Subscription);
        asks
    }

    /// Takes a line of a dump that is no row, with its number.
    pub fn line(&mut self, number: u64, line: &[u8]) {
        self.number = number;
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.starts_with("--") {
            return;
        }
        if self.recent.len() + line.len() > LONGEST {
            self.statements();
            self.recent.clear();
        }
        self.recent.push_str(line);
        self.recent.push('\n');
        // Whatever lines the words stand on, the statement ends with a semicolon at the end of one.
        if line.ends_with(';') && !line.contains("--") && !self.is_within_body() {
            self.statements();
            self.recent.clear();
        }
    }

    /// Whether the lines end within a function's body, whose statements the restore does not run.
    fn is_within_body(&self) -> bool {
        self.recent.contains('$') && split(&self.recent).is_err()
    }

    /// Where the first of them stands.
    pub fn refused(mut self) -> Option<u64> {
        self.statements();
        self.refused
    }

    fn statements(&mut self) {
        if self.refused.is_some() || !names_subscription(&self.recent) {
            return;
        }
        let recent = std::mem::take(&mut self.recent);
        let refused = split(&recent).is_ok_and(|statements| {
            statements
                .iter()
                .any(|statement| self.refuses(&statement.kind))
        });
        if refused {
            self.refused = Some(self.number);
        }
    }
}

/// Whether the word is in it at all, which is all that most lines are looked at for.
fn names_subscription(text: &str) -> bool {
    const WORD: &[u8] = b"subscription";
    text.as_bytes()
        .windows(WORD.len())
        .any(|found| found.eq_ignore_ascii_case(WORD))
}

/// Why it is not run.
pub(super) fn error(place: &str) -> Error {
    Error::stage(format!("{place} would connect to a subscription's publisher")).help(
        "write `connect = false` into its CREATE SUBSCRIPTION, or leave it out with `pg_dump --no-subscriptions`: \
         a stage must not make or drop a slot there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<u64> {
        let mut publishers = Publishers::default();
        for (number, line) in (1..).zip(text.lines()) {
            publishers.line(number, line.as_bytes());
        }
        publishers.refused()
    }

    #[test]
    fn a_statement_is_found_wherever_its_words_stand() {
        let create = "CREATE SUBSCRIPTION s CONNECTION 'host=h' PUBLICATION p";
        for (text, line) in [
            (format!("SELECT 1;\n{create};\n"), Some(2)),
            (create.to_owned(), Some(1)),
            (format!("SELECT 1; {create};"), Some(1)),
            (
                "create /* x */\n-- y;\n  subscription s -- z;\nCONNECTION '' PUBLICATION p;"
                    .to_owned(),
                Some(4),
            ),
            (
                "CREATE\n  Subscription s\n  CONNECTION '' PUBLICATION p\n;".to_owned(),
                Some(4),
            ),
            (
                format!("{create} WITH (connect = false, slot_name = 's');"),
                None,
            ),
            (
                format!("{create} WITH (connect = false);\nDROP SUBSCRIPTION s;"),
                Some(2),
            ),
            (
                format!(
                    "{create} WITH (connect = false);\nALTER SUBSCRIPTION s REFRESH PUBLICATION;"
                ),
                Some(2),
            ),
            (
                format!("DROP SUBSCRIPTION IF EXISTS s;\n{create} WITH (connect = false);"),
                None,
            ),
            (
                format!(
                    "{create} WITH (connect = false);\nALTER SUBSCRIPTION s OWNER TO o;\nCOMMENT ON SUBSCRIPTION s IS 'x';"
                ),
                None,
            ),
            (
                "INSERT INTO plans VALUES ('a subscription');".to_owned(),
                None,
            ),
            (
                format!(
                    "CREATE FUNCTION f() RETURNS void AS $$ BEGIN\n  PERFORM 1;\n  {create};\nEND $$;"
                ),
                None,
            ),
            (
                format!("SELECT '$1';\nCREATE FUNCTION f() AS $$ a;\n$$;\n{create};"),
                Some(4),
            ),
            ("-- CREATE SUBSCRIPTION s;\nSELECT 1;".to_owned(), None),
        ] {
            assert_eq!(refused(&text), line, "{text}");
        }
    }
}
