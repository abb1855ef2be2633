//! What a stage's container may use, and whether the kernel holds it to that.
//!
//! An engine takes limits without a word that it cannot put in force, as rootless ones on version 1 of
//! the kernel's control groups do; only inside the container is to be seen what became of them.

use super::container::Container;
use super::engine::Engine;
use crate::Result;

/// Tells what bounds there are, as seen by the process that becomes the server.
pub(super) const SCRIPT: &str = include_str!("scripts/limits.sh");

/// Where the script's answer is.
const SEEN: &str = "/lockproof/run/bounds";

/// The kernel gives shared memory in whole pages, and no machine of today has larger ones.
const PAGE: u64 = 64 << 10;

/// What a stage's container may use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Processors, in fractions; None: all.
    pub cpus: Option<f64>,
    /// Memory, without any swap on top; None: all.
    pub memory_bytes: Option<i64>,
    /// Size of /dev/shm, which parallel queries need; None: 1 GiB.
    pub shm_bytes: Option<i64>,
}

/// What the kernel holds a container to; None: it is not to be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seen {
    cpus: Option<f64>,
    memory: Option<u64>,
    shm: Option<u64>,
}

/// A line about the limits that were asked for and are not in force in a container that runs; None: all are.
pub(super) async fn broken(
    engine: &Engine,
    container: &Container,
    limits: &Limits,
) -> Result<Option<String>> {
    if *limits == Limits::default() {
        return Ok(None);
    }
    let text = container.read(engine, SEEN).await?.unwrap_or_default();
    Ok(told(&shortfalls(limits, seen(&text))))
}

/// Reads the script's answer: of several bounds the tightest holds.
fn seen(text: &str) -> Seen {
    let mut seen = Seen::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `max` and -1 are no numbers: no bound.
        let number = |place: usize| words.get(place)?.parse::<u64>().ok().filter(|n| *n > 0);
        let bytes = || number(1)?.checked_mul(if words.get(2) == Some(&"kB") { 1024 } else { 1 });
        match words.first() {
            Some(&"cpus") => {
                if let (Some(quota), Some(period)) = (number(1), number(2)) {
                    let cpus = quota as f64 / period as f64;
                    seen.cpus = Some(seen.cpus.map_or(cpus, |least| least.min(cpus)));
                }
            }
            Some(&"memory") => seen.memory = seen.memory.into_iter().chain(bytes()).min(),
            Some(&"shm") => seen.shm = bytes(),
            _ => {}
        }
    }
    seen
}

/// What was asked for and does not hold, with both numbers.
fn shortfalls(limits: &Limits, seen: Seen) -> Vec<String> {
    let bytes = |asked: Option<i64>| asked.and_then(|asked| u64::try_from(asked).ok());
    let mut shortfalls = Vec::new();
    if let Some(asked) = limits.cpus
        // Engines reckon in whole microseconds.
        && seen.cpus.is_none_or(|cpus| cpus > asked + 1e-3)
    {
        let cpus = seen.cpus.map(|cpus| cpus.to_string());
        shortfalls.push(shortfall("cpus", asked.to_string(), cpus));
    }
    if let Some(asked) = bytes(limits.memory_bytes)
        && seen.memory.is_none_or(|memory| memory > asked)
    {
        shortfalls.push(shortfall("memory", size(asked), seen.memory.map(size)));
    }
    if let Some(asked) = bytes(limits.shm_bytes)
        && seen.shm.is_none_or(|shm| shm.abs_diff(asked) > PAGE)
    {
        shortfalls.push(shortfall("shm", size(asked), seen.shm.map(size)));
    }
    shortfalls
}

fn shortfall(key: &str, asked: String, there: Option<String>) -> String {
    match there {
        Some(there) => format!("`{key}` ({asked} asked for, {there} there)"),
        None => format!("`{key}` ({asked} asked for, none to be seen)"),
    }
}

/// In whole megabytes, as far as that tells anything.
fn size(bytes: u64) -> String {
    match bytes / 1_000_000 {
        0 => format!("{bytes} bytes"),
        megabytes => format!("{megabytes} MB"),
    }
}

fn told(shortfalls: &[String]) -> Option<String> {
    (!shortfalls.is_empty()).then(|| {
        format!(
            "limits: the container engine did not put {} in force, as a rootless one cannot without version 2 of \
             the kernel's control groups; what was measured is not what a stage with these limits shows",
            shortfalls.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Limits = Limits {
        cpus: Some(1.5),
        memory_bytes: Some(700_000_000),
        shm_bytes: Some(96_000_000),
    };

    fn broken(text: &str) -> Vec<String> {
        shortfalls(&ASKED, seen(text))
    }

    #[test]
    fn limits_are_in_force_by_either_version_of_control_groups() {
        let machine = "cpus 800000 100000\nmemory 32226562 kB\nshm 93752 kB\n";
        for groups in [
            // Version 1: the container's own group, and one around it.
            "memory 699998208\nmemory 9223372036854771712\ncpus 150000 100000\ncpus -1 100000\n",
            // Version 2, and an engine that takes another period.
            "memory max\nmemory 699998208\ncpus 75000 50000\ncpus max 100000\n",
            // Tighter still, by a group around all of the engine.
            "memory 500000000\ncpus 100000 100000\n",
        ] {
            assert_eq!(broken(&format!("{groups}{machine}")), [""; 0], "{groups}");
        }
    }

    #[test]
    fn what_the_engine_ignored_is_named_with_both_numbers() {
        let machine = "cpus 200000 100000\nmemory 24684084 kB\n";
        for groups in [
            "memory 9223372036854771712\ncpus -1 100000\nshm 64000 kB\n",
            "memory max\ncpus max 100000\nshm 64000 kB\n",
        ] {
            assert_eq!(
                broken(&format!("{groups}{machine}")),
                [
                    "`cpus` (1.5 asked for, 2 there)",
                    "`memory` (700 MB asked for, 25276 MB there)",
                    "`shm` (96 MB asked for, 65 MB there)"
                ]
            );
        }
        // A machine that has no more than was asked for needs no limit.
        assert_eq!(
            broken("cpus 100000 100000\nmemory 600000 kB\nshm 93752 kB\n"),
            [""; 0]
        );
    }

    #[test]
    fn what_is_not_to_be_seen_is_not_taken_for_granted() {
        let unseen = broken("memory\ncpus 00000 100000\nshm  kB\nand more");
        assert_eq!(unseen.len(), 3, "{unseen:?}");
        assert_eq!(
            told(&unseen[..1]).as_deref(),
            Some(
                "limits: the container engine did not put `cpus` (1.5 asked for, none to be seen) in force, as a \
                 rootless one cannot without version 2 of the kernel's control groups; what was measured is not \
                 what a stage with these limits shows"
            )
        );
        assert_eq!(told(&[]), None);
        assert_eq!(shortfalls(&Limits::default(), Seen::default()), [""; 0]);
    }
}
