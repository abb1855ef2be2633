//! Somebody in the migration's way, of each kind, on a real server: it is there before the step begins, the step's
//! wait tells of it, and it is gone when it was to be. Times are compared with what was asked for, never closely.

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use support::report::{ACCESS_EXCLUSIVE, Report, list, ran, sql};
use support::server::Server;
use support::{Ran, Room, finish, has_server};

/// What is asked about is a wait: no machine is so busy that a hold or a gap between polls takes so long.
const LOOSE: &[&str] = &["--budget", "60s"];

const ADD: &str = "ALTER TABLE items ADD COLUMN extra int";

/// A step behind somebody.
fn behind(disturbance: &str, step: &str, arguments: &[&str]) -> (Ran, Report) {
    let steps = format!(
        "{}\n[[disturbances]]\nname = \"it\"\nwith = \"a\"\n{disturbance}\n",
        sql("a", "autocommit", step)
    );
    ran(&Room::new(), &steps, arguments)
}

/// How long the step took, which by itself is a moment.
fn elapsed(report: &Report) -> f64 {
    report.step(0)["elapsed_ms"]
        .as_f64()
        .unwrap_or(f64::INFINITY)
}

fn in_the_way(report: &Report) -> &Value {
    let it = &report["disturbances"][0];
    assert_eq!(it["name"], "it");
    assert!(it["began_ms"].as_f64().is_some(), "{it}");
    assert_eq!(it["error"], Value::Null, "{it}");
    it
}

#[test]
fn a_long_reader_is_waited_for_as_long_as_it_lasts() {
    if !has_server() {
        return;
    }
    for lasts in [600, 1500] {
        let reader = format!("kind = \"long-reader\"\ntable = \"items\"\nlasts = \"{lasts}ms\"");
        let (ran, report) = behind(&reader, ADD, LOOSE);
        // A gate on holds alone passes it.
        ran.expect(0, &["in the way: it (long-reader)", "verdict: within"]);
        in_the_way(&report);
        let (elapsed, lasts) = (elapsed(&report), f64::from(lasts));
        assert!(
            elapsed > lasts * 0.7 && elapsed < lasts + 1500.0,
            "{elapsed} ms"
        );
    }
}

#[test]
fn a_reader_of_another_table_is_nobody_in_the_way() {
    if !has_server() {
        return;
    }
    let steps = format!(
        "{}\n[[disturbances]]\nname = \"it\"\nkind = \"long-reader\"\ntable = \"other\"\nlasts = \"2s\"\n",
        sql("a", "autocommit", ADD)
    );
    let (ran, report) = ran(&Room::with("CREATE TABLE other (id int);"), &steps, &[]);
    ran.expect(0, &["verdict: within"]);
    in_the_way(&report);
    assert!(elapsed(&report) < 1000.0, "{} ms", elapsed(&report));
}

#[test]
fn an_idle_transaction_is_in_the_way_of_what_it_locked() {
    if !has_server() {
        return;
    }
    let idle = |wrote| {
        format!(
            "kind = \"idle-transaction\"\ntable = \"items\"\nlasts = \"800ms\"\nwrote = {wrote}"
        )
    };
    // A plain index blocks writers, and waits for those that wrote; readers are no matter to it.
    let index = "CREATE INDEX ON items (price)";
    for (wrote, step, waits) in [
        (false, ADD, true),
        (true, ADD, true),
        (false, index, false),
        (true, index, true),
    ] {
        let (ran, report) = behind(&idle(wrote), step, LOOSE);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        in_the_way(&report);
        let elapsed = elapsed(&report);
        assert_eq!(elapsed > 500.0, waits, "{wrote} {step}: {elapsed} ms");
    }
}

#[test]
fn a_writer_in_the_opposite_order_is_a_deadlock() {
    if !has_server() {
        return;
    }
    let room = Room::with("CREATE TABLE other AS SELECT 1 AS id;");
    let step = |tables: &str| {
        format!(
            "{}\n[[disturbances]]\nname = \"it\"\nkind = \"writer\"\ntables = [{tables}]\npause = \"300ms\"\n",
            sql(
                "a",
                "transaction",
                "LOCK TABLE items; SELECT pg_sleep(0.5); LOCK TABLE other"
            )
        )
    };
    // Whom the server ends is its own choice: the one whose look for a deadlock finds it.
    let (opposite, report) = ran(&room, &step("\"other\", \"items\""), LOOSE);
    in_the_way(&report);
    let log = opposite.said();
    let waited = elapsed(&report);
    assert!(
        log.contains("deadlock detected") || waited > 900.0,
        "{waited} ms, {opposite:?}"
    );
    let (same, report) = ran(&room, &step("\"items\", \"other\""), LOOSE);
    same.expect(0, &["verdict: within"]);
    in_the_way(&report);
}

