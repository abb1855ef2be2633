//! One session that lockproof drives: sends a statement, reads the clock on both sides, tells.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::{Error as DriverError, SimpleQueryMessage};

use super::allowance::Allowance;
use super::{Scene, application, interrupted};
use crate::Result;
use crate::clock::Mono;
use crate::observe::cadence::Heed;
use crate::pg::Session;
use crate::pg::session::{tell, tell_about};
use crate::plan::{Literals, Step};
use crate::recording::format::{Event, StatementError};
use crate::sql::{SetsLockTimeout, Statement, TransactionControl};

/// A session of the migration.
pub struct Driven<'a> {
    scene: &'a Scene<'a>,
    session: Session,
    deadline: Option<tokio::time::Instant>,
    state: Transaction,
    seen: Seen,
    /// When the open transaction began; None: there is none.
    opened: Option<Mono>,
    /// Statements whose text has been told.
    told: BTreeSet<usize>,
    allowance: Allowance,
    /// When the sampler was last told to look closely.
    heeded: Option<Mono>,
}

/// Whether a poll has shown what the session holds since it last ran something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It has, so another one would show the same.
    Yes,
    /// Not yet.
    No,
}

/// Whether a poll is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// If the allowance lasts.
    Wanted,
    /// In any case.
    Must,
}

/// A transaction this long is worth a poll before its end: what it costs is little beside it.
const LONG: Duration = Duration::from_millis(10);

/// The sampler, told to look closely, hardly looks any less so for this long.
const LATELY: Duration = Duration::from_millis(200);

/// Whether a transaction is open, by what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// None.
    Idle,
    /// One, so locks stay held.
    Open,
}

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Its place in the step.
    pub index: usize,
    /// The bytes.
    pub text: &'a str,
    /// What it does to the transaction; None: nothing.
    pub control: Option<TransactionControl>,
    /// Whether it is worth a poll before and after it while a transaction is open.
    pub after: After,
    /// True for VACUUM.
    pub vacuum: bool,
    /// How closely the sampler looks once it is sent; None: as before.
    pub heed: Option<Heed>,
    /// Inline data of COPY … FROM STDIN.
    pub copy_data: Option<&'a str>,
}

/// What surrounds a statement inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Polls: it may take a lock that is watched, or end the transaction.
    Poll,
    /// Nothing.
    GoOn,
}

impl<'a> Order<'a> {
    /// One of the user's statements.
    pub fn of(index: usize, statement: &'a Statement, file: &'a str) -> Self {
        Self {
            index,
            text: &statement.text,
            control: statement.kind.transaction_control(),
            after: if statement.kind.is_plain_dml() {
                After::GoOn
            } else {
                After::Poll
            },
            vacuum: statement.kind.is_vacuum(),
            heed: (!statement.kind.is_plain_dml()
                && statement.kind.transaction_control().is_none())
            .then_some(Heed::Closely),
            copy_data: statement.copy_data.clone().map(|range| &file[range]),
        }
    }

    /// A statement of ours around the user's.
    pub fn ours(index: usize, text: &'a str, control: TransactionControl) -> Self {
        Self {
            index,
            text,
            control: Some(control),
            after: match control {
                TransactionControl::Begin => After::GoOn,
                _ => After::Poll,
            },
            vacuum: false,
            heed: None,
            copy_data: None,
        }
    }
}

/// What came of a statement.
#[derive(Debug)]
pub struct Reply {
    /// Rows by the last command tag.
    pub rows: u64,
    /// The last row of a result, by column name; empty when there was none.
    pub last_row: Vec<(String, Option<String>)>,
}

/// Why a statement failed.
#[derive(Debug)]
pub enum Failure {
    /// The server or the driver said so.
    Driver(DriverError),
    /// The step's time was over.
    TimedOut,
    /// The run was interrupted.
    Interrupted(i32),
    /// The sampler is gone.
    Unwatched(crate::Error),
}

impl Failure {
    /// Why a rest between two attempts was broken off.
    pub fn of_rest(scene: &Scene<'_>, error: crate::Error) -> Self {
        match scene.interrupt.signal() {
            Some(signal) => Self::Interrupted(signal),
            None => Self::Unwatched(error),
        }
    }

    /// True for SQLSTATE 55P03: `lock_timeout` struck.
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Driver(error) if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE))
    }

    /// True when the connection is of no use any more.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Driver(error) => {
                error.is_closed()
                    || error.as_db_error().is_none()
                    || error
                        .code()
                        .is_some_and(|code| code.code().starts_with("57P"))
            }
            _ => false,
        }
    }
}

