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
    let (ours, here) = (std::process::id().cast_signed(), namespace());
    let belongs = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        owner(&environment, &here).is_some_and(|owner| owner.pid != ours && !owner.is_alive())
    };
    everything()
        .into_iter()
        .filter(belongs)
        .filter_map(Process::of)
        .collect()
}

/// Where process numbers mean the same as here: in a container they do not, and a lockproof at work there would be
/// taken for one that is gone.
pub(super) fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.display().to_string()
}

/// What the environment of a lockproof's programs says of it.
pub(super) fn mark(owner: &Process, namespace: &str) -> String {
    format!("{}:{}:{namespace}", owner.pid, owner.started)
}

/// Which lockproof of this namespace an environment says that its process belongs to.
fn owner(environment: &[u8], here: &str) -> Option<Process> {
    let says = |entry: &[u8]| {
        let text = std::str::from_utf8(entry).ok()?;
        let value = text.strip_prefix(BELONGS)?.strip_prefix('=')?;
        let (pid, rest) = value.split_once(':')?;
        let (started, namespace) = rest.split_once(':')?;
        Some(Process {
            pid: pid.parse().ok().filter(|_| namespace == here)?,
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
        let entry = format!("PATH=/bin\0{BELONGS}=12:345@boot:pid:[7]\0HOME=/\0");
        let owner = owner(entry.as_bytes(), "pid:[7]").expect("an owner");
        assert_eq!((owner.pid, owner.started.as_str()), (12, "345@boot"));
        assert!(super::owner(entry.as_bytes(), "pid:[8]").is_none());
        assert!(super::owner(b"PATH=/bin\0", "pid:[7]").is_none());
    }

    #[test]
    fn what_belongs_to_a_process_that_is_gone_is_ended_and_nothing_else() {
        let nobody = Process {
            pid: i32::MAX,
            started: "1@long ago".to_owned(),
        };
        let gone = mark(&nobody, &namespace());
        let us = Process::of(std::process::id().cast_signed()).expect("us");
        let sleeper = |owner: &str| {
            std::process::Command::new("sleep")
                .arg("600")
                .env(BELONGS, owner)
                .spawn()
                .expect("started")
        };
        let mut left = sleeper(&gone);
        let mut kept = sleeper(&mark(&us, &namespace()));
        // Of another container, where that number may be somebody's.
        let mut elsewhere = sleeper(&mark(&nobody, "pid:[1]"));
        // Until exec the child shows our own environment.
        while !environment(left.id()).contains(&gone) {}
        let ended = end_left();
        assert!(
            ended.contains(&format!("process {} (`sleep`)", left.id())),
            "{ended:?}"
        );
        assert!(left.wait().is_ok_and(|status| !status.success()));
        for child in [&mut kept, &mut elsewhere] {
            assert!(child.try_wait().is_ok_and(|status| status.is_none()));
            child.kill().expect("ended");
            child.wait().expect("gone");
        }
    }

    fn environment(pid: u32) -> String {
        let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