#[test]
fn a_concurrent_index_waits_for_whoever_waits_for_an_advisory_lock() {
    if !has_server() {
        return;
    }
    let index = "CREATE INDEX CONCURRENTLY items_price ON items (price)";
    for (polls, waits) in [(false, true), (true, false)] {
        let waiter =
            format!("kind = \"advisory-waiter\"\nkey = 42\npolls = {polls}\nlasts = \"1500ms\"");
        let (ran, report) = behind(&waiter, index, LOOSE);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        in_the_way(&report);
        let elapsed = elapsed(&report);
        assert_eq!(elapsed > 1000.0, waits, "polls: {polls}, {elapsed} ms");
    }
}

#[test]
fn a_vacuum_to_prevent_wraparound_does_not_yield() {
    if !has_server() {
        return;
    }
    let vacuum = "kind = \"wraparound-vacuum\"\ntable = \"items\"\nlasts = \"2500ms\"";
    // An ordinary one is cancelled by whoever has waited for `deadlock_timeout`, a second.
    let (ran, report) = behind(vacuum, ADD, &["--var", "rows=20000", "--budget", "60s"]);
    ran.expect(0, &["verdict: within"]);
    in_the_way(&report);
    assert!(elapsed(&report) > 1500.0, "{} ms", elapsed(&report));
}

#[test]
fn a_vacuum_that_truncates_holds_the_strongest_lock_itself() {
    if !has_server() {
        return;
    }
    let vacuum = "kind = \"truncating-vacuum\"\ntable = \"items\"\ndeletes = \"60%\"";
    // It takes milliseconds, so on a busy machine it can come and go between two polls.
    let is_seen = (0..4).any(|_| {
        let (ran, report) = behind(
            vacuum,
            "SELECT pg_sleep(1)",
            &["--var", "rows=200000", "--budget", "60s"],
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        in_the_way(&report);
        let mut foreign = list(report.step(0), "foreign_holds").iter();
        foreign.any(|hold| hold["relation"] == "items" && hold["mode"] == ACCESS_EXCLUSIVE)
    });
    assert!(is_seen, "four truncations, and none was seen");
}

#[test]
fn a_dump_is_in_the_way_until_it_is_done() {
    if !has_server() {
        return;
    }
    let (ran, report) = behind(
        "kind = \"pg-dump\"",
        ADD,
        &["--var", "rows=400000", "--budget", "60s"],
    );
    ran.expect(0, &["verdict: within"]);
    in_the_way(&report);
    // By itself it is a moment.
    assert!(elapsed(&report) > 100.0, "{} ms", elapsed(&report));
}

#[test]
fn what_begins_at_a_time_begins_then_or_is_told_to_have_never_begun() {
    if !has_server() {
        return;
    }
    let at = |after: &str| {
        format!(
            "{}\n[[disturbances]]\nname = \"it\"\nkind = \"long-reader\"\ntable = \"items\"\nlasts = \"500ms\"\nafter = \"{after}\"\n",
            sql("a", "autocommit", "SELECT pg_sleep(1.5)")
        )
    };
    let (_, report) = ran(&Room::new(), &at("700ms"), &[]);
    let began = in_the_way(&report)["began_ms"].as_f64().unwrap_or(0.0);
    assert!(began > 600.0, "{began}");
    let (late, report) = ran(&Room::new(), &at("30s"), &[]);
    assert_eq!(report["disturbances"][0]["began_ms"], Value::Null);
    assert!(late.said().contains("never in place"), "{late:?}");
}

#[test]
fn what_cannot_be_set_up_ends_the_run() {
    if !has_server() {
        return;
    }
    for (disturbance, why) in [
        (
            "kind = \"long-reader\"\ntable = \"nowhere\"",
            "there is no table `nowhere`",
        ),
        (
            "kind = \"truncating-vacuum\"\ntable = \"item\"",
            "there is no table `item`",
        ),
    ] {
        let room = Room::new();
        let steps = format!(
            "{}\n[[disturbances]]\nname = \"it\"\n{disturbance}\n",
            sql("a", "autocommit", ADD)
        );
        let ran = room.run(&room.scenario(&steps), &[]);
        ran.expect(2, &["the disturbance `it` cannot be set up", why]);
        room.assert_clean();
    }
}

#[test]
fn what_would_change_a_server_of_somebody_else_s_is_refused() {
    if !has_server() {
        return;
    }
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    let room = Room::new();
    let steps = format!(
        "{}\n[[disturbances]]\nkind = \"wraparound-vacuum\"\ntable = \"items\"\n",
        sql("a", "autocommit", "SELECT 1")
    );
    let scenario = room.file("external/scenario.toml", steps);
    let mut command = room.command(&["run", "--confirm-external", "app"]);
    command
        .arg(scenario)
        .env("LOCKPROOF_STAGE", server.url("postgres"));
    finish(command).expect(2, &["changes the server and its rows"]);
}
