//! What to call a statement: its keywords and the names in it, and none of its literals.

use super::verb::{Object, Verb};
use super::words::Words;

/// Longer labels are cut, so that a table of statements stays a table.
const LABEL_CHARACTERS: usize = 80;

/// What to call the statement; `words` begin behind the verb and its object.
pub(super) fn summary(verb: Verb, mut words: Words<'_>) -> String {
    let mut label = Label::default();
    match verb {
        Verb::Set { .. } | Verb::Reset | Verb::Show => {
            label.words(&words.before());
            if words.eat_all("SESSION AUTHORIZATION") {
                label.words("SESSION AUTHORIZATION");
            } else if words.eat_all("SESSION CHARACTERISTICS") {
                label.words("SESSION CHARACTERISTICS");
            } else if words.eat_all("TIME ZONE") {
                label.words("TIME ZONE");
            } else {
                label.name(&mut words);
            }
        }
        Verb::Create(Object::Index) | Verb::Drop(Object::Index) => {
            label.words(&words.before());
            if words.eat("CONCURRENTLY") {
                label.words("CONCURRENTLY");
            }
            words.skip_if_exists();
            if !words.is("ON") {
                label.name(&mut words);
            }
        }
        Verb::Create(object) | Verb::Alter(object) | Verb::Drop(object) => {
            label.words(&words.before());
            if object.is_nameless() {
                return label.finish();
            }
            words.skip_if_exists();
            let _ = words.eat("ONLY");
            label.name(&mut words);
        }
        Verb::Insert | Verb::Delete | Verb::Merge => {
            label.words(&words.before());
            for keyword in ["INTO", "FROM"] {
                if words.eat(keyword) {
                    label.words(keyword);
                }
            }
            let _ = words.eat("ONLY");
            label.name(&mut words);
        }
        Verb::Update | Verb::Truncate | Verb::Lock | Verb::Copy | Verb::Call => {
            label.words(&words.before());
            let _ = words.eat("TABLE");
            let _ = words.eat("ONLY");
            label.name(&mut words);
        }
        Verb::Vacuum | Verb::Analyze | Verb::Cluster | Verb::Repack => {
            label.words(&words.before());
            let _ = words.skip_parentheses();
            for option in ["FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"] {
                if words.eat(option) && option == "FULL" {
                    label.words(option);
                }
            }
            label.name(&mut words);
        }
        Verb::Reindex => {
            label.words(&words.before());
            let concurrently = words.option("concurrently") == Some(true);
            let _ = words.skip_parentheses();
            for object in ["INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM"] {
                if words.eat(object) {
                    label.words(object);
                    break;
                }
            }
            if words.eat("CONCURRENTLY") || concurrently {
                label.words("CONCURRENTLY");
            }
            label.name(&mut words);
        }
        Verb::Refresh => {
            label.words(&words.before());
            for keyword in ["MATERIALIZED", "VIEW", "CONCURRENTLY"] {
                if words.eat(keyword) {
                    label.words(keyword);
                }
            }
            label.name(&mut words);
        }
        Verb::Comment => {
            label.words(&words.before());
            if words.eat("ON") {
                label.words("ON");
                let start = words.position();
                if words.eat("COLUMN") || !Object::take(&mut words).is_nameless() {
                    label.words(&words.since(start));
                    label.name(&mut words);
                }
            }
        }
        Verb::SecurityLabel => label.words("SECURITY LABEL"),
        Verb::Reassign => label.words("REASSIGN OWNED"),
        Verb::ImportForeignSchema => label.words("IMPORT FOREIGN SCHEMA"),
        Verb::PrepareTransaction => label.words("PREPARE TRANSACTION"),
        Verb::RollbackTo => label.words("ROLLBACK TO SAVEPOINT"),
        Verb::ReleaseSavepoint => label.words("RELEASE SAVEPOINT"),
        _ => label.words(&words.before()),
    }
    label.finish()
}

/// The label as it grows.
#[derive(Default)]
struct Label(String);

impl Label {
    fn words(&mut self, words: &str) {
        if !self.0.is_empty() && !words.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(words);
    }

    /// Adds the name that comes next, and `, …` if it is the first of several.
    fn name(&mut self, words: &mut Words<'_>) {
        if let Some(name) = words.name() {
            self.words(&name);
            if words.symbol() == Some(",") {
                self.0.push_str(", …");
            }
        }
    }

    fn finish(self) -> String {
        if self.0.is_empty() {
            return "statement".to_owned();
        }
        // A quoted name may hold anything, a line break or a terminal's escape sequence included.
        let printable = self.0.replace(char::is_control, "\u{fffd}");
        if printable.chars().count() <= LABEL_CHARACTERS {
            return printable;
        }
        let kept: String = printable.chars().take(LABEL_CHARACTERS - 1).collect();
        kept + "…"
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::Kind;

    #[test]
    fn labels_hold_keywords_and_names_and_no_literal() {
        for (sql, label) in [
            (
                "alter table if exists only public . listings add a int",
                "ALTER TABLE public.listings",
            ),
            (
                "CREATE INDEX CONCURRENTLY ON a (b)",
                "CREATE INDEX CONCURRENTLY",
            ),
            (
                "create unique index concurrently if not exists i on a (b)",
                "CREATE UNIQUE INDEX CONCURRENTLY i",
            ),
            ("DROP TABLE IF EXISTS \"A b\", c", "DROP TABLE \"A b\", …"),
            (
                "CREATE OR REPLACE FUNCTION f(a int) RETURNS int",
                "CREATE OR REPLACE FUNCTION f",
            ),
            ("INSERT INTO a VALUES ('b')", "INSERT INTO a"),
            ("UPDATE ONLY a SET b = 1", "UPDATE a"),
            ("SET LOCAL lock_timeout = '1s'", "SET LOCAL lock_timeout"),
            ("SET SESSION AUTHORIZATION 'a'", "SET SESSION AUTHORIZATION"),
            ("set time zone 'UTC'", "SET TIME ZONE"),
            (
                "REINDEX (CONCURRENTLY) INDEX i",
                "REINDEX INDEX CONCURRENTLY i",
            ),
            ("VACUUM (FULL) a", "VACUUM a"),
            (
                "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
                "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
            ),
            ("COMMENT ON COLUMN a.b IS 'c'", "COMMENT ON COLUMN a.b"),
            (
                "COMMENT ON MATERIALIZED VIEW a IS 'c'",
                "COMMENT ON MATERIALIZED VIEW a",
            ),
            ("ALTER ROLE a PASSWORD 'hunter2'", "ALTER ROLE a"),
            ("ALTER SYSTEM SET a = 'b'", "ALTER SYSTEM"),
            ("DO $$ secret $$", "DO"),
            ("(select 1)", "SELECT"),
            ("'secret'", "statement"),
            ("LOCK TABLE a IN SHARE MODE", "LOCK a"),
            ("rollback to a", "ROLLBACK TO SAVEPOINT"),
            ("DROP TABLE \"a\nb\"", "DROP TABLE \"a\u{fffd}b\""),
        ] {
            assert_eq!(Kind::of(sql).summary(), label);
        }
        let long = Kind::of(&format!("DROP TABLE {}", "é".repeat(200)));
        assert_eq!(long.summary().chars().count(), 80);
        assert!(long.summary().ends_with('…'));
    }
}
