//! What a lockproof left running whose keeper was killed as well: found by its environment, ended by `lockproof clean`.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::BELONGS;
use crate::stage::local::process::{Process, everything};

/// How often it is looked for what those that were found have started meanwhile.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Ends the processes of lockproofs that are gone; a line about each. A program that cleared its environment is not
/// found here: its keeper ends it.
pub fn end_left() -> Vec<String> {
    let mut ended = Vec::new();
    for _ in 0..LOOKS {
        let found = left();
        if found.is_empty() {
            break;
        }
        for process in found {
            let line = format!("process {} (`{}`)", process.pid, name(process.pid));
            if !ended.contains(&line) {
                ended.push(line);
            }
            process.signal(Signal::SIGKILL);
        }
        std::thread::sleep(PAUSE);
    }
    ended
}

fn left() -> Vec<Process> {
    let ours = std::process::id().cast_signed();
    let belongs = |pid: &i32| {
        let owner = owner(&std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default());
        owner.is_some_and(|owner| owner.pid != ours && !owner.is_alive())
    };
    everything()
        .into_iter()
        .filter(belongs)
        .filter_map(Process::of)
        .collect()
}

/// Which lockproof an environment says that its process belongs to.
fn owner(environment: &[u8]) -> Option<Process> {
    let says = |entry: &[u8]| {
        let text = std::str::from_utf8(entry).ok()?;
        let value = text.strip_prefix(BELONGS)?.strip_prefix('=')?;
        let (pid, started) = value.split_once(':')?;
        Some(Process {
            pid: pid.parse().ok()?,
            started: started.to_owned(),
        })
    };
    environment.split(|byte| *byte == 0).find_map(says)
}

fn name(pid: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_from_the_environment() {
        let entry = format!("PATH=/bin\0{BELONGS}=12:345@boot\0HOME=/\0");
        let owner = owner(entry.as_bytes()).expect("an owner");
        assert_eq!((owner.pid, owner.started.as_str()), (12, "345@boot"));
        assert!(super::owner(b"PATH=/bin\0").is_none());
    }

    #[test]
    fn what_belongs_to_a_process_that_is_gone_is_ended_and_nothing_else() {
        let gone = "2147483647:1@long ago";
        let us = Process::of(std::process::id().cast_signed()).expect("us");
        let sleeper = |owner: &str| {
            std::process::Command::new("sleep")
                .arg("600")
                .env(BELONGS, owner)
                .spawn()
                .expect("started")
        };
        let mut left = sleeper(gone);
        let mut kept = sleeper(&format!("{}:{}", us.pid, us.started));
        // Until exec the child shows our own environment.
        while !environment(left.id()).contains(gone) {}
        let ended = end_left();
        assert!(
            ended.contains(&format!("process {} (`sleep`)", left.id())),
            "{ended:?}"
        );
        assert!(left.wait().is_ok_and(|status| !status.success()));
        assert!(kept.try_wait().is_ok_and(|status| status.is_none()));
        kept.kill().expect("ended");
        kept.wait().expect("gone");
    }

    fn environment(pid: u32) -> String {
        let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
