//! Snapshots whose servers are made by programs of the user's: clones of a template database here.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use support::server::Server;
use support::{Ran, Room, finish, has_server, within};

const ITEMS: &str = "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 1000) n";
const STEP: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";
const LONG: &str = "[[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n";

/// A room whose snapshot is a hook; `clone` and `drop` are the bodies of its programs.
struct Cloned {
    room: Room,
    server: Server,
}

/// Makes a database of the template, and says what a careless program says.
const CLONE: &str = "psql -c \"CREATE DATABASE \\\"c$LOCKPROOF_CLONE_ID\\\" TEMPLATE app\"\n\
                     echo 'made with postgres://admin:s3cret@cloud/x' >&2\n\
                     echo \"a line before\"\n\
                     echo \"$base/c$LOCKPROOF_CLONE_ID\"\n\
                     echo\n";
const DROP: &str = "[ -z \"$LOCKPROOF_CLONE_URL\" ] || echo \"url $LOCKPROOF_CLONE_URL\" >>log\n\
                    psql -c \"DROP DATABASE IF EXISTS \\\"c$LOCKPROOF_CLONE_ID\\\" WITH (FORCE)\"\n";

impl Cloned {
    fn new(clone: &str, drop: &str) -> Self {
        let cloned = Self {
            room: Room::new(),
            server: Server::with_app(ITEMS),
        };
        cloned.script("clone.sh", clone);
        cloned.script("drop.sh", drop);
        cloned.describe("");
        cloned
    }

    fn describe(&self, more: &str) {
        self.room.file(
            "snapshot/snapshot.toml",
            format!(
                "name = \"thin\"\n[source]\nkind = \"hooks\"\nprovision = [\"./clone.sh\", \"an argument\"]\n\
                 teardown = [\"./drop.sh\"]\nenv = {{ COLOUR = \"red\" }}\n{more}"
            ),
        );
    }

