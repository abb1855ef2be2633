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
    /// Whether a hold that the witness did not see cannot have been.
    pub sight: Sight,
}

impl Ruling {
    /// Whether the truth contradicts it.
    pub fn is_wrong(&self) -> bool {
        match (self.verdict.as_str(), self.longest) {
            ("within", Some(longest)) => longest.least > BUDGET,
            ("exceeded", Some(longest)) => longest.most <= BUDGET,
            ("exceeded", None) => self.sight == Sight::Whole,
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
        let zero = zero(told, &by_step);
        for ((case, (verdict, facts)), step) in cases.iter().zip(&told.steps).zip(0..) {
            let truths = by_step.remove(&step).unwrap_or_default();
            self.step(load, case, verdict, facts, truths, (zero, sight));
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
        (zero, sight): (i128, Sight),
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
            let told = (lasted.len() == truths.len())
                .then(|| partners(truths, &told, facts, zero))
                .flatten();
            let Some(told) = told else {
                self.unmatched.extend(vec![(load, way); truths.len()]);
                self.counterexamples.push(format!(
                    "{place}: not one told for one true hold of `{relation}`: told {:?}, true {truths:?}",
                    facts.holds
                ));
                continue;
            };
            let told: Vec<_> = told
                .into_iter()
                .map(|hold| match hold {
                    Some(hold) => ((hold.hold.at_least(), hold.hold.at_most()), Seen::Yes),
                    // No poll hit it: the claim about such is all that there is.
                    None => ((Duration::ZERO, Some(facts.blind)), Seen::No),
                })
                .collect();
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
            sight,
        };
        if ruling.is_wrong() {
            self.counterexamples.push(format!(
                "{place}: {verdict}, but the longest hold was {longest:?}; told {:?}, blind {:?}, outcome {:?}",
                facts.holds, facts.blind, facts.outcome
            ));
        }
        self.rulings.push(ruling);
    }
}

/// The moment by which a reported hold was surely granted, by the run's own clock.
fn granted_by(facts: &StepFacts, hold: &Hold) -> i128 {
    i128::from(facts.started.0) + hold.granted_after.as_nanos() as i128
}

/// When the run's own clock began, by the witness's, to a millisecond or so. Nothing is judged by it: it only
/// tells which of several holds of one relation a reported one is.
///
/// A lock is granted before lockproof can know of it; with the quickest of a run, hardly before.
fn zero(told: &Told, truths: &BTreeMap<usize, Vec<truth::Hold>>) -> i128 {
    let offsets = told.steps.iter().flat_map(|(_, facts)| {
        let truths = truths.get(&facts.step).map_or(&[][..], Vec::as_slice);
        truths.iter().filter_map(move |truth| {
            let mut same = facts.holds.iter().filter(|hold| {
                hold.mode == LockMode::AccessExclusiveLock && hold.relation == truth.relation
            });
            let (only, None) = (same.next()?, same.next()) else {
                return None;
            };
            let alone = truths
                .iter()
                .filter(|each| each.relation == truth.relation)
                .count()
                == 1;
            alone.then(|| i128::from(truth.granted.from) - granted_by(facts, only))
        })
    });
    offsets.max().unwrap_or_default()
}

/// For each true hold of a relation the reported one, None where no poll hit it; None in all where a
/// reported one is left over.
fn partners<'a>(
    truths: &[truth::Hold],
    told: &[&'a Hold],
    facts: &StepFacts,
    zero: i128,
) -> Option<Vec<Option<&'a Hold>>> {
    if let ([_], [only]) = (truths, told) {
        return Some(vec![Some(only)]);
    }
    let mut partners = vec![None; truths.len()];
    for hold in told {
        // In the middle of what it surely covers.
        let moment = zero + granted_by(facts, hold) + hold.hold.at_least().as_nanos() as i128 / 2;
        let distance = |truth: &truth::Hold| {
            let from = i128::from(truth.granted.from);
            let to = truth
                .released
                .map_or(i128::MAX, |released| i128::from(released.to));
            (from - moment).max(moment - to).max(0)
        };
        let nearest = (0..truths.len()).min_by_key(|index| distance(&truths[*index]))?;
        if partners[nearest].replace(*hold).is_some() {
            return None;
        }
    }
    Some(partners)
}
