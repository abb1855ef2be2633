//! What the program of a step did to the stage: looks before and after it, and the server's count of sessions less our own.
//!
//! lockproof drives none of the program's sessions, so it has the server's word alone: a program that reached another
//! server, or that found nothing to do, must not be taken for a migration within its budgets.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::pg::effects::Look;
use crate::pg::{Session, names, queries};
use crate::plan::{CommandWork, DisturbanceKind, Plan, Step};
use crate::recording::format::{Effects, Outcome};
use crate::replay::command::Remains;
use crate::replay::{self, Course};
use crate::stage::Endpoint;
use crate::stage::census::{self, Census};

/// How long closed sessions may take to be gone.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between two looks at who is there, where the server does not count sessions or others write beside the program.
const PAUSE: Duration = Duration::from_millis(3);
/// Before what tells of nothing is asked again: counters may be late.
const LATE: Duration = Duration::from_millis(250);
/// How often it is asked again.
const AGAIN: usize = 3;
/// Transactions of the program that are kept, to ask what became of them.
const KEPT: usize = 10_000;

/// What is known of the server and of who else is there.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The session that asks.
    pub observer: &'a Session,
    /// How it is reached.
    pub endpoint: &'a Endpoint,
    /// The server's major.
    pub major: u32,
    /// Whether somebody else runs the server, so that strangers may be there.
    pub external: bool,
    /// What runs beside the steps.
    pub plan: &'a Plan,
}

/// How it was before the program.
#[derive(Debug)]
pub struct Before<'a> {
    scene: Scene<'a>,
    application: String,
    look: Result<Look, String>,
    counted: Option<Counted>,
    /// Clients that were there already.
    present: BTreeSet<i32>,
    strangers: bool,
    /// The next transaction.
    transaction: Option<i64>,
    seen: Seen,
}

/// What was seen of the program meanwhile.
#[derive(Debug, Default)]
struct Seen {
    came: bool,
    /// On a server of others: a session that is the program's under another name, or a stranger's.
    unknown: bool,
    transactions: BTreeSet<i64>,
}

/// The server's count of sessions, and ours around it.
#[derive(Debug, Clone, Copy)]
struct Counted {
    earlier: Census,
    sessions: i64,
    later: Census,
}

