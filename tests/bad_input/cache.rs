//! The cache: built by two at once, where it may not be written, listed, removed, pruned, and under a
//! clock that jumps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{On, Ran, Room, can_mount, finish, has_engine, has_server, output};

const STEP: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";
const LONG: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
                    [[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n";
const DAY: u64 = 24 * 3600;

/// Only the room's own folder: bases of others are on the engine.
fn snapshot(room: &Room, arguments: &[&str]) -> Ran {
    let mut command = room.command(&["snapshot"]);
    command.args(arguments);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    finish(command)
}

fn listed(room: &Room) -> Vec<Value> {
    let ran = snapshot(room, &["ls", "--json"]);
    ran.expect(0, &[]);
    let listed: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    listed["snapshots"].as_array().expect("a list").clone()
}

fn id(cached: &Value) -> &str {
    cached["id"].as_str().expect("an id")
}

/// Sets the times that a base is judged by: its last use, and when it was made.
fn used(room: &Room, id: &str, at: SystemTime) {
    for name in room.names("cache/locks") {
        if name.ends_with(&format!("{id}.lock")) {
            let lock = fs::File::open(room.path("cache/locks").join(name)).expect("opened");
            lock.set_modified(at).expect("set");
        }
    }
    for name in room.names("cache/bases") {
        if name.ends_with(id) {
            let marker = format!("cache/bases/{name}/base.json");
            let mut facts = room.json(&marker);
            let at = jiff::Timestamp::try_from(at).expect("a time");
            facts["made_at"] = Value::String(at.to_string());
            room.file(&marker, facts.to_string());
        }
    }
}

fn ago(days: u64) -> SystemTime {
    #[allow(clippy::disallowed_methods, reason = "a test may read a clock")]
    let now = SystemTime::now();
    now - Duration::from_secs(days * DAY)
}

fn two_at_once(on: On) {
    let room = Room::new();
    let nonce = room.root().display().to_string();
    let script = format!(
        "-- {nonce}\nCREATE TABLE items AS SELECT n AS id, ${{rows}} AS b FROM generate_series(1, 9) n;\nSELECT pg_sleep(3);\n"
    );
    room.file("snapshot/generate.sql", script.replace("AS b", "AS c"));
    let scenario = room.scenario(STEP);
    let runs =
        [0, 1].map(|_| room.start(room.run_command(on, &scenario, &["-v", "--budget", "60s"])));
    let ran = runs.map(|run| run.end());
    let restored = |ran: &Ran| ran.stderr.contains("with `generate.sql`");
    for ran in &ran {
        ran.expect(0, &["verdict: within"]);
    }
    assert_ne!(restored(&ran[0]), restored(&ran[1]), "{ran:#?}");
    assert!(
        ran.iter().any(|ran| ran.said().contains("waiting for it")),
        "{ran:#?}"
    );
    room.assert_clean();
    match on {
        On::Local => assert_eq!(room.names("cache/bases").len(), 1),
        On::Container => assert_eq!(room.volumes().len(), 1),
    }
}

#[test]
fn two_processes_restore_once_local() {
    if has_server() {
        two_at_once(On::Local);
    }
}

#[test]
fn two_processes_restore_once_container() {
    if has_engine() {
        two_at_once(On::Container);
    }
}

#[test]
fn what_is_restored_is_listed_inspected_and_removed() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    snapshot(&room, &["ls"]).expect(0, &["nothing is restored"]);
    snapshot(&room, &["prune"]).expect(0, &["within 30 days", "nothing to remove"]);
    let scenario = room.scenario(STEP);
    // Another time limit restores nothing anew, another compression does.
    for setting in [
        "work_mem=8MB",
        "lock_timeout=5s",
        "default_toast_compression=pglz",
    ] {
        room.run(&scenario, &["--budget", "60s", "--set", setting])
            .expect(0, &["verdict: within"]);
    }
    let all = listed(&room);
    assert_eq!(all.len(), 2, "{all:#?}");
    for one in &all {
        assert_eq!(one["snapshot"], "small");
        assert_eq!(one["stage"], "local");
        assert_eq!(one["in_use"], false);
        assert_eq!(one["rows"], 2000);
        assert_eq!(one["made_by"], env!("CARGO_PKG_VERSION"));
        assert!(one["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000));
        assert!(one["used_at"].is_string() && one["made_at"].is_string());
    }
    snapshot(&room, &["ls"]).expect(0, &["small", "local", "just now", "in all", "are free"]);
    snapshot(&room, &["inspect", &id(&all[0])[..6]]).expect(0, &["about 2,000"]);
    snapshot(&room, &["inspect", "small"]).expect(2, &["any of 2", "help: name one by its id"]);
    snapshot(&room, &["inspect", "smal"]).expect(2, &["did you mean `small`?"]);
    // A slip of the pen in one name removes nothing.
    snapshot(&room, &["rm", id(&all[0]), "zzz"]).expect(2, &["`zzz`", "snapshot ls"]);
    assert_eq!(listed(&room).len(), 2);
    snapshot(&room, &["rm", id(&all[0])]).expect(0, &["removed"]);
    snapshot(&room, &["inspect", "small", "--json"]).expect(0, &[id(&all[1])]);

    // In use: refused by `rm`, passed over by `prune`.
    let long = room.scenario_named("long", LONG);
    let same = ["-v", "--set", "default_toast_compression=pglz"];
    let mut run = room.start(room.run_command(On::Local, &long, &same));
    run.says("step 2 of 2");
    let busy: Vec<Value> = listed(&room)
        .into_iter()
        .filter(|one| one["in_use"] == true)
        .collect();
    assert_eq!(busy.len(), 1, "{busy:?}");
    let busy = id(&busy[0]);
    snapshot(&room, &["rm", busy]).expect(3, &["is in use", "help: wait for the run"]);
    used(&room, busy, ago(90));
    snapshot(&room, &["prune", "--older-than", "1d", "--max-size", "1B"])
        .expect(0, &["in use, and left alone: 1"]);
    assert!(listed(&room).iter().any(|one| id(one) == busy));
    drop(run);
    room.lockproof(&["clean"]).expect(0, &[]);
    snapshot(&room, &["prune"]).expect(0, &["unused for 90 days"]);
    assert!(listed(&room).iter().all(|one| id(one) != busy));
    room.assert_clean();
}

#[test]
fn a_prune_takes_what_was_unused_the_longest_whatever_the_clock_does() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    for rows in ["rows=10", "rows=20", "rows=30"] {
        room.run(&scenario, &["--budget", "60s", "--var", rows])
            .expect(0, &[]);
    }
    let ids: Vec<String> = listed(&room).iter().map(|one| id(one).to_owned()).collect();
    used(&room, &ids[0], ago(40));
    used(&room, &ids[1], ago(10));
    // A clock that was ahead for a while.
    used(
        &room,
        &ids[2],
        SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
    );
    snapshot(&room, &["ls"]).expect(0, &["40 days ago", "10 days ago", "just now"]);
    snapshot(&room, &["prune", "--dry-run"]).expect(0, &["would remove", "unused for 40 days"]);
    assert_eq!(listed(&room).len(), 3);
    let ran = snapshot(&room, &["prune"]);
    ran.expect(0, &[&ids[0][..12], "removed 1"]);
    ran.expect(
        0,
        &[
            "last used in the future",
            &ids[2][..12],
            "2096-10-02T07:06:40Z",
        ],
    );
    snapshot(&room, &["prune", "--older-than", "9d", "--dry-run"]).expect(0, &[&ids[1][..12]]);
    let bytes = listed(&room)[0]["bytes"].as_u64().expect("bytes");
    let size = format!("{}B", bytes * 3 / 2);
    snapshot(&room, &["prune", "--max-size", &size]).expect(0, &[&ids[1][..12], "to make room"]);
    let left = listed(&room);
    assert_eq!(left.len(), 1);
    assert_eq!(id(&left[0]), ids[2]);
    for (arguments, words) in [
        (["--older-than", "30"], "`--older-than` has no unit"),
        (["--older-than", "soon"], "`--older-than` is no age"),
        (["--max-size", "50"], "`--max-size` has no unit"),
    ] {
        snapshot(&room, &["prune", arguments[0], arguments[1]]).expect(2, &[words, "help:"]);
    }
    // What it will have been used for is still good now.
    room.run(&scenario, &["--budget", "60s", "--var", "rows=10"])
        .expect(0, &[]);
}

/// By a clock that is years ahead everything is old.
#[test]
fn no_age_is_believed_where_even_what_was_used_last_is_old() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    for rows in ["rows=10", "rows=20"] {
        room.run(&scenario, &["--budget", "60s", "--var", rows])
            .expect(0, &[]);
    }
    let ids: Vec<String> = listed(&room).iter().map(|one| id(one).to_owned()).collect();
    used(&room, &ids[0], ago(4000));
    used(&room, &ids[1], ago(3700));
    for arguments in [
        &["prune"][..],
        &["prune", "--dry-run"],
        &["prune", "--older-than", "30d", "--max-size", "1GB"],
    ] {
        snapshot(&room, arguments).expect(
            3,
            &[
                "the clock may be wrong",
                "within 3700 days",
                "help: set the clock",
                "--max-size 1B",
            ],
        );
    }
    assert_eq!(listed(&room).len(), 2);
    // What goes by the order of use asks no clock.
    snapshot(&room, &["prune", "--max-size", "1GB"]).expect(0, &["nothing to remove"]);
    // A use of today vouches for the clock.
    used(&room, &ids[1], ago(0));
    snapshot(&room, &["prune"]).expect(0, &["unused for 4000 days", "removed 1"]);
    used(&room, &ids[1], ago(400));
    snapshot(&room, &["prune", "--max-size", "1B"]).expect(0, &["to make room", "removed 1"]);
    assert!(listed(&room).is_empty());
}

#[test]
fn a_digest_is_remembered_until_the_file_changes() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    let script = room.read("snapshot/generate.sql");
    let padded = |comment: &str| format!("{script}{}", comment.repeat(20_000));
    let file = room.file(
        "snapshot/generate.sql",
        padded("-- one line more than needed, so that it is large enough\n"),
    );
    let run = || {
        let ran = room.run(&scenario, &["-v", "--budget", "60s"]);
        ran.expect(0, &[]);
        ran.stderr.contains("with `generate.sql`")
    };
    assert!(run());
    // Changed a moment ago: not remembered yet.
    let memo = room.path("cache/digests.json");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!run());
    assert!(memo.is_file());
    // The memo is what is asked: another digest in it is another snapshot.
    let text = fs::read_to_string(&memo).expect("read");
    let stored: Value = serde_json::from_str(&text).expect("JSON");
    let key = file.canonicalize().expect("there").display().to_string();
    let digest = stored["files"][&key]["digest"].as_str().expect("a digest");
    fs::write(&memo, text.replace(digest, &"0".repeat(64))).expect("written");
    assert!(run());
    fs::write(&memo, "half a memo").expect("written");
    assert!(!run());
    // The same size, other bytes.
    room.file(
        "snapshot/generate.sql",
        padded("-- one line more than needed, so that it is LARGE enough\n"),
    );
    assert!(run());
}

