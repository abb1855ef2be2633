//! A run: steps one after the other, what truly happened in them, and the events that tell of it.

use std::time::Duration;

use lockproof::clock::Mono;
use lockproof::recording::format::{
    Backend, Event, LockRow, Origin, Outcome, Poll, Relation, SnapshotFacts,
};
use lockproof::stage::StageKind;
use proptest::prelude::*;

use super::history::{Course, Lane, Lock, MS, Who, course, lane, worker};
use super::watch::{Look, Sampler, looks};

/// Somebody else who waits behind a lock of the migration.
#[derive(Debug, Clone)]
pub struct Victim {
    pub lock: Lock,
    behind: i32,
}

/// A step and its neighbourhood.
#[derive(Debug, Clone)]
pub struct Step {
    pub started: u64,
    pub ended: u64,
    pub lanes: Vec<Lane>,
    pub victims: Vec<Victim>,
    /// The polls whose rows were told, with the moments of their snapshots.
    pub seen: Vec<(u64, Poll)>,
    /// What each source told, in its own order: the sampler, each session, and who they are.
    pub queues: Vec<Vec<Event>>,
    /// Before and after all of these.
    first: Vec<Event>,
    last: Vec<Event>,
}

/// A run whose truth is known.
#[derive(Debug, Clone)]
pub struct World {
    pub floor: Duration,
    first: Vec<Event>,
    pub steps: Vec<Step>,
}

/// All that differs between two runs.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Polls of at least a bit more than nothing before the first step.
    watched: bool,
    floor: Duration,
    pub steps: Vec<StepSeed>,
}

#[derive(Debug, Clone)]
pub struct StepSeed {
    driven: bool,
    courses: Vec<(Course, u64)>,
    vacuum: Option<Course>,
    stranger: Option<Course>,
    victims: Vec<(prop::sample::Index, f64)>,
    looks: Vec<Look>,
    /// From the last of them to the one after everything.
    rest: u64,
}

impl StepSeed {
    /// Gives the channel room for all polls: which of them find none depends on those before.
    pub fn give_room(&mut self) {
        for look in &mut self.looks {
            look.full = false;
        }
    }

    /// Loses polls: each is time that passes before the next one.
    pub fn drop_polls(&mut self, keep: &[bool]) {
        let mut kept = Vec::new();
        for (mut look, keep) in std::mem::take(&mut self.looks).into_iter().zip(keep) {
            look.rest += std::mem::take(&mut self.rest);
            if *keep {
                kept.push(look);
            } else {
                self.rest = look.rest + look.length;
            }
        }
        self.looks = kept;
    }
}

pub fn seed() -> impl Strategy<Value = Seed> {
    let step = (
        any::<bool>(),
        prop::collection::vec((course(), 0..20 * MS), 1..3),
        prop::option::weighted(0.3, course()),
        prop::option::weighted(0.3, course()),
        prop::collection::vec((any::<prop::sample::Index>(), 0.0..1.0f64), 0..3),
        looks(),
    );
    let step = step.prop_map(
        |(driven, courses, vacuum, stranger, victims, looks)| StepSeed {
            driven,
            courses,
            vacuum,
            stranger,
            victims,
            looks,
            rest: 0,
        },
    );
    let floor = prop::sample::select(vec![0, 2, 10]).prop_map(Duration::from_millis);
    (any::<bool>(), floor, prop::collection::vec(step, 1..3)).prop_map(|(watched, floor, steps)| {
        Seed {
            watched,
            floor,
            steps,
        }
    })
}

