//! Who the processes in the lock rows are, and who waits for whom; asked only when rows changed
//! or now and then while there are any, because it costs more than the rows themselves.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use crate::clock::Mono;
use crate::plan::Literals;
use crate::recording::format::{Backend, Claim, Event, LockRow};
use crate::redact;

/// What was told already, so that only news is told.
#[derive(Debug, Default)]
pub struct People {
    known: BTreeMap<i32, (String, String)>,
    /// Of each that waits: for what, and for whom.
    behind: BTreeMap<i32, (Vec<LockRow>, Vec<i32>)>,
}

impl People {
    /// The news in the rows of `queries/activity.sql` about those in the lock rows, and those in their way.
    pub fn news(
        &mut self,
        (at, by): (Mono, Mono),
        activity: &[Row],
        locks: &[LockRow],
        literals: Literals,
        ours: &BTreeSet<i32>,
    ) -> Vec<Event> {
        let mut news = Vec::new();
        let pids: BTreeSet<i32> = locks.iter().map(|lock| lock.pid).collect();
        let waiting: Vec<&LockRow> = locks
            .iter()
            .filter(|lock| lock.claim == Claim::Waiting)
            .collect();
        let involved = |wanted: i32| pids.contains(&wanted);
        // Who holds a weak lock is in no row of `locks.sql`, and may be the one that all wait for.
        let in_the_way: BTreeSet<i32> = activity
            .iter()
            .filter(|row| row.get::<_, Option<i32>>("pid").is_some_and(involved))
            .filter_map(|row| row.get::<_, Option<Vec<i32>>>("behind"))
            .flatten()
            .collect();
        for row in activity {
            let Some(pid) = row.get::<_, Option<i32>>("pid") else {
                continue;
            };
            let leader: Option<i32> = row.get("leader_pid");
            if !involved(pid) && !leader.is_some_and(involved) && !in_the_way.contains(&pid) {
                continue;
            }
            let query: Option<&str> = row.get("query");
            let query = query.unwrap_or_default();
            let application: Option<&str> = row.get("application_name");
            let application = application.unwrap_or_default();
            let same = self
                .known
                .get(&pid)
                .is_some_and(|(app, text)| app == application && text == query);
            if !same {
                self.known
                    .insert(pid, (application.to_owned(), query.to_owned()));
                let backend_type: Option<String> = row.get("backend_type");
                news.push(Event::Backend {
                    at,
                    backend: Backend {
                        pid,
                        backend_type: backend_type.unwrap_or_default(),
                        application: application.to_owned(),
                        leader,
                        query: redact::sql::shown(query, literals),
                        ours: Some(ours.contains(&pid)),
                    },
                });
            }
            let behind: Option<Vec<i32>> = row.get("behind");
            let Some(mut behind) = behind.filter(|behind| !behind.is_empty()) else {
                self.behind.remove(&pid);
                continue;
            };
            behind.sort_unstable();
            // Another wait for the same is news as well.
            let waits = waiting.iter().filter(|lock| lock.pid == pid);
            let waits: Vec<LockRow> = waits.copied().copied().collect();
            let found = (waits, behind);
            if self.behind.get(&pid) != Some(&found) {
                news.push(Event::Waiter {
                    at,
                    pid,
                    behind: found.1.clone(),
                    by: Some(by),
                });
                self.behind.insert(pid, found);
            }
        }
        news
    }
}
