//! A step of the user's statements, exactly as written, in one session of its own.

use std::path::Path;

use super::retry::Tries;
use super::session::{Driven, Failure, Order, Transaction, statement_error};
use super::{Connection, Course, Scene, interrupted, place};
use crate::Result;
use crate::plan::{SqlWork, Step, Wrap};
use crate::recording::format::Outcome;
use crate::sql::{Statement, TransactionControl, line_column};

const COMMIT: TransactionControl = TransactionControl::Commit { chain: false };
const ROLLBACK: TransactionControl = TransactionControl::Rollback { chain: false };

/// Runs the step.
pub async fn run(scene: &Scene<'_>, step: &Step, work: &SqlWork) -> Result<Course> {
    let mut driven = Driven::open(scene, step).await?;
    let mut attempts = 1;
    let result = match work.wrap {
        Wrap::Transaction => transaction(scene, &mut driven, step, work, &mut attempts).await,
        Wrap::Autocommit | Wrap::AsWritten => {
            one_by_one(scene, &mut driven, step, work, &mut attempts).await
        }
    };
    let pids = vec![driven.pid()];
    let left_open = driven.transaction() == Transaction::Open;
    let mut course = Course {
        outcome: Outcome::Done,
        attempts,
        pids,
        connection: Connection::Closed,
        remains: None,
    };
    match result {
        Ok(()) if left_open => {
            course.outcome = Outcome::Failed {
                message: "the step leaves a transaction open: it has a BEGIN without its COMMIT"
                    .to_owned(),
                details: Vec::new(),
            };
        }
        Ok(()) => {}
        Err((_, Failure::Interrupted(signal))) => return Err(interrupted(signal)),
        Err((_, Failure::Unwatched(error))) => {
            driven.close();
            return Err(error);
        }
        Err((statement, failure)) => {
            if failure.is_broken() {
                course.connection = Connection::Broken;
            }
            course.outcome = failed(scene, &failure, statement, work, attempts);
        }
    }
    driven.close();
    Ok(course)
}

type Failed<'a> = (Option<&'a Statement>, Failure);

/// All in one transaction; after `lock_timeout` all of it again.
async fn transaction<'a>(
    scene: &Scene<'_>,
    driven: &mut Driven<'_>,
    step: &Step,
    work: &'a SqlWork,
    attempts: &mut u32,
) -> Result<(), Failed<'a>> {
    let count = work.statements.len();
    let mut tries = Tries::new(step.retry);
    loop {
        let result: Result<(), Failed<'a>> = async {
            let begin = Order::ours(0, "BEGIN", TransactionControl::Begin);
            driven
                .send(begin)
                .await
                .map_err(|failure| (None, failure))?;
            for (index, statement) in work.statements.iter().enumerate() {
                scene.watch.detail(statement.kind.summary());
                driven
                    .send(Order::of(index + 1, statement, &work.text))
                    .await
                    .map_err(|failure| (Some(statement), failure))?;
                scene.watch.advance(index as u64 + 1, Some(count as u64));
            }
            let commit = Order::ours(count + 1, "COMMIT", COMMIT);
            driven
                .send(commit)
                .await
                .map_err(|failure| (None, failure))?;
            Ok(())
        }
        .await;
        let Err((statement, failure)) = result else {
            return Ok(());
        };
        let again = tries.again(scene, failure).await;
        *attempts = tries.attempts();
        again.map_err(|failure| (statement, failure))?;
        let rollback = Order::ours(count + 2, "ROLLBACK", ROLLBACK);
        driven
            .send(rollback)
            .await
            .map_err(|failure| (None, failure))?;
    }
}

/// Each statement by itself; after `lock_timeout` that statement again, unless the user's own
/// transaction is lost with it.
async fn one_by_one<'a>(
    scene: &Scene<'_>,
    driven: &mut Driven<'_>,
    step: &Step,
    work: &'a SqlWork,
    attempts: &mut u32,
) -> Result<(), Failed<'a>> {
    let count = work.statements.len() as u64;
    for (index, statement) in work.statements.iter().enumerate() {
        scene.watch.detail(statement.kind.summary());
        let mut tries = Tries::new(step.retry);
        loop {
            let in_transaction = driven.transaction() == Transaction::Open;
            let order = Order::of(index, statement, &work.text);
            let Err(failure) = driven.send(order).await else {
                break;
            };
            if in_transaction {
                return Err((Some(statement), failure));
            }
            let again = tries.again(scene, failure).await;
            *attempts = (*attempts).max(tries.attempts());
            again.map_err(|failure| (Some(statement), failure))?;
        }
        scene.watch.advance(index as u64 + 1, Some(count));
    }
    Ok(())
}

/// The words for a failed statement: what, where in the user's file, why.
fn failed(
    scene: &Scene<'_>,
    failure: &Failure,
    statement: Option<&Statement>,
    work: &SqlWork,
    attempts: u32,
) -> Outcome {
    let text = statement.map(|statement| statement.text.as_str());
    let error = statement_error(failure, text, scene.literals);
    let place = statement.map(|statement| {
        let (line, _) = line_column(&work.text, statement.span.start);
        let file = work.file.as_deref().and_then(Path::file_name);
        let file = file.map_or_else(
            || "the SQL".to_owned(),
            |f| f.to_string_lossy().into_owned(),
        );
        format!("`{}` in {file}, line {line}", statement.kind.summary())
    });
    let attempts = if attempts > 1 {
        format!(" after {attempts} attempts")
    } else {
        String::new()
    };
    let message = match place {
        Some(place) => format!("{place} failed{attempts}: {}", error.message),
        None => format!("the transaction failed{attempts}: {}", error.message),
    };
    let details = match (failure, statement) {
        (Failure::Driver(driver), Some(statement)) => driver
            .as_db_error()
            .map(|db| {
                let place = place::Place {
                    file: work.file.as_deref(),
                    text: &work.text,
                    statement: statement.span.clone(),
                };
                place::lines(db, &place, scene.literals)
            })
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    Outcome::Failed { message, details }
}
