//! Relations that others cannot see, or know by another name.

use crate::support::report::{ACCESS_EXCLUSIVE, Report, at_least, list, ran, ran_on, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

/// A relation without a name is a number nobody can do anything with.
#[track_caller]
fn assert_named(report: &Report) {
    let text = report.to_string();
    assert!(!text.contains("oid "), "{text}");
}

#[test]
fn phantom_locks_on_new_objects_are_not_judged() {
    if !has_server() {
        return;
    }
    let steps = [
        sql(
            "makes",
            "transaction",
            &format!(
                "CREATE TABLE copy AS SELECT * FROM items; CREATE INDEX ON copy (name); \
                 ALTER TABLE copy ADD COLUMN more int; {LONG}"
            ),
        ),
        // Its new file has an oid of its own for as long as it is being written.
        sql(
            "rewrites",
            "transaction",
            &format!("ALTER TABLE items ALTER COLUMN price TYPE text; {LONG}"),
        ),
        // What one step made is there for the next.
        sql(
            "meets",
            "transaction",
            &format!("ALTER TABLE copy ADD COLUMN other int; {LONG}"),
        ),
    ];
    let (ran, report) = ran(&Room::new(), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["ACCESS EXCLUSIVE"]);
    assert_eq!(
        report.verdicts(),
        ["within", "exceeded", "exceeded"],
        "{report}"
    );
    assert_eq!(list(report.step(0), "holds").len(), 0, "{report}");
    assert!(report.step(0)["ignored_holds"].as_u64() >= Some(1));
    let old = report.hold(1, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&old["hold_ms"]) > BUDGET, "{old}");
    assert!(report.step(1)["ignored_holds"].as_u64() >= Some(1));
    let met = report.hold(2, ACCESS_EXCLUSIVE, "copy");
    assert!(at_least(&met["hold_ms"]) > BUDGET, "{met}");
    assert_named(&report);
}

#[test]
fn renamed_relations_have_the_names_that_others_know() {
    if !has_server() {
        return;
    }
    let steps = [
        // Another relation has the name before the transaction ends.
        sql(
            "swaps",
            "transaction",
            &format!(
                "CREATE TABLE next (LIKE items); ALTER TABLE items RENAME TO former; \
                 ALTER TABLE next RENAME TO items; {LONG}"
            ),
        ),
        sql(
            "drops",
            "transaction",
            &format!("DROP TABLE former; {LONG}"),
        ),
    ];
    let (ran, report) = ran(&Room::new(), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["`items` was held", "`former` was held"]);
    let renamed = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&renamed["hold_ms"]) > BUDGET, "{renamed}");
    let taken = renamed["granted_by"].as_str().unwrap_or_default();
    assert!(
        taken.contains("ALTER TABLE items RENAME TO former"),
        "{renamed}"
    );
    report.hold(1, ACCESS_EXCLUSIVE, "former");
    let index = report.hold(1, ACCESS_EXCLUSIVE, "items_pkey");
    assert_eq!(index["parent"], "former", "{index}");
    assert_named(&report);
}

#[test]
fn uncommitted_relations_of_others_are_nobodys_business() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE items (id int); CREATE TABLE theirs (id int)");
    let theirs = "BEGIN; CREATE TABLE unseen (id int); LOCK TABLE theirs; SELECT pg_sleep(600)";
    let step = sql(
        "it",
        "autocommit",
        "ALTER TABLE items ADD COLUMN extra int; SELECT pg_sleep(1.5)",
    );
    let (ran, report) = server.beside(theirs, || ran_on(&Room::new(), &server, &step, WITH_BUDGET));
    ran.expect(0, &["verdict: within"]);
    let foreign: Vec<&str> = list(report.step(0), "foreign_holds")
        .iter()
        .filter_map(|hold| hold["relation"].as_str())
        .collect();
    assert_eq!(foreign, ["theirs"], "{report}");
    assert_named(&report);
}

#[test]
fn an_index_is_judged_under_its_table() {
    if !has_server() {
        return;
    }
    let step = sql(
        "it",
        "transaction",
        &format!("REINDEX INDEX items_pkey; {LONG}"),
    );
    let (ran, report) = ran(&Room::new(), &step, WITH_BUDGET);
    ran.expect(1, &["`items_pkey` (of `items`)", "CONCURRENTLY"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items_pkey");
    assert_eq!(hold["parent"], "items");
    assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
    assert_eq!(report.step(0)["evidence"]["rewritten"][0], "items_pkey");
}

#[test]
fn a_toast_relation_is_judged_under_its_table() {
    if !has_server() {
        return;
    }
    let step = sql("it", "transaction", &format!("TRUNCATE items; {LONG}"));
    let (ran, report) = ran(&Room::new(), &step, WITH_BUDGET);
    ran.expect(1, &["`items` was held", "more relations"]);
    let holds = report.holds(0, ACCESS_EXCLUSIVE);
    let toast = holds.iter().filter(|hold| {
        hold["relation"]
            .as_str()
            .is_some_and(|name| name.starts_with("pg_toast."))
    });
    let parents: Vec<_> = toast.map(|hold| &hold["parent"]).collect();
    assert!(!parents.is_empty(), "{report}");
    assert!(parents.iter().all(|parent| *parent == "items"), "{report}");
    assert_eq!(report.findings("hold-exceeded").len(), 1, "{report}");
}
