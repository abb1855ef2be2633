//! What a statement's text says about its locks: asked at each of its sendings, answered once.

use crate::sql::TransactionControl::{Begin, Commit, Release, RollbackTo, Savepoint};
use crate::sql::{Kind, Verb};

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
}

impl Text {
    /// Reads it.
    pub fn new(sql: String) -> Self {
        let kind = Kind::of(&sql);
        let (verb, control) = (kind.verb(), kind.transaction_control());
        Self {
            takes_locks: !matches!(control, Some(Begin | Savepoint | Release | RollbackTo)),
            keeps_locks: keeps_locks(verb),
            commits: control == Some(Commit { chain: false }),
            prepares: matches!(verb, Verb::PrepareTransaction | Verb::Prepare),
            sql,
        }
    }
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
        let text = Text::new(sql.to_owned());
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
