//! What a person or a log is told while something takes long, by the real binary.

mod support;

use std::process::Command;

use support::server::Server;
use support::{On, Ran, Room, has_server, skipped};

/// A step that takes so many seconds.
fn sleeps(seconds: &str) -> String {
    format!("[[steps]]\nname = \"a\"\nsql = \"SELECT pg_sleep({seconds})\"\n")
}

/// The lines of standard error that tell how the step goes on.
fn told(ran: &Ran) -> Vec<&str> {
    let lines = ran.stderr.lines();
    lines
        .filter(|line| line.starts_with("step 1 of 1"))
        .collect()
}

#[test]
fn a_log_gets_a_line_every_few_seconds_and_what_it_came_to() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(&sleeps("8"));
    let ran = room.run(&scenario, &["--budget", "60s"]);
    ran.expect(0, &["verdict: within"]);
    let told = told(&ran);
    assert!(told.len() >= 3, "{ran:?}");
    let (last, lines) = told.split_last().expect("lines");
    for line in lines {
        assert!(line.starts_with("step 1 of 1: a ("), "{ran:?}");
        assert!(line.contains("SELECT"), "what is at work: {ran:?}");
    }
    assert!(last.starts_with("step 1 of 1: a took "), "{ran:?}");
    // Lines of a log: nothing of a terminal.
    assert!(!ran.stderr.contains(['\r', '\x1b']), "{ran:?}");
    room.assert_clean();
}

#[test]
fn what_is_quick_leaves_no_line() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(&sleeps("0.1"));
    let ran = room.run(&scenario, &["--budget", "60s"]);
    ran.expect(0, &["verdict: within"]);
    assert!(told(&ran).is_empty(), "{ran:?}");
}

#[test]
fn whoever_wants_it_quiet_gets_nothing_however_long_it_takes() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(&sleeps("4"));
    let ran = room.run(&scenario, &["-q", "--budget", "60s"]);
    ran.expect(0, &[]);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""));
}

#[test]
fn a_terminal_has_one_living_line() {
    let has_script = Command::new("script").arg("--version").output();
    if !has_script
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux"))
    {
        return skipped("there is no `script` of util-linux, which makes a terminal");
    }
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(&sleeps("3"));
    let run = room.run_command(On::Local, &scenario, &["--budget", "60s"]);
    let words: Vec<String> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]);
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    terminal.current_dir(room.root()).env("TERM", "xterm");
    let ran = support::finish(terminal);
    ran.expect(0, &["step 1 of 1: a (2 s)", "SELECT", "within"]);
    // It was drawn over, and left nothing behind.
    assert!(ran.stdout.contains("\x1b["), "{ran:?}");
    assert!(!ran.said().contains(" took "), "{ran:?}");
}

/// A database with more tables than lines of a tool are kept; rows of one cannot be restored, since
/// its check looks for a table that a restore does not see.
fn with_a_flaw() -> Server {
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    server.app(
        "CREATE TABLE other (id int); INSERT INTO other VALUES (1);
         CREATE FUNCTION fits(int) RETURNS bool LANGUAGE plpgsql AS
             'BEGIN RETURN EXISTS (SELECT FROM other WHERE id >= $1); END';
         CREATE TABLE flawed (id int CHECK (fits(id))); INSERT INTO flawed VALUES (1);
         DO $$ BEGIN FOR n IN 1..100 LOOP
             EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', n);
             EXECUTE format('INSERT INTO t%s SELECT generate_series(1, 10)', n);
         END LOOP; END $$",
    );
    server
}

/// What a run says of a dump of it, made and described so.
fn restored(server: &Server, format: &str, description: &str) -> (Room, Ran) {
    let room = Room::new();
    let bin = lockproof::stage::local::binaries::find(None);
    let program = bin.choose(None).expect("programs").program("pg_dump");
    let file = room.path("snapshot/app.dump");
    let dumped = Command::new(program)
        .args([format, "-d", &server.url("postgres"), "-f"])
        .arg(&file)
        .output()
        .expect("pg_dump");
    assert!(dumped.status.success(), "{dumped:?}");
    room.file(
        "snapshot/snapshot.toml",
        format!(
            "name = \"app\"\n[source]\nkind = \"dump\"\nfile = \"app.dump\"\n[restore]\n{description}"
        ),
    );
    let scenario = room.scenario("[[steps]]\nname = \"a\"\nsql = \"ALTER TABLE t1 ADD b int\"\n");
    let ran = room.run(&scenario, &["--budget", "60s"]);
    (room, ran)
}

#[test]
fn an_error_is_not_lost_among_the_lines_that_tell_of_progress() {
    if !has_server() {
        return;
    }
    let server = with_a_flaw();
    let error = "relation \"other\" does not exist";
    for format in ["-Fc", "-Fd", "-Ft"] {
        for jobs in ["jobs = 1\n", "jobs = 3\n"] {
            let (room, ran) = restored(&server, format, jobs);
            ran.expect(3, &[error, "app.dump"]);
            for noise in ["creating TABLE", "processing item", "launching item"] {
                assert!(!ran.said().contains(noise), "{noise}: {ran:?}");
            }
            room.assert_clean();
        }
    }
}

#[test]
fn an_error_is_tolerated_among_the_lines_that_tell_of_progress() {
    if !has_server() {
        return;
    }
    let server = with_a_flaw();
    for format in ["-Fc", "-Ft"] {
        let tolerate = "tolerate = ['relation \"other\" does not exist']\njobs = 2\n";
        let (_room, ran) = restored(&server, format, tolerate);
        let told =
            "not restored, as tolerated by `restore.tolerate`: relation \"other\" does not exist";
        ran.expect(0, &[told, "verdict: within"]);
        let another = "tolerate = ['something else']\njobs = 2\n";
        let (_room, ran) = restored(&server, format, another);
        ran.expect(3, &["relation \"other\" does not exist"]);
    }
}
