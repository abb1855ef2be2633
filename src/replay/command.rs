//! An external program with the stage's `DATABASE_URL` and `PG*`; ended with its children.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{Connection, Course, Scene, application, interrupted};
use crate::observe::cadence::Heed;
use crate::plan::{CommandWork, Step};
use crate::recording::format::{Event, Outcome};
use crate::stage::Endpoint;
use crate::{Result, redact};

/// Lines of output that are kept.
const KEPT_LINES: usize = 40;
/// Characters of a line that are kept.
const KEPT_WIDTH: usize = 500;
/// From a polite signal to the one that cannot be refused.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the step.
pub async fn run(scene: &Scene<'_>, step: &Step, work: &CommandWork) -> Result<Course> {
    let mut course = Course {
        outcome: Outcome::Done,
        attempts: 1,
        pids: Vec::new(),
        connection: Connection::Closed,
    };
    let shown = redact::command_line(&work.argv, scene.literals);
    // Its locks are known from polls alone.
    scene.sampler.heed(Heed::Closely);
    let started = scene.clock.now();
    let mut child = match spawn(scene, step, work) {
        Ok(child) => child,
        Err(error) => {
            course.outcome = failed(format!("`{shown}` cannot be started: {error}"), Vec::new());
            return Ok(course);
        }
    };
    scene.tell(Event::CommandStarted {
        argv: redact::arguments(&work.argv, scene.literals),
        at: started,
    });
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw);
    let output = [child.stdout.take().map(tail), child.stderr.take().map(tail)];
    let ended = wait(scene, step, &mut child).await;
    // Whether it ended by itself or not, its children must not outlive it.
    end_group(group, &mut child, !matches!(ended, Ended::Exited(_))).await;
    let mut lines = Vec::new();
    for reader in output.into_iter().flatten() {
        lines.extend(collect(reader).await);
    }
    let lines = redact::foreign::output(lines, scene.literals);
    let status = match &ended {
        Ended::Exited(status) => status.code(),
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
        Ended::Exited(status) if status.success() => return Ok(course),
        Ended::Exited(status) => match status.code() {
            Some(code) => format!("`{shown}` exited with status {code}"),
            None => format!("`{shown}` was ended by a signal"),
        },
        Ended::TimedOut(timeout) => {
            format!("`{shown}` did not end within {timeout:?} and was ended with its children")
        }
        Ended::Lost(error) => format!("`{shown}` cannot be waited for: {error}"),
    };
    course.outcome = failed(message, lines);
    Ok(course)
}

enum Ended {
    Exited(std::process::ExitStatus),
    TimedOut(Duration),
    Interrupted(i32),
    Unwatched(crate::Error),
    Lost(std::io::Error),
}

fn spawn(scene: &Scene<'_>, step: &Step, work: &CommandWork) -> std::io::Result<Child> {
    let Some((program, arguments)) = work.argv.split_first() else {
        return Err(std::io::Error::other("there is nothing to run"));
    };
    let mut command = Command::new(program);
    for name in Endpoint::OVERRULED {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(&work.folder)
        .envs(scene.endpoint.environment())
        .env("PGAPPNAME", application(step))
        .envs(&work.environment)
        .envs(options(scene, step, work).map(|options| ("PGOPTIONS", options)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// `PGOPTIONS` where the step has a `lock_timeout`, so that all of its statements have it: what the server's address
/// says, then that, then what the step's own environment says, of which the last counts.
fn options(scene: &Scene<'_>, step: &Step, work: &CommandWork) -> Option<String> {
    let timeout = step.lock_timeout?;
    let environment = scene.endpoint.environment();
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

async fn wait(scene: &Scene<'_>, step: &Step, child: &mut Child) -> Ended {
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
        status = child.wait() => match status {
            Ok(status) => Ended::Exited(status),
            Err(error) => Ended::Lost(error),
        },
        timeout = deadline => Ended::TimedOut(timeout),
        signal = scene.interrupt.wait() => Ended::Interrupted(signal),
        error = scene.sampler.lost() => Ended::Unwatched(error),
    }
}

/// Ends what is left of the process group; `politely` first where the program itself still runs.
async fn end_group(group: Option<Pid>, child: &mut Child, politely: bool) {
    let Some(group) = group else {
        return;
    };
    // ESRCH: nobody is left, which is what is wanted.
    if politely {
        let _ = killpg(group, Signal::SIGTERM);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait().await;
}

/// Reads a pipe to its end and keeps its last lines.
fn tail<R>(pipe: R) -> JoinHandle<VecDeque<String>>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut reader = BufReader::new(pipe);
        let mut kept = VecDeque::with_capacity(KEPT_LINES);
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            // Before it is cut: of half a password nothing would be known.
            let text = redact::hide(String::from_utf8_lossy(&line).trim_end());
            kept.push_back(text.chars().take(KEPT_WIDTH).collect());
            line.clear();
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
