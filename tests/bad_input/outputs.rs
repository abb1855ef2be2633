//! Reports and recordings over what is read: refused under every name; over anything else, replaced when they are whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{On, Room, finish, has_server};

const STEP: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";

/// A scenario with a file of every kind.
fn full(room: &Room) -> PathBuf {
    room.file("scenario/01.sql", "ALTER TABLE items ADD b int;\n");
    room.file(
        "scenario/02.sql",
        "UPDATE items SET b = 1 WHERE id IN (SELECT id FROM items WHERE b IS NULL LIMIT ${batch_size});\n",
    );
    room.file("scenario/manage.py", "print(1)\n");
    room.file("scenario/read.sql", "SELECT 1;\n");
    room.file(
        "scenario/traffic.toml",
        "rate = 1\n[[operations]]\nname = \"read\"\nfile = \"read.sql\"\n",
    );
    room.file("globals.sql", "CREATE ROLE reader;\n");
    room.file("home/.pgpass", "*:*:*:*:secret\n");
    room.file("snapshot/settings.conf", "work_mem = '8MB'\n");
    let manifest = room.read("snapshot/snapshot.toml");
    room.file(
        "snapshot/snapshot.toml",
        format!("settings = \"settings.conf\"\nglobals = \"../globals.sql\"\n{manifest}"),
    );
    room.scenario(
        "[[steps]]\nfile = \"01.sql\"\n[[steps]]\nfile = \"02.sql\"\nbatch_size = 5\n\
         [[steps]]\nname = \"manage\"\nrun = [\"sh\", \"manage.py\"]\n",
    )
}

/// All that can be asked for an output.
const OPTIONS: [&str; 5] = ["--json", "--html", "--markdown", "--junit", "--record"];

#[track_caller]
fn refused(room: &Room, command: Command, words: &[&str]) {
    finish(command).expect(2, &[words, &["would replace", "help:"]].concat());
    assert!(
        room.names("cache").is_empty(),
        "{words:?}: something was started"
    );
}

#[test]
fn over_what_a_run_reads() {
    let room = Room::new();
    let scenario = full(&room);
    let inputs = [
        "scenario/scenario.toml",
        "scenario/01.sql",
        "scenario/02.sql",
        "scenario/manage.py",
        "scenario/traffic.toml",
        "scenario/read.sql",
        "snapshot/snapshot.toml",
        "snapshot/generate.sql",
        "snapshot/settings.conf",
        "globals.sql",
        "home/.pgpass",
    ];
    for (at, input) in inputs.iter().enumerate() {
        let before = room.read(input);
        let path = room.path(input);
        let hard = room.path(&format!("hard-{at}"));
        let soft = room.path(&format!("soft-{at}"));
        fs::hard_link(&path, &hard).expect("linked");
        symlink(&path, &soft).expect("linked");
        let option = OPTIONS[at % OPTIONS.len()];
        for name in [
            (*input).to_owned(),
            format!("cache/.././{input}"),
            path.display().to_string(),
            hard.display().to_string(),
            format!("soft-{at}"),
        ] {
            let mut command = room.run_command(On::Local, &scenario, &[option, &name]);
            command.env("HOME", room.path("home"));
            refused(&room, command, &[&format!("`{option} {name}`")]);
        }
        assert_eq!(room.read(input), before);
    }
    for option in OPTIONS {
        let command = room.run_command(On::Local, &scenario, &[option, "scenario/01.sql"]);
        refused(&room, command, &[option, "the file of step `01`"]);
    }
    // Plain files, with a script of the traffic that is named on the command line.
    room.file("1.sql", "SELECT 1;\n");
    room.file("load.sql", "SELECT 2;\n");
    for (name, what) in [("1.sql", "the file of step"), ("load.sql", "the traffic")] {
        let arguments = [
            "--snapshot",
            "./snapshot",
            "--traffic",
            "load.sql@2",
            "--html",
            name,
        ];
        let command = room.run_command(On::Local, Path::new("1.sql"), &arguments);
        refused(&room, command, &[what]);
    }
    // What the shell appends to is written as well.
    let mut command = room.run_command(On::Local, Path::new("1.sql"), &["--snapshot", "empty"]);
    let file = fs::OpenOptions::new().append(true).open(room.path("1.sql"));
    command.stdout(file.expect("opened"));
    finish_written(&room, command);
    assert_eq!(room.read("1.sql"), "SELECT 1;\n");
    room.assert_clean();
}

