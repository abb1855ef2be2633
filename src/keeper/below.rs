//! The keeper's own process: starts the program, says how it ended, and ends what is below when lockproof is gone.
//!
//! No runtime and no thread but the one that listens: it sleeps in the kernel until something happens.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::stage::local::process::descendants;

/// A look around for what was started meanwhile follows the one before after so long.
const AGAIN: Duration = Duration::from_millis(5);

/// Keeps a program; the exit status of this process, which says nothing of the program's.
pub(super) fn keep(arguments: &[OsString]) -> u8 {
    let Some((program, arguments)) = arguments.split_first() else {
        return 2;
    };
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return 2;
    };
    let socket = UnixStream::from(socket);
    // Without it an orphan would be handed to the system's first process, out of our sight.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn();
    let child = match spawned {
        Ok(child) => Pid::from_raw(child.id().cast_signed()),
        Err(error) => {
            say(&socket, "failed", error.raw_os_error().unwrap_or_default());
            return 1;
        }
    };
    // Pipes end when the program's copies are closed, whatever lives on here.
    let nowhere = || std::fs::File::options().write(true).open("/dev/null");
    if let (Ok(out), Ok(err)) = (nowhere(), nowhere()) {
        let _ = nix::unistd::dup2_stdout(out);
        let _ = nix::unistd::dup2_stderr(err);
    }
    if let Ok(listening) = socket.try_clone() {
        std::thread::spawn(move || listen(listening, child));
    }
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => {
                end_group(child);
                say(&socket, "status", status);
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                end_group(child);
                say(&socket, "signal", signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            // Nothing is left.
            Err(_) => return 0,
        }
    }
}

/// What shares the program's process group does not outlive it.
fn end_group(child: Pid) {
    let _ = killpg(child, Signal::SIGKILL);
}

fn say(mut socket: &UnixStream, word: &str, number: i32) {
    // Whoever is gone need not know.
    let _ = socket.write_all(format!("{word} {number}\n").as_bytes());
}

/// A byte asks for a polite end, the end of the socket for one that cannot be refused.
fn listen(mut socket: UnixStream, child: Pid) {
    let mut byte = [0];
    while let Ok(1) = socket.read(&mut byte) {
        let _ = killpg(child, Signal::SIGTERM);
        for pid in below() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
    // What is ended hands its children to us: until nothing comes after.
    loop {
        for pid in below() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(AGAIN);
    }
}

fn below() -> BTreeSet<i32> {
    descendants(std::process::id().cast_signed())
}