impl<'a> Driven<'a> {
    /// Opens one with the step's settings.
    pub async fn open(scene: &'a Scene<'a>, step: &Step) -> Result<Self> {
        let session = Session::open_as_application(scene.endpoint, &application(step)).await?;
        let millis = |timeout: Duration| timeout.as_millis().max(1);
        for (name, timeout) in [
            ("lock_timeout", step.lock_timeout),
            ("statement_timeout", step.statement_timeout),
        ] {
            if let Some(timeout) = timeout {
                let set = format!("SET {name} = '{}ms'", millis(timeout));
                session.client.batch_execute(&set).await.map_err(|error| {
                    crate::Error::stage(format!("cannot set `{name}`"))
                        .because(crate::pg::session::Told(tell(&error)))
                })?;
            }
        }
        scene.tell(Event::SessionOpened { pid: session.pid });
        Ok(Self {
            scene,
            session,
            deadline: step
                .timeout
                .map(|timeout| tokio::time::Instant::now() + timeout),
            state: Transaction::Idle,
            seen: Seen::Yes,
            opened: None,
            told: BTreeSet::new(),
            allowance: Allowance::default(),
            heeded: None,
        })
    }

    /// Its server process.
    pub fn pid(&self) -> i32 {
        self.session.pid
    }

    /// Whether a transaction is open.
    pub fn transaction(&self) -> Transaction {
        self.state
    }

    /// Sends a statement and reads its reply to the end.
    pub async fn send(&mut self, order: Order<'_>) -> Result<Reply, Failure> {
        let scene = self.scene;
        // What is held now is known exactly: a lock that the statement takes is then surely its own,
        // and one that it releases was surely held until here.
        if self.state == Transaction::Open && order.after == After::Poll {
            self.poll(self.need_before(order)).await?;
        }
        if let Some(heed) = order.heed {
            self.heed(heed);
        }
        let told = self
            .told
            .insert(order.index)
            .then(|| scene.shown(order.text));
        // Its literal may be hidden, and decides how long a wait can last. Told with the text.
        let lock_timeout = told.as_ref().and_then(|_| SetsLockTimeout::by(order.text));
        // The text was made ready before: all that lies between the clock and the wire is a push
        // into a channel, so that a run that is cut still tells what was under way.
        let sent = scene.clock.now();
        scene.tell(Event::StatementSent {
            index: order.index,
            pid: self.session.pid,
            at: sent,
            sql: told,
            vacuum: order.vacuum,
            lock_timeout,
        });
        let result = self.execute(order).await;
        let done = scene.clock.now();
        self.allowance.earn(done.since(sent));
        self.finished(order, done, &result);
        self.seen = Seen::No;
        if result.is_ok() && order.after == After::Poll && self.state == Transaction::Open {
            self.poll(Self::need_after(order)).await?;
        }
        result
    }

    /// Closes the session and leaves what it held to the server.
    pub fn close(self) {
        drop(self.session);
    }

    fn finished(&mut self, order: Order<'_>, done: Mono, result: &Result<Reply, Failure>) {
        self.state = match (result, order.control) {
            // The server has let go of a failed transaction's locks: `execute` waits for that.
            (Err(_), _) => Transaction::Idle,
            (Ok(_), Some(TransactionControl::Begin)) => Transaction::Open,
            (
                Ok(_),
                Some(TransactionControl::Commit { chain } | TransactionControl::Rollback { chain }),
            ) => {
                if chain {
                    Transaction::Open
                } else {
                    Transaction::Idle
                }
            }
            (Ok(_), Some(TransactionControl::Prepare)) => Transaction::Idle,
            (Ok(_), _) => self.state,
        };
        let (rows, error) = match result {
            Ok(reply) => (reply.rows, None),
            Err(failure) => (
                0,
                Some(statement_error(
                    failure,
                    Some(order.text),
                    self.scene.literals,
                )),
            ),
        };
        self.opened = match self.state {
            Transaction::Open => self.opened.or(Some(done)),
            Transaction::Idle => None,
        };
        let lost = result.as_ref().is_err_and(Failure::is_broken);
        if !lost {
            self.scene.tell(Event::StatementDone {
                pid: self.session.pid,
                at: done,
                rows,
                in_transaction: self.state == Transaction::Open,
                error,
            });
        }
    }

