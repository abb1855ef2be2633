//! Asks who the people are, in a session of its own: the answer takes several times as long as a poll,
//! and no poll waits for it.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::{Row, Statement};

use super::session;
use crate::Result;
use crate::clock::Mono;
use crate::pg::{Session, names, queries};
use crate::recording::format::LockRow;
use crate::stage::Endpoint;

type Answer = std::result::Result<Vec<Row>, tokio_postgres::Error>;

/// The session, and the question that is under way.
pub struct Inquiry {
    session: Arc<Session>,
    statement: Statement,
    under_way: Option<JoinHandle<Answer>>,
    /// When it was asked, and about whom.
    asked: Mono,
    about: Vec<LockRow>,
}

/// What came of a question.
pub struct Heard<'a> {
    /// When it was asked.
    pub at: Mono,
    /// The rows of `queries/activity.sql`.
    pub activity: Vec<Row>,
    /// The lock rows that it was asked for.
    pub about: &'a [LockRow],
}

impl Inquiry {
    /// Opens the session.
    ///
    /// # Errors
    /// It cannot be opened or prepared.
    pub async fn open(endpoint: &Endpoint, server_major: u32) -> Result<Self> {
        let query = queries::activity(server_major);
        let (session, statement) = session::open(endpoint, names::INQUIRY, query).await?;
        Ok(Self {
            session: Arc::new(session),
            statement,
            under_way: None,
            asked: Mono(0),
            about: Vec::new(),
        })
    }

    /// True while an answer is awaited.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// When it was asked last.
    pub fn asked(&self) -> Mono {
        self.asked
    }

    /// Asks about those in these rows; not while an answer is awaited.
    pub fn ask(&mut self, runtime: &Runtime, now: Mono, about: impl Iterator<Item = LockRow>) {
        debug_assert!(!self.is_under_way(), "one question at a time");
        self.asked = now;
        self.about.clear();
        self.about.extend(about);
        let (session, statement) = (Arc::clone(&self.session), self.statement.clone());
        self.under_way =
            Some(runtime.spawn(async move { session.client.query(&statement, &[]).await }));
        // On the wire now, not with the next poll: a session may end meanwhile, and with it its name.
        // The question's turn, then the connection's.
        runtime.block_on(async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// The answer if it is there by now; it comes in while polls are waited for.
    ///
    /// # Errors
    /// The question failed.
    pub fn heard(
        &mut self,
        runtime: &Runtime,
    ) -> std::result::Result<Option<Heard<'_>>, tokio_postgres::Error> {
        match &self.under_way {
            Some(answer) if answer.is_finished() => self.wait(runtime),
            _ => Ok(None),
        }
    }

    /// The answer, waited for; None where nothing was asked.
    ///
    /// # Errors
    /// The question failed.
    pub fn wait(
        &mut self,
        runtime: &Runtime,
    ) -> std::result::Result<Option<Heard<'_>>, tokio_postgres::Error> {
        let Some(answer) = self.under_way.take() else {
            return Ok(None);
        };
        // Nothing cancels it; a panic in the driver is as if nobody had answered.
        let Ok(answer) = runtime.block_on(answer) else {
            return Ok(None);
        };
        Ok(Some(Heard {
            at: self.asked,
            activity: answer?,
            about: &self.about,
        }))
    }
}
