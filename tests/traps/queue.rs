//! A lock that is only waited for keeps everybody else out: the queue is measured, not the hold alone.

use std::process::Child;
use std::time::Duration;

use crate::support::report::{Report, at_least, at_most, list, ran_on, script, sql};
use crate::support::server::Server;
use crate::support::{Ran, Room, has_server, within};
use crate::{BUDGET, WITH_BUDGET};

const ITEMS: &str = "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 9) n; CREATE TABLE other (id int)";
const READS: &str = "BEGIN; SELECT count(*) FROM items; SELECT pg_sleep(600)";
const LONG_WAIT: Duration = Duration::from_millis(800);
const BUDGETS: &str = "[budgets]\nexclusion = \"400ms\"\nvictim_wait = \"400ms\"\n";
const NOBODY: &str = "blocked_requests = 0\n";

fn alter() -> String {
    sql(
        "it",
        "transaction",
        "ALTER TABLE items ADD COLUMN extra int",
    )
}

/// Whether a session of the migration waits for a lock.
fn migration_waits(server: &Server) -> bool {
    within(Duration::from_secs(60), || {
        server.psql(
            "SELECT count(*) > 0 FROM pg_stat_activity \
             WHERE application_name LIKE 'lockproof:%' AND wait_event_type = 'Lock'",
        ) == "t"
    })
}

/// Runs a scenario behind a long reader; as soon as it waits, these come, one after the other.
fn behind_a_reader(server: &Server, scenario: &str, late: &[&str]) -> (Ran, Report) {
    server.behind(READS, LONG_WAIT, || {
        std::thread::scope(|scope| {
            let came = scope.spawn(|| {
                if late.is_empty() || !migration_waits(server) {
                    return Vec::new();
                }
                let mut came: Vec<Child> = Vec::new();
                for sql in late {
                    came.push(server.busy(sql));
                    std::thread::sleep(Duration::from_millis(60));
                }
                came
            });
            let ran = ran_on(&Room::new(), server, scenario, WITH_BUDGET);
            for mut child in came.join().expect("they came") {
                child.wait().expect("it ended");
            }
            ran
        })
    })
}

#[test]
fn an_instant_alter_behind_a_long_reader_keeps_everybody_out() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let readers = ["SELECT count(*) FROM items"; 5];
    let (ran, report) =
        behind_a_reader(&server, &format!("{BUDGETS}{NOBODY}{}", alter()), &readers);
    ran.expect(
        1,
        &[
            "from asked to released, over the budget",
            "without a lock_timeout",
        ],
    );
    assert_eq!(report.findings("hold-exceeded").len(), 0, "{report}");
    for rule in [
        "exclusion-exceeded",
        "victim-wait-exceeded",
        "requests-blocked",
        "no-lock-timeout",
    ] {
        assert_eq!(report.findings(rule).len(), 1, "{rule}: {report}");
    }
    let queue = &report.step(0)["queue"];
    let [wait] = list(queue, "waits") else {
        panic!("{queue:#}")
    };
    assert_eq!(wait["granted"], true);
    assert_eq!(wait["behind"][0]["who"], "a test's psql", "{queue:#}");
    let [exclusion] = list(queue, "exclusions") else {
        panic!("{queue:#}")
    };
    assert!(at_least(&exclusion["lasted_ms"]) > BUDGET, "{queue:#}");
    assert!(
        at_most(&exclusion["lasted_ms"]) >= at_least(&wait["waited_ms"]),
        "{queue:#}"
    );
    for (key, expected) in [("deepest", 5), ("blocked", 5), ("surely_blocked", 5)] {
        assert_eq!(queue[key], expected, "{key}: {queue:#}");
    }
    assert!(at_least(&queue["downtime_ms"]) > BUDGET, "{queue:#}");
    // Victim, migration, reader: three sessions, not two.
    let chain: Vec<&str> = list(&queue["victim"], "chain")
        .iter()
        .filter_map(|stander| stander["who"].as_str())
        .collect();
    assert_eq!(chain, ["migration", "a test's psql"], "{queue:#}");
    assert_eq!(
        queue["lock_timeouts"][0]["in_force"], "nothing",
        "{queue:#}"
    );
}