impl World {
    /// Lets it happen.
    pub fn of(seed: &Seed) -> Self {
        let mut sampler = Sampler::default();
        let mut first = vec![
            Event::Stage {
                kind: StageKind::External,
                image: None,
                server_version: "15".to_owned(),
                settings: std::collections::BTreeMap::new(),
                role: None,
                warmth: None,
                snapshot: SnapshotFacts {
                    name: "made up".to_owned(),
                    digest: None,
                    taken_at: None,
                    tables: Vec::new(),
                    ..Default::default()
                },
                cloned: None,
                network: None,
                notes: Vec::new(),
            },
            Event::ReplayStarted {
                replay: 1,
                repeat: 1,
                at: Mono(0),
            },
        ];
        if seed.watched {
            first.extend(sampler.look(&Look::waited_for(), seed.floor, |_| Vec::new()));
        }
        let steps = seed
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| Step::of(step, index, seed.floor, &mut sampler))
            .collect();
        Self {
            floor: seed.floor,
            first,
            steps,
        }
    }

    /// Its events; `pick` chooses, again and again, which of so many sources tells next.
    pub fn events(&self, mut pick: impl FnMut(usize) -> usize) -> Vec<Event> {
        let mut events = self.first.clone();
        for step in &self.steps {
            events.extend(step.first.iter().cloned());
            let mut queues: Vec<_> = step.queues.iter().map(|queue| queue.iter()).collect();
            while !queues.is_empty() {
                let next = pick(queues.len());
                match queues[next].next() {
                    Some(event) => events.push(event.clone()),
                    None => drop(queues.remove(next)),
                }
            }
            events.extend(step.last.iter().cloned());
        }
        events
    }
}

impl Step {
    fn of(seed: &StepSeed, index: usize, floor: Duration, sampler: &mut Sampler) -> Self {
        let started = sampler.now + MS;
        let number = |lane: usize| (index * 10 + lane) as u32;
        let who = if seed.driven {
            Who::Driven
        } else {
            Who::Program
        };
        let mut lanes: Vec<Lane> = seed
            .courses
            .iter()
            .enumerate()
            .map(|(at, (course, rest))| lane(course, who, number(at), started + rest))
            .collect();
        for (at, who, course) in [
            (5, Who::Autovacuum, &seed.vacuum),
            (6, Who::Stranger, &seed.stranger),
        ] {
            lanes.extend(course.iter().map(|course| {
                let mut lane = lane(course, who, number(at), started);
                // Neither prepares a transaction: what is prepared is the migration's.
                lane.locks.retain(|lock| lock.prepared.is_none());
                lane
            }));
        }
        let victims = victims(seed, &lanes, number(0));
        let mut step = Self {
            started,
            ended: 0,
            lanes,
            victims,
            seen: Vec::new(),
            queues: Vec::new(),
            first: vec![Event::StepStarted {
                step: index,
                at: Mono(started),
            }],
            last: Vec::new(),
        };
        step.watch(seed, floor, sampler);
        step.people();
        step.tell(seed.driven, index);
        step
    }

    fn locks(&self) -> impl Iterator<Item = &Lock> {
        let victims = self.victims.iter().map(|victim| &victim.lock);
        self.lanes
            .iter()
            .flat_map(|lane| &lane.locks)
            .chain(victims)
    }

    fn rows(&self, at: u64) -> Vec<LockRow> {
        self.locks().flat_map(|lock| lock.rows(at)).collect()
    }

    /// Polls as asked for, and one after everything, as every step has it.
    fn watch(&mut self, seed: &StepSeed, floor: Duration, sampler: &mut Sampler) {
        sampler.seen.clear();
        sampler.now = self.started;
        let mut events = Vec::new();
        for look in &seed.looks {
            events.extend(sampler.look(look, floor, |at| self.rows(at)));
        }
        let released = self.locks().map(|lock| lock.released);
        let replied = self.lanes.iter().flat_map(|lane| &lane.statements);
        let over = released
            .chain(replied.map(|statement| statement.done.unwrap_or(statement.sent)))
            .max();
        sampler.now = (sampler.now + seed.rest).max(over.unwrap_or_default()) + 1;
        events.extend(sampler.look(&Look::waited_for(), floor, |_| Vec::new()));
        self.ended = sampler.now;
        self.seen = std::mem::take(&mut sampler.seen);
        self.queues.push(events);
    }

