//! What kind of statement it is: its verb, whether it may run in a transaction, what to call it.
//!
//! Answers from tokens alone, so that words within strings, comments and quoted names mean nothing.
//! Must not know the catalogue: where only the server can tell (is this table partitioned?), the
//! documentation of the answer says so.

use serde::{Deserialize, Serialize};

use super::label::summary;
use super::lex::{Token, TokenKind, lex};
use super::outside::{asks_publisher, prevented_in_transaction};
use super::verb::{MODIFIERS, Object, TransactionControl, Verb};
use super::words::Words;

/// So many tokens are looked at: a `COPY` may list 1,600 columns before its `FROM`, while an `INSERT`
/// of a million rows says all that matters in its first three words.
const LOOKED_AT: usize = 16_384;

/// What kind of statement it is; made by [`Kind::of`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    verb: Verb,
    transaction_control: Option<TransactionControl>,
    cannot_run_in_transaction: bool,
    asks_publisher: bool,
    copy_from_stdin: bool,
    sets_lock_timeout: bool,
    summary: String,
}

impl Kind {
    /// The kind of one statement, which may have comments around it.
    pub fn of(statement: &str) -> Kind {
        let tokens: Vec<Token> = lex(statement)
            .filter(|token| !token.kind.is_trivia())
            .take(LOOKED_AT)
            .collect();
        let mut words = Words::new(statement, &tokens);
        let verb = verb(&mut words);
        let chain = chains(words);
        Kind {
            verb,
            transaction_control: match verb {
                Verb::Begin => Some(TransactionControl::Begin),
                Verb::Commit => Some(TransactionControl::Commit { chain }),
                Verb::Rollback => Some(TransactionControl::Rollback { chain }),
                Verb::Savepoint => Some(TransactionControl::Savepoint),
                Verb::RollbackTo => Some(TransactionControl::RollbackTo),
                Verb::ReleaseSavepoint => Some(TransactionControl::Release),
                Verb::PrepareTransaction => Some(TransactionControl::Prepare),
                _ => None,
            },
            cannot_run_in_transaction: prevented_in_transaction(verb, words),
            asks_publisher: asks_publisher(verb, words),
            copy_from_stdin: verb == Verb::Copy && copies_from_client(words),
            sets_lock_timeout: matches!(verb, Verb::Set { .. }) && names_lock_timeout(words),
            summary: summary(verb, words),
        }
    }

    /// What it begins with.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// What it does to the transaction that it runs in; `None` if it only runs in it.
    ///
    /// `COMMIT PREPARED` and `ROLLBACK PREPARED` are `None`: they are about another session's one.
    pub fn transaction_control(&self) -> Option<TransactionControl> {
        self.transaction_control
    }

    /// True if the server refuses it within a transaction block: a caller of
    /// `PreventInTransactionBlock`, which are
    ///
    /// - `tcop/utility.c`: `COMMIT PREPARED`, `ROLLBACK PREPARED`, `CREATE TABLESPACE`,
    ///   `DROP TABLESPACE`, `CREATE DATABASE`, `DROP DATABASE`, `ALTER SYSTEM`,
    ///   `CREATE INDEX CONCURRENTLY`, `DROP INDEX CONCURRENTLY`, `ALTER TABLE … DETACH CONCURRENTLY`
    /// - `commands/indexcmds.c`: `REINDEX CONCURRENTLY` and `REINDEX` of a schema, the system catalogues
    ///   or a database
    /// - `commands/vacuum.c`: `VACUUM`, but not `ANALYZE`
    /// - `commands/cluster.c`: `CLUSTER` without a table, since PostgreSQL 19 `REPACK` without a table
    ///   and `REPACK (CONCURRENTLY)`
    /// - `commands/dbcommands.c`: `ALTER DATABASE SET TABLESPACE`
    /// - `commands/discard.c`: `DISCARD ALL`
    /// - `commands/subscriptioncmds.c`: `CREATE SUBSCRIPTION` that creates a slot, `ALTER SUBSCRIPTION`
    ///   that refreshes, or sets `failover` or `two_phase`, `DROP SUBSCRIPTION` that drops a slot
    ///
    /// `REFRESH MATERIALIZED VIEW CONCURRENTLY` is none of them. The text does not tell whether
    /// `DROP SUBSCRIPTION` has a slot to drop: true. Nor whether a table of `REINDEX TABLE`,
    /// `REINDEX INDEX` or `CLUSTER` is partitioned, in which case the server refuses: false. Nor whether
    /// a `CALL` or a `DO` commits on its own, which it may do outside a transaction only: false.
    pub fn cannot_run_in_transaction(&self) -> bool {
        self.cannot_run_in_transaction
    }

