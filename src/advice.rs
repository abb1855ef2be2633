//! What was observed + what kind of statement did it → why, and the safer sequence.
//!
//! Data, not code: each entry names the words that the statement must have, in order, and is shown
//! by a pair of scenarios, one that fails and one that passes. The first entry that matches wins.
//! Source of the facts: PostgreSQL's documentation of ALTER TABLE, REINDEX and CREATE INDEX.

/// When an entry applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The relation was rewritten.
    Rewritten,
    /// The lock was taken by one statement and lengthened by others.
    Lengthened,
    /// Always.
    Any,
}

/// A piece of advice.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// Words that the statement has, in this order, upper case.
    pub words: &'static [&'static str],
    /// When it applies.
    pub when: When,
    /// What to do instead.
    pub safer: &'static str,
}

/// All of it, the more particular first.
pub const ADVICE: &[Advice] = &[
    Advice {
        words: &["ALTER", "TABLE"],
        when: When::Lengthened,
        safer: "commit right after the statement that takes the lock, and do the rest in steps of \
                their own: a lock is held until its transaction ends",
    },
    Advice {
        words: &["VALIDATE", "CONSTRAINT"],
        when: When::Any,
        safer: "validate in a statement of its own: together with other subcommands the scan runs \
                under the strictest lock of them all",
    },
    Advice {
        words: &["ALTER", "TABLE", "ADD", "NOT", "VALID"],
        when: When::Any,
        safer: "it reads no row already: what took so long is the commit, or a machine that was busy; \
                run it again on a quieter one",
    },
    Advice {
        words: &["SET", "NOT", "NULL"],
        when: When::Any,
        safer: "ADD CONSTRAINT … CHECK (column IS NOT NULL) NOT VALID; VALIDATE CONSTRAINT in a \
                later transaction (it scans under SHARE UPDATE EXCLUSIVE); then SET NOT NULL, which \
                finds the proof and does not scan; then DROP CONSTRAINT in a statement of its own",
    },
    Advice {
        words: &["ADD", "FOREIGN", "KEY"],
        when: When::Any,
        safer: "ADD CONSTRAINT … FOREIGN KEY … NOT VALID, then VALIDATE CONSTRAINT in a later \
                transaction",
    },
    Advice {
        words: &["ADD", "CONSTRAINT", "UNIQUE"],
        when: When::Any,
        safer: "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX",
    },
    Advice {
        words: &["ADD", "PRIMARY", "KEY"],
        when: When::Any,
        safer: "make the columns NOT NULL first, CREATE UNIQUE INDEX CONCURRENTLY, then ADD \
                CONSTRAINT … PRIMARY KEY USING INDEX",
    },
    Advice {
        words: &["ALTER", "TABLE", "CHECK"],
        when: When::Any,
        safer: "ADD CONSTRAINT … CHECK (…) NOT VALID, then VALIDATE CONSTRAINT in a later \
                transaction, which scans under SHARE UPDATE EXCLUSIVE and blocks neither reads nor \
                writes",
    },
    Advice {
        words: &["ALTER", "TABLE", "ADD"],
        when: When::Rewritten,
        safer: "ADD COLUMN without the default, SET DEFAULT in a second step, fill old rows in \
                small batches, then prove NOT NULL by CHECK … NOT VALID and VALIDATE CONSTRAINT",
    },
    Advice {
        words: &["ALTER", "TABLE", "TYPE"],
        when: When::Rewritten,
        safer: "add a new column of the new type, keep it filled by a trigger, fill old rows in \
                small batches, then swap the names in one short transaction",
    },
    Advice {
        words: &["REINDEX"],
        when: When::Any,
        safer: "REINDEX … CONCURRENTLY builds the new index beside the old one; a plain REINDEX \
                holds ACCESS EXCLUSIVE on the index, and planning any query on its table needs that",
    },
    Advice {
        words: &["CREATE", "INDEX"],
        when: When::Any,
        safer: "CREATE INDEX CONCURRENTLY, outside a transaction",
    },
    Advice {
        words: &["DROP", "INDEX"],
        when: When::Any,
        safer: "DROP INDEX CONCURRENTLY, outside a transaction",
    },
    Advice {
        words: &["REFRESH", "MATERIALIZED"],
        when: When::Any,
        safer: "REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index on the view",
    },
    Advice {
        words: &["VACUUM", "FULL"],
        when: When::Any,
        safer: "plain VACUUM, or a tool that rewrites beside the table such as pg_repack",
    },
    Advice {
        words: &["VACUUM"],
        when: When::Any,
        safer: "VACUUM (TRUNCATE false): giving pages back to the system takes ACCESS EXCLUSIVE",
    },
    Advice {
        words: &["CLUSTER"],
        when: When::Any,
        safer: "a tool that rewrites beside the table such as pg_repack",
    },
    Advice {
        words: &["LOCK"],
        when: When::Any,
        safer: "keep the transaction that takes it as short as its budget, or do without it",
    },
    Advice {
        words: &["ALTER", "TABLE"],
        when: When::Rewritten,
        safer: "a rewrite takes as long as the table is large: add a new column or table beside \
                it, fill it in small batches, then swap",
    },
];

/// What to do about a hold that `granted_by` took.
pub fn advise(granted_by: &str, rewritten: bool, lengthened: bool) -> Option<&'static str> {
    let upper = granted_by.to_uppercase();
    let words: Vec<&str> = upper
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    ADVICE
        .iter()
        .find(|advice| {
            let applies = match advice.when {
                When::Rewritten => rewritten,
                When::Lengthened => lengthened,
                When::Any => true,
            };
            applies && in_order(advice.words, &words)
        })
        .map(|advice| advice.safer)
}

fn in_order(wanted: &[&str], words: &[&str]) -> bool {
    let mut words = words.iter();
    wanted
        .iter()
        .all(|want| words.by_ref().any(|word| word == want))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(sql: &str, rewritten: bool, lengthened: bool) -> Option<&'static str> {
        advise(sql, rewritten, lengthened)
            .map(|text| text.split_inclusive(' ').next().unwrap_or(""))
    }

    #[test]
    fn each_kind_of_statement_gets_its_own_advice() {
        assert_eq!(
            starts("alter table t alter c set not null", false, false),
            Some("ADD ")
        );
        assert_eq!(
            starts("ALTER TABLE t ADD c uuid DEFAULT f()", true, false),
            Some("ADD ")
        );
        assert_eq!(starts("REINDEX TABLE t", true, false), Some("REINDEX "));
        assert_eq!(
            starts("ALTER TABLE t ADD c int", false, true),
            Some("commit ")
        );
        assert_eq!(
            starts("ALTER TABLE t ADD CHECK (c > 0) NOT VALID", false, false),
            Some("it "),
            "what is done already is not advised"
        );
        assert_eq!(advise("ALTER TABLE t ADD c int", false, false), None);
        assert_eq!(advise("SELECT check_add_table", false, false), None);
    }
}
