//! What statements begin with and are about: the vocabulary of `kind`, as enums.
//!
//! Must not look at a statement.

use serde::{Deserialize, Serialize};

use super::words::Words;

/// What a statement begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verb {
    /// `BEGIN`, `START TRANSACTION`
    Begin,
    /// `COMMIT`, `END`
    Commit,
    /// `ROLLBACK`, `ABORT`
    Rollback,
    /// `ROLLBACK TO SAVEPOINT`
    RollbackTo,
    /// `SAVEPOINT`
    Savepoint,
    /// `RELEASE SAVEPOINT`
    ReleaseSavepoint,
    /// `PREPARE TRANSACTION`
    PrepareTransaction,
    /// `COMMIT PREPARED`
    CommitPrepared,
    /// `ROLLBACK PREPARED`
    RollbackPrepared,
    /// `SET`, of a parameter, a role, a transaction's mode, constraints
    Set {
        /// True for `SET LOCAL`.
        local: bool,
    },
    /// `RESET`
    Reset,
    /// `SHOW`
    Show,
    /// `DISCARD`
    Discard,
    /// `SELECT`, `TABLE`
    Select,
    /// `VALUES`
    Values,
    /// `WITH`, whatever it leads to
    With,
    /// `INSERT`
    Insert,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `MERGE`
    Merge,
    /// `COPY`
    Copy,
    /// `EXPLAIN`, with or without `ANALYZE`
    Explain,
    /// `DO`
    Do,
    /// `CALL`
    Call,
    /// `PREPARE name AS`
    Prepare,
    /// `EXECUTE`
    Execute,
    /// `DEALLOCATE`
    Deallocate,
    /// `DECLARE`, `FETCH`, `MOVE`, `CLOSE`
    Cursor,
    /// `LISTEN`, `NOTIFY`, `UNLISTEN`
    Notify,
    /// `CREATE …`
    Create(Object),
    /// `ALTER …`
    Alter(Object),
    /// `DROP …`
    Drop(Object),
    /// `TRUNCATE`
    Truncate,
    /// `VACUUM`
    Vacuum,
    /// `ANALYZE`
    Analyze,
    /// `REINDEX`
    Reindex,
    /// `CLUSTER`
    Cluster,
    /// `REPACK`
    Repack,
    /// `REFRESH MATERIALIZED VIEW`
    Refresh,
    /// `LOCK`
    Lock,
    /// `CHECKPOINT`
    Checkpoint,
    /// `LOAD`
    Load,
    /// `COMMENT ON`
    Comment,
    /// `SECURITY LABEL`
    SecurityLabel,
    /// `GRANT`
    Grant,
    /// `REVOKE`
    Revoke,
    /// `REASSIGN OWNED`
    Reassign,
    /// `IMPORT FOREIGN SCHEMA`
    ImportForeignSchema,
    /// Anything else, statements that the server would refuse among them
    Other,
}

