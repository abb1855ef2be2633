//! Parallel workers are processes of their own.

use crate::support::report::{ACCESS_EXCLUSIVE, Report, at_least, list, ran, ran_on, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};

/// An index that takes its time: a second of sleep, shared by its builders.
const SLOW: &str = "\
CREATE TABLE slow AS SELECT n AS id FROM generate_series(1, 2000) AS n;
CREATE FUNCTION slowly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  AS $$ BEGIN PERFORM pg_sleep(0.0005); RETURN $1; END $$;
ALTER TABLE slow SET (parallel_workers = 2);
CREATE INDEX slow_idx ON slow (slowly(id));";

const REBUILDS: &str = "REINDEX INDEX slow_idx; CREATE INDEX ON slow (slowly(id))";

/// Each of the two statements is one holder, whoever helped.
#[track_caller]
fn assert_one_holder(room: &Room, report: &Report) {
    let rebuilt = report.hold(0, ACCESS_EXCLUSIVE, "slow_idx");
    assert!(at_least(&rebuilt["hold_ms"]) > 100.0, "{rebuilt}");
    let shared = report.holds(0, "ShareLock");
    assert_eq!(shared.len(), 2, "{report}");
    assert!(
        shared.iter().all(|hold| hold["relation"] == "slow"),
        "{report}"
    );
    assert!(
        shared.iter().all(|hold| hold["pid"] == rebuilt["pid"]),
        "{report}"
    );
    for nobodys in ["foreign_holds", "blocked"] {
        assert_eq!(list(report.step(0), nobodys).len(), 0, "{report}");
    }
    // There were workers, and they were seen.
    let leaders = room.read("run.jsonl");
    let leader = format!("\"leader\":{}", rebuilt["pid"]);
    assert!(leaders.contains(&leader), "no worker of {leader}");
}

#[test]
fn parallel_workers_hold_what_their_leader_holds() {
    if !has_server() {
        return;
    }
    let room = Room::with(SLOW);
    let record = room.path("run.jsonl").display().to_string();
    let step = sql("it", "autocommit", REBUILDS);
    let (ran, report) = ran(&room, &step, &["--budget", "60s", "--record", &record]);
    ran.expect(0, &["verdict: within"]);
    assert_one_holder(&room, &report);
}

#[test]
fn parallel_workers_are_no_strangers_on_an_external_server() {
    if !has_server() {
        return;
    }
    let (room, server) = (Room::new(), Server::with_app(SLOW));
    let record = room.path("run.jsonl").display().to_string();
    let step = sql("it", "autocommit", REBUILDS);
    let arguments = ["--budget", "60s", "--record", &record];
    let (ran, report) = ran_on(&room, &server, &step, &arguments);
    ran.expect(0, &["verdict: within"]);
    assert_one_holder(&room, &report);
}
