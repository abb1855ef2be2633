//! An engine on a machine that is reached by `ssh`: one connection, and everything through it.
//!
//! The system's own `ssh` makes it, so that the user's keys, agent, aliases and jump hosts hold. The engine's socket and
//! each server's port become sockets in a folder that is the user's alone: nothing is open to the
//! network on either side.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::process::{Child, Command};

use super::socket_folder::Folder;
use crate::stage::Cut;

/// Where an engine listens unless the URL has a path.
const SOCKET: &str = "/var/run/docker.sock";

/// Said from the other side when it is there.
const READY: &str = "lockproof: connected";

/// Who is asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Destination {
    /// `user@host`, or an alias of the user's ssh configuration.
    name: String,
    port: Option<u16>,
    /// The engine's socket over there.
    socket: String,
}

/// A connection that ends with this value, or with this process however it ends.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// Its standard input is held open: when this process dies, the other side reads its end.
    _ssh: Child,
    folder: Folder,
    destination: Destination,
    forwards: AtomicU32,
}

impl Tunnel {
    /// Connects; never asks the user anything.
    pub(super) async fn open(url: &str) -> Result<Self, String> {
        let destination = parse(url)?;
        let folder =
            Folder::make().map_err(|error| format!("no folder for its sockets: {error}"))?;
        let words = folder.path().join("log");
        let log = std::fs::File::create(&words)
            .map_err(|error| format!("cannot write `{}`: {error}", words.display()))?;
        let forward = format!("{}:{}", socket(folder.path()).display(), destination.socket);
        let mut ssh = ssh(folder.path(), &destination)
            .args(["-T", "-L", &forward])
            .args(["-o", "ControlMaster=yes", "-o", "ControlPersist=no"])
            .args(["-o", "ExitOnForwardFailure=yes", "-o", "ConnectTimeout=15"])
            .args([
                "-o",
                "ServerAliveInterval=15",
                "-o",
                "ServerAliveCountMax=4",
            ])
            .args(["--", &destination.name])
            .arg(format!("echo '{READY}'; exec cat"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start `ssh`: {error}"))?;
        if let Some(stdout) = ssh.stdout.take() {
            // A login script over there may say something of its own first.
            let mut lines = Cut::at(1024, stdout);
            loop {
                match lines.next().await {
                    Ok(Some(line)) if line.trim() == READY => break,
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Err(last_words(&words)),
                }
            }
        }
        Ok(Self {
            _ssh: ssh,
            folder,
            destination,
            forwards: AtomicU32::new(0),
        })
    }

    /// The engine's socket on this side.
    pub(super) fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// A folder with a server's socket, which leads to this port of the other machine's loopback.
    pub(super) async fn forward(&self, port: u16) -> Result<PathBuf, String> {
        let number = self.forwards.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        let forward = format!("{}/.s.PGSQL.5432:127.0.0.1:{port}", folder.display());
        let output = ssh(self.folder.path(), &self.destination)
            .args(["-O", "forward", "-L", &forward])
            .args(["--", &self.destination.name])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| format!("cannot start `ssh`: {error}"))?;
        if output.status.success() {
            Ok(folder)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

/// What both calls have in common.
fn ssh(folder: &Path, destination: &Destination) -> Command {
    let mut command = Command::new("ssh");
    command
        .arg("-S")
        .arg(folder.join("c"))
        .args(["-o", "BatchMode=yes"]);
    if let Some(port) = destination.port {
        command.args(["-p", &port.to_string()]);
    }
    command
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("engine")
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    format!("ssh ended: {}", last.unwrap_or("it said nothing").trim())
}

/// `ssh://[user@]host[:port][/path/of/the/socket]`, the path as Podman writes it.
fn parse(url: &str) -> Result<Destination, String> {
    let rest = url.strip_prefix("ssh://").unwrap_or(url);
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err("a password has no place in its URL: ssh asks a key or an agent".to_owned());
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or("a `]` is missing")?;
            (host, rest.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    // What begins like an option would be one.
    if host.is_empty() || authority.starts_with('-') || host.starts_with('-') {
        return Err("it is written ssh://USER@HOST".to_owned());
    }
    let port = port
        .map(|port| port.parse().map_err(|_| format!("no port: `{port}`")))
        .transpose()?;
    Ok(Destination {
        name: user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}")),
        port,
        socket: if path.len() > 1 { path } else { SOCKET }.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_docker_and_podman() {
        let parsed = |url: &str| {
            parse(url).map(|destination| {
                let port = destination.port.unwrap_or(0);
                format!("{} {port} {}", destination.name, destination.socket)
            })
        };
        let default = "/var/run/docker.sock";
        for (url, expected) in [
            ("ssh://me@there", format!("me@there 0 {default}")),
            ("ssh://there:2222/", format!("there 2222 {default}")),
            ("ssh://[fd00::2]:22", format!("fd00::2 22 {default}")),
            (
                "ssh://me@there/run/user/7/podman/podman.sock",
                "me@there 0 /run/user/7/podman/podman.sock".to_owned(),
            ),
        ] {
            assert_eq!(parsed(url), Ok(expected), "{url}");
        }
        for url in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://me@-x",
            "ssh://a:b",
            "ssh://me:secret@there",
        ] {
            assert!(parsed(url).is_err(), "{url}");
        }
        let refused = parsed("ssh://me:secret@there").err();
        assert!(refused.is_some_and(|why| !why.contains("secret")));
    }
}