/// As [`refused`], of a command whose standard output is taken.
#[track_caller]
fn finish_written(room: &Room, mut command: Command) {
    let ended = command.output().expect("started");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("standard output would replace"), "{said}");
    assert!(room.names("cache").is_empty());
}

#[test]
fn into_what_is_read_as_a_whole() {
    let room = Room::new();
    room.file("snapshot/dump/toc.dat", "PGDMP");
    room.file(
        "snapshot/snapshot.toml",
        "name = \"d\"\n[source]\nkind = \"dump\"\nfile = \"dump\"\n",
    );
    let scenario = room.scenario(STEP);
    symlink(room.path("snapshot/dump"), room.path("elsewhere")).expect("linked");
    for name in [
        "snapshot/dump/new.json",
        "elsewhere/toc.dat",
        "elsewhere/new",
    ] {
        room.run(&scenario, &["--json", name])
            .expect(2, &[name, "is inside", "a file of the snapshot", "help:"]);
    }
    assert_eq!(room.names("snapshot/dump"), ["toc.dat"]);
    // Beside it is no harm; that dump is none.
    let ran = room.run(&scenario, &["--json", "snapshot/new.json"]);
    assert!(!ran.said().contains("is inside"), "{ran:?}");
}

#[test]
fn over_recordings_and_each_other() {
    let room = Room::new();
    let recording = fs::read(first_recording()).expect("read");
    let path = room.file("run.jsonl", &recording);
    fs::hard_link(&path, room.path("hard.json")).expect("linked");
    symlink("run.jsonl", room.path("soft.json")).expect("linked");
    let kept = || assert!(fs::read(&path).expect("read") == recording);
    for option in &OPTIONS[..4] {
        for name in ["run.jsonl", "./tmp/../run.jsonl", "hard.json", "soft.json"] {
            let ran = room.lockproof(&["judge", "run.jsonl", option, name]);
            ran.expect(
                2,
                &[&format!("`{option} {name}` would replace"), "the recording"],
            );
            kept();
        }
    }
    let mut command = room.command(&["judge", "-", "--json", "hard.json"]);
    command.stdin(fs::File::open(&path).expect("opened"));
    let ended = command.output().expect("started");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("would replace"), "{said}");
    room.file("other.jsonl", &recording);
    for option in ["--json", "--html"] {
        let ran = room.lockproof(&["compare", "run.jsonl", "other.jsonl", option, "soft.json"]);
        ran.expect(
            2,
            &[
                option,
                "soft.json",
                "would replace",
                "a recording that is compared",
            ],
        );
    }
    kept();
    // Two outputs, one file.
    room.file("report", "old");
    fs::hard_link(room.path("report"), room.path("again")).expect("linked");
    symlink("new", room.path("dangling")).expect("linked");
    for (one, two) in [
        ("report", "again"),
        ("new", "dangling"),
        ("tmp/new", "tmp/../tmp/new"),
    ] {
        let ran = room.lockproof(&["judge", "run.jsonl", "--json", one, "--html", two]);
        ran.expect(2, &["`--json` and `--html` cannot both be", two]);
    }
    assert_eq!(room.read("report"), "old");
    assert!(!room.path("new").exists());
}

/// Some recording of those that are kept.
fn first_recording() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .expect("recordings")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    found.sort();
    found.remove(0)
}