#[test]
fn a_cache_of_somebody_else_is_named() {
    if !has_server() || !can_mount() {
        return;
    }
    let mut room = Room::new();
    let scenario = room.scenario(STEP);
    room.run(&scenario, &["--budget", "60s"]).expect(0, &[]);
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
        command.arg(env!("CARGO_BIN_EXE_lockproof")).args(arguments);
        command.env("LOCKPROOF_CACHE", room.path("cache"));
        command.env("TMPDIR", room.path("tmp"));
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        command.current_dir(room.root());
        finish(command)
    };
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(room.path("tmp"), open).expect("opened");
    let possible = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"])
        .arg(env!("CARGO_BIN_EXE_lockproof"))
        .arg("--version")
        .output();
    if possible.is_ok_and(|output| output.status.success()) {
        as_nobody(&["run", "--stage", "local", "scenario"]).expect(
            3,
            &["cannot open", "cache/locks", "Permission denied", "--cache"],
        );
        as_nobody(&["snapshot", "ls"]).expect(0, &["belong to another account: 1"]);
        as_nobody(&["snapshot", "rm", "small"]).expect(2, &["belong to another account: 1"]);
        as_nobody(&["doctor"]).expect(0, &["missing", "cache folder", "--cache"]);
    } else {
        crate::support::skipped("the binary is closed to other accounts");
    }
    assert_eq!(listed(&room).len(), 1);

    room.mount("fixed", "8m");
    let fixed = room.path("fixed").display().to_string();
    output("mount", &["-o", "remount,ro", &fixed]);
    room.run(&scenario, &["--cache", &fixed]).expect(
        3,
        &["cannot create", "fixed", "Read-only file system", "--cache"],
    );
    snapshot(&room, &["ls", "--cache", &fixed]).expect(0, &["nothing is restored"]);
    room.assert_clean();
}

