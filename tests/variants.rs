//! Kinds of image that users have, imitated by tests/image/variants.sh where no registry is reached, and what a
//! scenario allows a container.

#![allow(clippy::print_stdout, missing_docs)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{On, Ran, Room, finish, output, within};

/// An imitation, made if it is not there. In CI it has to be.
fn has_variant(name: &str, base: &str) -> bool {
    if !support::has_image(base) {
        return false;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/variants.sh");
    let built = Command::new(script).arg(name).output().expect("bash");
    let words = String::from_utf8_lossy(&built.stderr).into_owned();
    built.status.success() || support::missing(&words)
}

/// A step that is within and one that is not, behind what the kind of image needs tried.
fn steps(more: &str) -> String {
    format!(
        "{more}[budgets]\nAccessExclusiveLock = \"1s\"\n\
         [[steps]]\nname = \"short\"\nsql = \"ALTER TABLE items ADD COLUMN a int\"\n\
         [[steps]]\nname = \"long\"\nsql = \"ALTER TABLE items ADD COLUMN b int; SELECT pg_sleep(1.3)\"\n"
    )
}

/// Runs on this image; the report.
#[track_caller]
fn judged(room: &Room, image: &str, scenario: &Path) -> (Ran, Value) {
    let mut command = room.command(&["run", "--stage", "docker", "--image", image]);
    command.args(["--json", "report.json"]).arg(scenario);
    let ran = finish(command);
    ran.expect(1, &["stage: a container of"]);
    let report = room.json("report.json");
    assert_eq!(report["steps"][0]["verdict"], "within", "{ran:?}");
    assert_eq!(report["steps"][1]["verdict"], "exceeded", "{ran:?}");
    room.assert_engine_clean();
    (ran, report)
}

#[test]
fn what_descendants_of_the_official_image_add_is_there() {
    if !has_variant("descendant", "lockproof/postgres:17") {
        return;
    }
    // No CREATE EXTENSION: the image's own first start made them.
    let room = Room::with(
        "CREATE TABLE places (id bigint, at geometry(Point, 4326), near vector(3));\n\
         INSERT INTO places SELECT n, ST_SetSRID(ST_MakePoint(n % 180, n % 90), 4326), '[1,2,3]' \
         FROM generate_series(1, 2000) n;\n\
         CREATE TABLE metrics (at timestamptz NOT NULL, value float8);\n\
         SELECT create_hypertable('metrics', by_range('at', INTERVAL '1 day'));\n\
         INSERT INTO metrics SELECT '2026-01-01'::timestamptz + n * interval '1 hour', n \
         FROM generate_series(1, 500) n;",
    );
    // What the image's scripts wrote into postgresql.conf holds, except where lockproof or the scenario says otherwise.
    let scenario = room.scenario(&format!(
        "{}[[steps]]\nname = \"kinds\"\nsql = '''\n\
         ALTER TABLE places ALTER COLUMN at TYPE geometry(Point, 3857) USING ST_Transform(at, 3857);\n\
         SELECT pg_sleep(1.3);'''\n\
         [[steps]]\nname = \"chunks\"\nsql = \"ALTER TABLE metrics ADD COLUMN c float8 DEFAULT random(); SELECT pg_sleep(1.3)\"\n\
         [[steps]]\nname = \"index\"\nsql = \"CREATE INDEX CONCURRENTLY ON places USING hnsw (near vector_l2_ops)\"\n\
         [[steps]]\nname = \"settings\"\nsql = '''\n\
         DO $$ BEGIN\n\
         ASSERT current_setting('shared_preload_libraries') = 'timescaledb';\n\
         ASSERT current_setting('work_mem') = '7MB';\n\
         ASSERT current_setting('max_worker_processes') = '19';\n\
         ASSERT current_setting('shared_buffers') = '256MB';\n\
         END $$'''\n",
        steps("")
    ));
    let (ran, report) = judged(&room, "lockproof/test:descendant", &scenario);
    for (step, verdict) in [
        (2, "exceeded"),
        (3, "exceeded"),
        (4, "within"),
        (5, "within"),
    ] {
        assert_eq!(report["steps"][step]["verdict"], verdict, "{step}: {ran:?}");
    }
    // The table that the statement named, and the chunks that it did not name.
    let holds = report["steps"][3]["holds"].as_array().expect("holds");
    let held = |part: &str| {
        holds.iter().any(|hold| {
            hold["relation"]
                .as_str()
                .is_some_and(|name| name.contains(part))
        })
    };
    assert!(held("metrics") && held("_hyper_"), "{holds:?}");
}

/// An imitation of an Alpine image: busybox for every tool, no bash, no setpriv, another number for `postgres`.
/// The C library is Debian's: no package of Alpine is reached where this runs.
#[test]
fn busybox_is_enough_of_a_userland() {
    if !has_variant("busybox", "lockproof/postgres:17") {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(&steps(""));
    judged(&room, "lockproof/test:busybox", &scenario);
    // Without an entrypoint, and without a word on what is in it: every script of ours.
    let bare = format!("lockproof/test:bare-{:08x}", rand::random::<u32>());
    let container = output("docker", &["create", "lockproof/test:busybox"]);
    let container = container.trim();
    output(
        "docker",
        &[
            "commit",
            "--change",
            "ENTRYPOINT []",
            "--change",
            "ENV PG_MAJOR=",
            container,
            &bare,
        ],
    );
    output("docker", &["rm", "-v", container]);
    let mut command = room.command(&["run", "--stage", "docker", "--image", &bare]);
    command.arg(&scenario);
    let ran = finish(command);
    // First the image, then what is asserted of it, so that none stays.
    for volume in room.volumes() {
        let _ = Command::new("docker")
            .args(["volume", "rm", &volume])
            .output();
    }
    output("docker", &["rmi", &bare]);
    ran.expect(1, &["PostgreSQL 17"]);
}

#[test]
fn the_official_layout_of_18_is_left_alone() {
    if !has_variant("layout18", "lockproof/postgres:18") {
        return;
    }
    // The entrypoint refuses data and mounts in the old places: the base lies elsewhere.
    let room = Room::new();
    judged(&room, "lockproof/test:layout18", &room.scenario(&steps("")));
}

const LIMITS: &str = "[stage]\ncpus = 1.5\nmemory = \"700MB\"\nshm = \"96MB\"\n";
/// With a budget that nothing short breaks, however busy the machine is.
const ADD: &str = "[budgets]\nAccessExclusiveLock = \"20s\"\n\
    [[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD COLUMN a int\"\n";

#[test]
fn limits_reach_the_container() {
    if !support::has_engine() {
        return;
    }
    let room = Room::new();
    let wait = "[[steps]]\nname = \"wait\"\nsql = \"SELECT pg_sleep(600)\"\n";
    let scenario = room.scenario(&format!("{LIMITS}{wait}"));
    let run = room.start(room.run_command(On::Container, &scenario, &[]));
    let begun = || room.containers().iter().any(|name| name.contains("-run-"));
    assert!(within(Duration::from_secs(60), begun), "{}", run.stderr());
    let name = room.containers().remove(0);
    let format = "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.ShmSize}}";
    let inspected = output("docker", &["inspect", "-f", format, &name]);
    let memory = "700000000";
    assert_eq!(
        inspected.trim(),
        format!("1500000000 {memory} {memory} 96000000")
    );
    // What the kernel enforces, by either version of its groups; pages are whole.
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; \
                  cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us; df -k /dev/shm";
    let seen = Command::new("docker")
        .args(["exec", &name, "sh", "-c", script])
        .output()
        .expect("docker");
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    let whole = 700_000_000 / 4096 * 4096;
    assert!(seen.contains(&whole.to_string()), "{seen}");
    assert!(seen.contains("150000"), "{seen}");
    assert!(
        seen.contains(" 93752 ") || seen.contains(" 93750 "),
        "{seen}"
    );
    run.signalled(nix::sys::signal::Signal::SIGTERM);
    room.assert_engine_clean();
    // What is in force is not worth a word.
    let ends = room.scenario_named("ends", &format!("{LIMITS}{ADD}"));
    let ran = finish(room.run_command(On::Container, &ends, &["--json", "report.json"]));
    ran.expect(0, &["stage: a container of"]);
    let listed = room.json("report.json")["limits"].to_string();
    assert!(!listed.contains("limits: "), "{listed}");
    assert!(!ran.stderr.contains("limits: "), "{ran:?}");
}

/// The twin of a container: the same scenario runs on a server that nothing holds to its limits.
#[test]
fn limits_that_no_container_keeps_are_told() {
    if !support::has_server() {
        return;
    }
    let room = Room::new();
    for (limits, told) in [
        (
            LIMITS,
            "limits: `cpus`, `memory`, `shm` of `[stage]` hold for containers",
        ),
        ("", ""),
    ] {
        let ran = room.run(
            &room.scenario(&format!("{limits}{ADD}")),
            &["--json", "report.json"],
        );
        ran.expect(0, &[told]);
        let listed = room.json("report.json")["limits"].to_string();
        assert!(listed.contains(told), "{listed}");
        let said = format!("{listed}{}", ran.stderr).contains("limits: ");
        assert_eq!(said, !told.is_empty(), "{listed} {ran:?}");
    }
}

/// A server that takes more memory than it may is a lost stage, and the limit is named.
#[test]
fn too_little_memory_is_said() {
    if !support::has_engine() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(
        "[stage]\nmemory = \"120MB\"\n[stage.settings]\nwork_mem = \"2GB\"\n\
         [[steps]]\nname = \"much\"\nsql = \"SELECT count(*) FROM (SELECT DISTINCT repeat(md5(g::text), 8) FROM generate_series(1, 3000000) g) s\"\n",
    );
    let ran = finish(room.run_command(On::Container, &scenario, &[]));
    println!("{ran:?}");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    room.assert_engine_clean();
}
