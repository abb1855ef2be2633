//! Server programs of two majors side by side on one machine: which of them a run takes, and what it says.
//!
//! The second major is taken out of an image of a release older than this machine's: its programs run here with those
//! of their libraries that this machine lacks.

#![allow(missing_docs)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use lockproof::stage::local::binaries;
use support::{Ran, Room, finish, has_image, has_server, output};

/// What is taken out.
const OLD: u32 = 13;
const IMAGE: &str = "lockproof/postgres:13";

/// With a budget that nothing short breaks, however busy the machine is.
const ADD: &str = "[budgets]\nAccessExclusiveLock = \"20s\"\n\
    [[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD COLUMN a int\"\n";

/// The newest of this machine's own.
static HERE: LazyLock<u32> = LazyLock::new(|| {
    let found = binaries::find(None);
    found.choose(None).expect("has_server asked").major
});

/// A room with the second major in it; None, loudly, where there is none.
fn room() -> Option<Room> {
    if !has_server() || !has_image(IMAGE) {
        return None;
    }
    if *HERE <= OLD {
        support::missing("the server programs of this machine are no newer than the others");
        return None;
    }
    let room = Room::new();
    take_out(room.root());
    Some(room)
}

/// Copies the server and the libraries that this machine lacks, each to its path below the folder: PostgreSQL finds
/// what belongs to it beside itself.
fn take_out(to: &Path) {
    let listed = output("ldconfig", &["-p"]);
    let here: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let script = format!(
        "ldd /usr/lib/postgresql/{OLD}/bin/* 2>/dev/null | sed -n 's/^\t\\([^ ]*\\) => \\/.*/\\1/p' | sort -u"
    );
    let needed = output(
        "docker",
        &["run", "--rm", "--entrypoint", "sh", IMAGE, "-c", &script],
    );
    let container = output("docker", &["create", IMAGE]);
    let copy = |from: &str, to: &Path| {
        std::fs::create_dir_all(to).expect("made");
        // Through links.
        let from = format!("{}:{from}", container.trim());
        output(
            "docker",
            &["cp", "-q", "-L", &from, &to.display().to_string()],
        );
    };
    copy(
        &format!("/usr/lib/postgresql/{OLD}"),
        &to.join("usr/lib/postgresql"),
    );
    copy(
        &format!("/usr/share/postgresql/{OLD}"),
        &to.join("usr/share/postgresql"),
    );
    let lacking = needed.lines().filter(|name| !here.contains(name));
    for name in lacking {
        copy(
            &format!("/usr/lib/x86_64-linux-gnu/{name}"),
            &to.join("lib"),
        );
    }
    output("docker", &["rm", "-v", container.trim()]);
}

fn old_bin(room: &Room) -> PathBuf {
    room.path(&format!("usr/lib/postgresql/{OLD}/bin"))
}

/// A command that finds both majors.
fn on_both(room: &Room, mut command: Command) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", old_bin(room).display()))
        .env("LD_LIBRARY_PATH", room.path("lib"));
    command
}

fn run(room: &Room, scenario: &Path, arguments: &[&str]) -> Ran {
    let _ = std::fs::remove_file(room.path("report.json"));
    let mut command = room.command(&["run", "--stage", "local", "--json", "report.json"]);
    command.arg(scenario).args(arguments);
    finish(on_both(room, command))
}

/// The major that the last report's server had.
fn major(room: &Room) -> String {
    let report = room.json("report.json");
    let version = report["stage"]["server_version"]
        .as_str()
        .expect("a version");
    version.split('.').next().unwrap_or_default().to_owned()
}

/// The majors of the bases in the room's cache, in order.
fn bases(room: &Room) -> Vec<String> {
    let listed = finish(on_both(room, room.command(&["snapshot", "ls", "--json"])));
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("a list");
    let bases = listed["snapshots"].as_array().expect("a list").iter();
    // An engine that has some as well is another's matter.
    let mut majors: Vec<String> = bases
        .filter(|base| base["stage"] == "local")
        .map(|base| base["server_version"].as_str().expect("a version"))
        .map(|version| version.split('.').next().unwrap_or_default().to_owned())
        .collect();
    majors.sort();
    majors
}

