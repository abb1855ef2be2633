//! CONCURRENTLY waits for others without holding anything against them, and locks what is new.

use std::time::Duration;

use crate::support::report::{ACCESS_EXCLUSIVE, at_most, list, ran, ran_on, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, WITH_BUDGET};

/// A transaction that every CONCURRENTLY has to wait for.
const OLD: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM items; \
                   SELECT pg_sleep(600)";

#[test]
fn concurrently_waits_without_holding() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(
        "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 9) n; \
         CREATE INDEX old_idx ON items (id); CREATE INDEX worn_idx ON items (id)",
    );
    let room = Room::new();
    for (text, dropped) in [
        ("CREATE INDEX CONCURRENTLY new_idx ON items (id)", None),
        ("REINDEX INDEX CONCURRENTLY worn_idx", Some("worn_idx")),
        ("DROP INDEX CONCURRENTLY old_idx", Some("old_idx")),
    ] {
        let step = sql("it", "autocommit", text);
        let (ran, report) = server.behind(OLD, Duration::from_millis(800), || {
            ran_on(&room, &server, &step, WITH_BUDGET)
        });
        ran.expect(0, &["verdict: within"]);
        let elapsed = report.step(0)["elapsed_ms"].as_f64();
        assert!(elapsed > Some(BUDGET), "it did not wait: {report}");
        // At the end the old index goes, which takes a moment.
        for hold in list(report.step(0), "holds") {
            assert_eq!(hold["relation"].as_str(), dropped, "{report}");
            assert_eq!(hold["mode"], ACCESS_EXCLUSIVE, "{report}");
            assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
        }
        assert_eq!(list(report.step(0), "foreign_holds").len(), 0, "{report}");
        assert_eq!(list(report.step(0), "blocked").len(), 0, "{report}");
        assert!(!report.to_string().contains("oid "), "{report}");
    }
}

#[test]
fn transient_locks_of_concurrently_on_its_new_index_are_ignored() {
    if !has_server() {
        return;
    }
    let step = sql(
        "it",
        "autocommit",
        "CREATE INDEX CONCURRENTLY new_idx ON items (name)",
    );
    // A commit takes 100 ms, and the new index is locked through the first one.
    let slow = ["--set", "commit_delay=100000", "--set", "commit_siblings=0"];
    let (ran, report) = ran(&Room::new(), &step, &[WITH_BUDGET, &slow].concat());
    ran.expect(0, &["none seen", "verdict: within"]);
    assert_eq!(list(report.step(0), "holds").len(), 0, "{report}");
    assert!(
        report.step(0)["ignored_holds"].as_u64() >= Some(1),
        "{report}"
    );
}
