//! Who the processes in the lock rows are, and who waits for whom; asked only when rows changed
//! or now and then while there are any, because it costs more than the rows themselves.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use crate::clock::Mono;
use crate::plan::Literals;
use crate::recording::format::{Backend, Event, LockRow};
use crate::sql;

/// What was told already, so that only news is told.
#[derive(Debug, Default)]
pub struct People {
    known: BTreeMap<i32, (String, String)>,
    behind: BTreeMap<i32, Vec<i32>>,
}

impl People {
    /// The news in the rows of `queries/activity.sql` about those in the lock rows.
    pub fn news(
        &mut self,
        at: Mono,
        activity: &[Row],
        locks: &[LockRow],
        literals: Literals,
    ) -> Vec<Event> {
        let mut news = Vec::new();
        self.behind
            .retain(|pid, _| locks.iter().any(|lock| lock.pid == *pid));
        for row in activity {
            let Some(pid) = row.get::<_, Option<i32>>("pid") else {
                continue;
            };
            let leader: Option<i32> = row.get("leader_pid");
            let involved = |wanted: i32| locks.iter().any(|lock| lock.pid == wanted);
            if !involved(pid) && !leader.is_some_and(involved) {
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
                        query: match literals {
                            Literals::Hidden => sql::normalise(query),
                            Literals::Shown => query.to_owned(),
                        },
                    },
                });
            }
            let behind: Option<Vec<i32>> = row.get("behind");
            if let Some(mut behind) = behind.filter(|behind| !behind.is_empty()) {
                behind.sort_unstable();
                if self.behind.get(&pid) != Some(&behind) {
                    self.behind.insert(pid, behind.clone());
                    news.push(Event::Waiter { at, pid, behind });
                }
            }
        }
        news
    }
}
