//! Which statements the server refuses within a transaction block, and which connect to a publisher.

use super::verb::{Object, Verb};
use super::words::Words;

/// See [`Kind::cannot_run_in_transaction`]; `words` begin behind the verb and its object.
pub(super) fn prevented_in_transaction(verb: Verb, mut words: Words<'_>) -> bool {
    match verb {
        Verb::CommitPrepared | Verb::RollbackPrepared | Verb::Vacuum => true,
        Verb::Create(Object::Database | Object::Tablespace)
        | Verb::Drop(Object::Database | Object::Tablespace | Object::Subscription)
        | Verb::Alter(Object::System) => true,
        Verb::Create(Object::Index) | Verb::Drop(Object::Index) => words.is("CONCURRENTLY"),
        Verb::Create(Object::Subscription) => {
            words.option("create_slot") != Some(false) && words.option("connect") != Some(false)
        }
        Verb::Alter(Object::Subscription) => {
            let _ = words.name();
            if words.eat("REFRESH") {
                return true;
            }
            let publication = (words.is("SET") || words.is("ADD") || words.is("DROP"))
                && words.is_at(1, "PUBLICATION");
            if publication {
                return words.option("refresh") != Some(false);
            }
            words.is("SET")
                && (words.option("failover").is_some() || words.option("two_phase").is_some())
        }
        Verb::Alter(Object::Database) => {
            let _ = words.name();
            words.eat("SET") && words.eat("TABLESPACE")
        }
        Verb::Alter(Object::Table) => {
            words.skip_if_exists();
            let _ = words.eat("ONLY");
            let _ = words.name();
            let _ = words.eat_symbol("*");
            words.eat("DETACH")
                && words.eat("PARTITION")
                && words.name().is_some()
                && words.is("CONCURRENTLY")
        }
        Verb::Reindex => {
            let concurrently = words.option("concurrently") == Some(true);
            let _ = words.skip_parentheses();
            let whole = ["SCHEMA", "DATABASE", "SYSTEM"]
                .iter()
                .any(|object| words.is(object));
            whole || concurrently || words.is_at(1, "CONCURRENTLY")
        }
        Verb::Cluster | Verb::Repack => {
            if words.option("concurrently") == Some(true) {
                return true;
            }
            let _ = words.skip_parentheses();
            let _ = words.eat("VERBOSE");
            words.is_empty() || words.is("USING") || words.symbol() == Some(";")
        }
        Verb::Discard => words.is("ALL"),
        _ => false,
    }
}

/// See [`Kind::asks_publisher`]; `words` begin behind the verb and its object.
pub(super) fn asks_publisher(verb: Verb, words: Words<'_>) -> bool {
    match verb {
        Verb::Create(Object::Subscription) => words.option("connect") != Some(false),
        Verb::Alter(Object::Subscription) | Verb::Drop(Object::Subscription) => {
            prevented_in_transaction(verb, words)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::Kind;

    #[test]
    fn what_the_server_refuses_within_a_transaction() {
        for sql in [
            "CREATE INDEX CONCURRENTLY ON a (b)",
            "create /* x */ unique index concurrently if not exists i on a (b)",
            "DROP INDEX CONCURRENTLY IF EXISTS i",
            "REINDEX INDEX CONCURRENTLY i",
            "REINDEX (CONCURRENTLY) TABLE a",
            "REINDEX (VERBOSE, CONCURRENTLY on) TABLE a",
            "REINDEX (VERBOSE) TABLE CONCURRENTLY a",
            "REINDEX SCHEMA a",
            "REINDEX (VERBOSE) DATABASE",
            "REINDEX SYSTEM a",
            "VACUUM",
            "VACUUM (FULL, ANALYZE) a",
            "CREATE DATABASE a",
            "DROP DATABASE a",
            "CREATE TABLESPACE a LOCATION '/a'",
            "DROP TABLESPACE a",
            "ALTER DATABASE a SET TABLESPACE b",
            "ALTER SYSTEM SET a = 1",
            "ALTER TABLE a DETACH PARTITION b CONCURRENTLY",
            "ALTER TABLE IF EXISTS ONLY s.a DETACH PARTITION \"s\".\"b\" concurrently",
            "CLUSTER",
            "CLUSTER VERBOSE",
            "CLUSTER (VERBOSE)",
            "REPACK (CONCURRENTLY) a",
            "REPACK USING INDEX",
            "COMMIT PREPARED 'a'",
            "ROLLBACK PREPARED 'a'",
            "DISCARD ALL",
            "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c",
            "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (enabled = false)",
            "ALTER SUBSCRIPTION a REFRESH PUBLICATION",
            "ALTER SUBSCRIPTION a ADD PUBLICATION b",
            "ALTER SUBSCRIPTION a SET PUBLICATION b WITH (refresh)",
            "ALTER SUBSCRIPTION a SET (two_phase = true)",
            "DROP SUBSCRIPTION a",
        ] {
            assert!(Kind::of(sql).cannot_run_in_transaction(), "{sql}");
        }
        for sql in [
            "CREATE INDEX i ON a (b)",
            "CREATE INDEX \"concurrently\" ON a (b)",
            "CREATE TABLE a (\"concurrently\" int)",
            "COMMENT ON INDEX i IS 'CREATE INDEX CONCURRENTLY'",
            "DROP INDEX i",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
            "REINDEX TABLE a",
            "REINDEX (CONCURRENTLY false) TABLE a",
            "REINDEX (VERBOSE) TABLE a",
            "ANALYZE",
            "CLUSTER a USING b",
            "CLUSTER VERBOSE a",
            "REPACK a",
            "ALTER TABLE a DETACH PARTITION b",
            "ALTER TABLE a DETACH PARTITION b FINALIZE",
            "ALTER TABLE a DETACH PARTITION \"concurrently\"",
            "ALTER DATABASE a SET work_mem = '1MB'",
            "ALTER TABLE a SET TABLESPACE b",
            "DISCARD PLANS",
            "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (create_slot = false)",
            "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (connect = 'off')",
            "ALTER SUBSCRIPTION a SET PUBLICATION b WITH (copy_data = false, refresh = false)",
            "ALTER SUBSCRIPTION a SET (slot_name = b)",
            "ALTER SUBSCRIPTION a DISABLE",
            "BEGIN",
        ] {
            assert!(!Kind::of(sql).cannot_run_in_transaction(), "{sql}");
        }
    }

    #[test]
    fn what_connects_to_a_publisher() {
        for (sql, asks) in [
            ("CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c", true),
            (
                "create /* x */ subscription a CONNECTION 'b' PUBLICATION c WITH (create_slot = false)",
                true,
            ),
            (
                "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (connect = true)",
                true,
            ),
            (
                "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (slot_name = 'a', connect = false)",
                false,
            ),
            ("ALTER SUBSCRIPTION a REFRESH PUBLICATION", true),
            ("ALTER SUBSCRIPTION a SET (failover = true)", true),
            ("ALTER SUBSCRIPTION a DISABLE", false),
            ("ALTER SUBSCRIPTION a OWNER TO b", false),
            ("DROP SUBSCRIPTION IF EXISTS a", true),
            ("CREATE PUBLICATION a", false),
            ("SELECT 'CREATE SUBSCRIPTION'", false),
        ] {
            assert_eq!(Kind::of(sql).asks_publisher(), asks, "{sql}");
        }
    }
}
