//! A step's program and everything that it starts end with lockproof, however either of them ends.

mod support;

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::report::script;
use support::server::Server;
use support::{Room, Running, has_server, within};

/// Locks are not what is measured here.
const ANY: [&str; 3] = ["--budget", "60s", "--allow-unproven"];
const SOON: Duration = Duration::from_secs(20);

/// The processes whose command line holds this text.
fn running(text: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").expect("readable").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    let line = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|pid| {
        String::from_utf8_lossy(&line(pid))
            .replace('\0', " ")
            .contains(text)
    })
    .collect()
}

/// A length of sleep that no other test has.
fn nap() -> String {
    format!("sleep 6{:06}", rand::random::<u32>() % 1_000_000)
}

/// A program that leaves its session and its process group, and a step that goes on.
fn daemon(nap: &str, then: &str) -> String {
    format!("setsid sh -c '{nap}; true' & {then}")
}

/// A step in double quotes: the script has single ones.
fn step(text: &str) -> String {
    format!("[[steps]]\nname = \"program\"\nrun = [\"sh\", \"-c\", \"{text}\"]\n")
}

/// A run on an external server that goes on.
fn started_on(room: &Room, server: &Server, scenario: &Path) -> Running {
    let mut command = room.command(&["run", "--confirm-external", "app"]);
    command
        .arg(scenario)
        .args(["--stage", &server.url("postgres")]);
    room.start(command)
}

#[test]
fn what_a_program_left_ends_with_its_step() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let nap = nap();
    let alter = "psql -Xqc 'ALTER TABLE items ADD z int'";
    let scenario = room.scenario(&step(&daemon(&nap, alter)));
    room.run(&scenario, &ANY).expect(0, &[]);
    assert_eq!(running(&nap), [] as [i32; 0]);
}

#[test]
fn a_time_out_ends_what_left_its_session() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let nap = nap();
    let step = step(&daemon(&nap, "exec sleep 600"));
    let scenario = room.scenario(&format!("{step}timeout = \"1s\"\n"));
    room.run(&scenario, &ANY)
        .expect(4, &["did not end within 1s"]);
    assert_eq!(running(&nap), [] as [i32; 0]);
}

#[test]
fn a_killed_lockproof_s_program_writes_no_more() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE written (by text)");
    let room = Room::new();
    let nap = nap();
    // Once it is allowed to, the descendant writes.
    let go = room.path("go").display().to_string();
    let write = format!(
        "while ! test -e {go}; do sleep 0.1; done; psql -Xqc 'INSERT INTO written VALUES (1)'"
    );
    let text = format!("setsid sh -c \\\"{write}; {nap}\\\" & exec sleep 600");
    let scenario = room.scenario(&step(&text));
    let run = started_on(&room, &server, &scenario);
    assert!(
        within(SOON, || !running(&nap).is_empty()),
        "{}",
        run.stderr()
    );
    run.signalled(Signal::SIGKILL);
    room.lockproof(&["clean"]).expect(0, &[]);
    assert_eq!(running(&nap), [] as [i32; 0]);
    room.file("go", "");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.app("SELECT count(*) FROM written"), "0");
}

#[test]
fn what_outlives_its_keeper_is_ended_by_clean() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let nap = nap();
    let scenario = room.scenario(&script("program", &format!("{nap}; true")));
    let run = room.start(room.run_command(support::On::Local, &scenario, &ANY));
    let is_program = |pid: &i32| {
        std::fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "sleep"))
    };
    let program = || running(&nap).into_iter().find(|pid| is_program(pid));
    assert!(within(SOON, || program().is_some()), "{}", run.stderr());
    let keepers = running(&format!("__keep sh -c {nap}"));
    assert_eq!(keepers.len(), 1, "{keepers:?}");
    kill(Pid::from_raw(keepers[0]), Signal::SIGKILL).expect("killed");
    run.signalled(Signal::SIGKILL);
    assert!(program().is_some());
    room.lockproof(&["clean"]).expect(0, &["removed process"]);
    assert!(within(SOON, || program().is_none()));
}

#[test]
fn a_killed_lockproof_s_statements_end_on_the_server() {
    if !has_server() {
        return;
    }
    let server = Server::with_app("CREATE TABLE items (id int)");
    let room = Room::new();
    let long = "[[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n";
    let scenario = room.scenario(long);
    let run = started_on(&room, &server, &scenario);
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
    assert!(
        within(SOON, || server.app(sleeps) == "1"),
        "{}",
        run.stderr()
    );
    run.signalled(Signal::SIGKILL);
    assert!(within(SOON, || server.app(sleeps) == "0"));
}
