//! An external program with the stage's `DATABASE_URL` and `PG*`; ended with its children.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::task::JoinHandle;

use super::way::Way;
use super::{Connection, Course, Scene, application, interrupted};
use crate::keeper::{self, Kept};
use crate::observe::cadence::Heed;
use crate::plan::{CommandWork, Step};
use crate::recording::format::{Event, Outcome};
use crate::stage::placeholder::Lacking;
use crate::stage::{Cut, Endpoint};
use crate::{Result, redact};

/// Lines of output that are kept.
const KEPT_LINES: usize = 40;
/// Characters of a line that are kept.
const KEPT_WIDTH: usize = 500;

/// Runs the step.
pub async fn run(scene: &Scene<'_>, step: &Step, work: &CommandWork) -> Result<Course> {
    let mut course = Course {
        outcome: Outcome::Done,
        attempts: 1,
        pids: Vec::new(),
        connection: Connection::Closed,
        remains: None,
    };
    let shown = redact::command_line(&work.argv, scene.literals);
    // Its locks are known from polls alone.
    scene.sampler.heed(Heed::Closely);
    let started = scene.clock.now();
    let mut way = Way::lay(scene, work)?;
    let filled = match filled(&way.endpoint, work) {
        Ok(filled) => filled,
        Err(message) => {
            course.outcome = failed(message, Vec::new());
            return Ok(course);
        }
    };
    let spawned = spawn(&mut way, step, &filled).and_then(|program| {
        way.open(scene)?;
        Ok(program)
    });
    let mut program = match spawned {
        Ok(program) => program,
        Err(error) => {
            course.outcome = failed(format!("`{shown}` cannot be started: {error}"), Vec::new());
            return Ok(course);
        }
    };
    scene.tell(Event::CommandStarted {
        argv: redact::arguments(&work.argv, scene.literals),
        at: started,
        network: Some(way.network.clone()),
    });
    let output = [
        program.child.stdout.take().map(tail),
        program.child.stderr.take().map(tail),
    ];
    let ended = wait(scene, step, &mut program).await;
    let exited = matches!(ended, Ended::Exited(_));
    if exited {
        // What it left behind is a part of the step, as long as that lasts.
        course.remains = Some(Remains { program, way });
    } else {
        program.end().await;
    }
    let mut lines = Vec::new();
    for reader in output.into_iter().flatten() {
        lines.extend(collect(reader).await);
    }
    let lines = redact::foreign::output(lines, scene.literals);
    let status = match &ended {
        Ended::Exited(keeper::Ended::Status(status)) => Some(*status),
        _ => None,
    };
    scene.tell(Event::CommandExited {
        at: scene.clock.now(),
        status,
        output: lines.clone(),
    });
    let message = match ended {
        Ended::Interrupted(signal) => return Err(interrupted(signal)),
        Ended::Unwatched(error) => return Err(error),
        Ended::Exited(keeper::Ended::Status(0)) => return Ok(course),
        Ended::Exited(keeper::Ended::Status(code)) => {
            format!("`{shown}` exited with status {code}")
        }
        Ended::Exited(keeper::Ended::Signal(_)) => format!("`{shown}` was ended by a signal"),
        Ended::Exited(keeper::Ended::NotStarted(error)) => {
            format!("`{shown}` cannot be started: {error}")
        }
        Ended::TimedOut(timeout) => {
            format!("`{shown}` did not end within {timeout:?} and was ended with its children")
        }
        Ended::Lost(error) => format!("`{shown}` cannot be waited for: {error}"),
    };
    course.outcome = failed(message, lines);
    Ok(course)
}

/// What a program left behind, with its way to the stage.
#[derive(Debug)]
pub struct Remains {
    program: Kept,
    way: Way,
}

impl Remains {
    /// The server as the program was told of it.
    pub fn told(&self) -> &Endpoint {
        &self.way.endpoint
    }

    /// Ends it; it returns when nothing of it is left.
    pub async fn end(self) {
        self.program.end_rest().await;
    }
}