    fn script(&self, name: &str, body: &str) {
        let url = self.server.url("postgres");
        let base = url
            .trim_end_matches("/app")
            .replace("postgres@", "postgres:pa55word@");
        let bin = self.server.bin().display().to_string();
        let path = self.room.file(
            &format!("snapshot/{name}"),
            format!(
                "#!/bin/sh\nset -e\nbase='{base}'\npsql() {{ {bin}/psql -XAtq -d '{}' \"$@\" >&2; }}\n\
                 echo \"{name} $LOCKPROOF_RUN_ID $LOCKPROOF_CLONE_ID $COLOUR $1\" >>log\n{body}",
                url.replace("/app", "/postgres")
            ),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("allowed");
    }

    fn run(&self, step: &str, arguments: &[&str]) -> Ran {
        finish(self.command(step, arguments))
    }

    fn command(&self, step: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.room.command(&["run", "--budget", "60s"]);
        command.arg(self.room.scenario(step)).args(arguments);
        command
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.room.path("snapshot/log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// How often a program ran.
    fn ran(&self, name: &str) -> usize {
        self.log()
            .iter()
            .filter(|line| line.starts_with(name))
            .count()
    }

    #[track_caller]
    fn assert_gone(&self, clones: usize) {
        assert_eq!(self.ran("clone.sh"), clones, "{:#?}", self.log());
        assert_eq!(self.ran("drop.sh"), clones, "{:#?}", self.log());
        let left = self
            .server
            .psql("SELECT count(*) FROM pg_database WHERE datname LIKE 'c%-%'");
        assert_eq!(left, "0");
        assert_eq!(self.room.names("cache/clones"), Vec::<String>::new());
        self.room.assert_clean();
    }

    fn records(&self) -> Vec<PathBuf> {
        let names = self.room.names("cache/clones");
        names
            .iter()
            .map(|name| self.room.path("cache/clones").join(name))
            .collect()
    }
}

fn no_secret(ran: &Ran) {
    for secret in ["s3cret", "pa55word"] {
        assert!(!ran.said().contains(secret), "{ran:?}");
    }
}

#[test]
fn each_replay_has_a_clone_of_its_own() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let ran = cloned.run(STEP, &["--repeat", "2", "--json", "r.json", "-v"]);
    ran.expect(
        0,
        &[
            "verdict: within",
            "has a clone of its own",
            "by the snapshot's program",
        ],
    );
    no_secret(&ran);
    cloned.assert_gone(2);
    let log = cloned.log();
    assert!(log[0].ends_with("red an argument"), "{log:#?}");
    let ids: Vec<&str> = log
        .iter()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    assert_ne!(ids.first(), ids.last(), "{log:#?}");
    // The program that ends it may need the password.
    assert!(
        log.iter()
            .any(|line| line.starts_with("url postgres://postgres:pa55word@")),
        "{log:#?}"
    );
    let report = cloned.room.json("r.json");
    assert_eq!(report["stage"]["kind"], "external");
    assert_eq!(report["stage"]["clone"]["method"], "hook");
    let took = report["stage"]["clone"]["took_ms"].as_f64();
    assert!(took.is_some_and(|took| took > 0.0), "{report:#}");
    assert_eq!(report["snapshot"]["name"], "thin");
    assert_eq!(report["snapshot"]["digest"], serde_json::Value::Null);
    let untouched =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'b'";
    assert_eq!(cloned.server.app(untouched), "0");
    // One that fails is ended as well.
    cloned
        .run("[[steps]]\nname = \"bad\"\nsql = \"SELECT 1/0\"\n", &[])
        .expect(4, &["division by zero"]);
    cloned.assert_gone(3);
}

#[test]
fn a_program_that_makes_none_is_told_with_its_words() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let mut clones = 0;
    for (body, more, words) in [
        (
            "echo 'quota of postgres://u:s3cret@h exceeded' >&2; exit 7",
            "",
            vec![
                "`./clone.sh` could not make a clone: exited with status 7",
                "quota of postgres://u:***@h exceeded",
            ],
        ),
        ("true", "", vec!["`./clone.sh` printed no URL", "help:"]),
        (
            "echo done password=s3cret",
            "",
            vec!["printed last is no URL: `done password=***`"],
        ),
        (
            "echo mysql://u:s3cret@h/d",
            "",
            vec!["the URL that `./clone.sh` printed cannot be used"],
        ),
        (
            "echo begun >&2; sleep 600",
            "timeout = \"1s\"\n",
            vec![
                "`./clone.sh` did not end within its time",
                "begun",
                "a longer `timeout`",
            ],
        ),
        (
            "echo postgres://u:s3cret@127.0.0.1:1/d",
            "timeout = \"2s\"\n",
            vec![
                "does not answer at `postgres://u@127.0.0.1:1/d`",
                "Connection refused",
            ],
        ),
        (
            "echo \"$base/nowhere\"",
            "",
            vec!["does not answer", "database \"nowhere\" does not exist"],
        ),
    ] {
        cloned.script("clone.sh", body);
        cloned.describe(more);
        let ran = cloned.run(STEP, &[]);
        ran.expect(3, &words);
        no_secret(&ran);
        clones += 1;
        cloned.assert_gone(clones);
    }
}

#[test]
fn a_program_that_starts_a_server_may_leave_it_its_output() {
    if !has_server() {
        return;
    }
    // As `pg_ctl start` without a log does.
    let cloned = Cloned::new(&format!("sleep 300 &\necho $! >pid\n{CLONE}"), DROP);
    cloned.run(STEP, &[]).expect(0, &["verdict: within"]);
    // Neither waited for nor ended: it is the user's.
    let pid = cloned
        .room
        .read("snapshot/pid")
        .trim()
        .parse()
        .expect("a pid");
    let child = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(child, Signal::SIGKILL).expect("it runs on");
}

#[test]
fn a_description_that_cannot_be_is_refused() {
    let room = Room::new();
    let scenario = room.scenario(STEP);
    for (source, words) in [
        (
            "provision = [\"./clone.sh\"]",
            vec!["`source.teardown` names no program"],
        ),
        (
            "provision = []\nteardown = [\"true\"]",
            vec!["`source.provision` names no program"],
        ),
        (
            "provision = [\"./clone.sh\"]\nteardown = [\"true\"]",
            vec!["`source.provision` names `./clone.sh`, which is not in"],
        ),
        (
            "provision = [\"true\"]\nteardown = [\"true\"]\ntimeout = \"10\"",
            vec!["`source.timeout` has no unit"],
        ),
        (
            "provision = [\"true\"]\nteardown = [\"true\"]\nenvs = {}",
            vec!["unknown key `source.envs`", "`source.env`"],
        ),
        (
            "provision = [\"true\"]\nteardown = [\"true\"]\nenv = { A = 1 }",
            vec!["`env.A` is an integer"],
        ),
    ] {
        room.file(
            "snapshot/snapshot.toml",
            format!("name = \"thin\"\n[source]\nkind = \"hooks\"\n{source}\n"),
        );
        let mut command = room.command(&["run"]);
        command.arg(&scenario);
        finish(command).expect(2, &words);
    }
    room.file(
        "snapshot/snapshot.toml",
        "name = \"thin\"\n[source]\nkind = \"hooks\"\nprovision = [\"true\"]\nteardown = [\"true\"]\n",
    );
    for (option, value) in [
        ("--stage", "docker"),
        ("--stage", "local"),
        ("--image", "x"),
        ("--set", "work_mem=1MB"),
    ] {
        let mut command = room.command(&["run", option, value]);
        command.arg(&scenario);
        finish(command).expect(
            2,
            &[
                &format!("`{option}` cannot be had with the snapshot"),
                "`provision` makes the server",
            ],
        );
    }
}

#[test]
fn a_server_that_others_use_is_no_clone() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(
        "echo \"$base/app\"",
        "echo \"${LOCKPROOF_CLONE_URL:-of none}\" >>log",
    );
    let mut busy = cloned.server.busy("SELECT pg_sleep(600)");
    cloned.server.sleeps();
    let untouched =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'b'";
    cloned.run(STEP, &[]).expect(
        3,
        &[
            "may be production",
            "sessions of others: 1",
            "`confirm = \"app\"`",
        ],
    );
    assert_eq!(cloned.server.app(untouched), "0");
    // What may be production is not handed to the program that ends clones.
    assert_eq!(cloned.log().last().map(String::as_str), Some("of none"));
    cloned.describe("confirm = \"app\"\n");
    cloned.run(STEP, &[]).expect(0, &["verdict: within"]);
    assert_eq!(cloned.server.app(untouched), "1");
    cloned.server.wake();
    let _ = busy.wait();
    assert_eq!(cloned.ran("drop.sh"), 2);
}

