//! What is measured on a real server, and to what it is put down: the statement that took a lock,
//! those that lengthened it, who waited. `tests/traps` has what misleads a measurement.
//!
//! Budgets are far from the holds that are made on purpose, so that no time is asserted closely.

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use support::report::{ACCESS_EXCLUSIVE, list, ran};
use support::server::Server;
use support::{Room, finish, has_server};

#[test]
fn a_lock_is_put_down_to_the_statement_that_took_it() {
    if !has_server() {
        return;
    }
    let sql = "INSERT INTO items VALUES (-1, 'a', 1, 'b'); SELECT count(*) FROM items; \
               ALTER TABLE items ADD COLUMN extra int; \
               UPDATE items SET extra = 7; SELECT pg_sleep(0.3)";
    let steps = format!("[[steps]]\nname = \"it\"\nsql = '''{sql}'''\nwrap = \"transaction\"\n");
    let (ran, report) = ran(&Room::new(), &steps, &[]);
    ran.expect(1, &["still held during", "commit right after"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert_eq!(hold["granted_by"], "ALTER TABLE items ADD COLUMN extra int");
    let later: Vec<&str> = list(hold, "lengthened_by")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(later[0], "SELECT pg_sleep(?)", "longest first: {later:?}");
    assert!(later.contains(&"UPDATE items SET extra = ?"), "{later:?}");
    assert!(
        !later.iter().any(|sql| sql.starts_with("INSERT")),
        "{later:?}"
    );
    // From the reply to ALTER until the sending of COMMIT at the least.
    assert!(hold["hold_ms"]["at_least"].as_f64().unwrap_or(0.0) >= 300.0);
    assert!(hold["hold_ms"]["at_most"].as_f64().is_some());
}

#[test]
fn what_proves_nothing_is_replayed_on_fresh_clones() {
    if !has_server() {
        return;
    }
    // A program's locks are known from polls alone, and here there is one a second.
    let steps = "[[steps]]\nname = \"it\"\nrun = [\"psql\", \"-Xc\", \
                 \"SELECT pg_sleep(0.3); CREATE TABLE once (a int)\"]\n";
    let room = Room::new();
    let blind = ["--interval", "1s", "--cadence", "fixed", "--replays", "2"];
    let (unproven, report) = ran(&room, steps, &blind);
    unproven.expect(
        5,
        &[
            "verdict: unproven",
            "2 replays",
            "replaying on a fresh clone",
        ],
    );
    assert_eq!(report["run"]["replays"], 2);
    assert_eq!(report["steps"][0]["replays"], 2);
    let (allowed, _) = ran(&room, steps, &[&blind[..], &["--allow-unproven"]].concat());
    allowed.expect(0, &["verdict: unproven"]);
}

#[test]
fn what_is_measured_repeatedly_is_judged_by_its_worst() {
    if !has_server() {
        return;
    }
    // A coin is tossed each time; however they fall, the worst of the six counts.
    let steps = "[[steps]]\nname = \"it\"\nsql = \"LOCK TABLE items; \
                 SELECT pg_sleep(CASE WHEN random() < 0.5 THEN 0.3 ELSE 0 END)\"\n";
    let (ran, report) = ran(&Room::new(), steps, &["--repeat", "6"]);
    let repeats = &report["steps"][0]["repeats"];
    let verdicts = list(repeats, "verdicts");
    assert_eq!(verdicts.len(), 6, "{report:#}");
    assert!(report["run"]["replays"].as_u64() >= Some(6));
    let most = repeats["at_most_ms"]["max"].as_f64().unwrap_or(f64::MAX);
    let least = repeats["at_least_ms"]["max"].as_f64().unwrap_or(f64::MAX);
    let worst = &report.hold(0, ACCESS_EXCLUSIVE, "items")["hold_ms"];
    if verdicts.iter().any(|verdict| verdict == "exceeded") {
        ran.expect(1, &["worst of 6", "verdict: exceeded"]);
        assert!(least >= 300.0, "{repeats}");
        assert!(worst["at_least"].as_f64() >= Some(300.0), "{report:#}");
    } else {
        ran.expect(0, &["worst of 6", "verdict: within"]);
        assert!(most <= 50.0, "{repeats}");
    }
    let longest = worst["at_most"].as_f64().unwrap_or(f64::MAX);
    assert!((longest - most).abs() < 0.01, "{longest} {most}");
}

#[test]
fn who_holds_a_lock_is_asked_at_once() {
    if !has_server() {
        return;
    }
    // One poll a second sees the lock; by the next one the session has gone, and its name with it.
    let steps = "[[steps]]\nname = \"it\"\nrun = [\"psql\", \"-Xc\", \
                 \"BEGIN; LOCK TABLE items; SELECT pg_sleep(1.1); COMMIT\"]\n";
    let slowly = ["--interval", "1s", "--cadence", "fixed", "--replays", "1"];
    let (_, report) = ran(&Room::new(), steps, &slowly);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    let taken_by = hold["granted_by"].as_str().unwrap_or_default();
    assert!(taken_by.contains("LOCK TABLE items"), "{report}");
}

#[test]
fn a_recording_gives_the_runs_own_report() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let (first, second) = (room.path("run.jsonl"), room.path("judged.json"));
    let (recording, judged) = (first.display().to_string(), second.display().to_string());
    let steps = "[[steps]]\nname = \"it\"\nsql = \"ALTER TABLE items ADD COLUMN extra int\"\n";
    let (ran, _) = ran(&room, steps, &["--record", &recording]);
    ran.expect(0, &["verdict: within"]);
    room.lockproof(&["judge", &recording, "--json", &judged])
        .expect(0, &["verdict: within"]);
    assert_eq!(room.read("report.json"), room.read("judged.json"));
}

#[test]
fn who_waits_behind_the_migration_is_told() {
    if !has_server() {
        return;
    }
    let (room, server) = (Room::new(), Server::start());
    server.psql("CREATE DATABASE app");
    server.app("CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 1000) AS n");
    server.app("ALTER DATABASE app SET lockproof.staging = 'on'");
    let step = room.file(
        "01_add.sql",
        "ALTER TABLE items ADD COLUMN extra int; SELECT pg_sleep(1.5);",
    );
    let json = room.path("report.json").display().to_string();
    let mut run = room.command(&["run", "--stage", &server.url("postgres"), "--json", &json]);
    run.arg(step);
    let ran = std::thread::scope(|scope| {
        let run = scope.spawn(|| finish(run));
        // Readers come all the time, as they do in production; those in the second half of the
        // lock wait for what is left of it.
        while !run.is_finished() {
            server.app("SELECT count(*) FROM items WHERE id > 7");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        run.join().expect("it ran")
    });
    ran.expect(1, &["waited behind the migration"]);
    let report = room.json("report.json");
    let blocked = list(&report["steps"][0], "blocked");
    assert!(!blocked.is_empty(), "{report:#}");
    let longest = &blocked[0];
    assert_eq!(longest["query"], "SELECT count(*) FROM items WHERE id > ?");
    let behind = longest["behind"].as_str().unwrap_or_default();
    assert!(
        behind.contains("items") || behind.contains("pg_sleep"),
        "{longest}"
    );
    assert!(
        longest["waited_ms"]["at_least"].as_f64() > Some(200.0),
        "{longest}"
    );
    assert_eq!(list(&report["steps"][0], "foreign_holds"), &[] as &[Value]);
}

#[test]
fn a_transaction_that_rests_before_its_commit_needs_no_dense_polls() {
    if !has_server() {
        return;
    }
    // One poll a second: what is proved here is proved by the polls before COMMIT.
    let steps = "[[steps]]\nname = \"fill\"\nbatch_size = 100\nsql = \"\"\"\nUPDATE items SET note =                  left(pg_sleep(0.002)::text, 0) WHERE id IN (SELECT id FROM items WHERE note <> ''                  ORDER BY id LIMIT ${batch_size})\"\"\"\nmax_batches = 100\n                 [[steps]]\nname = \"slow\"\nsql = \"CREATE TABLE t AS SELECT 1 AS a FROM pg_sleep(0.3)\"\n";
    let (ran, report) = ran(
        &Room::new(),
        steps,
        &["--interval", "1s", "--cadence", "fixed"],
    );
    ran.expect(0, &["verdict: within"]);
    assert_eq!(report["steps"][0]["batches"]["count"], 20, "{report:#}");
    assert_eq!(report["steps"][0]["batches"]["rows"], 2_000);
    assert_eq!(
        list(&report["steps"][0], "statements").len(),
        1,
        "{report:#}"
    );
    let batch = report["steps"][0]["batches"]["early_ms"].as_f64();
    assert!(
        batch > Some(100.0),
        "a batch outlasts the budget: {report:#}"
    );
}
