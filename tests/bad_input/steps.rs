//! Steps that fail, each in its own way: 4, with the server's or the program's words.

use crate::support::{Ran, Room, has_server};

/// Runs a scenario with a JSON report; what was printed, and the report.
#[track_caller]
fn ran(room: &Room, steps: &str) -> (Ran, serde_json::Value) {
    let scenario = room.scenario(steps);
    let json = room.path("report.json").display().to_string();
    let ran = room.run(&scenario, &["--json", &json, "--budget", "60s"]);
    room.assert_clean();
    let report = room.json("report.json");
    (ran, report)
}

/// A step of the kind sql.
fn sql(sql: &str, keys: &str) -> String {
    format!("[[steps]]\nname = \"it\"\nsql = '''{sql}'''\n{keys}\n")
}

#[test]
fn a_syntax_error_has_a_caret_in_the_file() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file(
        "scenario/01_größe.sql",
        "-- Größe\nALTER TABLE items ADD größe int;\nALTER TABLE items ADD b int DEFALT 1;\n",
    );
    let (ran, report) = ran(&room, "[[steps]]\nfile = \"01_größe.sql\"\n");
    ran.expect(
        4,
        &[
            "syntax error at or near \"DEFALT\"",
            "line 3",
            "verdict: failed",
        ],
    );
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let place = lines
        .iter()
        .position(|line| line.contains("01_größe.sql:3:"));
    let place = place.unwrap_or_else(|| panic!("no place: {ran:?}"));
    let column = |text: &str| {
        lines[place..].iter().find_map(|line| {
            let at = line.find(text)?;
            Some(line[..at].chars().count())
        })
    };
    assert_eq!(column("DEFALT ?"), column("^^^"), "{ran:?}");
    assert_eq!(report["verdict"], "failed");
    assert_eq!(report["steps"][0]["attempts"], 1);
}

#[test]
fn time_outs_of_the_statement_and_of_the_step() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let (first, report) = ran(
        &room,
        &sql("SELECT pg_sleep(60)", "statement_timeout = \"200ms\""),
    );
    first.expect(4, &["statement timeout", "verdict: failed"]);
    let statements = &report["steps"][0]["statements"];
    let error = statements.to_string();
    assert!(error.contains("statement timeout"), "{report:#}");

    let (second, report) = ran(&room, &sql("SELECT pg_sleep(60)", "timeout = \"300ms\""));
    second.expect(4, &["the step's time-out", "verdict: failed"]);
    assert_eq!(report["steps"][0]["verdict"], "failed");
}

#[test]
fn a_lock_timeout_with_and_without_another_attempt() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    // A prepared transaction holds its lock with no session at all.
    let blocker = "[stage.settings]\nmax_prepared_transactions = 2\n\
        [[steps]]\nname = \"blocker\"\nwrap = \"as-written\"\n\
        sql = \"BEGIN; LOCK TABLE items IN ACCESS SHARE MODE; PREPARE TRANSACTION 'b'\"\n";
    let step = |keys: &str| {
        format!(
            "{blocker}{}",
            sql(
                "ALTER TABLE items ADD b int",
                &format!("lock_timeout = \"100ms\"\n{keys}")
            )
        )
    };
    let (once, report) = ran(&room, &step(""));
    once.expect(4, &["lock timeout", "verdict: failed"]);
    assert_eq!(report["steps"][1]["attempts"], 1, "{report:#}");

    // The stage's, not those of the sessions that watch.
    let settings = &report["stage"]["settings"];
    assert_eq!(settings["lock_timeout"], "0ms", "{report:#}");
    assert_eq!(settings["statement_timeout"], "0ms", "{report:#}");

    let retry = "retry = { attempts = 3, backoff = \"20ms\" }";
    let (thrice, report) = ran(&room, &step(retry));
    thrice.expect(4, &["after 3 attempts", "lock timeout", "verdict: failed"]);
    assert_eq!(report["steps"][1]["attempts"], 3, "{report:#}");
}

#[test]
fn a_deadlock_between_two_sessions() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    // Each takes its row, waits until the other has the other one, then asks for it.
    room.file(
        "scenario/two.sh",
        "one() { psql -XAtq -v ON_ERROR_STOP=1 -c \"SET deadlock_timeout = '$3'; BEGIN; UPDATE items SET price = 0 WHERE id = $1; SELECT pg_sleep(0.7); UPDATE items SET price = 0 WHERE id = $2; COMMIT\"; }\n\
         one 1 2 5s & first=$!\none 2 1 100ms; second=$?\nwait $first || second=$?\nexit $second\n",
    );
    let (ran, report) = ran(
        &room,
        "[[steps]]\nname = \"two\"\nrun = [\"sh\", \"two.sh\"]\n",
    );
    ran.expect(
        4,
        &["deadlock detected", "exited with status", "verdict: failed"],
    );
    assert!(
        report["steps"][0]["command"]["output"]
            .to_string()
            .contains("deadlock detected")
    );
}