impl<'a> Before<'a> {
    /// Looks.
    pub async fn take(scene: Scene<'a>, step: &Step) -> Before<'a> {
        let look = Look::take(&scene.observer.client).await.map_err(told);
        let mut before = Before {
            scene,
            application: replay::application(step),
            look,
            counted: None,
            present: BTreeSet::new(),
            strangers: false,
            transaction: None,
            seen: Seen::default(),
        };
        let clients = before.clients().await.unwrap_or_default();
        before.present = clients.iter().map(|client| client.pid).collect();
        let stranger = |client: &Client| !is_ours(&client.application);
        before.strangers = scene.external && clients.iter().any(stranger);
        before.transaction = before.next_transaction().await;
        before.counted = before.count().await;
        before
    }

    /// Looks who is there as long as it is polled, where the counters alone do not tell.
    pub async fn watch(&mut self) -> std::convert::Infallible {
        let wanted = self.scene.major < 14 || self.scene.external || self.others();
        loop {
            if !wanted {
                std::future::pending::<()>().await;
            }
            for client in self.clients().await.unwrap_or_default() {
                let known = self.present.contains(&client.pid) || is_ours(&client.application);
                let named = client.application == self.application;
                if named || (!known && !self.scene.external) {
                    self.seen.came = true;
                    if let (Some(xid), true) = (client.xid, self.seen.transactions.len() < KEPT) {
                        let full = self.transaction.and_then(|base| full(base, xid));
                        self.seen.transactions.extend(full);
                    }
                } else if !known {
                    self.seen.unknown = true;
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// What the program did, once its sessions are gone.
    pub async fn effects(&self) -> Effects {
        self.sessions_are_gone().await;
        let mut effects = self.look().await;
        for _ in 0..AGAIN {
            if effects.unread.is_some() || (effects.any() && effects.came == Some(true)) {
                break;
            }
            sleep(LATE).await;
            effects = self.look().await;
        }
        effects
    }

    async fn look(&self) -> Effects {
        let others = self.others();
        let now = Look::take(&self.scene.observer.client).await.map_err(told);
        let mut effects = match (&self.look, now) {
            (Ok(before), Ok(now)) => before.changes(&now, others),
            (Err(unread), _) => unread_because(unread.clone()),
            (_, Err(unread)) => unread_because(unread),
        };
        effects.others = others;
        effects.wrote = self.wrote().await;
        let dumps = self.scene.plan.disturbances.iter();
        let dumps = dumps.filter(|other| matches!(other.kind, DisturbanceKind::PgDump));
        let foreign = i64::try_from(dumps.count()).unwrap_or(i64::MAX);
        let range = match (self.counted, self.count().await) {
            (Some(before), Some(now)) => Some(sessions(before, now, foreign)),
            _ => None,
        };
        let changed = effects.wrote || (effects.any() && !others);
        effects.came = match range {
            _ if self.seen.came || changed => Some(true),
            Some((_, ..=0)) => Some(false),
            Some((1.., _)) if !self.strangers() => Some(true),
            _ => None,
        };
        effects.sessions = range
            .filter(|(least, most)| least == most && !self.scene.external)
            .and_then(|(least, _)| u64::try_from(least).ok());
        effects
    }

    /// Whether there are sessions of which nothing tells whose they are.
    fn strangers(&self) -> bool {
        self.strangers || self.seen.unknown
    }

    /// Whether others may write meanwhile.
    fn others(&self) -> bool {
        let plan = self.scene.plan;
        self.strangers() || plan.traffic.is_some() || !plan.disturbances.is_empty()
    }

    /// Waits until the program's sessions have ended, whatever they call themselves: their counters are written then.
    async fn sessions_are_gone(&self) {
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            let Some(clients) = self.clients().await else {
                return;
            };
            let left = |client: &&Client| {
                client.application == self.application
                    || (!self.scene.external
                        && !self.present.contains(&client.pid)
                        && !is_ours(&client.application))
            };
            if clients.iter().find(left).is_none() {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether a transaction of the program that was seen to write was committed.
    async fn wrote(&self) -> bool {
        let seen: Vec<i64> = self.seen.transactions.iter().copied().collect();
        let all: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&seen];
        let asked = self.scene.observer.client.query_one(
            "SELECT coalesce(pg_catalog.bool_or(pg_catalog.txid_status(xid) = 'committed'), false) \
             FROM pg_catalog.unnest($1::bigint[]) AS xid",
            &all,
        );
        asked.await.is_ok_and(|row| row.get(0))
    }

    async fn next_transaction(&self) -> Option<i64> {
        let asked = self.scene.observer.client.query_one(
            "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())",
            &[],
        );
        Some(asked.await.ok()?.get(0))
    }

    async fn count(&self) -> Option<Counted> {
        if self.scene.major < 14 {
            return None;
        }
        let earlier = census::of(self.scene.endpoint);
        let asked = self.scene.observer.client.query_one(queries::SESSIONS, &[]);
        let sessions = asked.await.ok()?.get(0);
        Some(Counted {
            earlier,
            sessions,
            later: census::of(self.scene.endpoint),
        })
    }

    async fn clients(&self) -> Option<Vec<Client>> {
        let asked = self.scene.observer.client.query(queries::CLIENTS, &[]);
        let rows = asked.await.ok()?;
        let clients = rows.iter().map(|row| Client {
            pid: row.get("pid"),
            application: row.get("application"),
            xid: row
                .get::<_, Option<&str>>("xid")
                .and_then(|xid| xid.parse().ok()),
        });
        Some(clients.collect())
    }
}

/// A step of which no session came did not fail by itself, and is no migration of the stage either.
pub fn judge_reach(course: &mut Course, effects: &Effects, work: &CommandWork, at: &Endpoint) {
    if effects.came != Some(false) {
        return;
    }
    // Where it was to connect is not where lockproof does.
    let at = course.remains.as_ref().map_or(at, Remains::told);
    match &mut course.outcome {
        Outcome::Failed { details, .. } => {
            details.push("no session of it came to the stage".to_owned());
        }
        Outcome::Done => {
            let given: Vec<String> = at
                .environment()
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            course.outcome = Outcome::Failed {
                message: format!(
                    "`{}` ended well, but no session of it came to the stage at `{}`",
                    work.argv.join(" "),
                    at.shown(),
                ),
                details: vec![
                    format!("it was given {} in its environment", given.join(", ")),
                    "let it connect with `DATABASE_URL` or the `PG…` variables, or write `${stage.url}`, \
                     `${stage.host}`, `${stage.port}`, `${stage.user}`, `${stage.password}` or \
                     `${stage.database}` into its `run` or `env`"
                        .to_owned(),
                    "what it did elsewhere, such as to a server that its own settings name, was neither \
                     seen nor undone"
                        .to_owned(),
                ],
            };
        }
    }
}

struct Client {
    pid: i32,
    application: String,
    xid: Option<u32>,
}

/// Sessions of others than us, at least and at most; so many of `foreign` ones are ours as well.
fn sessions(before: Counted, now: Counted, foreign: i64) -> (i64, i64) {
    let all = now.sessions - before.sessions;
    let most_ours = now.later.begun - before.earlier.opened - before.earlier.failed + foreign;
    let least_ours = now.earlier.opened - (before.later.begun - before.later.failed);
    (all - most_ours, all - least_ours.max(0))
}

/// The number of a transaction with its epoch, which is that of one near it.
fn full(near: i64, xid: u32) -> Option<i64> {
    let low = u32::try_from(near & 0xffff_ffff).ok()?;
    let distance = xid.wrapping_sub(low).cast_signed();
    near.checked_add(i64::from(distance))
}

fn is_ours(application: &str) -> bool {
    application.starts_with(names::WATCHER_PREFIX)
        || application == names::TRAFFIC
        || application.starts_with(names::DISTURBANCE_PREFIX)
}

fn unread_because(unread: String) -> Effects {
    Effects {
        unread: Some(unread),
        ..Effects::default()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn told(error: tokio_postgres::Error) -> String {
    crate::pg::session::tell(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(sessions: i64, earlier: (i64, i64, i64), later: (i64, i64, i64)) -> Counted {
        let census = |(begun, opened, failed)| Census {
            begun,
            opened,
            failed,
        };
        Counted {
            earlier: census(earlier),
            sessions,
            later: census(later),
        }
    }

    #[test]
    fn sessions_of_others_are_those_that_are_not_ours() {
        let before = counted(10, (4, 4, 0), (4, 4, 0));
        assert_eq!(
            sessions(before, counted(10, (4, 4, 0), (4, 4, 0)), 0),
            (0, 0)
        );
        assert_eq!(
            sessions(before, counted(13, (4, 4, 0), (4, 4, 0)), 0),
            (3, 3)
        );
        assert_eq!(
            sessions(before, counted(13, (7, 7, 0), (7, 7, 0)), 0),
            (0, 0)
        );
        // One of ours failed, one is on its way, and `pg_dump` may have had one.
        let now = counted(13, (8, 6, 1), (8, 6, 1));
        assert_eq!(sessions(before, now, 1), (-2, 1));
        // One that was on its way before is counted on neither side.
        let before = counted(10, (5, 4, 0), (5, 4, 0));
        assert_eq!(
            sessions(before, counted(11, (5, 5, 0), (5, 5, 0)), 0),
            (0, 1)
        );
    }

    #[test]
    fn a_transaction_has_the_epoch_of_those_near_it() {
        assert_eq!(full(0x1_0000_0005, 7), Some(0x1_0000_0007));
        assert_eq!(full(0x1_ffff_fffe, 1), Some(0x2_0000_0001));
        assert_eq!(full(0x2_0000_0001, 0xffff_fffe), Some(0x1_ffff_fffe));
    }
}
