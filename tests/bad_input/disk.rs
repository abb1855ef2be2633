//! Disks that fill, reports that cannot be written.

use crate::support::{Room, can_mount, has_server};

const STEP: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";

#[test]
fn a_disk_that_fills_while_restoring() {
    if !has_server() || !can_mount() {
        return;
    }
    let mut room = Room::new();
    room.mount("cache", "90m");
    let scenario = room.scenario(STEP);
    let ran = room.run(&scenario, &["--var", "rows=2000000"]);
    ran.expect(
        3,
        &[
            "the disk of",
            "cache",
            "is full",
            "No space left on device",
            "--cache",
        ],
    );
    room.assert_clean();
    assert!(room.names("cache/bases").is_empty());
}

#[test]
fn a_disk_that_fills_while_replaying() {
    if !has_server() || !can_mount() {
        return;
    }
    let mut room = Room::new();
    let nonce = room.root().display().to_string();
    // Without WAL it is the table that finds no room, not the log.
    room.file(
        "snapshot/generate.sql",
        format!("-- {nonce}\nCREATE UNLOGGED TABLE items AS SELECT n AS id, repeat('x', 500) AS note FROM generate_series(1, ${{rows}}) n;\n"),
    );
    room.mount("cache", "420m");
    let scenario = room.scenario(
        "[[steps]]\nname = \"rewrite\"\nsql = \"CREATE UNLOGGED TABLE again AS SELECT a.* FROM items a, generate_series(1, 40)\"\n",
    );
    let ran = room.run(&scenario, &["--var", "rows=20000"]);
    ran.expect(4, &["No space left on device", "verdict: failed"]);
    room.assert_clean();
}

#[test]
fn a_disk_without_room_for_the_log() {
    if !has_server() || !can_mount() {
        return;
    }
    let mut room = Room::new();
    room.mount("cache", "420m");
    let scenario = room.scenario(
        "[[steps]]\nname = \"rewrite\"\nsql = \"CREATE TABLE again AS SELECT a.* FROM items a, generate_series(1, 40)\"\n",
    );
    let ran = room.run(&scenario, &["--var", "rows=50000"]);
    // Whichever file comes first: the table (the statement fails) or the log (the server does).
    let code = ran.code.expect("a code");
    assert!(code == 3 || code == 4, "{ran:?}");
    ran.expect(code, &["No space left on device", "verdict: failed"]);
    room.assert_clean();
}

#[test]
fn a_report_that_cannot_be_written() {
    let room = Room::new();
    let scenario = room.scenario(STEP);
    for option in ["--json", "--record"] {
        room.run(&scenario, &[option, "nowhere/report"]).expect(
            6,
            &[
                "`nowhere/report` cannot be written",
                "No such file",
                "help:",
            ],
        );
        room.run(&scenario, &[option, "tmp"])
            .expect(6, &["`tmp` cannot be written", "Is a directory"]);
    }
    assert!(room.names("cache").is_empty(), "nothing was started");
    room.assert_clean();
}

#[test]
fn a_recording_on_a_full_disk_leaves_the_verdict() {
    if !has_server() || !can_mount() {
        return;
    }
    let mut room = Room::new();
    // Its head fits, all of it does not.
    room.mount("small", "16k");
    let steps: String = (0..40)
        .map(|n| {
            format!("[[steps]]\nname = \"add {n}\"\nsql = \"ALTER TABLE items ADD b{n} int\"\n")
        })
        .collect();
    let scenario = room.scenario(&steps);
    let ran = room.run(
        &scenario,
        &["--record", "small/run.jsonl", "--budget", "60s"],
    );
    ran.expect(
        6,
        &[
            "verdict: within",
            "the recording cannot be written",
            "No space left on device",
        ],
    );
    room.assert_clean();
}

#[test]
fn a_json_report_on_a_full_disk_leaves_the_verdict() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    room.run(&scenario, &["--json", "/dev/full", "--budget", "60s"])
        .expect(
            6,
            &["verdict: within", "/dev/full", "No space left on device"],
        );
    room.run(&scenario, &["--record", "/dev/full", "--budget", "60s"])
        .expect(
            6,
            &["the recording cannot be written", "No space left on device"],
        );
    room.assert_clean();
}