#[test]
fn a_transaction_that_is_left_open() {
    let room = Room::new();
    // What stands in the file is seen before anything is started.
    for text in [
        "BEGIN; ALTER TABLE items ADD b int",
        "BEGIN; SELECT 1; COMMIT AND CHAIN",
    ] {
        let scenario = room.scenario(&sql(text, "wrap = \"as-written\""));
        room.run(&scenario, &[]).expect(
            2,
            &[
                "`steps[0].sql`",
                "opens a transaction that nothing ends",
                "COMMIT",
            ],
        );
    }
    assert!(room.names("cache").is_empty(), "nothing was started");
}

#[test]
fn a_step_that_ends_its_own_session() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let step = sql("SELECT pg_terminate_backend(pg_backend_pid())", "");
    let (ran, report) = ran(&room, &step);
    // The server is still there: the step failed, the stage was not lost.
    ran.expect(
        4,
        &[
            "terminating connection due to administrator command",
            "verdict: failed",
        ],
    );
    assert_eq!(report["steps"][0]["verdict"], "failed");
    assert!(report["run"]["finished_at"].is_string());
}

#[test]
fn a_command_that_does_not_exist() {
    let room = Room::new();
    let scenario = room.scenario("[[steps]]\nname = \"it\"\nrun = [\"no-such-program\", \"-x\"]\n");
    room.run(&scenario, &[]).expect(
        2,
        &[
            "`steps[0].run`",
            "not on `PATH`: `no-such-program` (step `it`)",
        ],
    );
    assert!(room.names("cache").is_empty(), "nothing was started");
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    // A grandchild in the background that heeds no polite signal.
    room.file(
        "scenario/hang.sh",
        "sh -c 'trap \"\" TERM; while :; do sleep 1; done' &\necho $! > ../grandchild\ntrap '' TERM\nwait\nsleep 600\n",
    );
    let step = "[[steps]]\nname = \"it\"\nrun = [\"sh\", \"hang.sh\"]\ntimeout = \"1s\"\n";
    let (ran, report) = ran(&room, step);
    ran.expect(
        4,
        &[
            "`sh hang.sh`",
            "did not end within 1s",
            "ended with its children",
        ],
    );
    assert!(report["steps"][0]["command"]["exit_status"].is_null());
    let grandchild = room.read("grandchild");
    // Nobody may have reaped it yet, but a zombie has no command line.
    let line = std::fs::read(format!("/proc/{}/cmdline", grandchild.trim()));
    assert!(
        line.is_err() || line.is_ok_and(|line| line.is_empty()),
        "the grandchild {grandchild} lives"
    );
}

#[test]
fn a_command_that_ends_with_three() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file(
        "scenario/three.sh",
        "echo \"$PGPASSWORD\" > ../password\necho \"to $DATABASE_URL\"\necho \"as $PGPASSWORD\" >&2\nexit 3\n",
    );
    let record = room.path("run.jsonl").display().to_string();
    let scenario = room.scenario("[[steps]]\nname = \"it\"\nrun = [\"sh\", \"three.sh\"]\n");
    let json = room.path("report.json").display().to_string();
    let ran = room.run(&scenario, &["-vv", "--json", &json, "--record", &record]);
    ran.expect(4, &["`sh three.sh` exited with status 3", "as ***"]);
    room.assert_clean();
    let report = room.json("report.json");
    assert_eq!(report["steps"][0]["command"]["exit_status"], 3);
    assert!(
        report["steps"][0]["command"]["output"]
            .to_string()
            .contains("to postgresql://")
    );
    let password = room.read("password");
    let password = password.trim();
    assert!(password.len() > 20, "{password:?}");
    for text in [ran.said(), room.read("report.json"), room.read("run.jsonl")] {
        assert!(!text.contains(password), "the password in {text}");
    }
}

#[test]
fn a_relation_with_an_odd_name() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file(
        "snapshot/generate.sql",
        "CREATE SCHEMA \"Größe 2\";\nCREATE TABLE \"Größe 2\".\"die \"\"Preis'e\"\" 表\" AS SELECT n AS id FROM generate_series(1, ${rows}) n;\n",
    );
    let step = sql(
        "ALTER TABLE \"Größe 2\".\"die \"\"Preis'e\"\" 表\" ADD b int; SELECT pg_sleep(0.5)",
        "wrap = \"transaction\"",
    );
    let (ran, report) = ran(&room, &step);
    let name = "\"Größe 2\".\"die \"\"Preis'e\"\" 表\"";
    ran.expect(0, &["verdict: within"]);
    assert_eq!(
        report["steps"][0]["holds"][0]["relation"], name,
        "{report:#}"
    );
    // The column of the table is narrower than the name: what is left of it is its end.
    assert!(ran.said().contains("表\""), "{ran:?}");
}
