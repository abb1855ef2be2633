//! Podman without root: an ordinary account, its own engine, containers that belong to it alone.
//!
//! One test, since the account and the image in it take longer than what is asked of them.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod account;

use std::path::PathBuf;
use std::time::Duration;

use account::Account;
use nix::sys::signal::Signal;
use support::{Ran, Room, finish, has_image, within};

const IMAGE: &str = "lockproof/postgres:15";

/// A budget that nothing short breaks, however busy the machine is.
const BUDGET: &str = "[budgets]\nAccessExclusiveLock = \"1s\"\n";

fn room() -> Room {
    let room = Room::new();
    room.file(
        "snapshot/snapshot.toml",
        "name = \"small\"\n[source]\nkind = \"dump\"\nfile = \"small.sql\"\n",
    );
    room.file(
        "snapshot/small.sql",
        format!(
            "CREATE TABLE items (id bigint, name text);\nCOPY items FROM stdin;\n{}\\.\n",
            "1\tone\n".repeat(1000)
        ),
    );
    room
}

fn scenario(room: &Room, name: &str, more: &str, sql: &str) -> PathBuf {
    room.scenario_named(
        name,
        &format!("{BUDGET}{more}[[steps]]\nname = \"{name}\"\nsql = \"{sql}\"\n"),
    )
}

/// Runs by the account's own engine; how that ended, and the report.
fn run(account: &Account, scenario: &std::path::Path) -> (Ran, serde_json::Value) {
    let report = account.path("report.json");
    let scenario = scenario.display().to_string();
    let arguments = ["run", "--stage", "docker", "--image", IMAGE, "--json"];
    let mut command = account.lockproof(&arguments);
    command.args([&report, &scenario]);
    let ran = finish(command);
    let text = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let report = serde_json::from_str(&text).expect("a report");
    (ran, report)
}

/// The volumes of bases and when each was made, by Podman's own word.
fn bases(account: &Account) -> Vec<String> {
    let format = "{{.Name}} {{.CreatedAt}}";
    let listed = account.podman(&["volume", "ls", "--format", "{{.Name}}"]);
    let names = listed
        .lines()
        .filter(|name| name.starts_with("lockproof-base-"));
    names
        .map(|name| account.podman(&["volume", "inspect", "--format", format, name]))
        .collect()
}

/// Neither containers, nor volumes beside so many bases, nor processes of a run.
#[track_caller]
fn assert_nothing_but(account: &Account, bases: usize) {
    assert_eq!(account.podman(&["ps", "-a", "-q", "--external"]), "");
    let volumes = account.podman(&["volume", "ls", "-q"]);
    assert_eq!(volumes.lines().count(), bases, "{volumes}");
    // What was killed is gone a moment later.
    let ended = within(Duration::from_secs(5), || {
        account.processes_of_runs().is_empty()
    });
    assert!(ended, "{:#?}", account.processes_of_runs());
}

#[test]
fn a_rootless_engine_serves_an_ordinary_account() {
    if !has_image(IMAGE) {
        return;
    }
    let Some(account) = Account::with_engine() else {
        return;
    };
    let room = room();
    is_told_by_doctor(&account);
    judges_clones_of_one_base(&account, &room);
    tells_of_limits_that_are_not_in_force(&account, &room);
    sweeps_what_a_killed_run_leaves(&account, &room);
    finish(account.lockproof(&["clean", "--all"])).expect(0, &["removed volume lockproof-base-"]);
    assert_nothing_but(&account, 0);
}

fn is_told_by_doctor(account: &Account) {
    let ran = finish(account.lockproof(&["doctor"]));
    ran.expect(
        0,
        &[
            "container engine: Podman Engine",
            &format!("images: {IMAGE}"),
        ],
    );
    // Podman finds this image by that name as well, which is another's.
    assert!(!ran.said().contains(" postgres:15"), "{ran:?}");
}

fn judges_clones_of_one_base(account: &Account, room: &Room) {
    let good = scenario(room, "good", "", "ALTER TABLE items ADD COLUMN note text");
    let bad = scenario(
        room,
        "bad",
        "",
        "ALTER TABLE items ADD COLUMN note text; SELECT pg_sleep(3)",
    );
    assert_eq!(bases(account), [""; 0]);
    let (ran, report) = run(account, &good);
    ran.expect(0, &["verdict: within"]);
    assert_eq!(report["verdict"], "within");
    assert_eq!(report["stage"]["image"], IMAGE);
    assert_eq!(report["snapshot"]["tables"][0]["rows"], 1000);
    assert!(
        !report["limits"].to_string().contains("not put"),
        "{report}"
    );
    let made = bases(account);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_nothing_but(account, 1);

    let (ran, report) = run(account, &bad);
    ran.expect(1, &["verdict: exceeded"]);
    assert_eq!(report["steps"][0]["verdict"], "exceeded");
    // The same base, cloned again.
    assert_eq!(bases(account), made);
    assert_nothing_but(account, 1);
    let listed = finish(account.lockproof(&["snapshot", "ls"]));
    listed.expect(0, &["small 15", &format!("container {IMAGE}")]);
}

/// What the kernel's control groups can do here decides what is true, whatever the engine says.
fn tells_of_limits_that_are_not_in_force(account: &Account, room: &Room) {
    let limited = "[stage]\ncpus = 0.5\nmemory = \"700MB\"\nshm = \"96MB\"\n";
    let limited = scenario(
        room,
        "limited",
        limited,
        "ALTER TABLE items ADD COLUMN a int",
    );
    let version = account.podman(&["info", "--format", "{{.Host.CgroupsVersion}}"]);
    if version != "v1" {
        support::skipped(&format!(
            "control groups {version}: limits may be in force here"
        ));
        return;
    }
    let (ran, report) = run(account, &limited);
    ran.expect(
        0,
        &[
            "did not put `cpus` (0.5 asked for, ",
            "`memory` (700 MB asked for, ",
        ],
    );
    let limits = report["limits"].as_array().expect("limits");
    let told: Vec<&str> = limits
        .iter()
        .filter_map(|limit| limit.as_str()?.strip_prefix("limits: "))
        .collect();
    let [told] = told[..] else {
        panic!("{limits:?}");
    };
    // This one every engine can.
    assert!(!told.contains("`shm`"), "{told}");
    assert!(told.contains("in force"), "{told}");
}

fn sweeps_what_a_killed_run_leaves(account: &Account, room: &Room) {
    let endless = scenario(room, "endless", "", "SELECT pg_sleep(600)");
    let endless = endless.display().to_string();
    let arguments = ["run", "--stage", "docker", "--image", IMAGE, &endless];
    let running = room.start(account.lockproof(&arguments));
    let sleeps = || {
        let lines = account.processes_of_runs();
        lines.iter().any(|line| line.contains("SELECT"))
    };
    assert!(
        within(Duration::from_secs(60), sleeps),
        "{}",
        running.stderr()
    );
    // A run that lives is nobody's leftover.
    let swept = finish(account.lockproof(&["clean"]));
    swept.expect(0, &[]);
    assert!(!swept.said().contains("lockproof-run-"), "{swept:?}");

    running.signalled(Signal::SIGKILL);
    let left = account.podman(&["ps", "--format", "{{.Names}}"]);
    assert!(left.starts_with("lockproof-run-"), "{left}");
    assert!(!account.processes_of_runs().is_empty());
    finish(account.lockproof(&["clean"])).expect(0, &["removed container lockproof-run-"]);
    assert_nothing_but(account, 1);
}
