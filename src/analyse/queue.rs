//! The queue: what the migration waited for, how long nobody else could have what it asked for, and who stood behind.
//!
//! A lock that is only waited for already keeps newcomers out, so what applications feel begins with the asking.
//! Every bound here is made of the edges of rows, as a hold's are: asked as late as the first poll that shows the wait,
//! as early as the last one before it that does not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Holder;
use super::chain::{Sightings, Stake, Stand};
use super::impact::{Depth, Exclusion, InForce, LockTimeout, Queue, Victim, Wait, WaitEnd};
use super::lives::Life;
use super::owner::Owner;
use super::scene::{Grip, Scene};
use super::span::{self, Stretch};
use crate::bounds::Bounds;
use crate::clock::Mono;
use crate::pg::LockMode;
use crate::recording::format::{Claim, LockRow, Origin};

/// The longest waits and exclusions are listed, so many of each.
const LISTED: usize = 1_000;
/// Points of the depth.
const POINTS: usize = 200;

impl Scene<'_> {
    /// The step's queue.
    pub fn queue(&self, lives: &[&Life], grips: &[Grip<'_>]) -> Queue {
        let sightings = Sightings::new(&self.step.waiters);
        let stakes = self.stakes(lives, grips);
        let stands = self.stands(lives, &stakes, &sightings);
        let exclusive = |stake: &Stake<'_>| stake.row.mode == LockMode::AccessExclusiveLock;
        let excluding: Vec<Stretch> = stakes
            .iter()
            .filter(|stake| exclusive(stake))
            .map(|stake| stake.stretch)
            .collect();
        let depth = self.depth(&stands);
        Queue {
            waits: self.waits(lives, &stakes, &sightings),
            exclusions: self.exclusions(&stakes, &stands),
            deepest: depth
                .iter()
                .filter(|point| point.sessions > 0)
                .max_by_key(|point| (point.sessions, Reverse(point.at)))
                .copied(),
            depth: thinned(&depth),
            victim: self.victim(&stands, lives, &sightings),
            longest: longest(&stands),
            blocked: stands.len() as u64,
            surely_blocked: stands.iter().filter(|stand| stand.sure).count() as u64,
            downtime: downtime(&stakes, &stands),
            excluded: span::union(&excluding),
            lock_timeouts: self.lock_timeouts(&stakes),
            rested: self.step.rested,
            unseen: Duration::ZERO,
        }
    }

    /// What the migration asked for on relations that were there before the step: its holds with their waits, and the
    /// waits that led to none.
    fn stakes<'l>(&self, lives: &[&'l Life], grips: &[Grip<'l>]) -> Vec<Stake<'l>> {
        let mut stakes: Vec<Stake<'l>> = Vec::new();
        let mut paired: BTreeSet<(Mono, LockRow)> = BTreeSet::new();
        for grip in grips {
            let asked = grip.asked.map(|wait| self.edges(wait));
            paired.extend(grip.asked.map(|wait| (wait.first.sent, wait.row)));
            let sure = grip.holder == Holder::Known;
            let asked_by = asked
                .filter(|_| !grip.perhaps_two)
                .map_or(grip.edges.granted_by, |asked| asked.granted_by);
            let asked_from = asked.map_or(grip.edges.granted_from, |asked| {
                asked.granted_from.min(grip.edges.granted_from)
            });
            stakes.push(Stake {
                row: grip.life.row,
                asked: grip.asked,
                granted: Some(grip.life),
                last: grip.last,
                gone: grip.gone,
                stretch: Stretch {
                    inner: (
                        asked_by,
                        self.unless_sure(sure, asked_by, grip.edges.released_from),
                    ),
                    outer: (asked_from, grip.edges.released_by),
                },
                sure,
            });
        }
        for life in lives {
            let row = life.row;
            let waits = row.claim == Claim::Waiting && row.relation != 0;
            let made_here = self
                .step
                .relations
                .get(&row.relation)
                .is_some_and(|relation| relation.origin == Origin::New);
            let earlier = life.first.received < self.step.started;
            if !waits || made_here || earlier || paired.contains(&(life.first.sent, row)) {
                continue;
            }
            let sure = match self.owner(row.pid) {
                Owner::Migration => true,
                Owner::Unclear => false,
                Owner::Watcher | Owner::Foreign => continue,
            };
            let edges = self.edges(life);
            stakes.push(Stake {
                row,
                asked: Some(*life),
                granted: None,
                last: life.last,
                gone: life.absent_after,
                stretch: Stretch {
                    inner: (
                        edges.granted_by,
                        self.unless_sure(sure, edges.granted_by, edges.released_from),
                    ),
                    outer: (edges.granted_from, edges.released_by),
                },
                sure,
            });
        }
        stakes.sort_by_key(|stake| (stake.stretch.outer.0, stake.row));
        stakes
    }

    /// The end of what is proved: none of it, where it may be a stranger's.
    fn unless_sure(&self, sure: bool, from: Mono, to: Mono) -> Mono {
        if sure { to } else { from }
    }

    fn waits(&self, lives: &[&Life], stakes: &[Stake<'_>], sightings: &Sightings<'_>) -> Vec<Wait> {
        let granted: BTreeMap<_, &Life> = stakes
            .iter()
            .filter_map(|stake| {
                let asked = stake.asked?;
                Some(((asked.first.sent, asked.row), stake.granted?))
            })
            .collect();
        let mut waits: Vec<(Mono, Wait)> = Vec::new();
        for life in lives {
            let row = life.row;
            let earlier = life.first.received < self.step.started;
            if row.claim != Claim::Waiting || earlier || !self.is_ours(row.pid) {
                continue;
            }
            let edges = self.edges(life);
            let grant = granted.get(&(life.first.sent, row));
            let granted_edges = grant.map(|grant| self.edges(grant));
            let until = match (
                edges.released_by,
                granted_edges.map(|edges| edges.granted_by),
            ) {
                (Some(gone), Some(granted)) => Some(gone.min(granted)),
                (gone, granted) => gone.or(granted),
            };
            let waited = Stretch {
                inner: (edges.granted_by, edges.released_from),
                outer: (edges.granted_from, until),
            };
            let relation = self.step.relations.get(&row.relation);
            waits.push((
                edges.granted_from,
                Wait {
                    relation: (row.relation != 0).then(|| {
                        relation.map_or_else(
                            || format!("oid {}", row.relation),
                            |relation| relation.name.clone(),
                        )
                    }),
                    mode: row.mode,
                    pid: row.pid,
                    asked: self.moment(edges.granted_from, Some(edges.granted_by)),
                    waited: waited.length(),
                    ended: if grant.is_some() || self.went_well(life) {
                        WaitEnd::Granted
                    } else {
                        WaitEnd::InVain
                    },
                    statement: self.statement_at(self.client(row.pid), edges.granted_by),
                    behind: Vec::new(),
                },
            ));
            if waits.len() <= LISTED
                && let Some((_, wait)) = waits.last_mut()
            {
                wait.behind = self.in_front(life, lives, sightings);
            }
        }
        longest_in_time(waits, |wait| wait.waited)
    }

    /// Whether the statement that waited got its reply without an error: then it had what it asked for, unless its
    /// text may hide that it did without.
    fn went_well(&self, life: &Life) -> bool {
        let Some(session) = self.session(life.row.pid) else {
            return false;
        };
        let pid = self.client(life.row.pid);
        let spans = session.spans_from(life.first.received);
        spans.first().is_some_and(|span| {
            span.sent <= life.first.received
                && self
                    .step
                    .text(span.index)
                    .is_some_and(|text| !text.may_hide)
                && span.done.is_some_and(|done| !self.step.failed(pid, done))
        })
    }

    fn exclusions(&self, stakes: &[Stake<'_>], stands: &[Stand<'_>]) -> Vec<Exclusion> {
        let mut behind: BTreeMap<usize, BTreeSet<i32>> = BTreeMap::new();
        for stand in stands {
            for stake in &stand.stakes {
                behind.entry(*stake).or_default().insert(stand.pid);
            }
        }
        let exclusions = stakes
            .iter()
            .enumerate()
            .filter(|(_, stake)| stake.row.mode == LockMode::AccessExclusiveLock)
            .map(|(index, stake)| {
                let asked = stake.asked.or(stake.granted).map(|life| self.edges(life));
                let relation = self.step.relations.get(&stake.row.relation);
                let exclusion = Exclusion {
                    relation: relation.map_or_else(
                        || format!("oid {}", stake.row.relation),
                        |relation| relation.name.clone(),
                    ),
                    pid: stake.row.pid,
                    asked: self.moment(stake.stretch.outer.0, asked.map(|asked| asked.granted_by)),
                    lasted: stake.stretch.length(),
                    ended: match stake.granted {
                        Some(_) => WaitEnd::Granted,
                        None if stake.asked.is_some_and(|life| self.went_well(life)) => {
                            WaitEnd::Granted
                        }
                        None => WaitEnd::InVain,
                    },
                    blocked: behind.get(&index).map_or(0, |pids| pids.len() as u64),
                };
                (stake.stretch.outer.0, exclusion)
            })
            .collect();
        longest_in_time(exclusions, |exclusion| exclusion.lasted)
    }

    /// How many stood behind the migration, whenever that changed.
    fn depth(&self, stands: &[Stand<'_>]) -> Vec<Depth> {
        // Who went comes before who came: one poll that shows both shows them one after the other.
        let mut changes: Vec<(Mono, bool, i32)> = Vec::new();
        for stand in stands {
            let (from, to) = (stand.shown.0, stand.shown.1.unwrap_or(self.end));
            if from < to {
                changes.extend([(from, true, stand.pid), (to, false, stand.pid)]);
            }
        }
        changes.sort_unstable();
        let mut there: BTreeMap<i32, u32> = BTreeMap::new();
        let mut depth: Vec<Depth> = Vec::new();
        for (at, comes, pid) in changes {
            if comes {
                *there.entry(pid).or_default() += 1;
            } else if let Some(count) = there.get_mut(&pid) {
                *count -= 1;
                if *count == 0 {
                    there.remove(&pid);
                }
            }
            let point = Depth {
                at: at.since(self.began),
                sessions: there.len() as u64,
            };
            match depth.last_mut() {
                Some(last) if last.at == point.at => last.sessions = point.sessions,
                Some(last) if last.sessions == point.sessions => {}
                _ => depth.push(point),
            }
        }
        depth
    }

    fn victim(
        &self,
        stands: &[Stand<'_>],
        lives: &[&Life],
        sightings: &Sightings<'_>,
    ) -> Option<Victim> {
        let stand = stands.iter().max_by_key(|stand| {
            let length = stand.length();
            (length.at_least(), length.at_most(), Reverse(stand.pid))
        })?;
        // What was in front of it when it surely waited.
        let when = (stand.wait.inner.0, stand.wait.outer.1.unwrap_or(self.end));
        Some(Victim {
            session: self.stander(stand.pid, when),
            waited: stand.length(),
            chain: self.chain(stand.pid, stand.front, when, lives, sightings),
        })
    }

    /// What ended the waits of those statements that asked for a lock that stops writes or more, each once.
    fn lock_timeouts(&self, stakes: &[Stake<'_>]) -> Vec<LockTimeout> {
        let mut told: Vec<LockTimeout> = Vec::new();
        let sure = stakes.iter().filter(|stake| stake.sure);
        let mut applied: BTreeMap<i32, Vec<InForce>> = BTreeMap::new();
        for stake in sure {
            let mode = stake.row.mode;
            let pid = self.client(stake.row.pid);
            let Some(session) = self.step.sessions.get(&pid) else {
                let statement = self.query_at(pid, stake.stretch.outer.0, self.end);
                note(&mut told, statement, mode, InForce::Unknown);
                continue;
            };
            let over = applied
                .entry(pid)
                .or_insert_with(|| self.timeouts.over(session, |index| self.step.text(index)));
            let life = stake.asked.or(stake.granted);
            let Some(edges) = life.map(|life| self.edges(life)) else {
                continue;
            };
            let (takers, _) = self.indexes_of(session, &edges);
            for (span, in_force) in session.spans().iter().zip(over.iter()) {
                let then = span.sent <= edges.granted_by
                    && span.done.unwrap_or(self.end) >= edges.granted_from;
                if !then || !takers.contains(&span.index) {
                    continue;
                }
                let sql = self.step.sql(span.index);
                if !waits_never(&sql) {
                    note(&mut told, sql, mode, *in_force);
                }
            }
        }
        told
    }
}

/// `LOCK … NOWAIT` fails where others would wait.
fn waits_never(sql: &str) -> bool {
    let mut words = sql.split_whitespace();
    let is = |word: Option<&str>, wanted: &str| {
        word.is_some_and(|word| word.eq_ignore_ascii_case(wanted))
    };
    is(words.next(), "LOCK") && is(words.next_back(), "NOWAIT")
}

/// Of several modes of a statement the strongest is told.
fn note(told: &mut Vec<LockTimeout>, statement: String, mode: LockMode, in_force: InForce) {
    let same = |one: &&mut LockTimeout| one.statement == statement && one.in_force == in_force;
    if let Some(same) = told.iter_mut().find(same) {
        same.mode = same.mode.max(mode);
    } else if told.len() < LISTED {
        told.push(LockTimeout {
            statement,
            mode,
            in_force,
        });
    }
}

/// Bounds of the longest of these waits.
fn longest(stands: &[Stand<'_>]) -> Option<Bounds> {
    let lengths = stands.iter().map(Stand::length);
    lengths.reduce(|a, b| {
        let most = match (a.at_most(), b.at_most()) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
        Bounds::new(a.at_least().max(b.at_least()), most)
    })
}

/// For how long somebody's request could not finish, whatever it was: the exclusions behind which somebody was seen.
fn downtime(stakes: &[Stake<'_>], stands: &[Stand<'_>]) -> Option<Bounds> {
    let mut surely: BTreeMap<usize, bool> = BTreeMap::new();
    for stand in stands {
        for stake in &stand.stakes {
            *surely.entry(*stake).or_default() |= stand.sure;
        }
    }
    let stretches: Vec<Stretch> = surely
        .into_iter()
        .map(|(index, sure)| (&stakes[index], sure))
        .filter(|(stake, _)| stake.row.mode == LockMode::AccessExclusiveLock)
        .map(|(stake, sure)| match sure {
            true => stake.stretch,
            false => Stretch {
                inner: (stake.stretch.inner.0, stake.stretch.inner.0),
                ..stake.stretch
            },
        })
        .collect();
    span::union(&stretches)
}

/// The longest of these, in order of time.
fn longest_in_time<T>(mut all: Vec<(Mono, T)>, length: impl Fn(&T) -> Bounds) -> Vec<T> {
    if all.len() > LISTED {
        let most = |one: &T| length(one).at_most().unwrap_or(Duration::MAX);
        all.sort_by_key(|(_, one)| Reverse((most(one), length(one).at_least())));
        all.truncate(LISTED);
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, one)| one).collect()
}

/// At most [`POINTS`] points, the deepest of each stretch, and the last.
fn thinned(depth: &[Depth]) -> Vec<Depth> {
    if depth.len() <= POINTS {
        return depth.to_vec();
    }
    let (last, before) = match depth.split_last() {
        Some((last, before)) => (last, before),
        None => return Vec::new(),
    };
    before
        .chunks(before.len().div_ceil(POINTS - 1))
        .filter_map(|stretch| stretch.iter().max_by_key(|point| point.sessions))
        .chain([last])
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_queue_keeps_its_deepest_moments_and_its_end() {
        let depth: Vec<Depth> = (0..10_000u64)
            .map(|n| Depth {
                at: Duration::from_millis(n),
                sessions: if n == 9_999 { 0 } else { n * 7_919 % 1_000 },
            })
            .collect();
        let thin = thinned(&depth);
        assert!(
            thin.len() <= POINTS && thin.len() > POINTS / 2,
            "{}",
            thin.len()
        );
        let deepest = |points: &[Depth]| points.iter().map(|point| point.sessions).max();
        assert_eq!(deepest(&thin), deepest(&depth));
        assert_eq!(thin.last(), depth.last());
        assert!(thin.is_sorted_by_key(|point| point.at));
        assert_eq!(thinned(&depth[..50]), depth[..50]);
    }
}