    /// True if it connects to the publisher of a subscription: `CREATE SUBSCRIPTION` unless it says
    /// `connect = false`, `ALTER SUBSCRIPTION` that refreshes, or sets `failover` or `two_phase`, and `DROP
    /// SUBSCRIPTION`, which does so where the subscription has a slot.
    pub fn asks_publisher(&self) -> bool {
        self.asks_publisher
    }

    /// True for statements that read or change rows, or settings, by their verb alone: `SELECT`,
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `VALUES`, `WITH`, `COPY`, `EXPLAIN`, `SET`, `RESET`,
    /// `SHOW`. So it is true for `SELECT … INTO` as well.
    pub fn is_plain_dml(&self) -> bool {
        matches!(
            self.verb,
            Verb::Select
                | Verb::Insert
                | Verb::Update
                | Verb::Delete
                | Verb::Merge
                | Verb::Values
                | Verb::With
                | Verb::Copy
                | Verb::Explain
                | Verb::Set { .. }
                | Verb::Reset
                | Verb::Show
        )
    }

    /// True for a `COPY` whose rows the client sends. `FROM STDOUT` is one too, the grammar takes both.
    pub fn is_copy_from_stdin(&self) -> bool {
        self.copy_from_stdin
    }

    /// True for `VACUUM`.
    pub fn is_vacuum(&self) -> bool {
        self.verb == Verb::Vacuum
    }

    /// True for `SET [SESSION | LOCAL] lock_timeout`, whatever the value; not for `set_config()`.
    pub fn sets_lock_timeout(&self) -> bool {
        self.sets_lock_timeout
    }