macro_rules! objects {
    ($($(#[$doc:meta])* $object:ident = $($words:literal)|+;)*) => {
        /// What a `CREATE`, an `ALTER` or a `DROP` is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Object {
            $($(#[$doc])* $object,)*
            /// Anything else
            Other,
        }

        /// The words that name each object; where one begins like another, the longer is first.
        const OBJECTS: &[(&str, Object)] = &[$($(($words, Object::$object),)+)*];
    };
}

objects! {
    /// A table, foreign tables excepted
    Table = "TABLE";
    /// A foreign table
    ForeignTable = "FOREIGN TABLE";
    /// An index
    Index = "INDEX";
    /// A view
    View = "VIEW";
    /// A materialized view
    MaterializedView = "MATERIALIZED VIEW";
    /// A sequence
    Sequence = "SEQUENCE";
    /// A schema
    Schema = "SCHEMA";
    /// A type
    Type = "TYPE";
    /// A domain
    Domain = "DOMAIN";
    /// A function
    Function = "FUNCTION";
    /// A procedure
    Procedure = "PROCEDURE";
    /// A function or a procedure
    Routine = "ROUTINE";
    /// An aggregate
    Aggregate = "AGGREGATE";
    /// A trigger, event triggers excepted
    Trigger = "TRIGGER";
    /// An event trigger
    EventTrigger = "EVENT TRIGGER";
    /// A rewrite rule
    Rule = "RULE";
    /// A row security policy
    Policy = "POLICY";
    /// Extended statistics
    Statistics = "STATISTICS";
    /// An extension
    Extension = "EXTENSION";
    /// A publication
    Publication = "PUBLICATION";
    /// A subscription
    Subscription = "SUBSCRIPTION";
    /// A database
    Database = "DATABASE";
    /// A tablespace
    Tablespace = "TABLESPACE";
    /// The server's configuration: `ALTER SYSTEM`
    System = "SYSTEM";
    /// A mapping of a user on a foreign server
    UserMapping = "USER MAPPING";
    /// A role, a user or a group
    Role = "ROLE" | "USER" | "GROUP";
    /// What roles own: `DROP OWNED`
    Owned = "OWNED";
    /// Default privileges
    DefaultPrivileges = "DEFAULT PRIVILEGES";
    /// A foreign data wrapper
    ForeignDataWrapper = "FOREIGN DATA WRAPPER";
    /// A foreign server
    Server = "SERVER";
    /// A collation
    Collation = "COLLATION";
    /// A cast
    Cast = "CAST";
    /// A conversion between encodings
    Conversion = "CONVERSION";
    /// An operator, a class or a family of them
    Operator = "OPERATOR CLASS" | "OPERATOR FAMILY" | "OPERATOR";
    /// A text search object
    TextSearch = "TEXT SEARCH CONFIGURATION" | "TEXT SEARCH DICTIONARY" | "TEXT SEARCH PARSER" | "TEXT SEARCH TEMPLATE";
    /// A procedural language
    Language = "LANGUAGE";
    /// A transform
    Transform = "TRANSFORM";
    /// An access method
    AccessMethod = "ACCESS METHOD";
    /// A large object
    LargeObject = "LARGE OBJECT";
    /// A property graph
    PropertyGraph = "PROPERTY GRAPH";
}

impl Object {
    /// Takes the words that name an object.
    pub(super) fn take(words: &mut Words<'_>) -> Self {
        OBJECTS
            .iter()
            .find(|(names, _)| words.eat_all(names))
            .map_or(Self::Other, |&(_, object)| object)
    }

    /// True if what follows its words is not its name.
    pub(super) fn is_nameless(self) -> bool {
        matches!(
            self,
            Object::UserMapping
                | Object::Cast
                | Object::Transform
                | Object::System
                | Object::DefaultPrivileges
                | Object::Owned
                | Object::Other
        )
    }
}

/// Words between `CREATE` and the object that say how, not what.
pub(super) const MODIFIERS: &[&str] = &[
    "GLOBAL",
    "LOCAL",
    "TEMPORARY",
    "TEMP",
    "UNLOGGED",
    "UNIQUE",
    "RECURSIVE",
    "CONSTRAINT",
    "TRUSTED",
    "PROCEDURAL",
];

/// What a statement does to the transaction that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionControl {
    /// Opens a transaction: `BEGIN`, `START TRANSACTION`.
    Begin,
    /// Ends it and keeps what was done: `COMMIT`, `END`.
    Commit {
        /// True for `AND CHAIN`, which opens the next one at once.
        chain: bool,
    },
    /// Ends it and discards what was done: `ROLLBACK`, `ABORT`.
    Rollback {
        /// True for `AND CHAIN`, which opens the next one at once.
        chain: bool,
    },
    /// `SAVEPOINT`
    Savepoint,
    /// `ROLLBACK TO SAVEPOINT`
    RollbackTo,
    /// `RELEASE SAVEPOINT`
    Release,
    /// Ends it and leaves it for another session: `PREPARE TRANSACTION`. Its locks stay held.
    Prepare,
}
