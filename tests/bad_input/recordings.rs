//! Recordings that are none, and readers that go away.

use std::process::{Command, Stdio};

use crate::support::{On, Room, has_server};

#[track_caller]
fn refused(content: &[u8], words: &[&str]) {
    let room = Room::new();
    let file = room.file("run.jsonl", content).display().to_string();
    room.lockproof(&["judge", &file]).expect(2, words);
}

#[test]
fn garbage() {
    refused(b"\x00\xff\xfe garbage\n", &["run.jsonl", "line 1", "help:"]);
    refused(b"garbage\n", &["run.jsonl", "no recording", "--record"]);
    refused(b"{\"a\": 1}\n", &["run.jsonl", "no recording", "--record"]);
    refused(b"", &["run.jsonl", "is empty", "--record"]);
    refused(
        b"{\"lockproof_recording\": 99}\n",
        &["run.jsonl", "version 99", "reads version 1", "help:"],
    );
    refused(
        b"{\"lockproof_recording\": 1}\n",
        &[
            "line 1 of the recording",
            "run.jsonl",
            "is damaged",
            "help:",
        ],
    );
}

#[test]
fn a_recording_that_is_not_there() {
    let room = Room::new();
    room.lockproof(&["judge", "nowhere.jsonl"])
        .expect(2, &["`nowhere.jsonl` cannot be read", "No such file"]);
    room.lockproof(&["judge", "cache"])
        .expect(2, &["cache", "Is a directory"]);
}

const STEPS: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
     [[steps]]\nname = \"drop\"\nsql = \"ALTER TABLE items DROP b\"\n";

#[test]
fn a_recording_that_was_cut_or_damaged() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEPS);
    room.run(&scenario, &["--record", "run.jsonl", "--budget", "60s"])
        .expect(0, &["verdict: within"]);
    let text = room.read("run.jsonl");
    room.lockproof(&["judge", "run.jsonl"])
        .expect(0, &["verdict: within"]);

    // In the middle of a line of its second step.
    let second = text.find("\"step\":1").expect("a second step");
    room.file("cut.jsonl", &text[..second + 4]);
    room.lockproof(&["judge", "cut.jsonl"])
        .expect(5, &["verdict: unproven", "the recording was cut"]);

    // The same not at the end is no cut but a defect, and has a line.
    let line = text[..second].lines().count();
    room.file(
        "damaged.jsonl",
        format!("{}\n{}", &text[..second + 4], &text[second + 4..]),
    );
    room.lockproof(&["judge", "damaged.jsonl"]).expect(
        2,
        &[
            &format!("line {line} of the recording `damaged.jsonl` is damaged"),
            "help:",
        ],
    );
}

/// A pipe whose reader takes one line and goes; the exit code of the writer.
fn into_head(mut command: Command) -> (Option<i32>, String) {
    let mut writer = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let pipe = writer.stdout.take().expect("a pipe");
    let head = Command::new("head")
        .arg("-1")
        .stdin(pipe)
        .stdout(Stdio::null())
        .spawn();
    let ended = writer.wait_with_output().expect("ended");
    let _ = head.expect("head").wait();
    (
        ended.status.code(),
        String::from_utf8_lossy(&ended.stderr).into_owned(),
    )
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let room = Room::new();
    for arguments in [&["man"][..], &["completions", "bash"], &["run", "--help"]] {
        let (code, stderr) = into_head(room.command(arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        assert_eq!(stderr, "", "{arguments:?}");
    }
    if !has_server() {
        return;
    }
    let scenario = room.scenario(STEPS);
    for arguments in [&[][..], &["--json", "-"], &["--record", "-"]] {
        let mut command = room.run_command(On::Local, &scenario, &["--budget", "60s"]);
        command.args(arguments);
        let (code, stderr) = into_head(command);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("error:"), "{arguments:?}: {stderr}");
    }
    room.assert_clean();
}

#[test]
fn what_has_no_end_is_no_recording() {
    let room = Room::new();
    let begins = ["no recording", "line 1", "help:"];
    for endless in ["/dev/zero", "/dev/urandom"] {
        room.lockproof(&["judge", endless])
            .expect(2, &[endless, "recording", "line 1", "help:"]);
    }
    room.lockproof(&["judge", "/dev/zero"]).expect(2, &begins);
    // A pipe that is never closed, as long as somebody reads it.
    let script = "yes | tr -d '\\n' | \"$0\" judge -";
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_lockproof")]);
    let ended = command.output().expect("bash");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("line 1 does not begin with `{`"), "{said}");
    room.file("run.jsonl.gz", b"\x1f\x8b\x08\x00rest");
    room.lockproof(&["judge", "run.jsonl.gz"])
        .expect(2, &["run.jsonl.gz", "packed", "gunzip"]);
}

#[test]
fn what_has_no_end_is_no_scenario_and_no_step() {
    let room = Room::new();
    std::os::unix::fs::symlink("/dev/zero", room.path("zero.sql")).expect("linked");
    std::os::unix::fs::symlink("/dev/zero", room.path("zero.toml")).expect("linked");
    let large = room.file("large.sql", "");
    let file = std::fs::File::options().write(true).open(large);
    file.expect("opened").set_len(8 << 30).expect("grown");
    let scenario = room.scenario("[[steps]]\nname = \"a\"\nsql = \"SELECT 1\"\n");
    let scenario = scenario.display().to_string();
    for (arguments, words) in [
        (&["run", "zero.sql"][..], ["zero.sql", "larger than 1 MiB"]),
        (&["run", "zero.toml"], ["zero.toml", "larger than 1 MiB"]),
        (&["run", "large.sql"], ["large.sql", "larger than 1 GiB"]),
        (
            &["run", &scenario, "--traffic", "zero.sql"],
            ["zero.sql", "larger than 1 MiB"],
        ),
    ] {
        room.lockproof(&[arguments, &["--stage", "local"]].concat())
            .expect(2, &words);
    }
    std::fs::remove_file(room.path("snapshot/generate.sql")).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", room.path("snapshot/generate.sql")).expect("linked");
    room.lockproof(&["run", &scenario, "--stage", "local"])
        .expect(2, &["generate.sql", "it is no file"]);
    assert!(room.names("cache/bases").is_empty());
}
