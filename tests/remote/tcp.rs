//! `DOCKER_HOST=tcp://…` from another machine, and two machines on one engine.

use std::process::Command;
use std::time::Duration;

use crate::machine::Machine;
use crate::support::{On, Room, finish, within};
use crate::{Listening, free_port, has_engine, has_program, run_by, run_with, scenario};

/// Another machine, and where this one's engine is reached from there; None: one cannot be had here.
fn another() -> Option<(Machine, Listening, String)> {
    if !has_engine() || !has_program("socat", "-V") {
        return None;
    }
    let machine = Machine::new()?;
    let port = free_port();
    let listen = format!("TCP-LISTEN:{port},bind={},fork,reuseaddr", machine.here);
    let relay = Listening::relay(&listen, (&machine.here, port));
    let host = format!("tcp://{}:{port}", machine.here);
    Some((machine, relay, host))
}

#[test]
fn another_machine_s_engine_is_reached_where_it_is() {
    let Some((machine, _relay, host)) = another() else {
        return;
    };
    let room = Room::new();
    let ran = run_by(&room, &host, |command| machine.run(&command));
    assert!(!ran.said().contains("listen on all addresses"), "{ran:?}");
    let ran = run_with(&room, &host, "open", |command| machine.run(&command));
    let exposed = format!("its servers listen on all addresses of `{}`", machine.here);
    assert!(ran.said().contains(&exposed), "{ran:?}");

    // The bad twin: by that machine's own loopback nothing is to be had.
    let mut command = room.run_command(On::Container, &room.path("scenario"), &[]);
    command.env("DOCKER_HOST", "tcp://127.0.0.1:2375");
    finish(machine.run(&command)).expect(
        3,
        &["no container engine answers at `tcp://127.0.0.1:2375`"],
    );
}

/// Neither takes what the other has at work for abandoned, whatever the names of the machines.
#[test]
fn two_machines_share_one_engine() {
    let Some((machine, _relay, host)) = another() else {
        return;
    };
    let room = Room::new();
    let path = scenario(&room);
    let slow = room.scenario_named(
        "slow",
        "[[steps]]\nname = \"slow\"\nsql = \"SELECT pg_sleep(12)\"\n",
    );
    let there = |arguments: &[&str]| {
        let mut command = room.command(arguments);
        command.env("DOCKER_HOST", &host);
        machine.run(&command)
    };
    let mut command = room.run_command(On::Container, &slow, &["--allow-unproven"]);
    command
        .env("DOCKER_HOST", &host)
        .env("LOCKPROOF_CACHE", room.path("far"));
    let far = room.start(machine.run(&command));
    let begun = || room.containers().iter().any(|name| name.contains("-run-"));
    assert!(within(Duration::from_secs(60), begun), "{}", far.stderr());

    // This machine sweeps meanwhile, and makes use of the same base under a lock that is its own.
    room.lockproof(&["clean"]).expect(0, &[]);
    assert!(begun(), "{}", far.stderr());
    finish(room.run_command(On::Container, &path, &["--quiet"])).expect(1, &[]);
    // So does a third, which has the first one's name.
    finish(there(&["clean"])).expect(0, &[]);
    assert!(begun(), "{}", far.stderr());
    far.end().expect(0, &[]);
    room.assert_engine_clean();
}

/// Two machines begin at once: one makes the base, the other waits for it.
#[test]
fn two_machines_make_one_base() {
    let Some((machine, _relay, host)) = another() else {
        return;
    };
    let room = Room::with("SELECT pg_sleep(3);");
    let path = room.scenario("[[steps]]\nname = \"a\"\nsql = \"ALTER TABLE items ADD COLUMN a int\"\n[budgets]\nAccessExclusiveLock = \"5s\"\n");
    let mut command: Command = room.run_command(On::Container, &path, &[]);
    command
        .env("DOCKER_HOST", &host)
        .env("LOCKPROOF_CACHE", room.path("far"));
    let far = room.start(machine.run(&command));
    let begun = || {
        room.containers()
            .iter()
            .any(|name| name.contains("-build-"))
    };
    assert!(within(Duration::from_secs(60), begun), "{}", far.stderr());
    finish(room.run_command(On::Container, &path, &[]))
        .expect(0, &["another lockproof on this engine makes the same base"]);
    let far = far.end();
    far.expect(0, &[]);
    assert!(!far.said().contains("was interrupted"), "{far:?}");
    assert_eq!(room.volumes().len(), 1, "{:?}", room.volumes());
    room.assert_engine_clean();
}
