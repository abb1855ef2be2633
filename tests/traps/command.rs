//! Sessions of a program, which lockproof does not drive.

use std::collections::BTreeSet;

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, at_most, list, ran, ran_on, script, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

#[test]
fn several_connections_of_one_command_each_have_their_own_locks() {
    if !has_server() {
        return;
    }
    let hold = |relation: &str| format!("BEGIN; LOCK TABLE {relation}; {LONG}; COMMIT");
    let steps = [
        // One of them goes under a name of its own.
        script(
            "beside",
            &format!(
                "psql -Xqc '{}' & PGAPPNAME=other psql -Xqc '{}' & wait",
                hold("items"),
                hold("others")
            ),
        ),
        script(
            "in-turn",
            &format!("psql -Xqc '{0}' & psql -Xqc '{0}' & wait", hold("items")),
        ),
    ];
    let room = Room::with("CREATE TABLE others (id int);");
    let (ran, report) = ran(&room, &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["`items` was held", "`others` was held"]);
    let pids = |step| -> BTreeSet<i64> {
        let holds = report.holds(step, ACCESS_EXCLUSIVE);
        assert_eq!(holds.len(), 2, "{report}");
        for hold in &holds {
            assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
            // Its own sleep, and not the other's as well.
            assert!(at_most(&hold["hold_ms"]) < 1_500.0, "{hold}");
        }
        holds
            .iter()
            .filter_map(|hold| hold["pid"].as_i64())
            .collect()
    };
    assert_eq!((pids(0).len(), pids(1).len()), (2, 2), "{report}");
    for relation in ["items", "others"] {
        let hold = report.hold(0, ACCESS_EXCLUSIVE, relation);
        let taken = format!("BEGIN; LOCK TABLE {relation}; SELECT pg_sleep(?); COMMIT");
        assert_eq!(hold["granted_by"], taken.as_str(), "{hold}");
    }
    let waited = report.holds(1, ACCESS_EXCLUSIVE);
    let waited = waited
        .iter()
        .filter(|hold| at_least(&hold["wait_ms"]) > BUDGET);
    assert_eq!(waited.count(), 1, "{report}");
    // The one that waited was seen with its query before it had the lock.
    for hold in report.holds(1, ACCESS_EXCLUSIVE) {
        let taken = "BEGIN; LOCK TABLE items; SELECT pg_sleep(?); COMMIT";
        assert_eq!(hold["granted_by"], taken, "{hold}");
    }
    // Neither is another's victim: both are the migration.
    assert_eq!(list(report.step(1), "blocked").len(), 0, "{report}");
    assert_eq!(list(report.step(0), "foreign_holds").len(), 0, "{report}");
}

#[test]
fn a_strangers_lock_beside_a_command_is_neither_charged_nor_passed_over() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE items (id int)");
    let locks = "BEGIN; LOCK TABLE items; SELECT pg_sleep(0.8); COMMIT";
    let step = script("it", "psql -Xqc 'SELECT pg_sleep(2.5)'");
    let (ran, report) = server.beside(locks, || ran_on(&Room::new(), &server, &step, WITH_BUDGET));
    ran.expect(
        5,
        &[
            "verdict: unproven",
            "is the program's or a stranger's",
            "PGAPPNAME",
        ],
    );
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert_eq!(hold["hold_ms"]["at_least"], 0.0, "{hold}");
    assert!(at_most(&hold["hold_ms"]) > BUDGET, "{hold}");
}

#[test]
fn a_session_that_the_command_leaves_behind_is_not_forgotten() {
    if !has_server() {
        return;
    }
    // In a session of its own, so that it does not end with the program's process group.
    let leaves = "setsid psql -Xqc 'BEGIN; LOCK TABLE items; SELECT pg_sleep(600)' \
                  >/dev/null 2>&1 </dev/null & sleep 0.3";
    let room = Room::new();
    let recording = room.path("run.jsonl").display().to_string();
    let steps = [
        script("leaves", leaves),
        sql("next", "autocommit", "CREATE TABLE fresh (id int)"),
    ];
    let record = ["--record", &recording];
    let (ran, report) = ran(&room, &steps.concat(), &[WITH_BUDGET, &record].concat());
    ran.expect(1, &["verdict: exceeded", "`items` was held"]);
    assert_eq!(report.verdicts(), ["exceeded", "within"], "{report}");
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
    assert!(
        hold["hold_ms"]["at_most"].is_null(),
        "its end was not seen: {hold}"
    );
    assert_eq!(report.step(0)["command"]["exit_status"], 0);
    // It is the first step's, and judged there.
    assert_eq!(report.holds(1, ACCESS_EXCLUSIVE).len(), 0, "{report}");

    // However much is allowed, a lock without an end is proved to keep to nothing.
    room.lockproof(&["judge", &recording, "--budget", "1h"])
        .expect(5, &["verdict: unproven"]);
}

#[test]
fn a_lock_taken_by_a_session_left_behind_counts_all_the_same() {
    if !has_server() {
        return;
    }
    let leaves = "setsid psql -Xqc 'SELECT pg_sleep(0.4)' \
                  -c 'BEGIN; LOCK TABLE items; SELECT pg_sleep(0.8); COMMIT' \
                  >/dev/null 2>&1 </dev/null & sleep 0.2";
    let (ran, report) = ran(&Room::new(), &script("leaves", leaves), WITH_BUDGET);
    ran.expect(1, &["verdict: exceeded"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
    assert!(at_most(&hold["hold_ms"]).is_finite(), "{hold}");
}
