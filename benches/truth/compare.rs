//! What lockproof told beside what the witness saw.

use std::collections::BTreeMap;
use std::time::Duration;

use lockproof::analyse::{Hold, StepFacts};
use lockproof::pg::LockMode;

use crate::cases::{Case, Way};
use crate::load::Load;
use crate::product::Told;
use crate::server::Catalogue;
use crate::truth::{self, Lasted};

/// The budget of ACCESS EXCLUSIVE that lockproof has unless told otherwise.
const BUDGET: Duration = Duration::from_millis(50);

/// A true hold, and what was told of it.
pub struct Pair {
    /// Under which load.
    pub load: Load,
    /// Which way the step went.
    pub way: Way,
    /// How long it really lasted.
    pub lasted: Lasted,
    /// At least and at most, as told.
    pub told: (Duration, Option<Duration>),
    /// Whether a poll hit it at all; if none did, the bound is the step's blind window.
    pub seen: Seen,
}

/// Whether a poll hit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is among the report's holds.
    Yes,
    /// It is not.
    No,
}

impl Pair {
    /// Whether what is true lies in what was told.
    pub fn is_contained(&self) -> bool {
        let (least, most) = self.told;
        least <= self.lasted.most && most.is_none_or(|most| most >= self.lasted.least)
    }

    /// How much was left open; None: everything upwards.
    pub fn width(&self) -> Option<Duration> {
        self.told.1.map(|most| most.saturating_sub(self.told.0))
    }
}

/// A step's verdict, and what it should be.
pub struct Ruling {
    /// Under which load.
    pub load: Load,
    /// Which way the step went.
    pub way: Way,
    /// As reported.
    pub verdict: String,
    /// Its longest hold.
    pub longest: Option<Lasted>,
}

impl Ruling {
    /// Whether the truth contradicts it.
    pub fn is_wrong(&self) -> bool {
        match (self.verdict.as_str(), self.longest) {
            ("within", Some(longest)) => longest.least > BUDGET,
            ("exceeded", Some(longest)) => longest.most <= BUDGET,
            ("exceeded", None) => true,
            ("within" | "unproven", _) => false,
            // A step of this bench neither fails nor is left out.
            _ => true,
        }
    }
}

/// Everything that was compared.
#[derive(Default)]
pub struct Comparison {
    /// Holds.
    pub pairs: Vec<Pair>,
    /// Steps.
    pub rulings: Vec<Ruling>,
    /// Holds, true or told, that have no one partner, by load and way.
    pub unmatched: Vec<(Load, Way)>,
    /// What the witness cannot tell, by load and way: only where it is the clock.
    pub unwitnessed: u64,
    /// What contradicts the claims, with all that is known of it.
    pub counterexamples: Vec<String>,
}

/// Whether the witness sees every lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It does.
    Whole,
    /// Only those that were marked.
    Marked,
}

impl Comparison {
    /// Adds a run; true when something of it contradicts the claims.
    pub fn add(
        &mut self,
        load: Load,
        cases: &[Case],
        told: &Told,
        truths: Vec<truth::Hold>,
        catalogue: &Catalogue,
        sight: Sight,
    ) -> bool {
        let before = self.counterexamples.len();
        let mut by_step: BTreeMap<usize, Vec<truth::Hold>> = BTreeMap::new();
        for hold in truths {
            let table = catalogue.table_of(&hold.relation).unwrap_or(&hold.relation);
            let step = cases
                .iter()
                .position(|case| case.tables.iter().any(|each| each == table));
            match step {
                Some(step) => by_step.entry(step).or_default().push(hold),
                None => self
                    .counterexamples
                    .push(format!("a hold of a table that no step has: {hold:?}")),
            }
        }
        for ((case, (verdict, facts)), step) in cases.iter().zip(&told.steps).zip(0..) {
            let truths = by_step.remove(&step).unwrap_or_default();
            self.step(load, case, verdict, facts, truths, sight);
        }
        self.counterexamples.len() > before
    }

    fn step(
        &mut self,
        load: Load,
        case: &Case,
        verdict: &str,
        facts: &StepFacts,
        truths: Vec<truth::Hold>,
        sight: Sight,
    ) {
        let way = case.way;
        let place = format!("{}, {} (step {})", load.name(), way.name(), facts.step);
        let mut holds: BTreeMap<&str, Vec<&Hold>> = BTreeMap::new();
        for hold in &facts.holds {
            if hold.mode == LockMode::AccessExclusiveLock {
                holds.entry(&hold.relation).or_default().push(hold);
            }
        }
        let mut truly: BTreeMap<String, Vec<truth::Hold>> = BTreeMap::new();
        for hold in truths {
            truly.entry(hold.relation.clone()).or_default().push(hold);
        }
        let mut longest: Option<Lasted> = None;
        for (relation, truths) in &truly {
            let mut told = holds.remove(relation.as_str()).unwrap_or_default();
            told.sort_by_key(|hold| hold.granted_after);
            let lasted: Vec<Lasted> = truths.iter().filter_map(truth::Hold::lasted).collect();
            longest = longest.max(lasted.iter().max_by_key(|lasted| lasted.least).copied());
            let told: Vec<_> = match told.len() {
                0 => vec![((Duration::ZERO, Some(facts.blind)), Seen::No); lasted.len()],
                _ => told
                    .iter()
                    .map(|hold| ((hold.hold.at_least(), hold.hold.at_most()), Seen::Yes))
                    .collect(),
            };
            if told.len() != truths.len() || lasted.len() != truths.len() {
                let count = told.len().max(truths.len());
                self.unmatched.extend(vec![(load, way); count]);
                self.counterexamples.push(format!(
                    "{place}: not one told for one true hold of `{relation}`: told {told:?}, true {truths:?}"
                ));
                continue;
            }
            for (lasted, (told, seen)) in lasted.into_iter().zip(told) {
                let pair = Pair {
                    load,
                    way,
                    lasted,
                    told,
                    seen,
                };
                if !pair.is_contained() {
                    self.counterexamples.push(format!(
                        "{place}: `{relation}` was held {lasted:?}, told was {told:?} (a poll hit it: {seen:?}), \
                         verdict {verdict}, statements {:?}",
                        facts.statements
                    ));
                }
                self.pairs.push(pair);
            }
        }
        for (relation, told) in holds {
            if sight == Sight::Marked {
                self.unwitnessed += told.len() as u64;
                continue;
            }
            self.unmatched.extend(vec![(load, way); told.len()]);
            self.counterexamples.push(format!(
                "{place}: told, but never true: `{relation}` {told:?}"
            ));
        }
        let ruling = Ruling {
            load,
            way,
            verdict: verdict.to_owned(),
            longest,
        };
        if ruling.is_wrong() && !(sight == Sight::Marked && longest.is_none()) {
            self.counterexamples.push(format!(
                "{place}: {verdict}, but the longest hold was {longest:?}; told {:?}, blind {:?}, outcome {:?}",
                facts.holds, facts.blind, facts.outcome
            ));
        }
        self.rulings.push(ruling);
    }
}