#[test]
fn what_is_no_input_is_replaced_and_pipes_are_written_to() {
    let room = Room::new();
    let recording = room.file("run.jsonl", fs::read(first_recording()).expect("read"));
    let recording = recording.display().to_string();
    room.file("kept/real.json", "old");
    symlink("kept/real.json", room.path("link.json")).expect("linked");
    let judged = |arguments: &[&str]| {
        let ran = room.lockproof(&[&["judge", &recording], arguments].concat());
        assert!(
            ran.code.is_some_and(|code| code != 2 && code != 6),
            "{ran:?}"
        );
        ran
    };
    judged(&["--json", "link.json"]);
    assert!(room.path("link.json").is_symlink());
    let report = room.json("kept/real.json");
    assert!(report["verdict"].is_string());
    assert_eq!(room.names("kept"), ["real.json"]);
    judged(&["--json", "/dev/null", "--html", "/dev/null"]);
    // As `-`: the table makes room for it.
    let ran = judged(&["--json", "/dev/stdout"]);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).expect("nothing but JSON");
    assert_eq!(shown["verdict"], report["verdict"]);
    // Process substitution, and what the shell appends to.
    let script =
        "\"$0\" judge \"$1\" --json >(cat >through.json) --markdown /dev/fd/3 3>>log.md; exit 0";
    let mut command = Command::new("bash");
    room.file("log.md", "kept\n");
    command.args(["-c", script, env!("CARGO_BIN_EXE_lockproof"), &recording]);
    command.current_dir(room.root());
    let ended = command.output().expect("bash");
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        room.read("log.md").starts_with("kept\n<!-- lockproof"),
        "{}",
        room.read("log.md")
    );
    assert!(
        crate::support::within(std::time::Duration::from_secs(20), || {
            let text = fs::read_to_string(room.path("through.json")).unwrap_or_default();
            serde_json::from_str::<serde_json::Value>(&text).is_ok()
        }),
        "{ended:?}"
    );
}

#[test]
fn what_was_there_stays_where_the_run_has_nothing_to_write() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file("report.json", "old");
    room.file("run.jsonl", "old");
    let outputs = ["--json", "report.json", "--record", "run.jsonl"];
    // The stage cannot be made.
    let broken = room.file("snapshot/broken.sql", "SELECT 1/0;\n");
    let manifest = room.read("snapshot/snapshot.toml");
    room.file(
        "snapshot/snapshot.toml",
        manifest.replace("\"generate.sql\"", "\"generate.sql\", \"broken.sql\""),
    );
    let scenario = room.scenario(STEP);
    let older = "`report.json` is of an earlier run: this one has no report";
    room.run(&scenario, &outputs)
        .expect(3, &["division by zero", older]);
    assert_eq!(room.read("report.json"), "old");
    fs::write(broken, "SELECT 1;\n").expect("written");
    room.run(&scenario, &[&outputs[..], &["--budget", "60s"]].concat())
        .expect(0, &["verdict: within"]);
    assert_eq!(room.json("report.json")["verdict"], "within");
    room.lockproof(&["judge", "run.jsonl"])
        .expect(0, &["verdict: within"]);
    let left: Vec<String> = room
        .names(".")
        .into_iter()
        .filter(|name| name.contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    room.assert_clean();
}

#[test]
fn what_a_step_says_without_end_is_cut() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file(
        "scenario/flood.sh",
        "head -c 67108864 /dev/zero | tr '\\0' x\nhead -c 67108864 /dev/zero | tr '\\0' y >&2\necho last\n",
    );
    let scenario = room.scenario(
        "[[steps]]\nname = \"flood\"\nrun = [\"sh\", \"flood.sh\"]\n\
         [[steps]]\nname = \"raise\"\nsql = \"DO $$ BEGIN FOR n IN 1..20000 LOOP RAISE NOTICE '%', repeat('n', 1000); \
         END LOOP; RAISE EXCEPTION '%', repeat('e', 3000000); END $$\"\n",
    );
    let outputs = ["--json", "report.json", "--record", "run.jsonl"];
    room.run(&scenario, &outputs).expect(4, &["raise"]);
    let report = room.json("report.json");
    let said = report["steps"][0]["command"]["output"].as_array();
    let said: Vec<&str> = said
        .expect("lines")
        .iter()
        .filter_map(|line| line.as_str())
        .collect();
    let [long, other] = [&said[0], &said[said.len() - 1]];
    assert!(
        long.len() <= 500 && other.len() <= 500,
        "{} {}",
        long.len(),
        other.len()
    );
    for name in ["report.json", "run.jsonl"] {
        let length = room.read(name).len();
        assert!(length < 500_000, "{name} has {length} bytes");
    }
    room.assert_clean();
}
