//! A lock is held until its commit is done, and a commit takes its time.

use std::time::Duration;

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, at_most, list, ran, ran_on, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, WITH_BUDGET};

#[test]
fn commit_time_and_a_synchronous_standby_are_part_of_the_hold() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server =
        Server::with_app("CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 9) n");
    let standby = server.standby();
    let step = |column: &str, wrap| {
        let text = format!("ALTER TABLE items ADD COLUMN {column} int");
        sql("it", wrap, &text)
    };
    let long = Duration::from_millis(800);

    // The standby answers: the same commit is soon done.
    let (ran, report) = ran_on(&room, &server, &step("a", "transaction"), WITH_BUDGET);
    ran.expect(0, &["verdict: within"]);
    let settings = &report["stage"]["settings"];
    assert_eq!(settings["synchronous_standby_names"], "copy", "{settings}");
    assert_eq!(settings["synchronous_commit"], "on", "{settings}");

    // The standby stands still, and so does the commit.
    let (ran, report) = standby.stopped(long, || {
        ran_on(&room, &server, &step("b", "transaction"), WITH_BUDGET)
    });
    ran.expect(1, &["verdict: exceeded"]);
    let statements = list(report.step(0), "statements");
    let took = |sql: &str| {
        let statement = statements.iter().find(|statement| statement["sql"] == sql);
        statement.and_then(|statement| statement["elapsed_ms"].as_f64())
    };
    let alter = took("ALTER TABLE items ADD COLUMN b int");
    assert!(alter < Some(BUDGET / 2.0), "{report}");
    assert!(took("COMMIT") > Some(BUDGET), "{report}");
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
    assert!(at_most(&hold["hold_ms"]).is_finite(), "{hold}");

    // Without a transaction of its own the statement's answer waits with its commit.
    let (ran, report) = standby.stopped(long, || {
        ran_on(&room, &server, &step("c", "autocommit"), WITH_BUDGET)
    });
    ran.expect(1, &["verdict: exceeded"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
}

#[test]
fn the_flush_of_a_commit_is_part_of_the_hold() {
    if !has_server() {
        return;
    }
    let step = sql("it", "transaction", "ALTER TABLE items ADD COLUMN a int");
    // Each flush takes 100 ms longer.
    let slow = ["--set", "commit_delay=100000", "--set", "commit_siblings=0"];
    let (ran, report) = ran(
        &Room::new(),
        &step,
        &[&["--budget", "60ms"], &slow[..]].concat(),
    );
    ran.expect(1, &["verdict: exceeded"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&hold["hold_ms"]) > 60.0, "{hold}");
}

#[test]
fn a_server_that_flushes_no_commit_is_told_of() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server =
        Server::with_app("CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 9) n");
    let step = sql("it", "autocommit", "ALTER TABLE items ADD COLUMN a int");
    let (ran, report) = ran_on(&room, &server, &step, WITH_BUDGET);
    ran.expect(0, &["verdict: within"]);
    let told = |limit: &&str| limit.starts_with("fsync is off on this server");
    let limits = list(&report, "limits");
    let told = limits
        .iter()
        .filter_map(|limit| limit.as_str())
        .filter(told);
    assert_eq!(told.count(), 1, "{limits:?}");

    // On a stage of ours it cannot be.
    let scenario = room.scenario(&step);
    room.run(&scenario, &["--set", "fsync=off"])
        .expect(2, &["`--set fsync` cannot be off"]);
}