    /// Has the sampler look closely, unless it still does: to wake it for each of hundreds of small
    /// statements would lengthen them.
    fn heed(&mut self, heed: Heed) {
        let now = self.scene.clock.now();
        let lately = |at: Mono| now.since(at) < LATELY;
        if heed == Heed::Briefly || !self.heeded.is_some_and(lately) {
            self.scene.sampler.heed(heed);
            self.heeded = Some(now);
        }
    }

    /// The poll before the end of a long transaction answers for all of it, so it is waited for
    /// whatever the allowance says.
    fn need_before(&self, order: Order<'_>) -> Need {
        let long = self
            .opened
            .is_some_and(|opened| self.scene.clock.now().since(opened) >= LONG);
        match order.control {
            Some(TransactionControl::Commit { .. }) if long => Need::Must,
            _ => Need::Wanted,
        }
    }

    /// A rollback to a savepoint lets locks go in the middle of a transaction. One that is taken again
    /// at once, in the same transaction, would look as if it had been held all the time.
    fn need_after(order: Order<'_>) -> Need {
        match order.control {
            Some(TransactionControl::RollbackTo) => Need::Must,
            _ => Need::Wanted,
        }
    }

    /// A poll of what the session holds now, waited for while the allowance lasts or if it must be.
    async fn poll(&mut self, need: Need) -> Result<(), Failure> {
        if self.seen == Seen::Yes {
            return Ok(());
        }
        if need == Need::Wanted && !self.allowance.lasts() {
            return Ok(());
        }
        let from = self.scene.clock.now();
        self.scene
            .sampler
            .sync()
            .await
            .map_err(Failure::Unwatched)?;
        self.allowance.spend(self.scene.clock.now().since(from));
        self.seen = Seen::Yes;
        Ok(())
    }

    async fn execute(&self, order: Order<'_>) -> Result<Reply, Failure> {
        let work = async {
            let result = match order.copy_data {
                Some(data) => self.copy(order.text, data).await,
                None => self.query(order.text).await,
            };
            // The server tells of an error before it lets go of the transaction's locks; what comes
            // after it is answered only when they are gone.
            if matches!(&result, Err(error) if error.as_db_error().is_some()) {
                let _ = self.session.client.batch_execute("").await;
            }
            result
        };
        tokio::pin!(work);
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let failure = tokio::select! {
            biased;
            result = &mut work => return result.map_err(Failure::Driver),
            () = deadline => Failure::TimedOut,
            signal = self.scene.interrupt.wait() => Failure::Interrupted(signal),
            error = self.scene.sampler.lost() => Failure::Unwatched(error),
        };
        // Let the server end it in its own time, but not for ever: the session is closed anyway.
        self.session.cancel().await;
        let _ = tokio::time::timeout(Duration::from_secs(5), work).await;
        Err(failure)
    }

    async fn query(&self, text: &str) -> Result<Reply, DriverError> {
        let mut reply = Reply {
            rows: 0,
            last_row: Vec::new(),
        };
        let messages = self.session.client.simple_query_raw(text).await?;
        futures_util::pin_mut!(messages);
        let mut last = None;
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::Row(row) => last = Some(row),
                SimpleQueryMessage::CommandComplete(rows) => reply.rows = rows,
                _ => {}
            }
        }
        if let Some(row) = last {
            let cell = |index: usize| row.try_get(index).ok().flatten().map(str::to_owned);
            reply.last_row = row
                .columns()
                .iter()
                .enumerate()
                .map(|(index, column)| (column.name().to_owned(), cell(index)))
                .collect();
        }
        Ok(reply)
    }

    async fn copy(&self, text: &str, data: &str) -> Result<Reply, DriverError> {
        let sink = self.session.client.copy_in::<_, bytes::Bytes>(text).await?;
        futures_util::pin_mut!(sink);
        sink.send(bytes::Bytes::copy_from_slice(data.as_bytes()))
            .await?;
        Ok(Reply {
            rows: sink.finish().await?,
            last_row: Vec::new(),
        })
    }
}

/// What the recording keeps of this statement's failure.
pub fn statement_error(
    failure: &Failure,
    statement: Option<&str>,
    literals: Literals,
) -> StatementError {
    match failure {
        Failure::Driver(error) => StatementError {
            sqlstate: error.code().map(|code| code.code().to_owned()),
            message: tell_about(error, statement, literals),
        },
        Failure::TimedOut => StatementError {
            sqlstate: None,
            message: "the step's time-out struck".to_owned(),
        },
        Failure::Interrupted(signal) => StatementError {
            sqlstate: None,
            message: interrupted(*signal).to_string(),
        },
        Failure::Unwatched(error) => StatementError {
            sqlstate: None,
            message: error.to_string(),
        },
    }
}
