//! Not every wait is one for a relation, and none is a hold.

use std::time::Duration;

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, at_most, list, ran_on, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, WITH_BUDGET};

const ITEMS: &str = "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 9) n";
const LONG_WAIT: Duration = Duration::from_millis(800);

#[test]
fn a_wait_for_a_relation_is_timed_from_request_to_grant() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let reads = "BEGIN; SELECT count(*) FROM items; SELECT pg_sleep(600)";
    let step = sql(
        "it",
        "transaction",
        "ALTER TABLE items ADD COLUMN extra int; SELECT pg_sleep(0.1)",
    );
    let (ran, report) = server.behind(reads, LONG_WAIT, || {
        ran_on(&Room::new(), &server, &step, WITH_BUDGET)
    });
    ran.expect(0, &["verdict: within"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&hold["wait_ms"]) > BUDGET, "{hold}");
    assert!(at_most(&hold["wait_ms"]).is_finite(), "{hold}");
    assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
}

#[test]
fn a_wait_for_rows_is_no_hold_of_a_relation() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let updates = "BEGIN; UPDATE items SET id = 10 WHERE id = 9; SELECT pg_sleep(600)";
    let step = sql("it", "autocommit", "UPDATE items SET id = 0 WHERE id = 9");
    let (ran, report) = server.behind(updates, LONG_WAIT, || {
        ran_on(&Room::new(), &server, &step, WITH_BUDGET)
    });
    ran.expect(0, &["verdict: within"]);
    assert!(
        report.step(0)["elapsed_ms"].as_f64() > Some(BUDGET),
        "{report}"
    );
    for nothing in ["holds", "foreign_holds", "blocked"] {
        assert_eq!(list(report.step(0), nothing).len(), 0, "{report}");
    }
}
