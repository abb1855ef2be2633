//! The program of a step: it reaches the stage and does something there, or the run does not pass.

#[path = "support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::report::{list, ran, ran_on};
use support::server::Server;
use support::{Room, has_server};

/// A step of this program, with further lines.
fn program(run: &[&str], more: &str) -> String {
    format!("[[steps]]\nname = \"it\"\nrun = {run:?}\n{more}\n")
}

/// A step of a shell's script.
fn script(name: &str, text: &str) -> String {
    format!("[[steps]]\nname = \"{name}\"\nrun = [\"sh\", \"-c\", '''{text}''']\n")
}

fn room() -> Room {
    Room::with("CREATE TABLE numbers (id int);")
}

#[track_caller]
fn exits(code: i32, room: &Room, step: &str, words: &[&str]) {
    let (ran, _) = ran(room, step, ROOMY);
    ran.expect(code, words);
}

/// Nothing here is about how long locks are held.
const ROOMY: &[&str] = &["--budget", "30s"];
const NO_SESSION: &str = "no session of it came to the stage";
const NOTHING: &str = "nothing was done";

#[test]
fn a_program_that_never_connects_has_failed() {
    if !has_server() {
        return;
    }
    let room = room();
    let words = [
        "verdict: failed",
        NO_SESSION,
        "`DATABASE_URL`",
        "${stage.url}",
    ];
    exits(4, &room, &program(&["true"], ""), &words);
    exits(4, &room, &program(&["env"], ""), &words);
    // Whatever it may do, it has to come.
    exits(
        4,
        &room,
        &program(&["true"], "may_do_nothing = true"),
        &words,
    );
}

#[test]
fn a_program_that_goes_to_another_server_has_failed() {
    if !has_server() {
        return;
    }
    let other = Server::with_app("CREATE TABLE items (id int)");
    let step = script(
        "it",
        &format!(
            "psql -Xqd {} -c 'ALTER TABLE items ADD b int'",
            other.url("app")
        ),
    );
    let (ran, _) = ran(&room(), &step, ROOMY);
    ran.expect(4, &["verdict: failed", NO_SESSION]);
}

#[test]
fn a_program_that_changes_nothing_proves_nothing() {
    if !has_server() {
        return;
    }
    let room = room();
    for sql in [
        "SELECT count(*) FROM items",
        "BEGIN; ALTER TABLE items ADD b int; INSERT INTO numbers VALUES (1); ROLLBACK",
        "CREATE TEMP TABLE mine AS SELECT * FROM items",
        "DO $$ BEGIN CREATE TABLE t (id int); RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN NULL; END $$",
        "SET lock_timeout = '1s'",
        "UPDATE items SET id = id WHERE false",
    ] {
        let run = ["psql", "-Xqc", sql];
        let words = [
            "verdict: unproven",
            NOTHING,
            "the snapshot may have this migration already",
        ];
        exits(5, &room, &program(&run, ""), &words);
    }
    let asks = ["psql", "-Xqc", "SELECT 1"];
    exits(
        0,
        &room,
        &program(&asks, "may_do_nothing = true"),
        &["verdict: within"],
    );
}

#[test]
fn whatever_a_program_commits_is_something() {
    if !has_server() {
        return;
    }
    let room = room();
    for sql in [
        "ALTER TABLE items ADD b int",
        "INSERT INTO numbers SELECT n FROM generate_series(1, 10) n",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "COMMENT ON TABLE items IS 'these'",
        "ALTER ROLE CURRENT_USER SET work_mem = '8MB'",
        "CREATE ROLE somebody",
        "SELECT lo_from_bytea(0, 'abc')",
        "CREATE INDEX CONCURRENTLY ON items (id)",
        "VACUUM items",
    ] {
        let run = ["psql", "-Xqc", sql];
        exits(0, &room, &program(&run, ""), &["verdict: within"]);
    }
}

#[test]
fn a_program_of_several_sessions_under_names_of_its_own_is_counted() {
    if !has_server() {
        return;
    }
    let step = script(
        "it",
        "export PGAPPNAME=mine; psql -Xqc 'SELECT 1'; psql -Xqc 'INSERT INTO numbers VALUES (1), (2)'",
    );
    let (ran, report) = ran(&room(), &step, ROOMY);
    ran.expect(0, &["verdict: within"]);
    let effects = &report.step(0)["command"]["effects"];
    assert_eq!(effects["sessions"], 2, "{effects}");
    let changed = list(effects, "changed");
    assert_eq!(changed.len(), 1, "{effects}");
    assert_eq!(
        (&changed[0]["relation"], &changed[0]["rows"]),
        (&"numbers".into(), &2.into())
    );
}