    /// Who the processes are and for whom they wait.
    fn people(&mut self) {
        let person = |pid, backend_type: &str, application: &str, leader| Event::Backend {
            at: Mono(self.started),
            backend: Backend {
                pid,
                backend_type: backend_type.to_owned(),
                application: application.to_owned(),
                leader,
                query: "LOCK TABLE t".to_owned(),
                ours: None,
            },
        };
        let mut queues = Vec::new();
        for lane in &self.lanes {
            let (backend_type, application) = match lane.who {
                Who::Driven | Who::Program => ("client backend", "lockproof: step"),
                Who::Stranger => ("client backend", "shop"),
                Who::Autovacuum => ("autovacuum worker", ""),
            };
            queues.push(vec![person(lane.pid, backend_type, application, None)]);
            let leader = Some(lane.pid);
            queues.push(vec![person(
                worker(lane.pid),
                "parallel worker",
                "",
                leader,
            )]);
        }
        for victim in &self.victims {
            let pid = victim.lock.pid;
            queues.push(vec![
                person(pid, "client backend", "shop", None),
                Event::Waiter {
                    at: Mono(victim.lock.released),
                    pid,
                    behind: vec![victim.behind],
                    by: None,
                },
            ]);
        }
        self.queues.extend(queues);
    }

    fn tell(&mut self, driven: bool, index: usize) {
        if !driven {
            self.first.push(Event::CommandStarted {
                argv: vec!["flyway".to_owned()],
                at: Mono(self.started),
                network: None,
            });
            self.last.push(Event::CommandExited {
                at: Mono(self.ended),
                status: Some(0),
                output: Vec::new(),
            });
        }
        for (number, lane) in self.lanes.iter().enumerate() {
            if lane.who != Who::Driven {
                continue;
            }
            let mut queue = vec![Event::SessionOpened { pid: lane.pid }];
            for (place, statement) in lane.statements.iter().enumerate() {
                queue.push(Event::StatementSent {
                    index: number * 100 + place,
                    pid: lane.pid,
                    at: Mono(statement.sent),
                    sql: Some(statement.text.to_owned()),
                    vacuum: false,
                    lock_timeout: None,
                });
                queue.extend(statement.done.map(|done| Event::StatementDone {
                    pid: lane.pid,
                    at: Mono(done),
                    rows: 0,
                    in_transaction: statement.in_transaction,
                    error: None,
                }));
            }
            self.queues.push(queue);
        }
        let mut oids: Vec<(u32, bool)> = self
            .locks()
            .map(|lock| (lock.relation, lock.is_new()))
            .collect();
        oids.sort_unstable();
        oids.dedup();
        let relation = |(oid, new): (u32, bool)| Relation {
            oid,
            name: oid.to_string(),
            kind: 'r',
            parent: None,
            origin: if new { Origin::New } else { Origin::Existing },
        };
        self.last.extend([
            Event::StepFinished {
                step: index,
                at: Mono(self.ended),
                attempts: 1,
                neighbours: 0,
                outcome: Outcome::Done,
            },
            Event::Relations {
                step: index,
                relations: oids.into_iter().map(relation).collect(),
            },
        ]);
    }
}

/// Sessions that wait from some moment of a hold of the migration to its end.
fn victims(seed: &StepSeed, lanes: &[Lane], number: u32) -> Vec<Victim> {
    let held: Vec<(&Lock, u64)> = lanes
        .iter()
        .filter(|lane| matches!(lane.who, Who::Driven | Who::Program))
        .flat_map(|lane| &lane.locks)
        .filter_map(|lock| Some((lock, lock.granted?)))
        .collect();
    let mut victims = Vec::new();
    for (at, (which, place)) in seed.victims.iter().enumerate() {
        if held.is_empty() {
            break;
        }
        let (lock, granted) = held[which.index(held.len())];
        let number = number + at as u32;
        victims.push(Victim {
            lock: Lock {
                pid: 5_000 + number as i32,
                vxid: (i64::from(number) + 500, 1),
                mode: lockproof::pg::LockMode::AccessExclusiveLock,
                asked: granted + ((lock.released - granted) as f64 * place) as u64,
                granted: None,
                prepared: None,
                worker: None,
                ..lock.clone()
            },
            behind: lock.pid,
        });
    }
    victims
}