/// What is on the list is nobody's clone: nothing is sent there, and its URL is not handed to the program
/// that ends clones.
#[test]
fn a_clone_with_a_name_of_production_s_is_refused() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let run = |production: &str| {
        let mut command = cloned.command(STEP, &[]);
        command.env("LOCKPROOF_PRODUCTION", production);
        finish(command)
    };
    for (clones, production) in ["127.0.0.*", "LOCALHOST,c*", "db.example,app*,c*-*"]
        .into_iter()
        .enumerate()
    {
        let ran = run(production);
        ran.expect(
            3,
            &[
                "is production, by the list of `--production`",
                "is on the list as",
                "help: have `provision` print the URL of a clone",
            ],
        );
        no_secret(&ran);
        // It knows the clone by its id.
        cloned.assert_gone(clones + 1);
    }
    cloned.describe("confirm = \"app\"\n");
    run("127.0.0.*").expect(3, &["is production, by the list"]);
    let log = cloned.log();
    assert!(!log.iter().any(|line| line.starts_with("url ")), "{log:#?}");
    run("db.example,app,*.live").expect(0, &["verdict: within"]);
    let log = cloned.log();
    assert!(log.iter().any(|line| line.starts_with("url ")), "{log:#?}");
    cloned.assert_gone(5);
}

/// Production by another spelling, or in a URL that cannot be read, is not handed to the program that ends clones.
#[test]
fn production_by_another_spelling_is_no_clone() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let run = |production: &str| {
        let mut command = cloned.command(STEP, &[]);
        command.env("LOCKPROOF_PRODUCTION", production);
        finish(command)
    };
    let port = cloned.server.port();
    let identifier = cloned
        .server
        .psql("SELECT system_identifier FROM pg_control_system()");
    let same = [
        "localhost".to_owned(),
        format!("2130706433:{port}"),
        "127.0.0.0/8".to_owned(),
        cloned.server.folder().display().to_string(),
        format!("postgres://u:s3cret@[::1]:{port}/shop"),
        identifier,
    ];
    for entry in &same {
        let ran = run(entry);
        ran.expect(3, &["is production, by the list of `--production`"]);
        no_secret(&ran);
    }
    // What cannot be read cannot be compared.
    let unread = CLONE.replace(
        "$LOCKPROOF_CLONE_ID\"\necho\n",
        "$LOCKPROOF_CLONE_ID?sslmode=sometimes\"\necho\n",
    );
    assert_ne!(unread, CLONE);
    cloned.script("clone.sh", &unread);
    run("localhost").expect(3, &["cannot be used"]);
    let log = cloned.log();
    assert!(!log.iter().any(|line| line.starts_with("url ")), "{log:#?}");
    // The twin: another port.
    cloned.script("clone.sh", CLONE);
    run(&format!("localhost:{}", port - 1)).expect(0, &["verdict: within"]);
    let log = cloned.log();
    assert!(log.iter().any(|line| line.starts_with("url ")), "{log:#?}");
    cloned.assert_gone(same.len() + 2);
}

