//! Engines that are not on this machine: over TCP from a network of its own, over TLS, through ssh.
//!
//! The engine is always the one here; what makes it remote is that the command cannot reach it, nor its
//! ports, by this machine's loopback.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod machine;
mod ssh;
mod tcp;
mod tls;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{On, Ran, Room, finish, within};

/// Where the engine listens on this machine.
const SOCKET: &str = "/var/run/docker.sock";

/// Whether there is an engine here whose socket can be handed on.
fn has_engine() -> bool {
    if std::env::var_os("DOCKER_HOST").is_some() {
        support::skipped("DOCKER_HOST is set: there is no engine here to be made a remote one");
        return false;
    }
    support::has_engine()
}

/// Whether there is such a program; in CI there is.
fn has_program(name: &str, question: &str) -> bool {
    let answer = Command::new(name).arg(question).output();
    answer.is_ok() || support::missing(&format!("no `{name}`: tests/setup.sh installs it"))
}

/// A small dump, and a scenario on it with a step that is within and one that is not.
fn scenario(room: &Room) -> PathBuf {
    room.file(
        "snapshot/snapshot.toml",
        "name = \"small\"\n[source]\nkind = \"dump\"\nfile = \"small.sql\"\n",
    );
    // A base is known by its content: no other test has the same.
    let nonce = room.root().display();
    room.file(
        "snapshot/small.sql",
        format!(
            "-- {nonce}\nCREATE TABLE items (id bigint, name text);\nCOPY items FROM stdin;\n{}\\.\n",
            "1\tone\n".repeat(1000)
        ),
    );
    room.scenario(
        "[budgets]\nAccessExclusiveLock = \"1s\"\n\
         [[steps]]\nname = \"short\"\nsql = \"ALTER TABLE items ADD COLUMN note text\"\n\
         [[steps]]\nname = \"long\"\nsql = \"ALTER TABLE items ADD COLUMN more text; SELECT pg_sleep(1.3)\"\n",
    )
}

/// Runs the scenario by this engine; both steps are judged as they are, and nothing is left.
#[track_caller]
fn run_by(room: &Room, host: &str, changed: impl Fn(Command) -> Command) -> Ran {
    run_with(room, host, "closed", changed)
}

/// The same with this network.
#[track_caller]
fn run_with(room: &Room, host: &str, network: &str, changed: impl Fn(Command) -> Command) -> Ran {
    let path = scenario(room);
    let arguments = ["--json", "report.json", "--network", network];
    let mut command = room.run_command(On::Container, &path, &arguments);
    command.env("DOCKER_HOST", host);
    let ran = finish(changed(command));
    ran.expect(1, &["stage: a container of"]);
    let report = room.json("report.json");
    let verdict = |step: usize| report["steps"][step]["verdict"].clone();
    assert_eq!(verdict(0), "within", "{ran:?}");
    assert_eq!(verdict(1), "exceeded", "{ran:?}");
    assert_eq!(report["stage"]["network"], network, "{ran:?}");
    let through = report["stage"]["network_by"]
        .to_string()
        .contains("through the engine");
    assert_eq!(
        through,
        network == "closed" && !host.starts_with("unix://"),
        "{ran:?}"
    );
    room.assert_engine_clean();
    ran
}

/// A program that listens until the end of the test.
struct Listening(Child);

impl Listening {
    fn start(command: &mut Command, port: (&str, u16)) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let listening = Self(child);
        let listens = || std::net::TcpStream::connect(port).is_ok();
        assert!(
            within(Duration::from_secs(10), listens),
            "nothing at {port:?}"
        );
        listening
    }

    /// Hands connections on to the engine. A side that has said all may still hear for long.
    fn relay(listen: &str, port: (&str, u16)) -> Self {
        let mut socat = Command::new("socat");
        socat.args(["-t", "3600", listen, &format!("UNIX-CONNECT:{SOCKET}")]);
        Self::start(&mut socat, port)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}
