//! One connection of the pool, with the statements that it has prepared.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error as DriverError, Statement};

use super::dice::Dice;
use super::program::{Leaves, Program, Programs, Step, Variables};
use super::value::{Fault, Value, write};
use crate::Result;
use crate::pg::{Session, names};
use crate::stage::Endpoint;

/// Somewhere for a cancel to strike that comes late.
const WAIT_FOR_CANCEL: &str = "SELECT pg_catalog.pg_sleep(0.1)";
/// A connection whose statement was cancelled is used again if it is free within so long, else replaced.
const RECOVERY: Duration = Duration::from_secs(5);

/// A connection.
pub struct Connection {
    session: Session,
    /// By their number; None: not prepared here yet.
    statements: Vec<Option<Statement>>,
    variables: Variables,
    /// Parameters as text; kept for the next statement.
    words: Vec<String>,
}

/// Why a request did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server refused a statement, or the connection broke.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A variable could not be worked out.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Failure {
    /// Its SQLSTATE, or a word where it has none.
    pub fn code(&self) -> &str {
        match self {
            Self::Driver(error) => error.code().map_or("connection", SqlState::code),
            Self::Fault(_) => "expression",
        }
    }

    /// True when the connection is of no use any more.
    pub fn breaks(&self) -> bool {
        matches!(self, Self::Driver(error) if error.as_db_error().is_none())
    }
}

/// Whether a connection can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// It is as new.
    Yes,
    /// It is stuck or broken.
    No,
}

impl Connection {
    /// Opens one; nothing is prepared yet.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self {
            session: Session::open_as_application(endpoint, names::TRAFFIC).await?,
            statements: Vec::new(),
            variables: Variables::default(),
            words: Vec::new(),
        })
    }

    /// The session, for questions.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until it is no more.
    pub async fn ended(&mut self) {
        self.session.ended().await;
    }

    /// Prepares a statement, unless that was done before.
    pub async fn prepare(
        &mut self,
        programs: &Programs,
        number: usize,
    ) -> Result<Statement, DriverError> {
        if self.statements.is_empty() {
            self.statements.resize(programs.statements.len(), None);
        }
        if let Some(statement) = &self.statements[number] {
            return Ok(statement.clone());
        }
        let statement = self
            .session
            .client
            .prepare(&programs.statements[number].sql)
            .await?;
        self.statements[number] = Some(statement.clone());
        Ok(statement)
    }

    /// Does what an operation does, once.
    ///
    /// # Errors
    /// A statement failed or a value could not be worked out; nothing after it was done.
    pub async fn run(
        &mut self,
        programs: &Programs,
        program: &Program,
        dice: &mut Dice,
    ) -> Result<(), Failure> {
        self.variables.clear();
        for step in &program.steps {
            match step {
                Step::Statement(number, places) => {
                    self.statement(programs, program, *number, places).await?;
                }
                Step::Set(place, term) => {
                    let value = term.value(program, &self.variables, dice)?;
                    self.variables.set(*place, value);
                }
                Step::Sleep(term) => {
                    let pause = term.value(program, &self.variables, dice)?;
                    tokio::time::sleep(micros(&pause)?).await;
                }
            }
        }
        Ok(())
    }

    /// Runs one statement with what the variables hold now.
    async fn statement(
        &mut self,
        programs: &Programs,
        program: &Program,
        number: usize,
        places: &[usize],
    ) -> Result<(), Failure> {
        self.words.resize(places.len(), String::new());
        for (place, word) in places.iter().zip(&mut self.words) {
            write(self.variables.get(*place, program)?, word);
        }
        let statement = self.prepare(programs, number).await?;
        let Err(error) = self.execute(&statement).await else {
            return Ok(());
        };
        if !is_outdated(&error) {
            return Err(error.into());
        }
        // The table has changed its columns. Drivers prepare such a statement anew, and where no transaction has
        // been aborted by it they run it again.
        self.statements[number] = None;
        if program.transaction == Leaves::Transaction {
            return Err(error.into());
        }
        let statement = self.prepare(programs, number).await?;
        Ok(self.execute(&statement).await?)
    }

    async fn execute(&self, statement: &Statement) -> Result<(), DriverError> {
        let parameters = self.words.iter().map(|word| Word(word));
        let rows = self.session.client.query_raw(statement, parameters).await?;
        futures_util::pin_mut!(rows);
        while rows.try_next().await?.is_some() {}
        Ok(())
    }

    /// Tries an operation as [`Self::run`] does it, but without pauses, and without ending a transaction that is open.
    ///
    /// # Errors
    /// As there, with the number of the statement, where it was one.
    pub async fn rehearse(
        &mut self,
        programs: &Programs,
        program: &Program,
        dice: &mut Dice,
    ) -> Result<(), (Option<usize>, Failure)> {
        self.variables.clear();
        for step in &program.steps {
            match step {
                Step::Set(place, term) => {
                    let value = term.value(program, &self.variables, dice);
                    self.variables
                        .set(*place, value.map_err(|fault| (None, fault.into()))?);
                }
                Step::Sleep(term) => {
                    let pause = term.value(program, &self.variables, dice);
                    let pause = pause.and_then(|pause| micros(&pause));
                    pause.map_err(|fault| (None, fault.into()))?;
                }
                Step::Statement(number, places) => {
                    let here = |failure| (Some(*number), failure);
                    if programs.statements[*number].ends_transaction() {
                        let prepared = self.prepare(programs, *number).await;
                        prepared.map_err(|error| here(error.into()))?;
                    } else {
                        let ran = self.statement(programs, program, *number, places).await;
                        ran.map_err(here)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Cancels what runs on it and makes it as new.
    pub async fn give_up(&self, leaves: Leaves) -> Recovered {
        let work = async {
            self.session.cancel().await;
            let recovered = self.reset(leaves).await;
            // The server passes it on when it comes to it, and nothing says when: a late one hits this, not a request.
            let _ = self.session.client.batch_execute(WAIT_FOR_CANCEL).await;
            recovered
        };
        let recovered = tokio::time::timeout(RECOVERY, work).await;
        recovered.unwrap_or(Recovered::No)
    }

    /// Ends a transaction that an operation may have left open.
    pub async fn reset(&self, leaves: Leaves) -> Recovered {
        let text = match leaves {
            Leaves::Nothing => "",
            Leaves::Transaction => "ROLLBACK",
        };
        // The first may be hit by a cancel that comes late.
        for _ in 0..2 {
            match self.session.client.batch_execute(text).await {
                Ok(()) => return Recovered::Yes,
                Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
                Err(_) => return Recovered::No,
            }
        }
        Recovered::No
    }

    /// Closes it, as far as that can be waited for.
    pub async fn close(self) {
        self.session.close().await;
    }
}

/// True for "cached plan must not change result type": that of the words that is not translated.
fn is_outdated(error: &DriverError) -> bool {
    let routine = error.as_db_error().and_then(|error| error.routine());
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
        && routine == Some("RevalidateCachedQuery")
}

/// A pause of so many microseconds.
fn micros(value: &Value) -> Result<Duration, Fault> {
    let micros = match value {
        Value::Integer(micros) => *micros as f64,
        Value::Double(micros) => *micros,
        Value::Text(text) => match text.trim().parse() {
            Ok(micros) => micros,
            Err(_) => return Err(Fault::NotANumber(text.clone())),
        },
    };
    Duration::try_from_secs_f64(micros / 1e6).map_err(|_| Fault::Parameter("sleep", "at least 0"))
}

/// A parameter as text, whatever type the server takes it for.
#[derive(Debug)]
struct Word<'a>(&'a str);

impl ToSql for Word<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
