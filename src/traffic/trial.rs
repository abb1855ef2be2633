//! What is found out before the first request: whether there is room for the pool, where keys lie, and whether every
//! operation runs at all.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::connection::{Connection, Failure};
use super::dice::Dice;
use super::keys::Keys;
use super::program::{Leaves, Program, Programs, Step, key_expressions};
use crate::pg::session::{Told, tell};
use crate::plan::Traffic;
use crate::plan::traffic::{Expression, Operation};
use crate::{Error, Result};

/// Connections that the migration and the watchers may still need: a step's, and a program's few.
const OTHERS: i64 = 5;
/// An operation that is tried ends within so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of the dice of the trial; requests count from 0.
const TRIAL: u64 = u64::MAX - 1;

/// Refuses a pool for which the server has no room; one of its connections is open already.
pub async fn room(connection: &Connection, pool: u32) -> Result<()> {
    let query = "SELECT pg_catalog.current_setting('max_connections')::int8, \
                 pg_catalog.current_setting('superuser_reserved_connections')::int8 \
                 + coalesce(pg_catalog.current_setting('reserved_connections', true)::int8, 0), \
                 (SELECT count(*) FROM pg_catalog.pg_stat_get_activity(NULL) AS a WHERE a.datid IS NOT NULL \
                  AND a.pid <> pg_catalog.pg_backend_pid())";
    let row = connection.session().client.query_one(query, &[]).await;
    let row = row.map_err(|error| {
        Error::stage("the server does not say how many connections it has")
            .because(Told(tell(&error)))
    })?;
    let [most, reserved, used]: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    let room = (most - reserved - used - OTHERS).max(0);
    if i64::from(pool) <= room {
        return Ok(());
    }
    Err(Error::usage(format!(
        "traffic's pool of {pool} connections has no room on the server, which has {room} for it: `max_connections` is \
         {most}, {reserved} are reserved, {used} in use, and {OTHERS} are left to the migration"
    ))
    .help("make `pool` smaller, or raise `max_connections` of the stage"))
}

/// Makes the operations ready and tries each once, in a transaction that is rolled back.
///
/// # Errors
/// A table that keys are drawn from is empty, or an operation cannot run.
pub async fn programs(connection: &mut Connection, traffic: &Traffic) -> Result<Programs> {
    let mut keys = Vec::new();
    for (operation, expression) in key_expressions(&traffic.operations) {
        if let Expression::Key {
            relation,
            column,
            distribution,
        } = expression
        {
            let client = &connection.session().client;
            let name = &traffic.operations[operation].name;
            keys.push(Keys::ask(client, name, (relation, column), *distribution).await?);
        }
    }
    let programs = Programs::new(&traffic.operations, keys);
    for (index, operation) in traffic.operations.iter().enumerate() {
        let mut dice = Dice::of(traffic.seed, TRIAL - index as u64);
        let program = &programs.operations[index];
        let tried = tokio::time::timeout(PATIENCE, one(connection, &programs, program, &mut dice));
        match tried.await {
            Ok(Ok(())) => {}
            Ok(Err((statement, failure))) => {
                let line = statement.map(|number| programs.statements[number].line);
                return Err(refusal(operation, line, &failure));
            }
            Err(_) => {
                return Err(Error::usage(format!(
                    "{} has not ended within {PATIENCE:?} when it was tried",
                    place(operation, None)
                ))
                .help("see what it waits for, or make it shorter"));
            }
        }
    }
    Ok(programs)
}

/// Tries one operation; what the data decide, such as a key that is there already, is no fault of its.
async fn one(
    connection: &mut Connection,
    programs: &Programs,
    program: &Program,
    dice: &mut Dice,
) -> Result<(), (Option<usize>, Failure)> {
    if alone(programs, program) {
        return prepared(connection, programs, program).await;
    }
    let begun = connection.session().client.batch_execute("BEGIN").await;
    begun.map_err(|error| (None, error.into()))?;
    let tried = connection.rehearse(programs, program, dice).await;
    connection.reset(Leaves::Transaction).await;
    match tried {
        Err((_, failure)) if failure.code() == SqlState::ACTIVE_SQL_TRANSACTION.code() => {
            prepared(connection, programs, program).await
        }
        Err((_, failure))
            if failure.code().starts_with("23") || failure.code().starts_with("40") =>
        {
            Ok(())
        }
        tried => tried,
    }
}

/// True when one of its statements cannot be in a transaction.
fn alone(programs: &Programs, program: &Program) -> bool {
    numbers(program).any(|number| programs.statements[number].alone)
}

/// No more than prepares its statements.
async fn prepared(
    connection: &mut Connection,
    programs: &Programs,
    program: &Program,
) -> Result<(), (Option<usize>, Failure)> {
    for number in numbers(program) {
        let prepared = connection.prepare(programs, number).await;
        prepared.map_err(|error| (Some(number), error.into()))?;
    }
    Ok(())
}

fn numbers(program: &Program) -> impl Iterator<Item = usize> {
    program.steps.iter().filter_map(|step| match step {
        Step::Statement(number, _) => Some(*number),
        Step::Set(..) | Step::Sleep(_) => None,
    })
}

fn refusal(operation: &Operation, line: Option<usize>, failure: &Failure) -> Error {
    let told = match failure {
        Failure::Driver(error) => tell(error),
        Failure::Fault(fault) => fault.to_string(),
    };
    let error = Error::usage(format!("{} cannot run: {told}", place(operation, line)));
    if failure.code() == SqlState::INSUFFICIENT_PRIVILEGE.code() {
        return error
            .help("traffic runs as the migration's role: grant it what the operation needs");
    }
    error.help("each operation is tried once before the first step: correct it, or take it out")
}

/// `the operation `read` (traffic.toml:12)`.
fn place(operation: &Operation, line: Option<usize>) -> String {
    let Operation { name, origin, .. } = operation;
    match line {
        Some(line) => format!("the operation `{name}` ({origin}:{line})"),
        None => format!("the operation `{name}` ({origin})"),
    }
}
