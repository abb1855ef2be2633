//! The other witness, where the kernel allows no probes: marks that the steps themselves leave by the
//! server's clock. What lies between `held` and `ending` bounds the hold from below, between `asking`
//! and `ended` from above: less sharp than probes, and a wait counts to the upper side.

use std::collections::BTreeMap;

use crate::Outcome;
use crate::ground::Ground;
use crate::server::DATABASE;
use crate::truth::{Hold, Kind, Moment};

/// The clock tells whole microseconds.
const TICK: u64 = 1_000;

/// The holds since the last time that this was asked.
pub fn holds(ground: &Ground) -> Outcome<Vec<Hold>> {
    let rows = ground.sql(
        DATABASE,
        "WITH all_marks AS (DELETE FROM truth.marks RETURNING *) \
         SELECT relation, kind, (extract(epoch FROM at) * 1000000)::bigint FROM all_marks ORDER BY n",
    )?;
    let mut begun: BTreeMap<String, Begun> = BTreeMap::new();
    let mut holds = Vec::new();
    for row in rows.lines() {
        let [relation, kind, micros] = row.split('|').collect::<Vec<_>>()[..] else {
            return Err(format!("not a mark: {row}").into());
        };
        let at = micros.parse::<u64>()? * 1_000;
        let kind = Kind::ALL.into_iter().find(|each| each.name() == kind);
        match (kind, begun.get_mut(relation)) {
            (Some(Kind::Asking), _) => {
                let hold = Begun {
                    asking: at,
                    held: None,
                    ending: None,
                };
                begun.insert(relation.to_owned(), hold);
            }
            (Some(Kind::Held), Some(hold)) => hold.held = Some(at),
            (Some(Kind::Ending), Some(hold)) => hold.ending = Some(at),
            (Some(Kind::Ended), Some(_)) => {
                holds.extend(begun.remove(relation).map(|hold| hold.until(relation, at)));
            }
            _ => return Err(format!("a mark out of its turn: {row}").into()),
        }
    }
    for (relation, hold) in begun {
        holds.push(Hold {
            released: None,
            ..hold.until(&relation, u64::MAX)
        });
    }
    holds.sort_by_key(|hold| hold.granted);
    Ok(holds)
}

struct Begun {
    asking: u64,
    held: Option<u64>,
    ending: Option<u64>,
}

impl Begun {
    /// What was not marked inside may have been no longer than nothing.
    fn until(self, relation: &str, ended: u64) -> Hold {
        let (held, ending) = match (self.held, self.ending) {
            (Some(held), Some(ending)) => (held + TICK, ending),
            _ => (ended, ended),
        };
        Hold {
            relation: relation.to_owned(),
            granted: Moment {
                from: self.asking,
                to: held,
            },
            released: Some(Moment {
                from: ending,
                to: ended.saturating_add(TICK),
            }),
        }
    }
}
