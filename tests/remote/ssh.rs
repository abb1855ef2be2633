//! `DOCKER_HOST=ssh://…`: everything through one connection of the system's own `ssh`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{On, Room, finish, output, within};
use crate::{Listening, SOCKET, free_port, has_engine, has_program, run_by};

/// OpenSSH's server, installed or only unpacked by tests/setup.sh: as a service nobody wants it here.
fn sshd() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/sshd/usr/sbin/sshd");
    let found = [unpacked, "/usr/sbin/sshd".into()]
        .into_iter()
        .find(|file| file.exists());
    if found.is_none() {
        crate::support::missing("no `sshd`: tests/setup.sh unpacks it");
    }
    found
}

/// An account that the server runs as and lets in: without root it can let in nobody else.
fn account() -> String {
    let root = nix::unistd::Uid::effective().is_root();
    if root {
        "postgres".to_owned()
    } else {
        output("id", &["-un"]).trim().to_owned()
    }
}

/// A server with a key of its own, and an `ssh` in the folder `bin` that knows both.
fn served(room: &Room, sshd: &Path) -> (Listening, String) {
    let at = |name: &str| room.path(name).display().to_string();
    fs::create_dir(room.path("ssh")).expect("made");
    for key in ["host", "id"] {
        output(
            "ssh-keygen",
            &[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                &at(&format!("ssh/{key}")),
            ],
        );
    }
    let port = free_port();
    room.file(
        "ssh/sshd.conf",
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\n",
            at("ssh/host"),
            at("ssh/id.pub")
        ),
    );
    let ssh = room.file(
        "bin/ssh",
        format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F none -i '{}' -o UserKnownHostsFile='{}' \
             -o StrictHostKeyChecking=accept-new \"$@\"\n",
            at("ssh/id"),
            at("ssh/known")
        ),
    );
    fs::set_permissions(ssh, fs::Permissions::from_mode(0o755)).expect("set");
    let mut server = Command::new(sshd);
    server.args(["-D", "-e", "-f", &at("ssh/sshd.conf")]);
    if nix::unistd::Uid::effective().is_root() {
        // May talk to the engine, as whoever logs in there may.
        let account = account();
        let group = output("stat", &["-c", "%g", SOCKET]);
        output("chown", &[&account, &at("ssh/host")]);
        server = Command::new("setpriv");
        server.args(["--reuid", &account, "--regid", &account, "--groups"]);
        server.args([group.trim(), &sshd.display().to_string()]);
        server.args(["-D", "-e", "-f", &at("ssh/sshd.conf")]);
    }
    server.process_group(0);
    let server = Listening::start(&mut server, ("127.0.0.1", port));
    (server, format!("ssh://{}@127.0.0.1:{port}", account()))
}

fn with_ssh(room: &Room, mut command: Command) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", room.path("bin").display()));
    command
}

/// Whether a connection of lockproof's is there: its socket is in the room's folder for such.
fn connected(room: &Room) -> bool {
    let control = room.path("tmp").display().to_string();
    let lines = room.processes();
    lines.iter().any(|(_, line)| line.contains(&control))
}

#[track_caller]
fn assert_disconnected(room: &Room) {
    let ended = within(Duration::from_secs(3), || !connected(room));
    assert!(ended, "left behind: {:#?}", room.processes());
    assert!(room.names("tmp").is_empty(), "{:?}", room.names("tmp"));
}

#[test]
fn an_engine_behind_ssh_needs_no_open_port() {
    let (true, true, Some(sshd)) = (has_engine(), has_program("ssh", "-V"), sshd()) else {
        return;
    };
    let room = Room::new();
    let (_server, host) = served(&room, &sshd);
    let ran = run_by(&room, &host, |command| with_ssh(&room, command));
    assert!(!ran.said().contains("all addresses"), "{ran:?}");
    // Podman's way of saying where the socket is.
    let named = format!("{host}{SOCKET}");
    run_by(&room, &named, |command| with_ssh(&room, command));
    assert_disconnected(&room);

    let start = |name: &str| {
        let path = room.scenario_named(
            name,
            "[[steps]]\nname = \"endless\"\nsql = \"SELECT pg_sleep(100)\"\n",
        );
        let mut command = room.run_command(On::Container, &path, &[]);
        command.env("DOCKER_HOST", &host);
        let run = room.start(with_ssh(&room, command));
        let begun = || room.containers().iter().any(|name| name.contains("-run-"));
        assert!(within(Duration::from_secs(60), begun), "{}", run.stderr());
        run
    };
    start("ended").signalled(Signal::SIGTERM);
    assert_disconnected(&room);
    room.assert_engine_clean();
    // However it ends, the connection ends with it; what stays is swept.
    start("killed").signalled(Signal::SIGKILL);
    assert!(
        within(Duration::from_secs(10), || !connected(&room)),
        "it goes on"
    );
    let mut clean = room.command(&["clean"]);
    clean.env("DOCKER_HOST", &host);
    assert_eq!(room.names("tmp").len(), 1, "{:?}", room.names("tmp"));
    finish(with_ssh(&room, clean)).expect(
        0,
        &["removed container lockproof-run-", "/tmp/lockproof-way-"],
    );
    room.assert_engine_clean();
    assert_disconnected(&room);
}

#[test]
fn an_engine_that_ssh_does_not_reach_is_named() {
    let (true, true, Some(sshd)) = (has_engine(), has_program("ssh", "-V"), sshd()) else {
        return;
    };
    let room = Room::new();
    let (_server, host) = served(&room, &sshd);
    let tried = |host: &str| {
        let mut command = room.run_command(On::Container, &crate::scenario(&room), &[]);
        command.env("DOCKER_HOST", host);
        finish(with_ssh(&room, command))
    };
    // Nobody there by that name, no engine behind the socket, nobody listens at all.
    let stranger = host.replace(&account(), "stranger");
    tried(&stranger).expect(
        3,
        &["ssh ended: ", "ermission denied", "without a question"],
    );
    tried(&format!("{host}/nowhere.sock")).expect(3, &["no container engine answers at `ssh://"]);
    tried("ssh://127.0.0.1:1").expect(3, &["ssh ended: ", "refused"]);
    tried("ssh://-oProxyCommand=true").expect(3, &["it is written ssh://USER@HOST"]);
    assert_disconnected(&room);
}