#[test]
fn a_replay_that_does_less_than_the_first_proves_nothing() {
    if !has_server() {
        return;
    }
    // It keeps its progress in a file, which a fresh clone knows nothing of.
    let whole = "if test -e done; then psql -Xqc 'SELECT 1'; else touch done; psql -Xqc 'ALTER TABLE items ADD b int'; fi";
    let part = "n=10; test -e done && n=9; touch done; psql -Xqc \"INSERT INTO numbers SELECT n FROM generate_series(1, $n) n\"";
    for text in [whole, part] {
        let (ran, report) = ran(
            &room(),
            &script("it", text),
            &["--repeat", "2", "--budget", "30s"],
        );
        ran.expect(
            5,
            &["verdict: unproven", "did less than in an earlier replay"],
        );
        let repeats = list(&report.step(0)["repeats"], "verdicts");
        assert_ne!(repeats.len(), 1, "{report}");
    }
    let same = "psql -Xqc 'ALTER TABLE items ADD b int; INSERT INTO numbers VALUES (1)'";
    let (ran, _) = ran(
        &room(),
        &script("it", same),
        &["--repeat", "2", "--budget", "30s"],
    );
    ran.expect(0, &["verdict: within"]);
}

#[test]
fn on_a_server_of_others_it_is_no_different() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE items (id int)");
    let on = |step: &str| ran_on(&Room::new(), &server, step, ROOMY).0;
    on(&program(&["true"], "")).expect(4, &["verdict: failed", NO_SESSION]);
    on(&program(&["psql", "-Xqc", "SELECT 1"], "")).expect(5, &[NOTHING]);
    let adds = program(&["psql", "-Xqc", "ALTER TABLE items ADD b int"], "");
    on(&adds).expect(0, &["verdict: within"]);
}

#[test]
fn beside_strangers_a_change_may_be_theirs() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE items (id int); CREATE TABLE others (id int)");
    let writes = "DO $$ BEGIN FOR n IN 1..400 LOOP INSERT INTO others VALUES (n); COMMIT; PERFORM pg_sleep(0.01); END LOOP; END $$";
    let beside =
        |step: &str| server.beside(writes, || ran_on(&Room::new(), &server, step, ROOMY).0);
    let asks = program(&["psql", "-Xqc", "SELECT pg_sleep(0.3)"], "");
    beside(&asks).expect(5, &[NOTHING]);
    // The stranger comes while it sleeps. A transaction of its own that was seen is its own; one that was not may be
    // the stranger's, and that is said.
    let adds = [
        "psql",
        "-Xqc",
        "SELECT pg_sleep(0.3)",
        "-c",
        "ALTER TABLE items ADD b int",
    ];
    let room = Room::new();
    let recording = room.path("run.jsonl").display().to_string();
    let asked = [ROOMY, &["--record", &recording]].concat();
    let step = program(&adds, "");
    let ran = server.beside(writes, || ran_on(&room, &server, &step, &asked).0);
    ran.expect(0, &[]);
    let own = room.read("run.jsonl").contains("\"wrote\":true");
    let told = ran.said().contains("others were on the server meanwhile");
    assert_eq!(told, !own, "{ran:?}");
}

#[test]
fn what_is_typed_for_the_stage_is_put_in_and_never_written() {
    if !has_server() {
        return;
    }
    let room = room();
    // Nothing of the environment tells psql the way.
    let text = "(unset DATABASE_URL PGHOST PGPORT PGUSER PGDATABASE; \
                psql -Xq -h ${stage.host} -p ${stage.port} -U ${stage.user} -d ${stage.database} -c \"$0\"); \
                printf %s \"$SECRET\" > ../password; test \"$MINE\" = \"$DATABASE_URL\"";
    let step = format!(
        "[[steps]]\nname = \"it\"\nrun = [\"sh\", \"-ec\", {text:?}, \"INSERT INTO numbers VALUES (1)\", \"${{stage.password}}\"]\n\
         env = {{ SECRET = \"${{stage.password}}\", MINE = \"${{stage.url}}\" }}\n"
    );
    let recording = room.path("run.jsonl").display().to_string();
    let (ran, report) = ran(&room, &step, &[ROOMY, &["--record", &recording]].concat());
    ran.expect(0, &["verdict: within"]);
    let argv = &report.step(0)["command"]["argv"];
    assert!(argv.to_string().contains("${stage.host}"), "{argv}");
    let password = room.read("password");
    assert!(password.len() > 20, "{password:?}");
    for text in [ran.said(), room.read("report.json"), room.read("run.jsonl")] {
        assert!(!text.contains(&password), "the password in {text}");
    }
}

