//! Which process is meant: a pid alone may have gone to somebody else in the meantime.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process by its pid and the moment it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub pid: i32,
    /// Opaque: the kernel's start ticks and the boot they count from.
    pub started: String,
}

impl Process {
    /// The process that has this pid now; None: nobody, or only a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    /// True while this very process runs.
    pub fn is_alive(&self) -> bool {
        started(self.pid).as_deref() == Some(self.started.as_str())
    }

    /// Sends a signal to this very process, to none that has its pid now.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Waits for its end; false: it still runs.
    pub async fn ended_within(&self, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while self.is_alive() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

/// The server that runs on exactly this data folder, whoever started it.
pub(super) fn postmaster_on(data: &Path) -> Option<Process> {
    let servers: Vec<(i32, i32)> = all()
        .into_iter()
        .filter(|process| {
            process.arguments.first().is_some_and(|program| {
                Path::new(program)
                    .file_name()
                    .is_some_and(|name| name == "postgres")
            }) && process
                .arguments
                .windows(2)
                .any(|pair| pair[0] == "-D" && Path::new(&pair[1]) == data)
        })
        .map(|process| (process.pid, process.parent))
        .collect();
    // A backend shows its parent's command line for a moment after the fork.
    servers
        .iter()
        .find(|(_, parent)| !servers.iter().any(|(pid, _)| pid == parent))
        .and_then(|(pid, _)| Process::of(*pid))
}

/// Every process there is, by its number.
pub(crate) fn everything() -> Vec<i32> {
    all().into_iter().map(|process| process.pid).collect()
}

/// The processes below one: its children, theirs, and so on.
pub(crate) fn descendants(of: i32) -> BTreeSet<i32> {
    let all = all();
    let mut below = BTreeSet::from([of]);
    loop {
        let known = below.len();
        let children = all.iter().filter(|process| below.contains(&process.parent));
        let children: Vec<i32> = children.map(|process| process.pid).collect();
        below.extend(children);
        if below.len() == known {
            break;
        }
    }
    below.remove(&of);
    below
}

struct Listed {
    pid: i32,
    parent: i32,
    arguments: Vec<String>,
}

#[cfg(target_os = "linux")]
fn all() -> Vec<Listed> {
    let mut listed = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let Some(fields) = stat(pid) else { continue };
        listed.push(Listed {
            pid,
            parent: fields
                .get(1)
                .and_then(|parent| parent.parse().ok())
                .unwrap_or(0),
            arguments: line
                .split(|byte| *byte == 0)
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect(),
        });
    }
    listed
}

/// The fields of `/proc/<pid>/stat` behind the program's name: state, parent, …
#[cfg(target_os = "linux")]
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and parentheses.
    let rest = &text[text.rfind(')')? + 1..];
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

#[cfg(target_os = "linux")]
fn started(pid: i32) -> Option<String> {
    let fields = stat(pid)?;
    if matches!(fields.first().map(String::as_str), Some("Z" | "X")) {
        return None;
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{}@{}", fields.get(19)?, boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn all() -> Vec<Listed> {
    let Ok(output) = std::process::Command::new("ps")
        .args(["-axww", "-o", "pid=,ppid=,command="])
        .output()
    else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some(Listed {
                pid: words.next()?.parse().ok()?,
                parent: words.next()?.parse().ok()?,
                arguments: words.collect(),
            })
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn started(pid: i32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, began) = text.split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| began.trim().to_owned())
}

/// Ends what a killed postmaster left: a backend that computes does not notice until it next waits,
/// and no process group holds it. It is known by its working folder, the data folder.
#[cfg(target_os = "linux")]
pub(super) fn end_orphans(data: &Path) {
    for Listed { pid, .. } in all() {
        let works_there =
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data);
        let Some(process) = Process::of(pid).filter(|_| works_there) else {
            continue;
        };
        // Somebody may look around in there: only what is named as a backend is.
        let named = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        if named.is_ok_and(|name| name.trim() == "postgres") {
            process.signal(Signal::SIGKILL);
        }
    }
}

/// Elsewhere a process's folder cannot be asked for so simply; a backend ends with its statement.
#[cfg(not(target_os = "linux"))]
pub(super) fn end_orphans(_: &Path) {}

/// Removes the System V segment that a killed server left; PostgreSQL frees it in any orderly end.
///
/// Line 7 of `postmaster.pid` has its key and id. Only a segment that nobody is attached to goes.
pub(super) async fn free_shared_memory(data: &Path) {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else {
        return;
    };
    let Some((key, id)) = text.lines().nth(6).and_then(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    }) else {
        return;
    };
    // Printed as an unsigned long there and as a signed int by the kernel.
    let key = key
        .parse::<u64>()
        .map(|key| (key as u32).cast_signed().to_string());
    let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let unattached = segments.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // key shmid perms size cpid lpid nattch …
        fields.len() > 6 && key.as_deref() == Ok(fields[0]) && fields[1] == id && fields[6] == "0"
    });
    if unattached {
        let _ = tokio::process::Command::new("ipcrm")
            .args(["-m", &id])
            .stderr(std::process::Stdio::null())
            .status()
            .await;
    }
}

/// The folder as the kernel knows it, so that a server's command line can be compared with it.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_with_another_start_is_another_process() {
        let ours = Process::of(i32::try_from(std::process::id()).expect("a pid")).expect("us");
        assert!(ours.is_alive());
        let earlier = Process {
            started: "1@long ago".into(),
            ..ours
        };
        assert!(!earlier.is_alive());
        assert_eq!(Process::of(i32::MAX), None);
    }

    #[test]
    fn no_server_runs_on_a_folder_that_is_not_there() {
        assert_eq!(postmaster_on(Path::new("/nonexistent/data")), None);
    }
}
