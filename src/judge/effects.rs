//! Whether the program of a step did what is to be proved: something, and in each replay what it did in the first. Pure.
//!
//! How many transactions it took is not compared: batches by time vary. The rows that it changed are.

use super::{Doubt, Missing, Verdict};
use crate::analyse::{StepFacts, Timeline};
use crate::recording::format::{Effects, Outcome};

/// What there is to say at a step, and what each makes of its verdict.
pub fn judge(timeline: &Timeline, facts: &StepFacts) -> Vec<(Doubt, Verdict)> {
    let Some(effects) = effects(facts) else {
        return Vec::new();
    };
    // That it failed is worse.
    if matches!(facts.outcome, Some(Outcome::Failed { .. })) {
        return Vec::new();
    }
    let unproven = |doubt| vec![(doubt, Verdict::Unproven)];
    if let Some(error) = &effects.unread {
        let error = error.clone();
        return unproven(Doubt::EffectsUnread { error });
    }
    // Replays before this one, in the order in which they were made.
    let replays = timeline.replays.iter().take(facts.replay);
    let earlier = replays
        .flat_map(|replay| &replay.steps)
        .filter(|earlier| earlier.step == facts.step)
        .find_map(self::effects);
    let missing = earlier.map_or_else(Vec::new, |earlier| missing(earlier, effects));
    if !missing.is_empty() {
        return unproven(Doubt::DidLess { missing });
    }
    let may_do_nothing = timeline.header.steps[facts.step].may_do_nothing;
    match (effects.any(), may_do_nothing) {
        (true, _) if effects.others && !effects.wrote && is_external(timeline) => {
            vec![(Doubt::OthersToo, Verdict::Within)]
        }
        (true, _) => Vec::new(),
        (false, true) if effects.came == Some(true) => Vec::new(),
        (false, true) => unproven(Doubt::NotSeen),
        (false, false) => unproven(Doubt::NothingDone {
            sessions: effects.sessions,
            unclear: effects.unclear.clone(),
        }),
    }
}

fn effects(facts: &StepFacts) -> Option<&Effects> {
    facts.command.as_ref()?.effects.as_ref()
}

fn is_external(timeline: &Timeline) -> bool {
    let stage = timeline.stage.as_ref();
    stage.is_some_and(|stage| stage.kind == crate::stage::StageKind::External)
}

/// What was done earlier and is not done now.
fn missing(earlier: &Effects, now: &Effects) -> Vec<Missing> {
    if earlier.unread.is_some() {
        return Vec::new();
    }
    if earlier.any() && !now.any() {
        return vec![Missing::Everything];
    }
    let of = |name: &str| now.changed.iter().find(|changed| changed.relation == name);
    let relations = earlier.changed.iter().filter_map(|then| {
        let relation = then.relation.clone();
        match (of(&relation), then.rows) {
            // Whether it was changed is unknown: nothing tells that it was not.
            (None, _) if now.unclear.contains(&relation) => None,
            (None, _) => Some(Missing::Relation(relation)),
            (Some(now), Some(earlier)) => {
                let now = now.rows.filter(|rows| *rows < earlier)?;
                Some(Missing::Rows {
                    relation,
                    earlier,
                    now,
                })
            }
            (Some(_), None) => None,
        }
    });
    let catalogues = earlier.catalogues.iter();
    let catalogues = catalogues.filter(|name| !now.catalogues.contains(name));
    relations
        .chain(catalogues.map(|name| Missing::Catalogue(name.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::format::Changed;

    fn did(changed: &[(&str, Option<u64>)], catalogues: &[&str]) -> Effects {
        let changed = changed.iter().map(|(relation, rows)| Changed {
            relation: (*relation).to_owned(),
            rows: *rows,
        });
        Effects {
            came: Some(true),
            changed: changed.collect(),
            catalogues: catalogues.iter().map(|name| (*name).to_owned()).collect(),
            ..Effects::default()
        }
    }

    #[test]
    fn a_replay_that_does_less_is_told_by_what_it_lacks() {
        let first = did(&[("a", Some(10)), ("b", None)], &["pg_class"]);
        assert_eq!(missing(&first, &first), []);
        let more = did(
            &[("a", Some(11)), ("b", Some(1)), ("c", None)],
            &["pg_class", "pg_proc"],
        );
        assert_eq!(missing(&first, &more), []);
        let nothing = did(&[], &[]);
        assert_eq!(missing(&first, &nothing), [Missing::Everything]);
        assert_eq!(missing(&nothing, &first), []);
        let fewer = did(&[("a", Some(9)), ("b", None)], &["pg_class"]);
        let rows = Missing::Rows {
            relation: "a".to_owned(),
            earlier: 10,
            now: 9,
        };
        assert_eq!(missing(&first, &fewer), [rows]);
        let other = did(&[("a", Some(10))], &["pg_proc"]);
        let lacks = [
            Missing::Relation("b".to_owned()),
            Missing::Catalogue("pg_class".to_owned()),
        ];
        assert_eq!(missing(&first, &other), lacks);
    }

    #[test]
    fn what_cannot_be_told_is_not_held_against_it() {
        let first = did(&[("a", Some(10)), ("b", Some(1))], &[]);
        let mut now = did(&[("b", None)], &[]);
        now.unclear = vec!["a".to_owned()];
        assert_eq!(missing(&first, &now), []);
    }
}