#[test]
fn a_program_that_fails_is_told_by_its_status_and_by_whether_it_came() {
    if !has_server() {
        return;
    }
    let room = room();
    let words = ["exited with status 3", NO_SESSION];
    exits(4, &room, &script("it", "exit 3"), &words);
    let step = script("it", "psql -Xqc 'INSERT INTO numbers VALUES (1)'; exit 3");
    let (ran, _) = ran(&room, &step, ROOMY);
    ran.expect(4, &["exited with status 3"]);
    assert!(!ran.said().contains(NO_SESSION), "{ran:?}");
}

/// What was recorded of a program that altered a table, with what it did told as in `effects`, one repeat each.
fn recorded(may_do_nothing: bool, effects: &[Option<Value>]) -> String {
    let lines: Vec<Value> = include_str!("recordings/command.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |line: &Value, event: &str| line["event"] == event;
    let [mut header, stage] = [lines[0].clone(), lines[1].clone()];
    header["repeat"] = effects.len().into();
    header["steps"][0]["may_do_nothing"] = may_do_nothing.into();
    let mut told = vec![header, stage];
    for (repeat, effects) in effects.iter().enumerate() {
        let replay = lines[2..].iter().filter(|line| !of(line, "run_finished"));
        for line in replay {
            let mut line = line.clone();
            if of(&line, "replay_started") {
                line["replay"] = (repeat + 1).into();
                line["repeat"] = (repeat + 1).into();
            }
            if let (true, Some(effects)) = (of(&line, "step_finished"), effects) {
                let mut did = effects.clone();
                did["event"] = "command_did".into();
                told.push(did);
            }
            told.push(line);
        }
    }
    told.extend(lines.last().cloned());
    told.iter().map(|line| line.to_string() + "\n").collect()
}

#[test]
fn a_recording_is_judged_by_what_the_program_did() {
    let room = Room::new();
    let altered = json!({"came": true, "sessions": 1, "changed": [{"relation": "a", "rows": 10}], "catalogues": ["pg_class"]});
    let mut fewer = altered.clone();
    fewer["changed"][0]["rows"] = 9.into();
    let nothing = json!({"came": true, "sessions": 1});
    let unknown = json!({"unread": "canceling statement due to lock timeout"});
    let unseen = json!({});
    let did = |effects: &[&Value]| -> Vec<Option<Value>> {
        effects.iter().map(|value| Some((*value).clone())).collect()
    };
    for (may_do_nothing, effects, code, words) in [
        // An older recording does not say.
        (false, vec![None], 0, "within"),
        (false, did(&[&altered]), 0, "within"),
        (false, did(&[&nothing]), 5, NOTHING),
        (true, did(&[&nothing]), 0, "within"),
        (true, did(&[&unseen]), 5, "nothing tells whether a session"),
        (false, did(&[&unknown]), 5, "could not be read"),
        (false, did(&[&altered, &altered]), 0, "within"),
        (false, did(&[&altered, &fewer]), 5, "did less"),
        (
            false,
            did(&[&altered, &nothing]),
            5,
            "changed nothing this time",
        ),
        (
            true,
            did(&[&altered, &nothing]),
            5,
            "changed nothing this time",
        ),
        (false, did(&[&fewer, &altered]), 0, "within"),
    ] {
        let recording = room.file("run.jsonl", recorded(may_do_nothing, &effects));
        let recording = recording.display().to_string();
        room.lockproof(&["judge", &recording])
            .expect(code, &[words]);
    }
}

#[test]
fn beside_traffic_that_writes_only_the_program_counts() {
    if !has_server() {
        return;
    }
    let room = room();
    room.file(
        "scenario/traffic.toml",
        "rate = 100\nbaseline = \"500ms\"\nsettle = \"200ms\"\n[front]\npool = 5\n\
         [[operations]]\nname = \"write\"\nsql = \"INSERT INTO numbers VALUES (1)\"\n",
    );
    let beside = |step: &str| format!("traffic = \"traffic.toml\"\n{step}");
    let told = |code, step: &str, words: &[&str]| exits(code, &room, &beside(step), words);
    // Connections of the pool are no sessions of the program, and its rows are not the program's.
    told(4, &program(&["sleep", "0.2"], ""), &[NO_SESSION]);
    told(
        5,
        &program(&["psql", "-Xqc", "SELECT pg_sleep(0.2)"], ""),
        &[NOTHING, "`numbers`"],
    );
    let adds = ["psql", "-Xqc", "ALTER TABLE items ADD b int"];
    told(0, &program(&adds, ""), &["verdict: within"]);
    // A transaction of it that writes is seen, and asked for.
    let fills = "INSERT INTO numbers VALUES (2); SELECT pg_sleep(0.3)";
    told(
        0,
        &program(&["psql", "-Xqc", fills], ""),
        &["verdict: within"],
    );
}