enum Ended {
    Exited(keeper::Ended),
    TimedOut(Duration),
    Interrupted(i32),
    Unwatched(crate::Error),
    Lost(std::io::Error),
}

fn spawn(way: &mut Way, step: &Step, work: &CommandWork) -> std::io::Result<Kept> {
    let Some((program, arguments)) = work.argv.split_first() else {
        return Err(std::io::Error::other("there is nothing to run"));
    };
    let mut start = keeper::start(Path::new(program))?;
    let command = &mut start.command;
    for name in Endpoint::OVERRULED {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(&work.folder)
        .envs(way.endpoint.environment())
        .env("PGAPPNAME", application(step))
        .envs(&work.environment)
        .envs(options(way, step, work).map(|options| ("PGOPTIONS", options)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    way.enter(command)?;
    start.spawn()
}

/// The program with what its arguments and its environment ask of the stage; what is told of it stays as it was typed.
fn filled(endpoint: &Endpoint, work: &CommandWork) -> Result<CommandWork, String> {
    let fill = |text: &String| {
        endpoint.fill(text).map_err(|lacking| match lacking {
            Lacking::Host => "`${stage.host}` has no value: the stage is reached by a Unix socket, not by TCP; let the \
                              program use `DATABASE_URL` or `PGHOST`"
                .to_owned(),
            Lacking::Unknown => "a `${stage.…}` of the step is nothing of the stage".to_owned(),
        })
    };
    let environment = work.environment.iter();
    Ok(CommandWork {
        argv: work.argv.iter().map(fill).collect::<Result<_, _>>()?,
        environment: environment
            .map(|(name, value)| Ok((name.clone(), fill(value)?)))
            .collect::<Result<_, String>>()?,
        ..work.clone()
    })
}

/// `PGOPTIONS` where the step has a `lock_timeout`, so that all of its statements have it: what the server's address
/// says, then that, then what the step's own environment says, of which the last counts.
fn options(way: &Way, step: &Step, work: &CommandWork) -> Option<String> {
    let timeout = step.lock_timeout?;
    let environment = way.endpoint.environment();
    let given = environment.iter().find(|(name, _)| *name == "PGOPTIONS");
    let own = work.environment.get("PGOPTIONS");
    let ours = format!("-c lock_timeout={}ms", timeout.as_millis().max(1));
    let all = [
        given.map(|(_, options)| options.as_str()),
        Some(ours.as_str()),
        own.map(String::as_str),
    ];
    Some(all.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

async fn wait(scene: &Scene<'_>, step: &Step, program: &mut Kept) -> Ended {
    let deadline = async {
        match step.timeout {
            Some(timeout) => {
                tokio::time::sleep(timeout).await;
                timeout
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = program.wait() => match ended {
            Ok(ended) => Ended::Exited(ended),
            Err(error) => Ended::Lost(error),
        },
        timeout = deadline => Ended::TimedOut(timeout),
        signal = scene.interrupt.wait() => Ended::Interrupted(signal),
        error = scene.sampler.lost() => Ended::Unwatched(error),
    }
}

/// Reads a pipe to its end and keeps its last lines.
fn tail<R>(pipe: R) -> JoinHandle<VecDeque<String>>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        // A character has at most four bytes.
        let mut lines = Cut::at(4 * KEPT_WIDTH, pipe);
        let mut kept = VecDeque::with_capacity(KEPT_LINES);
        while let Ok(Some(line)) = lines.next().await {
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            // Of one that was cut, the beginning of a password goes as well.
            let text = redact::hide_cut(line.trim_end());
            kept.push_back(text.chars().take(KEPT_WIDTH).collect());
        }
        kept
    })
}

/// The pipe's lines; a grandchild that kept it open is not waited for.
async fn collect(mut reader: JoinHandle<VecDeque<String>>) -> VecDeque<String> {
    match tokio::time::timeout(Duration::from_secs(1), &mut reader).await {
        Ok(Ok(lines)) => lines,
        _ => {
            reader.abort();
            VecDeque::new()
        }
    }
}

fn failed(message: String, details: Vec<String>) -> Outcome {
    Outcome::Failed { message, details }
}
