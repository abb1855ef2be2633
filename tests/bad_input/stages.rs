//! No stage, another stage than asked for, a stage that is lost.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{On, Room, finish, has_engine, has_server, image, output, skipped, within};

const STEP: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";
const LONG: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
                    [[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n";

#[test]
fn neither_an_engine_nor_server_programs() {
    let room = Room::new();
    let scenario = room.scenario(STEP);
    let nothing = room.path("tmp").display().to_string();
    let mut command = room.command(&["run", "--stage", "auto", "--image", "postgres:17"]);
    command.args(["--pg-bin", &nothing]).arg(&scenario);
    command.env("DOCKER_HOST", format!("unix://{nothing}/docker.sock"));
    finish(command).expect(
        3,
        &[
            "neither a container nor a local server",
            "docker.sock",
            &format!("looked in {nothing}"),
            "--pg-bin",
            "lockproof doctor",
        ],
    );
    room.assert_clean();
}

#[test]
fn no_server_programs_where_they_are_looked_for() {
    let room = Room::new();
    let scenario = room.scenario(STEP);
    // As on a machine without them: empty folders over those that are searched.
    let hidden = "for d in /usr/lib/postgresql /usr/local/pgsql; do \
                  [ -d $d ] && mount -t tmpfs tmpfs $d; done; exec \"$@\"";
    let mut unshared = Command::new("unshare");
    unshared.args([
        "-m",
        "sh",
        "-c",
        hidden,
        "sh",
        env!("CARGO_BIN_EXE_lockproof"),
    ]);
    unshared.args(["run", "--stage", "auto"]).arg(&scenario);
    unshared.env("LOCKPROOF_CACHE", room.path("cache"));
    unshared.env("PATH", "/usr/sbin:/sbin:/bin:/usr/bin");
    unshared.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let possible = Command::new("unshare").args(["-m", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return skipped("no mount namespaces here");
    }
    if ["postgres", "initdb"]
        .iter()
        .all(|name| std::path::Path::new("/usr/bin").join(name).exists())
    {
        return skipped("server programs are on the search path");
    }
    finish(unshared).expect(
        3,
        &[
            "neither a container nor a local server",
            "/nonexistent/docker.sock",
            "looked in /usr/lib/postgresql/*/bin",
            "lockproof doctor",
        ],
    );
    room.assert_clean();
}

#[test]
fn an_engine_without_the_image_and_without_a_registry() {
    if !has_engine() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    // Port 9 of this machine: refused at once, whatever the network is.
    let absent = "localhost:9/lockproof-test/absent:17";
    let mut command = room.command(&["run", "--stage", "docker", "--image", absent]);
    command.arg(&scenario);
    finish(command).expect(
        3,
        &[absent, "cannot be pulled", "docker pull", "--stage local"],
    );
    room.assert_engine_clean();
}

#[test]
fn an_image_without_postgresql() {
    if !has_engine() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    let name = format!("lockproof-test/bare:{:08x}", rand::random::<u32>());
    let context = room.path("context");
    std::fs::create_dir(&context).expect("created");
    // Nothing but a shell that is none: the smallest image there is.
    room.file("context/hello", "");
    output(
        "sh",
        &[
            "-c",
            &format!("tar -C {} -c . | docker import - {name}", context.display()),
        ],
    );
    let mut command = room.command(&["run", "--stage", "docker", "--image", &name]);
    command.arg(&scenario);
    let ran = finish(command);
    output("docker", &["rmi", "-f", &name]);
    ran.expect(3, &[&name, "has no PostgreSQL server", "--image"]);
    room.assert_engine_clean();
}

#[test]
fn ports_that_are_taken() {
    if !has_server() {
        return;
    }
    // What happens when the picked port is taken in between is tested next to the server's code
    // (`a_port_that_somebody_took_is_not_the_end`); here the usual ports are taken from the start.
    let squatters: Vec<_> = (5432..5632)
        .filter_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok())
        .collect();
    let room = Room::new();
    let scenario = room.scenario(STEP);
    room.run(&scenario, &["--budget", "10s"])
        .expect(0, &["verdict: within"]);
    drop(squatters);
    room.assert_clean();
}

#[test]
fn a_container_that_is_killed() {
    if !has_engine() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(LONG);
    let json = room.path("report.json").display().to_string();
    let command = room.run_command(On::Container, &scenario, &["-v", "--json", &json]);
    let mut run = room.start(command);
    run.says("step 2 of 2: long");
    std::thread::sleep(Duration::from_millis(500));
    let containers = room.containers();
    assert_eq!(containers.len(), 1, "{containers:?}");
    output("docker", &["kill", &containers[0]]);
    run.end().expect(
        3,
        &[
            "verdict: failed",
            "add",
            "within",
            "the stage's container ended: exit status 137, killed from outside",
            "| ",
            "ready to accept connections",
        ],
    );
    let report = room.json("report.json");
    assert_eq!(report["steps"][0]["verdict"], "within", "{report:#}");
    room.assert_clean();
    room.assert_engine_clean();
}

#[test]
fn an_image_of_a_server_that_is_too_old() {
    if !has_engine() {
        return;
    }
    // It says which major it has; nothing of it is ever started.
    let image = format!("lockproof-test/old:{:08x}", rand::random::<u32>());
    let room = Room::new();
    let nothing = room.file("nothing.tar", [0; 10_240]).display().to_string();
    let major = ["--change", "ENV PG_MAJOR=11"];
    output(
        "docker",
        &[&["import"], &major[..], &[&nothing, &image]].concat(),
    );
    let scenario = room.scenario(STEP).display().to_string();
    let ran = room.lockproof(&["run", &scenario, "--stage", "docker", "--image", &image]);
    output("docker", &["image", "rm", &image]);
    ran.expect(
        3,
        &[
            &format!(
                "image `{image}` has PostgreSQL 11, older than the oldest that is supported, 12"
            ),
            "12 or newer",
        ],
    );
    room.assert_engine_clean();
}

/// The postmaster is killed in the middle of the second step.
fn killed(second: &str) {
    let room = Room::new();
    let steps =
        format!("[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n{second}");
    let scenario = room.scenario(&steps);
    let record = room.path("run.jsonl").display().to_string();
    let command = room.run_command(On::Local, &scenario, &["-v", "--record", &record]);
    let mut run = room.start(command);
    run.says("step 2 of 2: long");
    std::thread::sleep(Duration::from_millis(500));
    let postmaster = room.postmaster().expect("a server");
    kill(Pid::from_raw(postmaster), Signal::SIGKILL).expect("killed");
    run.end().expect(
        3,
        &[
            "verdict: failed",
            "add",
            "the server was lost: ended by signal 9",
            "| ",
            "ready to accept connections",
        ],
    );
    room.assert_clean();
    // What was seen can be judged again, and says why it ends there.
    room.lockproof(&["judge", &record]).expect(
        3,
        &["add", "within", "the server was lost: ended by signal 9"],
    );
}

#[test]
fn a_server_that_is_killed_in_a_statement() {
    if has_server() {
        killed("[[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n");
    }
}

#[test]
fn a_server_that_is_killed_in_a_statement_that_does_not_notice() {
    // A backend that computes sees the end of its postmaster when it next waits for something.
    if has_server() {
        killed(
            "[[steps]]\nname = \"long\"\nsql = \"SELECT count(*) FROM generate_series(1, 30000) a, generate_series(1, 30000) b\"\n",
        );
    }
}

#[test]
fn a_server_that_is_killed_while_a_command_runs() {
    if has_server() {
        killed("[[steps]]\nname = \"long\"\nrun = [\"sleep\", \"600\"]\n");
    }
}

#[test]
fn two_runs_at_once_on_one_cache() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    let start = || {
        let command = room.run_command(On::Local, &scenario, &["-v", "--budget", "10s"]);
        room.start(command)
    };
    let ends = [start(), start()].map(super::support::Running::end);
    let mut restored = 0;
    for ran in &ends {
        ran.expect(0, &["verdict: within"]);
        restored += usize::from(ran.stderr.contains("generate.sql"));
    }
    assert_eq!(restored, 1, "{ends:#?}");
    assert_eq!(room.names("cache/bases").len(), 1);
    room.assert_clean();
}

#[test]
fn two_runs_at_once_on_one_engine() {
    if !has_engine() {
        return;
    }
    let room = Room::new();
    let scenario = room.scenario(STEP);
    let start = || {
        let command = room.run_command(On::Container, &scenario, &["-v", "--budget", "10s"]);
        room.start(command)
    };
    let ends = [start(), start()].map(super::support::Running::end);
    let mut restored = 0;
    for ran in &ends {
        ran.expect(0, &["verdict: within", &image()]);
        restored += usize::from(ran.stderr.contains("generate.sql"));
    }
    assert_eq!(restored, 1, "{ends:#?}");
    assert!(within(Duration::from_secs(2), || room
        .containers()
        .is_empty()));
    room.assert_engine_clean();
}