#[test]
fn a_small_disk_that_fills_is_named_in_each_phase() {
    if !has_server() || !can_mount() {
        return;
    }
    let mut room = Room::new();
    room.mount_ext4("cache", "210M");
    let step = "[[steps]]\nname = \"rewrite\"\n\
                sql = \"CREATE UNLOGGED TABLE again AS SELECT a.* FROM items a, generate_series(1, 40)\"\n";
    let scenario = room.scenario(step);
    let told = [
        "the disk of",
        "cache",
        "is full",
        "No space left on device",
        "--cache",
    ];
    room.run(&scenario, &["--var", "rows=2000000"])
        .expect(3, &told);
    room.assert_clean();
    assert!(room.names("cache/bases").is_empty());
    // The base has room, its clone has not.
    room.run(&scenario, &["--var", "rows=2000"])
        .expect(3, &told);
    room.assert_clean();
    assert_eq!(listed(&room).len(), 1);

    let mut room = Room::new();
    room.mount_ext4("cache", "420M");
    let scenario = room.scenario(step);
    let ran = room.run(&scenario, &["--var", "rows=50000"]);
    ran.expect(4, &["No space left on device", "verdict: failed"]);
    room.assert_clean();
    // What was restored before is still good, once there is room.
    let scenario = room.scenario_named("small", STEP);
    room.run(&scenario, &["--budget", "60s", "--var", "rows=50000"])
        .expect(0, &["verdict: within"]);
}