#[test]
fn a_run_takes_the_major_that_it_is_asked_for() {
    let Some(room) = room() else { return };
    let (here, old) = (HERE.to_string(), OLD.to_string());
    let looked = finish(on_both(&room, room.command(&["doctor"])));
    looked.expect(
        0,
        &[
            &format!("in {}, taken by --pg {OLD}", old_bin(&room).display()),
            &format!("server programs: PostgreSQL {old}."),
            &format!("server programs: PostgreSQL {here}."),
        ],
    );

    let scenario = room.scenario(ADD);
    run(&room, &scenario, &["--pg", &old])
        .expect(0, &[&format!("stage: a local server (PostgreSQL {old}.")]);
    assert_eq!(major(&room), old);
    assert_eq!(bases(&room).join(" "), old);
    // Unasked, the newest; and what the other restored is not its.
    run(&room, &scenario, &[]).expect(0, &[]);
    assert_eq!(major(&room), here);
    assert_eq!(bases(&room).join(" "), format!("{old} {here}"));
    // Each again, on its own.
    run(&room, &scenario, &["--pg", &here]).expect(0, &[]);
    assert_eq!(major(&room), here);
    run(&room, &scenario, &["--pg", &old]).expect(0, &[]);
    assert_eq!(major(&room), old);
    assert_eq!(bases(&room).join(" "), format!("{old} {here}"));

    // The scenario's word counts as much, and the snapshot's where there is neither.
    let asked = room.scenario_named("asked", &format!("[stage]\npg = {OLD}\n{ADD}"));
    run(&room, &asked, &[]).expect(0, &[]);
    assert_eq!(major(&room), old);
    run(&room, &asked, &["--pg", &here]).expect(0, &[]);
    assert_eq!(major(&room), here);
    let toml = room.read("snapshot/snapshot.toml");
    room.file(
        "snapshot/snapshot.toml",
        format!("server_version = {OLD}\n{toml}"),
    );
    run(&room, &scenario, &[]).expect(0, &[]);
    assert_eq!(major(&room), old);

    // The one between is not there, and those that are get named.
    let absent = OLD + 1;
    let absent = if absent == *HERE { absent + 1 } else { absent };
    let refused = run(&room, &scenario, &["--pg", &absent.to_string()]);
    refused.expect(
        3,
        &[
            &format!("no server programs (`initdb`, `postgres`) of PostgreSQL {absent}"),
            &format!("found {old}."),
            &format!("found {here}."),
            &format!("postgresql-{absent}"),
        ],
    );
    room.assert_clean();
}

/// A dump of this machine's major, made on a stage of it.
fn dump(room: &Room, sql: &str, format: &str) {
    let source = Room::with(sql);
    let program = binaries::find(None)
        .choose(None)
        .expect("asked")
        .program("pg_dump");
    let file = room.path("snapshot/newer.dump");
    let run = format!(
        "[[steps]]\nname = \"dump\"\nmay_do_nothing = true\nrun = [\"{}\", \"{format}\", \"-f\", \"{}\"]\n",
        program.display(),
        file.display()
    );
    let ran = source.run(&source.scenario(&run), &[]);
    assert!(file.exists(), "{ran:?}");
    room.file(
        "snapshot/snapshot.toml",
        "name = \"newer\"\n[source]\nkind = \"dump\"\nfile = \"newer.dump\"\n",
    );
}

#[test]
fn a_dump_of_a_newer_major_is_told_or_refused() {
    let Some(room) = room() else { return };
    let old = OLD.to_string();
    let told = format!(" and the stage has {OLD}: locks, rewrites and plans may differ");
    let scenario = room.scenario(ADD);
    // What an older server understands is restored, and every report says so, also that of a cached base.
    dump(&room, "", "-Fp");
    for _ in 0..2 {
        let ran = run(&room, &scenario, &["--pg", &old]);
        ran.expect(0, &[]);
        assert_eq!(major(&room), old);
        let limits = room.json("report.json")["limits"].to_string();
        let words = format!("the dump is of PostgreSQL {}.", *HERE);
        assert!(
            limits.contains(&words) && limits.contains(&told),
            "{limits}"
        );
    }
    // On its own major there is nothing to tell.
    run(&room, &scenario, &[]).expect(0, &[]);
    let limits = room.json("report.json")["limits"].to_string();
    assert!(!limits.contains("the dump is of"), "{limits}");

    // What it does not understand fails, with the reason and the way out.
    let newer = "CREATE TABLE once (a int, UNIQUE NULLS NOT DISTINCT (a));";
    dump(&room, newer, "-Fc");
    let refused = run(&room, &scenario, &["--pg", &old]);
    refused.expect(
        3,
        &[
            "cannot restore",
            "a newer PostgreSQL",
            "set `server_version`",
        ],
    );
    run(&room, &scenario, &[]).expect(0, &[]);
    assert_eq!(major(&room), HERE.to_string());
    room.assert_clean();
}

/// The twin in a container: an image of another major than the one that is asked for is no answer to it.
#[test]
fn an_image_of_another_major_is_refused() {
    if !has_image(IMAGE) {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(ADD);
    for (asked, code) in [(OLD - 1, 3), (OLD, 0), (OLD + 1, 3)] {
        let asked = asked.to_string();
        let mut command = room.command(&["run", "--stage", "docker", "--image", IMAGE]);
        command.arg(&scenario).args(["--pg", &asked]);
        let words = match code {
            0 => format!("stage: a container of {IMAGE} (PostgreSQL {OLD})"),
            _ => format!(
                "image `{IMAGE}` has PostgreSQL {OLD}, and `--pg` or `pg` of `[stage]` asks for {asked}"
            ),
        };
        finish(command).expect(code, &[&words]);
    }
    room.assert_engine_clean();
}
