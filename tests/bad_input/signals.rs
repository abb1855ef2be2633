//! SIGINT and SIGTERM wherever a run can be: 128 + n soon, nothing left, and a readable recording.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{On, Room, has_engine, has_server, within};

const STATEMENT: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
     [[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n";
const BATCHES: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
     [[steps]]\nname = \"long\"\nbatch_size = 10\nsleep = \"600s\"\n\
     sql = \"UPDATE items SET b = 1 WHERE id IN (SELECT id FROM items WHERE b IS NULL LIMIT ${batch_size})\"\n";
const COMMAND: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
     [[steps]]\nname = \"long\"\nrun = [\"sh\", \"-c\", \"sleep 600 & sleep 601\"]\n";

fn is_possible(on: On) -> bool {
    match on {
        On::Local => has_server(),
        On::Container => has_engine(),
    }
}

/// Sends the signal at the moment after these words and looks at what is left.
fn signalled(on: On, signal: Signal, room: &Room, scenario: &Path, words: &str) {
    let record = room.path("run.jsonl").display().to_string();
    let command = room.run_command(
        on,
        scenario,
        &["-v", "--record", &record, "--budget", "60s"],
    );
    let mut run = room.start(command);
    run.says(words);
    std::thread::sleep(Duration::from_millis(700));
    let number = signal as i32;
    run.signalled(signal)
        .expect(128 + number, &[&format!("interrupted by signal {number}")]);
    room.assert_clean();
    assert!(within(Duration::from_secs(2), || room
        .containers()
        .is_empty()));
    room.assert_engine_clean();
    let judged = room.lockproof(&["judge", &record]);
    judged.expect(5, &["verdict: unproven", "the recording was cut"]);
}

fn in_a_step(on: On, signal: Signal, steps: &str) {
    if !is_possible(on) {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(steps);
    signalled(on, signal, &room, &scenario, "step 2 of 2: long");
    let judged = room.lockproof(&["judge", "run.jsonl"]);
    // What was proved before stays proved.
    let add = judged
        .stdout
        .lines()
        .find(|line| line.starts_with(" add") || line.starts_with("add"));
    assert!(
        add.is_some_and(|line| line.contains("within")),
        "{judged:?}"
    );
}

fn in_the_restore(on: On, signal: Signal) {
    if !is_possible(on) {
        return;
    }
    let room = Room::new();
    let nonce = room.root().display().to_string();
    room.file(
        "snapshot/generate.sql",
        format!("SELECT '{nonce}', ${{rows}}, pg_sleep(600);\n"),
    );
    let scenario = room.scenario(STATEMENT);
    signalled(on, signal, &room, &scenario, "with `generate.sql`");
    assert!(room.volumes().is_empty(), "{:?}", room.volumes());
    assert!(room.names("cache/bases").is_empty());
}

macro_rules! each {
    ($($name:ident: $what:expr;)*) => { $(#[test] fn $name() { $what })* };
}

each! {
    int_in_the_restore_local: in_the_restore(On::Local, Signal::SIGINT);
    term_in_the_restore_local: in_the_restore(On::Local, Signal::SIGTERM);
    int_in_the_restore_container: in_the_restore(On::Container, Signal::SIGINT);
    term_in_the_restore_container: in_the_restore(On::Container, Signal::SIGTERM);
    int_in_a_statement_local: in_a_step(On::Local, Signal::SIGINT, STATEMENT);
    term_in_a_statement_local: in_a_step(On::Local, Signal::SIGTERM, STATEMENT);
    int_in_a_statement_container: in_a_step(On::Container, Signal::SIGINT, STATEMENT);
    term_in_a_statement_container: in_a_step(On::Container, Signal::SIGTERM, STATEMENT);
    int_between_batches_local: in_a_step(On::Local, Signal::SIGINT, BATCHES);
    term_between_batches_container: in_a_step(On::Container, Signal::SIGTERM, BATCHES);
    int_in_a_command_container: in_a_step(On::Container, Signal::SIGINT, COMMAND);
    term_in_a_command_local: in_a_step(On::Local, Signal::SIGTERM, COMMAND);
}

/// Wherever it strikes while the engine makes things, nothing of the run stays.
#[test]
fn a_signal_while_containers_are_made() {
    if !has_engine() {
        return;
    }
    for millis in [150, 400, 900] {
        let room = Room::new();
        let scenario = room.scenario(STATEMENT);
        let run = room.start(room.run_command(On::Container, &scenario, &["-v"]));
        std::thread::sleep(Duration::from_millis(millis));
        let ran = run.signalled(Signal::SIGTERM);
        ran.expect(143, &[]);
        assert!(
            within(Duration::from_secs(2), || room.containers().is_empty()),
            "{millis} ms"
        );
        room.assert_engine_clean();
    }
}
