//! A backfill: one statement, one transaction a batch, until it touches no row.

use super::retry::Tries;
use super::session::{After, Driven, Failure, Order, Reply, statement_error};
use super::{Connection, Course, Scene, interrupted};
use crate::Result;
use crate::observe::cadence::Heed;
use crate::plan::{BatchWork, Step};
use crate::recording::format::{Event, Outcome};
use crate::sql::{Kind, TransactionControl, Verb};

const COMMIT: TransactionControl = TransactionControl::Commit { chain: false };
const ROLLBACK: TransactionControl = TransactionControl::Rollback { chain: false };

/// Runs the step.
pub async fn run(scene: &Scene<'_>, step: &Step, work: &BatchWork) -> Result<Course> {
    let mut driven = Driven::open(scene, step).await?;
    let mut course = Course {
        outcome: Outcome::Done,
        attempts: 1,
        pids: vec![driven.pid()],
        connection: Connection::Closed,
        remains: None,
    };
    let mut after = work.after.clone();
    let mut total = 0;
    for number in 1.. {
        if work.max_batches.is_some_and(|most| number > most) {
            course.outcome = failed(format!(
                "there are still rows to fill after {} batches, its `max_batches`",
                number - 1
            ));
            break;
        }
        let text = fill(work, after.as_deref());
        let reply = match attempt(scene, step, &mut driven, &text, &mut course.attempts).await {
            Ok(reply) => reply,
            Err(Failure::Interrupted(signal)) => return Err(interrupted(signal)),
            Err(Failure::Unwatched(error)) => return Err(error),
            Err(failure) => {
                if failure.is_broken() {
                    course.connection = Connection::Broken;
                }
                course.outcome = failed(format!(
                    "batch {number} failed: {}",
                    statement_error(&failure, Some(&text), scene.literals).message
                ));
                break;
            }
        };
        let progress = match (&after, Progress::of(&reply, after.is_some())) {
            (_, Err(message)) => {
                course.outcome = failed(message);
                break;
            }
            (Some(before), Ok(progress))
                if progress.rows > 0 && progress.after.as_ref() == Some(before) =>
            {
                course.outcome = failed(format!(
                    "batch {number} touched rows but its `after` did not move on from {}",
                    scene.shown(&quote(before))
                ));
                break;
            }
            (_, Ok(progress)) => progress,
        };
        if progress.rows == 0 {
            break;
        }
        scene.tell(Event::Batch {
            number,
            rows: progress.rows,
        });
        total += progress.rows;
        scene.watch.advance(total, None);
        scene.watch.detail(&format!("{number} batches"));
        after = progress.after.or(after);
        if !work.sleep.is_zero() {
            scene.rest(work.sleep).await?;
        }
    }
    driven.close();
    Ok(course)
}

/// One batch, again while `lock_timeout` strikes and attempts are left.
async fn attempt(
    scene: &Scene<'_>,
    step: &Step,
    driven: &mut Driven<'_>,
    text: &str,
    attempts: &mut u32,
) -> Result<Reply, Failure> {
    let mut tries = Tries::new(step.retry);
    loop {
        let failure = match one(driven, text).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let again = tries.again(scene, failure).await;
        *attempts = (*attempts).max(tries.attempts());
        again?;
        driven.send(Order::ours(3, "ROLLBACK", ROLLBACK)).await?;
    }
}

/// One batch in a transaction with a poll before its COMMIT. In autocommit, as a statement alone
/// would be, nothing but dense polls could prove that a batch of 200 ms took no lock.
async fn one(driven: &mut Driven<'_>, text: &str) -> Result<Reply, Failure> {
    let order = Order {
        index: 0,
        text,
        control: None,
        after: After::GoOn,
        vacuum: false,
        heed: Some(Heed::Briefly),
        copy_data: None,
    };
    let kind = Kind::of(text);
    // Code that commits by itself cannot run inside a transaction.
    if kind.cannot_run_in_transaction() || matches!(kind.verb(), Verb::Do | Verb::Call) {
        return driven.send(order).await;
    }
    driven
        .send(Order::ours(1, "BEGIN", TransactionControl::Begin))
        .await?;
    let reply = driven.send(order).await?;
    driven.send(Order::ours(2, "COMMIT", COMMIT)).await?;
    Ok(reply)
}

/// What a batch says of itself.
struct Progress {
    rows: u64,
    after: Option<String>,
}

impl Progress {
    /// From the command tag, or for a keyset from the row with `rows` and `after`.
    fn of(reply: &Reply, keyset: bool) -> Result<Self, String> {
        if !keyset {
            return Ok(Self {
                rows: reply.rows,
                after: None,
            });
        }
        let column = |name: &str| reply.last_row.iter().find(|(column, _)| column == name);
        let (Some((_, rows)), Some((_, after))) = (column("rows"), column("after")) else {
            return Err(
                "a batch with `after` must return one row with the columns `rows` and `after`"
                    .to_owned(),
            );
        };
        let rows = rows.as_deref().unwrap_or("0");
        Ok(Self {
            rows: rows
                .parse()
                .map_err(|_| "the batch's column `rows` is no count".to_owned())?,
            after: after.clone(),
        })
    }
}

/// The statement of one batch.
fn fill(work: &BatchWork, after: Option<&str>) -> String {
    let sized = work
        .template
        .replace("${batch_size}", &work.batch_size.to_string());
    match after {
        Some(after) => sized.replace("${after}", &quote(after)),
        None => sized,
    }
}

/// A string literal; with backslashes as `E''`, so that no setting of the server changes it.
fn quote(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

fn failed(message: String) -> Outcome {
    Outcome::Failed {
        message,
        details: Vec::new(),
    }
}