#[test]
fn an_instant_alter_with_nobody_in_front_excludes_nobody() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let (ran, report) = ran_on(
        &Room::new(),
        &server,
        &format!("{BUDGETS}{NOBODY}{}", alter()),
        WITH_BUDGET,
    );
    ran.expect(0, &["verdict: within"]);
    let queue = &report.step(0)["queue"];
    assert_eq!(list(queue, "waits").len(), 0, "{queue:#}");
    assert_eq!(queue["blocked"], 0, "{queue:#}");
}

#[test]
fn with_a_lock_timeout_and_retries_the_others_get_through() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let patience = "lock_timeout = \"100ms\"\n\
                    retry = { attempts = 60, backoff = \"50ms\", max_backoff = \"100ms\", jitter = 0.5 }\n";
    let scenario = format!("{patience}{BUDGETS}{}", alter());
    let (ran, report) = behind_a_reader(&server, &scenario, &["SELECT count(*) FROM items"; 5]);
    ran.expect(0, &["verdict: within", "lock_timeout struck"]);
    assert!(report.step(0)["attempts"].as_u64() > Some(2), "{report}");
    let queue = &report.step(0)["queue"];
    assert_eq!(list(queue, "waits")[0]["granted"], false, "{queue:#}");
    for exclusion in list(queue, "exclusions") {
        assert!(at_most(&exclusion["lasted_ms"]) < BUDGET, "{queue:#}");
    }
    assert!(list(queue, "exclusions").len() > 2, "{queue:#}");
    assert!(queue["rested_ms"].as_f64() > Some(50.0), "{queue:#}");
    assert!(
        at_least(&queue["exclusion_ms"]) > 100.0,
        "all of them together: {queue:#}"
    );
    let timeout = &queue["lock_timeouts"][0];
    assert_eq!(
        (&timeout["in_force"], timeout["limit_ms"].as_f64()),
        (&"limit".into(), Some(100.0))
    );
    assert_eq!(report.findings("no-lock-timeout").len(), 0, "{report}");
}

#[test]
fn whoever_waits_for_one_that_waits_behind_the_migration_is_behind_it_too() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let late = [
        "BEGIN; LOCK TABLE other; SELECT count(*) FROM items; COMMIT",
        "SELECT count(*) FROM other",
    ];
    let (ran, report) = behind_a_reader(&server, &alter(), &late);
    ran.expect(0, &["verdict: within"]);
    let queue = &report.step(0)["queue"];
    assert_eq!(
        (&queue["deepest"], &queue["blocked"]),
        (&2.into(), &2.into()),
        "{queue:#}"
    );
    assert_eq!(
        list(report.step(0), "blocked").len(),
        1,
        "the other is not directly behind it"
    );
}

#[test]
fn a_wait_for_a_row_that_others_wait_for_is_no_exclusion() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let updates = "BEGIN; UPDATE items SET id = 10 WHERE id = 9; SELECT pg_sleep(600)";
    // The second in the queue for a row waits for the tuple, in the mode that would be ACCESS EXCLUSIVE on a table.
    let scenario = format!(
        "{BUDGETS}{}",
        sql("it", "autocommit", "DELETE FROM items WHERE id = 9")
    );
    let (ran, report) = server.behind(updates, LONG_WAIT, || {
        let mut first = server.busy("DELETE FROM items WHERE id = 9");
        let waits = || server.psql("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t";
        assert!(
            within(Duration::from_secs(60), waits),
            "nobody waits for the row"
        );
        let ran = ran_on(&Room::new(), &server, &scenario, WITH_BUDGET);
        first.wait().expect("it ended");
        ran
    });
    ran.expect(0, &["verdict: within"]);
    let queue = &report.step(0)["queue"];
    assert!(!list(queue, "waits").is_empty(), "{queue:#}");
    assert_eq!(list(queue, "exclusions").len(), 0, "{queue:#}");
}

#[test]
fn a_program_gets_the_lock_timeout_in_its_environment() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let psql = server.bin().join("psql").display().to_string();
    let shows = script("it", &format!("{psql} -XAtc 'SHOW lock_timeout'"));
    for (top, expected) in [("lock_timeout = \"321ms\"\n", "321ms"), ("", "0")] {
        let (ran, report) = ran_on(&Room::new(), &server, &format!("{top}{shows}"), WITH_BUDGET);
        ran.expect(0, &["verdict: within"]);
        assert_eq!(report.step(0)["command"]["output"][0], expected, "{report}");
    }
}