#[test]
fn a_clone_that_cannot_be_ended_is_told_and_tried_again() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, "echo 'no way' >&2; exit 3");
    let ran = cloned.run(STEP, &[]);
    ran.expect(
        0,
        &[
            "verdict: within",
            "was not ended: `./drop.sh` exited with status 3",
            "no way",
            "lockproof clean",
        ],
    );
    no_secret(&ran);
    let records = cloned.records();
    assert_eq!(records.len(), 1);
    let written = fs::read_to_string(&records[0]).expect("written");
    assert!(
        written.contains("127.0.0.1") && !written.contains("pa55word"),
        "{written}"
    );
    cloned
        .room
        .lockproof(&["clean"])
        .expect(3, &["was not ended", "no way"]);
    cloned.script("drop.sh", DROP);
    cloned
        .room
        .lockproof(&["clean"])
        .expect(0, &["removed clone"]);
    assert_eq!(cloned.records(), Vec::<PathBuf>::new());
    // Its programs are no longer known.
    cloned.script("drop.sh", "exit 3");
    cloned.run(STEP, &[]).expect(0, &["was not ended"]);
    fs::remove_file(cloned.room.path("snapshot/snapshot.toml")).expect("removed");
    cloned
        .room
        .lockproof(&["clean"])
        .expect(3, &["cannot be ended", "end it by hand, then remove"]);
}

#[test]
fn a_clone_that_is_kept_stays_until_all_is_cleaned() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let ran = cloned.run(STEP, &["--keep"]);
    ran.expect(
        0,
        &[
            "is still up at postgres://postgres@127.0.0.1",
            "lockproof clean --all",
        ],
    );
    no_secret(&ran);
    cloned
        .room
        .lockproof(&["clean"])
        .expect(0, &["left, it was kept: the clone"]);
    assert_eq!(cloned.ran("drop.sh"), 0);
    // Nothing else: `--all` would look at the engine of everybody.
    let mut command = cloned.room.command(&["clean", "--all"]);
    command.env("DOCKER_HOST", "unix:///nonexistent.sock");
    finish(command).expect(0, &["removed clone"]);
    cloned.assert_gone(1);
}

#[test]
fn a_signal_ends_the_clone() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let mut run = cloned.room.start(cloned.command(LONG, &["-v"]));
    run.says("step 1 of 1: long");
    let ran = run.signalled(Signal::SIGTERM);
    ran.expect(143, &["interrupted by signal 15"]);
    no_secret(&ran);
    cloned.assert_gone(1);
    // While it is made: the program is ended first.
    cloned.script("clone.sh", "echo 'half made' >&2; sleep 600");
    let mut run = cloned.room.start(cloned.command(LONG, &["-v"]));
    run.says("half made");
    run.signalled(Signal::SIGINT)
        .expect(130, &["interrupted by signal 2"]);
    cloned.assert_gone(2);
}

#[test]
fn a_killed_run_s_clone_is_ended_by_clean() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new(CLONE, DROP);
    let mut run = cloned.room.start(cloned.command(LONG, &["-v"]));
    run.says("step 1 of 1: long");
    // A live run's is left alone.
    cloned.room.lockproof(&["clean"]).expect(0, &[]);
    assert_eq!(cloned.ran("drop.sh"), 0);
    run.signalled(Signal::SIGKILL);
    assert_eq!(cloned.records().len(), 1);
    cloned
        .room
        .lockproof(&["clean"])
        .expect(0, &["removed clone"]);
    cloned.assert_gone(1);
    // While it is made.
    cloned.script(
        "clone.sh",
        &format!("echo 'half made' >&2; sleep 600\n{CLONE}"),
    );
    let mut run = cloned.room.start(cloned.command(LONG, &["-v"]));
    run.says("half made");
    run.signalled(Signal::SIGKILL);
    cloned
        .room
        .lockproof(&["clean"])
        .expect(0, &["removed clone"]);
    cloned.assert_gone(2);
}

#[test]
fn a_clone_that_is_lost_is_ended_as_well() {
    if !has_server() {
        return;
    }
    let cloned = Cloned::new("echo \"$base/app\"", "true");
    let mut run = cloned.room.start(cloned.command(LONG, &["-v"]));
    run.says("step 1 of 1: long");
    let sleeps = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    assert!(
        within(Duration::from_secs(20), || cloned.server.psql(sleeps)
            == "t"),
        "no step"
    );
    let Cloned { room, server } = cloned;
    drop(server);
    run.end().expect(3, &["see the clone's own log"]);
    let log = room.read("snapshot/log");
    assert!(log.contains("drop.sh"), "{log}");
    assert_eq!(room.names("cache/clones"), Vec::<String>::new());
    room.assert_clean();
}