    /// What to call it in a table: `ALTER TABLE listings`, `CREATE INDEX CONCURRENTLY price_idx`.
    ///
    /// Made of keywords and names as typed, never of literals. At most 80 characters.
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

fn verb(words: &mut Words<'_>) -> Verb {
    while words.eat_kind(TokenKind::LeftParen) {}
    let Some(first) = words.take_word() else {
        return Verb::Other;
    };
    match first.to_ascii_uppercase().as_str() {
        "BEGIN" => Verb::Begin,
        "START" if words.eat("TRANSACTION") => Verb::Begin,
        "COMMIT" | "END" if words.eat("PREPARED") => Verb::CommitPrepared,
        "COMMIT" | "END" => Verb::Commit,
        "ROLLBACK" if words.eat("PREPARED") => Verb::RollbackPrepared,
        "ROLLBACK" | "ABORT" => {
            let _ = words.eat("WORK") || words.eat("TRANSACTION");
            if words.eat("TO") {
                Verb::RollbackTo
            } else {
                Verb::Rollback
            }
        }
        "SAVEPOINT" => Verb::Savepoint,
        "RELEASE" => Verb::ReleaseSavepoint,
        "PREPARE" => {
            if words.is("TRANSACTION") && words.kind_at(1) == Some(TokenKind::String) {
                Verb::PrepareTransaction
            } else {
                Verb::Prepare
            }
        }
        "SET" => {
            let local = words.eat("LOCAL");
            // `SET SESSION AUTHORIZATION` and `SET SESSION CHARACTERISTICS` are statements of their own.
            if !local && !words.is_at(1, "AUTHORIZATION") && !words.is_at(1, "CHARACTERISTICS") {
                let _ = words.eat("SESSION");
            }
            Verb::Set { local }
        }
        "RESET" => Verb::Reset,
        "SHOW" => Verb::Show,
        "DISCARD" => Verb::Discard,
        "SELECT" | "TABLE" => Verb::Select,
        "VALUES" => Verb::Values,
        "WITH" => Verb::With,
        "INSERT" => Verb::Insert,
        "UPDATE" => Verb::Update,
        "DELETE" => Verb::Delete,
        "MERGE" => Verb::Merge,
        "COPY" => Verb::Copy,
        "EXPLAIN" => Verb::Explain,
        "DO" => Verb::Do,
        "CALL" => Verb::Call,
        "EXECUTE" => Verb::Execute,
        "DEALLOCATE" => Verb::Deallocate,
        "DECLARE" | "FETCH" | "MOVE" | "CLOSE" => Verb::Cursor,
        "LISTEN" | "NOTIFY" | "UNLISTEN" => Verb::Notify,
        "CREATE" => {
            let _ = words.eat("OR") && words.eat("REPLACE");
            while MODIFIERS.iter().any(|modifier| words.eat(modifier)) {}
            if words.is("DEFAULT") && words.is_at(1, "CONVERSION") {
                words.skip(1);
            }
            Verb::Create(Object::take(words))
        }
        "ALTER" => {
            let _ = words.eat("PROCEDURAL");
            Verb::Alter(Object::take(words))
        }
        "DROP" => {
            let _ = words.eat("PROCEDURAL");
            Verb::Drop(Object::take(words))
        }
        "TRUNCATE" => Verb::Truncate,
        "VACUUM" => Verb::Vacuum,
        "ANALYZE" | "ANALYSE" => Verb::Analyze,
        "REINDEX" => Verb::Reindex,
        "CLUSTER" => Verb::Cluster,
        "REPACK" => Verb::Repack,
        "REFRESH" => Verb::Refresh,
        "LOCK" => Verb::Lock,
        "CHECKPOINT" => Verb::Checkpoint,
        "LOAD" => Verb::Load,
        "COMMENT" => Verb::Comment,
        "SECURITY" => Verb::SecurityLabel,
        "GRANT" => Verb::Grant,
        "REVOKE" => Verb::Revoke,
        "REASSIGN" => Verb::Reassign,
        "IMPORT" => Verb::ImportForeignSchema,
        _ => Verb::Other,
    }
}

/// True for `AND CHAIN` behind a `COMMIT` or a `ROLLBACK`.
fn chains(mut words: Words<'_>) -> bool {
    let _ = words.eat("WORK") || words.eat("TRANSACTION");
    words.eat("AND") && words.eat("CHAIN")
}

/// True if the parameter that comes next is `lock_timeout`.
fn names_lock_timeout(mut words: Words<'_>) -> bool {
    words
        .name()
        .is_some_and(|name| name.trim_matches('"').eq_ignore_ascii_case("lock_timeout"))
}

/// True if a `COPY` reads from the client. `FROM` is reserved, so the first one outside parentheses
/// that is not the last part of a name is the keyword.
fn copies_from_client(mut words: Words<'_>) -> bool {
    let mut after_dot = false;
    while !words.is_empty() {
        if words.skip_parentheses() {
            continue;
        }
        if !after_dot && words.eat("FROM") {
            return words.is("STDIN") || words.is("STDOUT");
        }
        after_dot = words.symbol() == Some(".");
        words.skip(1);
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn verbs() {
        for (sql, verb) in [
            ("begin", Verb::Begin),
            ("START TRANSACTION READ ONLY", Verb::Begin),
            ("start replication", Verb::Other),
            ("END", Verb::Commit),
            ("/* a */ Commit -- b", Verb::Commit),
            ("ABORT WORK", Verb::Rollback),
            ("rollback to a", Verb::RollbackTo),
            ("ROLLBACK TRANSACTION TO SAVEPOINT a", Verb::RollbackTo),
            ("ROLLBACK PREPARED 'a'", Verb::RollbackPrepared),
            ("COMMIT PREPARED 'a'", Verb::CommitPrepared),
            ("PREPARE TRANSACTION 'a'", Verb::PrepareTransaction),
            ("PREPARE transaction AS SELECT 1", Verb::Prepare),
            ("SET a = 1", Verb::Set { local: false }),
            ("SET LOCAL a = 1", Verb::Set { local: true }),
            ("((select 1) union select 2)", Verb::Select),
            ("(values (1))", Verb::Values),
            ("CREATE UNLOGGED TABLE a ()", Verb::Create(Object::Table)),
            (
                "CREATE OR REPLACE TEMP RECURSIVE VIEW a AS SELECT 1",
                Verb::Create(Object::View),
            ),
            ("CREATE CONSTRAINT TRIGGER a", Verb::Create(Object::Trigger)),
            (
                "CREATE DEFAULT CONVERSION a",
                Verb::Create(Object::Conversion),
            ),
            (
                "CREATE USER MAPPING FOR a SERVER b",
                Verb::Create(Object::UserMapping),
            ),
            ("CREATE USER a", Verb::Create(Object::Role)),
            ("ALTER FOREIGN TABLE a", Verb::Alter(Object::ForeignTable)),
            (
                "ALTER FOREIGN DATA WRAPPER a",
                Verb::Alter(Object::ForeignDataWrapper),
            ),
            (
                "DROP MATERIALIZED VIEW a",
                Verb::Drop(Object::MaterializedView),
            ),
            (
                "DROP OPERATOR FAMILY a USING b",
                Verb::Drop(Object::Operator),
            ),
            ("DROP nonsense", Verb::Drop(Object::Other)),
            ("\"select\" 1", Verb::Other),
            ("'select'", Verb::Other),
            ("", Verb::Other),
        ] {
            assert_eq!(Kind::of(sql).verb(), verb, "{sql}");
        }
    }

    #[test]
    fn transaction_control() {
        use TransactionControl::*;
        for (sql, control) in [
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", Some(Begin)),
            ("start transaction", Some(Begin)),
            ("COMMIT", Some(Commit { chain: false })),
            ("END WORK AND CHAIN", Some(Commit { chain: true })),
            ("COMMIT AND NO CHAIN", Some(Commit { chain: false })),
            (
                "ABORT TRANSACTION AND CHAIN",
                Some(Rollback { chain: true }),
            ),
            ("ROLLBACK AND CHAIN", Some(Rollback { chain: true })),
            ("ROLLBACK", Some(Rollback { chain: false })),
            ("SAVEPOINT a", Some(Savepoint)),
            ("RELEASE a", Some(Release)),
            ("ROLLBACK WORK TO a", Some(RollbackTo)),
            ("PREPARE TRANSACTION 'a'", Some(Prepare)),
            ("COMMIT PREPARED 'a'", None),
            ("SELECT 'BEGIN'", None),
        ] {
            assert_eq!(Kind::of(sql).transaction_control(), control, "{sql}");
        }
    }

    #[test]
    fn copy_from_stdin() {
        for sql in [
            "COPY a FROM STDIN",
            "copy s.a (b, \"from\") from stdin with (format csv, header)",
            "COPY a /* TO */ FROM -- x\n STDIN DELIMITER ','",
            "COPY s.from FROM STDIN",
            "COPY BINARY a FROM STDIN",
            "COPY a FROM STDOUT",
            "COPY a FROM STDIN WHERE b IN (SELECT c FROM d)",
        ] {
            assert!(Kind::of(sql).is_copy_from_stdin(), "{sql}");
        }
        for sql in [
            "COPY a TO STDOUT",
            "COPY a TO STDIN",
            "COPY a FROM 'stdin'",
            "COPY a FROM PROGRAM 'cat' /* STDIN */",
            "COPY (SELECT * FROM stdin) TO STDOUT",
            "SELECT a FROM stdin",
            "COPY a \"FROM\" STDIN",
            "COPY a FROM \"stdin\"",
            "COPY (((",
        ] {
            assert!(!Kind::of(sql).is_copy_from_stdin(), "{sql}");
        }
    }

    #[test]
    fn lock_timeout() {
        for sql in [
            "SET lock_timeout = '2s'",
            "set local LOCK_TIMEOUT to 100",
            "SET SESSION \"lock_timeout\" TO DEFAULT",
        ] {
            assert!(Kind::of(sql).sets_lock_timeout(), "{sql}");
        }
        for sql in [
            "SET statement_timeout = '2s'",
            "RESET lock_timeout",
            "SET search_path = lock_timeout",
            "ALTER ROLE a SET lock_timeout = 1",
            "SET my.lock_timeout = 1",
            "SET 'lock_timeout' = 1",
        ] {
            assert!(!Kind::of(sql).sets_lock_timeout(), "{sql}");
        }
    }

    #[test]
    fn plain_dml_goes_by_the_verb() {
        assert!(Kind::of("WITH a AS (DELETE FROM b) SELECT 1").is_plain_dml());
        assert!(Kind::of("(TABLE a)").is_plain_dml());
        assert!(Kind::of("show all").is_plain_dml());
        assert!(!Kind::of("CREATE TABLE a AS SELECT 1").is_plain_dml());
        assert!(!Kind::of("DO $$ $$").is_plain_dml());
        assert!(Kind::of("vacuum (analyze) a").is_vacuum());
        assert!(!Kind::of("ANALYZE vacuum").is_vacuum());
    }

    #[test]
    fn a_kind_survives_json() {
        for sql in [
            "SET LOCAL lock_timeout = 1",
            "COMMIT AND CHAIN",
            "ALTER TABLE a ADD b int",
        ] {
            let kind = Kind::of(sql);
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<Kind>(&json).unwrap(), kind, "{json}");
        }
    }
}
