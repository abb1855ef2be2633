//! What watches a migration must not wait for what the migration locks.

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, list, ran, script, sql};
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

/// What names, functions and sessions are looked up in; the last two are shared by all databases.
const CATALOGUE: &str =
    "pg_class, pg_attribute, pg_index, pg_proc, pg_type, pg_operator, pg_database, pg_authid";

#[test]
fn a_catalogue_locked_by_the_migration_stops_neither_polls_nor_names() {
    if !has_server() {
        return;
    }
    let locks = format!("LOCK TABLE {CATALOGUE}; LOCK TABLE items; {LONG}");
    let steps = [
        sql("driven", "transaction", &locks),
        script("program", &format!("psql -Xqc 'BEGIN; {locks}; COMMIT'")),
    ];
    let (ran, report) = ran(&Room::new(), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["ACCESS EXCLUSIVE"]);
    for step in 0..2 {
        for relation in ["items", "pg_catalog.pg_class", "pg_catalog.pg_database"] {
            let hold = report.hold(step, ACCESS_EXCLUSIVE, relation);
            assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
            assert!(hold["hold_ms"]["at_most"].is_number(), "{hold}");
        }
        let unseen = report.step(step)["unseen_ms_max"].as_f64();
        assert!(unseen < Some(BUDGET), "{report}");
    }
    assert!(!report.to_string().contains("oid "), "{report}");
}

#[test]
fn activity_is_not_frozen_at_the_first_sample() {
    if !has_server() {
        return;
    }
    let step = script(
        "it",
        "psql -Xq -c BEGIN -c 'LOCK TABLE items' -c 'SELECT pg_sleep(0.4) AS first' \
         -c 'SELECT pg_sleep(0.4) AS second' -c COMMIT",
    );
    let (ran, report) = ran(&Room::new(), &step, &["--budget", "600ms"]);
    ran.expect(1, &["ACCESS EXCLUSIVE"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    let mut seen: Vec<&str> = list(hold, "lengthened_by")
        .iter()
        .filter_map(|sql| sql.as_str())
        .collect();
    seen.extend(hold["granted_by"].as_str());
    for sql in [
        "SELECT pg_sleep(?) AS first",
        "SELECT pg_sleep(?) AS second",
    ] {
        assert!(seen.contains(&sql), "no {sql}: {hold}");
    }
}

#[test]
fn query_texts_that_the_server_cuts_decide_nothing() {
    if !has_server() {
        return;
    }
    // The server shows 1,024 bytes of a text, and where this one is cut a literal is open.
    let secret = "hunter2".repeat(300);
    let columns: Vec<String> = (0..100)
        .map(|n| format!("ADD COLUMN made_{n} int"))
        .collect();
    let alter = format!("ALTER TABLE items {}", columns.join(", "));
    let steps = [
        script(
            "program",
            &format!(
                "psql -Xqc \"BEGIN; SELECT length('{secret}'); LOCK TABLE items; {LONG}; COMMIT\""
            ),
        ),
        sql("driven", "transaction", &format!("{alter}; {LONG}")),
    ];
    let (ran, report) = ran(&Room::new(), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["ACCESS EXCLUSIVE"]);
    let cut = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert_eq!(cut["granted_by"], "BEGIN; SELECT length(?", "{cut}");
    assert!(at_least(&cut["hold_ms"]) > BUDGET, "{cut}");
    let whole = report.hold(1, ACCESS_EXCLUSIVE, "items");
    assert_eq!(whole["granted_by"], alter.as_str(), "{whole}");
    // What was typed as the program's arguments is shown as typed.
    let holds = format!("{:?} {:?}", report.step(0)["holds"], report["findings"]);
    assert!(!holds.contains("hunter2"), "{holds}");
}
