//! Keeps a step's program: it and all its descendants end with lockproof, however that ends.
//!
//! Between lockproof and the program stands a process of lockproof's own program, which every orphan below it is handed
//! to. A socket connects the two. When lockproof is gone the socket says so, and the process ends what is below it:
//! also what left the program's process group or session. Elsewhere than on Linux there is no such process, and the
//! program's process group is all that is ended.

#[cfg(target_os = "linux")]
mod below;
mod left;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

pub use left::end_left;

use crate::stage::local::process::Process;

/// The first argument that makes lockproof's program a keeper.
const WORD: &str = "__keep";
/// In the environment of whatever a keeper keeps: which lockproof it belongs to.
const BELONGS: &str = "LOCKPROOF_BELONGS_TO";
/// From a polite signal to the one that cannot be refused.
const GRACE: Duration = Duration::from_secs(2);
/// How long what was killed may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// lockproof's own program, where this process is one.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says that this process is lockproof's program. As a keeper it does its work, and its exit status is returned; None:
/// it was not started as one.
pub fn begin() -> Option<u8> {
    #[cfg(target_os = "linux")]
    {
        let mut arguments = std::env::args_os().skip(1);
        if arguments.next().is_some_and(|word| word == WORD) {
            return Some(below::keep(&arguments.collect::<Vec<OsString>>()));
        }
        if let Ok(program) = std::env::current_exe() {
            let _ = PROGRAM.set(program);
        }
    }
    None
}

/// A program that is to be started, in the hands of a keeper where there can be one.
#[derive(Debug)]
pub struct Start {
    /// For arguments, environment and folder.
    pub command: Command,
    socket: Option<std::os::unix::net::UnixStream>,
}

/// A program at work.
#[derive(Debug)]
pub struct Kept {
    /// Its pipes.
    pub child: Child,
    socket: Option<BufReader<UnixStream>>,
    group: Option<Pid>,
}

/// How a program ended.
#[derive(Debug)]
pub enum Ended {
    /// It did not even begin.
    NotStarted(std::io::Error),
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// How to start a program.
///
/// # Errors
/// No socket can be made.
pub fn start(program: &Path) -> std::io::Result<Start> {
    let (mut command, socket) = match PROGRAM.get() {
        Some(keeper) => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let mut command = Command::new(keeper);
            command.arg(WORD).arg(program);
            command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
            (command, Some(ours))
        }
        None => {
            let mut command = Command::new(program);
            command.stdin(Stdio::null()).kill_on_drop(true);
            (command, None)
        }
    };
    if let Some(us) = Process::of(std::process::id().cast_signed()) {
        command.env(BELONGS, left::mark(&us, &left::namespace()));
    }
    // Ctrl-C on the terminal is for us; what we started we end.
    command.process_group(0);
    Ok(Start { command, socket })
}

impl Start {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(mut self) -> std::io::Result<Kept> {
        let child = self.command.spawn()?;
        // Its end of the socket is with the command.
        drop(self.command);
        let socket = self.socket.map(UnixStream::from_std).transpose()?;
        Ok(Kept {
            group: child.id().map(|id| Pid::from_raw(id.cast_signed())),
            child,
            socket: socket.map(BufReader::new),
        })
    }
}

impl Kept {
    /// Waits for the program's own end; what it left behind goes on.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn wait(&mut self) -> std::io::Result<Ended> {
        let Some(socket) = &mut self.socket else {
            use std::os::unix::process::ExitStatusExt;
            let status = self.child.wait().await?;
            return Ok(match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Status(code),
                (None, signal) => Ended::Signal(signal.unwrap_or_default()),
            });
        };
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        let (word, number) = line.trim().split_once(' ').unwrap_or_default();
        let number = number.parse().unwrap_or_default();
        match word {
            "status" => Ok(Ended::Status(number)),
            "signal" => Ok(Ended::Signal(number)),
            "failed" => {
                let error = std::io::Error::from_raw_os_error(number);
                Ok(Ended::NotStarted(error))
            }
            _ => Err(std::io::Error::other("its keeper was ended from outside")),
        }
    }

    /// Asks the program and what is below it to end, and ends what does not.
    pub async fn end(mut self) {
        if let Some(socket) = &mut self.socket {
            let _ = socket.get_mut().write_all(b"t").await;
        } else if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGTERM);
        }
        let _ = tokio::time::timeout(GRACE, self.wait()).await;
        self.end_rest().await;
    }

    /// Ends what is left below it; it returns when nothing is.
    pub async fn end_rest(mut self) {
        match self.socket.take() {
            // The keeper sees the end of its socket.
            Some(socket) => drop(socket),
            None => {
                if let Some(group) = self.group {
                    // ESRCH: nobody is left, which is what is wanted.
                    let _ = killpg(group, Signal::SIGKILL);
                }
            }
        }
        if tokio::time::timeout(GONE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
