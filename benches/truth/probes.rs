//! The witness: kernel uprobes on the server's own lock functions, by bpftrace.
//!
//! A lock without a wait is granted inside `LockAcquireExtended`, which lasts microseconds. One that was
//! waited for is granted by whoever releases last, inside `GrantLock` of that process, before the waiter
//! even wakes up. All is released inside `LockReleaseAll`. So each moment lies between a function's
//! entry and its return, read from `CLOCK_MONOTONIC` by the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Outcome;
use crate::ground::Ground;
use crate::server::{Catalogue, DATABASE, UNIQUE};
use crate::truth::{Hold, Moment};

/// Locked now and then: when its line is here, so are those of everything before it.
const SENTINEL: &str = "sentinel";
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of several processors come in any order, but not far apart.
const STRAGGLERS: Duration = Duration::from_millis(60);

/// Probes that are attached.
pub struct Probes {
    bpftrace: Child,
    heard: Arc<Mutex<Heard>>,
    sentinel: u32,
}

#[derive(Default)]
struct Heard {
    calls: Vec<Call>,
    /// Anything else that bpftrace said.
    words: Vec<String>,
}

/// A call of one of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    what: char,
    at: Moment,
    pid: u32,
    relation: u32,
    returned: i64,
}

impl Probes {
    /// Attaches them to the server; an error says why that cannot be.
    pub fn attach(ground: &Ground, server: u32) -> Outcome<Self> {
        let oid = ground.sql(
            DATABASE,
            "SELECT oid FROM pg_database WHERE datname = current_database()",
        )?;
        if oid.parse::<u32>()? < UNIQUE {
            return Err(
                "before PostgreSQL 15 a server is not told from another one of the same program"
                    .into(),
            );
        }
        let program = include_str!("probes.bt")
            .replace("SERVER", &format!("/proc/{server}/exe"))
            .replace("DATABASE", &oid);
        let mut bpftrace = Command::new("bpftrace")
            .args(["-B", "line", "-e", &program])
            .env("BPFTRACE_PERF_RB_PAGES", "512")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("bpftrace cannot be started: {error}"))?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        listen(bpftrace.stdout.take(), &heard);
        listen(bpftrace.stderr.take(), &heard);
        let sentinel = ground.sql(
            DATABASE,
            &format!("SELECT '{SENTINEL}'::regclass::oid::int"),
        )?;
        let mut probes = Self {
            bpftrace,
            heard,
            sentinel: sentinel.parse()?,
        };
        // They are attached when they see something.
        match probes.sync(ground) {
            Ok(()) => Ok(probes),
            Err(error) => {
                let words = probes.heard().words.join("\n  ");
                drop(probes);
                Err(format!("{error}; bpftrace said:\n  {words}").into())
            }
        }
    }

    /// The holds since the last time that this was asked.
    pub fn holds(&mut self, ground: &Ground, catalogue: &Catalogue) -> Outcome<Vec<Hold>> {
        self.sync(ground)?;
        std::thread::sleep(STRAGGLERS);
        let mut heard = self.heard();
        if let Some(lost) = heard.words.iter().find(|line| line.contains("Lost")) {
            return Err(format!("the witness is not whole, bpftrace says: {lost}").into());
        }
        let calls = std::mem::take(&mut heard.calls);
        drop(heard);
        Ok(holds(calls, catalogue))
    }

    /// Locks the sentinel until its release has been told.
    fn sync(&mut self, ground: &Ground) -> Outcome {
        let mut waited = Duration::ZERO;
        let mark = |heard: &Heard| {
            let mut calls = heard.calls.iter();
            let is_sentinel = |call: &&Call| call.what == 'A' && call.relation == self.sentinel;
            calls.rfind(is_sentinel).map_or(0, |call| call.at.to)
        };
        let before = mark(&self.heard());
        while waited < PATIENCE {
            ground.sql(DATABASE, &format!("BEGIN; LOCK TABLE {SENTINEL}; COMMIT"))?;
            for _ in 0..20 {
                if mark(&self.heard()) > before {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(10));
                waited += Duration::from_millis(10);
            }
            if let Some(status) = self.bpftrace.try_wait()? {
                return Err(format!("bpftrace ended: {status}").into());
            }
        }
        Err("the probes see no lock".into())
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        // It is a child that was not waited for yet, so its number is its own.
        if let Ok(pid) = i32::try_from(self.bpftrace.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let _ = self.bpftrace.wait();
    }
}

