//! What a session is set to, and how its statements are sent, decide what is locked for how long.

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, at_most, ran, ran_on, script, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

#[test]
fn session_settings_that_decide_are_kept_and_recorded() {
    if !has_server() {
        return;
    }
    let room = Room::with("CREATE TABLE events AS SELECT now()::timestamp AS at FROM items;");
    let step = sql(
        "it",
        "transaction",
        "ALTER TABLE events ALTER COLUMN at TYPE timestamptz",
    );
    for (zone, rewritten) in [("UTC", &[][..]), ("Europe/Berlin", &["events"][..])] {
        let settings = format!("TimeZone={zone}");
        let timeout = [
            "--set",
            "lock_timeout=7s",
            "--set",
            "statement_timeout=8min",
        ];
        let arguments = [&["--budget", "60s", "--set", &settings], &timeout[..]].concat();
        let (ran, report) = ran(&room, &step, &arguments);
        ran.expect(0, &["verdict: within"]);
        let settings = &report["stage"]["settings"];
        assert_eq!(settings["TimeZone"], zone, "{settings}");
        // Not those that the watching sessions set for themselves.
        assert_eq!(settings["lock_timeout"], "7000ms", "{settings}");
        assert_eq!(settings["statement_timeout"], "480000ms", "{settings}");
        let seen = &report.step(0)["evidence"]["rewritten"];
        assert_eq!(*seen, serde_json::json!(rewritten), "{zone}: {report}");
    }
}

#[test]
fn statements_share_a_transaction_only_where_production_has_them_do_so() {
    if !has_server() {
        return;
    }
    let alter = |column: &str| format!("ALTER TABLE items ADD COLUMN {column} int");
    let steps = [
        sql(
            "autocommit",
            "autocommit",
            &format!("{}; {LONG}", alter("a")),
        ),
        sql(
            "written",
            "as-written",
            &format!("BEGIN; {}; COMMIT; {LONG}", alter("b")),
        ),
        sql(
            "transaction",
            "transaction",
            &format!("{}; {LONG}", alter("c")),
        ),
        // Sent as one text, they are one transaction; one by one, they are not.
        script("one-text", &format!("psql -Xqc '{}; {LONG}'", alter("d"))),
        script(
            "two-texts",
            &format!("psql -Xqc '{}' -c '{LONG}'", alter("e")),
        ),
    ];
    let (ran, report) = ran(&Room::new(), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["ACCESS EXCLUSIVE"]);
    assert_eq!(
        report.verdicts(),
        ["within", "within", "exceeded", "exceeded", "within"],
        "{report}"
    );
    for (step, long) in [(0, false), (1, false), (2, true), (3, true)] {
        for hold in report.holds(step, ACCESS_EXCLUSIVE) {
            let time = &hold["hold_ms"];
            let fits = if long {
                at_least(time) > BUDGET
            } else {
                at_most(time) < BUDGET
            };
            assert!(fits, "{hold}");
        }
    }
}

#[test]
fn statements_are_sent_as_they_are_written() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE log (sent text)");
    let written =
        "insert  INTO log\n  -- why\n  VALUES (current_query()) /* as is */ RETURNING 'x'";
    let step = sql("it", "autocommit", &format!("{written};\nSELECT 1;\n"));
    let (ran, _) = ran_on(&Room::new(), &server, &step, WITH_BUDGET);
    ran.expect(0, &["verdict: within"]);
    let sent = server.app("SELECT sent FROM log");
    assert_eq!(sent.trim_end_matches(';'), written);
}
