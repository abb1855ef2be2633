//! A process that reaches nothing but itself, and what is opened for it: network and mount namespaces of its own.
//!
//! Its network has a loopback interface and nothing else. Unix sockets live in the file system, where a network
//! namespace does not hide them: those that listen on this machine are covered by `/dev/null` in its mount namespace.
//! Root makes the namespaces directly; another user does so in a user namespace, where the kernel allows that.

#[cfg(target_os = "linux")]
mod kernel;
mod sockets;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::process::Command;

/// What is to stand around a process.
#[derive(Debug, Default)]
pub struct Enclosure {
    /// Unix sockets, and folders of them, that stay reachable.
    reachable: Vec<PathBuf>,
    /// Folders that are empty for it, whatever is in them now or later.
    emptied: Vec<PathBuf>,
    /// Where a listener waits inside, which its maker answers.
    door: Option<SocketAddr>,
    /// A file that stands in for `/etc/hosts`.
    hosts: Option<PathBuf>,
    /// The account that it drops to once it is enclosed.
    account: Option<(u32, u32)>,
}

/// The end of an enclosure that stays with its maker.
#[derive(Debug)]
pub struct Inside {
    #[cfg(target_os = "linux")]
    door: Option<std::os::unix::net::UnixStream>,
}

impl Enclosure {
    /// What reaches nothing at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves a Unix socket, or those in a folder, where they are.
    #[must_use]
    pub fn reaching(mut self, path: impl Into<PathBuf>) -> Self {
        self.reachable.push(path.into());
        self
    }

    /// Also hides the folders where servers put their sockets: one that starts later is hidden as well.
    #[must_use]
    pub fn without_servers(mut self) -> Self {
        self.emptied = sockets::server_folders();
        self
    }

    /// Has a listener inside at this address, which the loopback interface has there.
    #[must_use]
    pub fn with_door(mut self, address: SocketAddr) -> Self {
        self.door = Some(address);
        self
    }

    /// Names hosts as this file does.
    #[must_use]
    pub fn with_hosts(mut self, file: PathBuf) -> Self {
        self.hosts = Some(file);
        self
    }

    /// Drops to an account (user, group) once it is enclosed: only root can.
    #[must_use]
    pub fn under(mut self, account: Option<(u32, u32)>) -> Self {
        self.account = account;
        self
    }

    /// Whether this machine lets us enclose a process; the reason when it does not. Tried once, with a real process.
    ///
    /// # Errors
    /// The kernel has no such namespaces, or refuses them to this user or inside this container.
    pub fn possible() -> Result<(), &'static str> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        TRIED
            .get_or_init(try_it)
            .as_ref()
            .map(|&()| ())
            .map_err(String::as_str)
    }

    /// Has the command's process enclosed before its program begins.
    ///
    /// # Errors
    /// No channel to the process can be made.
    #[cfg(target_os = "linux")]
    pub fn around(self, command: &mut Command) -> io::Result<Inside> {
        let covered = sockets::to_cover(&self.reachable, &self.emptied);
        let (ours, theirs) = match self.door {
            Some(_) => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                (Some(ours), Some(theirs))
            }
            None => (None, None),
        };
        let plan = kernel::Plan::new(kernel::Wanted {
            covered,
            emptied: self.emptied,
            door: self.door.zip(theirs),
            hosts: self.hosts,
            account: self.account,
        })?;
        kernel::before_exec(command, plan);
        Ok(Inside { door: ours })
    }

    /// Elsewhere there are no namespaces.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn around(self, _: &mut Command) -> io::Result<Inside> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

impl Inside {
    /// The listener inside, once the process was started.
    ///
    /// # Errors
    /// There is none: the process was not started, or was to have none.
    #[cfg(target_os = "linux")]
    pub fn door(self) -> io::Result<TcpListener> {
        let channel = self.door.ok_or(io::ErrorKind::NotFound)?;
        kernel::receive(&channel)
    }

    /// Elsewhere there is none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn door(self) -> io::Result<TcpListener> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

#[cfg(target_os = "linux")]
fn try_it() -> Result<(), String> {
    let plan = kernel::Wanted::default();
    let refused =
        |error: io::Error| format!("the kernel does not allow a network namespace here ({error})");
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", ":"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let plan = kernel::Plan::new(plan).map_err(refused)?;
    kernel::before_exec_of(&mut command, plan);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "a process in a network namespace ended with {status}"
        )),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(not(target_os = "linux"))]
fn try_it() -> Result<(), String> {
    Err("only Linux has network namespaces".to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
