//! What a statement's text says about its locks: asked at each of its sendings, answered once.

use crate::sql::TransactionControl::{Begin, Commit, Release, RollbackTo, Savepoint};
use crate::sql::{Kind, SetsLockTimeout, Verb, is_cut};

/// A statement's text and what it says.
#[derive(Debug)]
pub struct Text {
    /// The text.
    pub sql: String,
    /// False for a statement that only opens or marks a transaction.
    pub takes_locks: bool,
    /// True for a statement that is not known to hide subtransactions: a block of code may roll one
    /// back, and its locks with it. A function that a trigger or an expression calls may as well; that
    /// is one of the report's limits.
    pub keeps_locks: bool,
    /// True for COMMIT that opens no other transaction.
    pub commits: bool,
    /// True for PREPARE TRANSACTION; its name may be hidden, so that it looks like PREPARE.
    pub prepares: bool,
    /// What it does to `lock_timeout`; None: nothing.
    pub sets: Option<SetsLockTimeout>,
    /// True for a statement that may have caught an error in code that it calls.
    pub may_hide: bool,
    /// True for ROLLBACK TO.
    pub rolls_back_to: bool,
}

impl Text {
    /// Reads it; `sets` is what was told of its literals, which may be hidden.
    pub fn new(sql: String, sets: Option<SetsLockTimeout>) -> Self {
        let kind = Kind::of(&sql);
        let (verb, control) = (kind.verb(), kind.transaction_control());
        Self {
            takes_locks: !matches!(control, Some(Begin | Savepoint | Release | RollbackTo)),
            keeps_locks: keeps_locks(verb) && !lets_indexes_go(verb, &sql),
            commits: control == Some(Commit { chain: false }),
            sets: sets.or_else(|| SetsLockTimeout::by(&sql)),
            may_hide: matches!(
                verb,
                Verb::Select | Verb::With | Verb::Values | Verb::Do | Verb::Call | Verb::Execute
            ),
            rolls_back_to: control == Some(RollbackTo),
            prepares: matches!(verb, Verb::PrepareTransaction | Verb::Prepare),
            sql,
        }
    }
}

/// True where a statement may take ACCESS EXCLUSIVE on a table's indexes for a moment and let them go
/// before it ends: `index_close` with the lock's mode in `SetIndexStorageProperties` and
/// `AlterIndexNamespaces` (`src/backend/commands/tablecmds.c`; seen on 13, 15 and 17). A word that
/// only looks like theirs costs a proof by rest, no more.
fn lets_indexes_go(verb: Verb, sql: &str) -> bool {
    const WORDS: [&str; 3] = ["STORAGE", "COMPRESSION", "SCHEMA"];
    let sql = sql.to_ascii_uppercase();
    matches!(verb, Verb::Alter(_)) && (is_cut(&sql) || WORDS.iter().any(|word| sql.contains(word)))
}

fn keeps_locks(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Begin
            | Verb::Savepoint
            | Verb::Set { .. }
            | Verb::Insert
            | Verb::Update
            | Verb::Delete
            | Verb::Merge
            | Verb::With
            | Verb::Copy
            | Verb::Create(_)
            | Verb::Alter(_)
            | Verb::Drop(_)
            | Verb::Truncate
            | Verb::Comment
            | Verb::Lock
            | Verb::Refresh
            | Verb::Reindex
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(sql: &str) -> [bool; 4] {
        let text = Text::new(sql.to_owned(), None);
        [
            text.takes_locks,
            text.keeps_locks,
            text.commits,
            text.prepares,
        ]
    }

    #[test]
    fn a_text_says_what_becomes_of_locks() {
        assert_eq!(says("ALTER TABLE t ADD a int"), [true, true, false, false]);
        let moment = [true, false, false, false];
        assert_eq!(says("ALTER TABLE t ALTER a SET storage main"), moment);
        assert_eq!(says("ALTER TABLE t SET SCHEMA u"), moment);
        let cut = crate::sql::told(format!("ALTER TABLE t ADD a int{}", " ".repeat(1 << 20)));
        assert_eq!(says(&cut), moment, "what it would do besides is not known");
        assert_eq!(says("DO $$BEGIN END$$"), [true, false, false, false]);
        assert_eq!(says("SELECT f()"), [true, false, false, false]);
        assert_eq!(says("BEGIN"), [false, true, false, false]);
        assert_eq!(says("SAVEPOINT a"), [false, true, false, false]);
        assert_eq!(says("ROLLBACK TO a"), [false, false, false, false]);
        assert_eq!(says("COMMIT"), [true, false, true, false]);
        assert_eq!(says("COMMIT AND CHAIN"), [true, false, false, false]);
        assert_eq!(says("PREPARE TRANSACTION ?"), [true, false, false, true]);
        assert_eq!(says("PREPARE p"), [true, false, false, true]);
    }
}
