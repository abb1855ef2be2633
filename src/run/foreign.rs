//! Clients that are not lockproof's on an external server, looked for while a step of SQL runs: the interlock saw it before.
//!
//! Sessions of a step's own program have any name: while one runs nothing is said of strangers.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use crate::pg::Session;
use crate::recording::format::Event;
use crate::stage::{Endpoint, census};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// What was seen of them.
#[derive(Debug, Default)]
pub struct Foreign {
    most: u64,
    applications: BTreeSet<String>,
}

impl Foreign {
    /// Looks as long as it is polled.
    pub async fn watch(
        &mut self,
        observer: &Session,
        endpoint: &Endpoint,
    ) -> std::convert::Infallible {
        loop {
            self.look(observer, endpoint).await;
            sleep(PAUSE).await;
        }
    }

    /// Looks once. What cannot be asked is not told: the sampler sees a server that is lost.
    pub async fn look(&mut self, observer: &Session, endpoint: &Endpoint) {
        let ours: Vec<i32> = census::processes(endpoint).into_iter().collect();
        let asked = observer
            .client
            .query(include_str!("../pg/queries/foreign.sql"), &[&ours])
            .await;
        let Ok(rows) = asked else { return };
        self.most = self.most.max(rows.len() as u64);
        let names = rows
            .iter()
            .filter_map(|row| row.get::<_, Option<String>>(0));
        self.applications
            .extend(names.filter(|name| !name.is_empty()));
    }

    /// The event, if any was seen.
    pub fn told(self) -> Option<Event> {
        (self.most > 0).then(|| Event::ForeignClients {
            most: self.most,
            applications: self.applications.into_iter().collect(),
        })
    }
}