fn listen(pipe: Option<impl Read + Send + 'static>, heard: &Arc<Mutex<Heard>>) {
    let Some(pipe) = pipe else {
        return;
    };
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            match call(&line) {
                Some(call) => heard.calls.push(call),
                None if line.trim().is_empty() => {}
                None => heard.words.push(line),
            }
        }
    });
}

fn call(line: &str) -> Option<Call> {
    let mut words = line.split(' ');
    let what = words
        .next()
        .filter(|word| word.len() == 1)?
        .chars()
        .next()?;
    let numbers: Vec<i64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    let number = |index: usize| numbers.get(index).copied().unwrap_or_default();
    let expected = match what {
        'A' => 5,
        'E' | 'G' | 'U' => 4,
        'R' => 3,
        _ => return None,
    };
    (numbers.len() == expected).then_some(())?;
    Some(Call {
        what,
        at: Moment {
            from: u64::try_from(number(0)).ok()?,
            to: u64::try_from(number(1)).ok()?,
        },
        pid: u32::try_from(number(2)).ok()?,
        relation: u32::try_from(number(3)).ok()?,
        returned: number(4),
    })
}

/// From calls to holds.
fn holds(mut calls: Vec<Call>, catalogue: &Catalogue) -> Vec<Hold> {
    calls.sort_by_key(|call| call.at);
    let grants: Vec<Call> = calls
        .iter()
        .copied()
        .filter(|call| call.what == 'G')
        .collect();
    let mut open: BTreeMap<(u32, u32), Open> = BTreeMap::new();
    let mut asking: BTreeMap<u32, Call> = BTreeMap::new();
    let mut holds: Vec<Hold> = Vec::new();
    for call in calls {
        let key = (call.pid, call.relation);
        match call.what {
            'E' => {
                asking.insert(call.pid, call);
            }
            'A' => {
                asking.remove(&call.pid);
                let Some(relation) = catalogue
                    .relations
                    .get(&call.relation)
                    .filter(|_| call.returned > 0)
                else {
                    // Not got, or of a table that no step locks.
                    continue;
                };
                open.entry(key)
                    .and_modify(|open| open.times += 1)
                    .or_insert(Open {
                        times: 1,
                        name: relation.name.clone(),
                        granted: granted(call.at, call.relation, &grants).unwrap_or(call.at),
                    });
            }
            'U' => {
                if let Some(held) = open.get_mut(&key) {
                    held.times -= 1;
                    if held.times == 0 {
                        holds.extend(open.remove(&key).map(|open| open.until(Some(call.at))));
                    }
                }
            }
            'R' => {
                // A time-out struck while it was being granted: held until the transaction ended.
                if let Some(asked) = asking.remove(&call.pid) {
                    let until = Moment {
                        from: asked.at.from,
                        to: call.at.from,
                    };
                    let name = catalogue.relations.get(&asked.relation);
                    let granted = granted(until, asked.relation, &grants);
                    holds.extend(granted.zip(name).map(|(granted, relation)| Hold {
                        relation: relation.name.clone(),
                        granted,
                        released: Some(call.at),
                    }));
                }
                let ended: BTreeSet<_> = open
                    .keys()
                    .copied()
                    .filter(|(pid, _)| *pid == call.pid)
                    .collect();
                for key in ended {
                    holds.extend(open.remove(&key).map(|open| open.until(Some(call.at))));
                }
            }
            _ => {}
        }
    }
    holds.extend(open.into_values().map(|open| open.until(None)));
    holds.sort_by_key(|hold| hold.granted);
    holds
}

/// A hold that has begun.
struct Open {
    /// Asked for so often: the server counts, and lets go when it is at zero again.
    times: u32,
    name: String,
    granted: Moment,
}

impl Open {
    fn until(self, released: Option<Moment>) -> Hold {
        Hold {
            relation: self.name,
            granted: self.granted,
            released,
        }
    }
}

/// The grant by another process while it was asked for; None: there was none, so it was granted at once.
fn granted(asked: Moment, relation: u32, grants: &[Call]) -> Option<Moment> {
    let first = grants.partition_point(|grant| grant.at.from < asked.from);
    grants[first..]
        .iter()
        .take_while(|grant| grant.at.from <= asked.to)
        .find(|grant| grant.relation == relation)
        .map(|grant| grant.at)
}
