//! Runs one of the user's programs: bounded, its words kept, ended with its children when it has to be.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::mask::masked;
use super::path_of;
use super::record::Record;
use crate::stage::Cut;
use crate::{Error, Result};

/// Lines that are kept of each stream.
const KEPT: usize = 20;
/// Bytes of each line that are kept: more than any URL has.
const WIDTH: usize = 16 * 1024;
/// From a polite signal to the one that cannot be refused.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// A server that the program started may hold its output open: nobody waits for that.
const LAST_WORDS: Duration = Duration::from_millis(300);

pub(super) struct Program<'a> {
    /// Which key of the description it is.
    pub what: &'static str,
    pub words: &'a [String],
    pub folder: &'a Path,
    pub environment: Vec<(String, String)>,
}

/// How it ended.
pub(super) struct Ended {
    status: ExitStatus,
    stdout: VecDeque<String>,
    stderr: VecDeque<String>,
}

impl Ended {
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    pub fn how(&self) -> String {
        match self.status.code() {
            Some(code) => format!("exited with status {code}"),
            None => "was ended by a signal".to_owned(),
        }
    }

    /// Its last words, without passwords.
    pub fn said(&self) -> Vec<String> {
        self.stdout
            .iter()
            .chain(&self.stderr)
            .map(|line| masked(line))
            .collect()
    }

    /// The last line of its standard output that is not empty.
    pub fn last_line(&self) -> Option<&str> {
        let lines = self.stdout.iter().rev().map(|line| line.trim());
        lines.into_iter().find(|line| !line.is_empty())
    }
}

impl Program<'_> {
    /// Runs it; `record` learns its process, `line` each line of its standard error.
    pub async fn run(
        &self,
        deadline: Instant,
        record: Option<&mut Record>,
        line: impl Fn(&str),
    ) -> Result<Ended> {
        let shown = &self.words[0];
        let mut child = tokio::process::Command::new(path_of(shown, self.folder))
            .args(&self.words[1..])
            .current_dir(self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for us; its children go with it.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Error::stage(format!("`{shown}` cannot be started"))
                    .because(error)
                    .help(format!(
                        "`{}` in the snapshot's description names a program that can be run; a path is relative to its folder",
                        self.what
                    ))
            })?;
        let group = Group(child.id().map(|id| Pid::from_raw(id.cast_signed())));
        if let (Some(record), Some(pid)) = (record, child.id()) {
            record.made_by(pid)?;
        }
        let mut stdout = child.stdout.take().map(|pipe| Cut::at(WIDTH, pipe));
        let mut stderr = child.stderr.take().map(|pipe| Cut::at(WIDTH, pipe));
        let mut kept = (VecDeque::new(), VecDeque::new());
        let mut status = None;
        let mut last_words = deadline;
        while status.is_none() || stdout.is_some() || stderr.is_some() {
            tokio::select! {
                biased;
                said = next(&mut stdout), if stdout.is_some() => {
                    if let Some(said) = said {
                        keep(&mut kept.0, said);
                    }
                }
                said = next(&mut stderr), if stderr.is_some() => {
                    if let Some(said) = said {
                        line(&said);
                        keep(&mut kept.1, said);
                    }
                }
                ended = child.wait(), if status.is_none() => {
                    let lost = |error| Error::stage(format!("`{shown}` cannot be waited for")).because(error);
                    status = Some(ended.map_err(lost)?);
                    last_words = Instant::now() + LAST_WORDS;
                }
                () = tokio::time::sleep_until(last_words.min(deadline)) => {
                    if status.is_some() {
                        break;
                    }
                    group.end(&mut child).await;
                    return Err(Error::stage(format!(
                        "`{shown}` did not end within its time and was ended with its children"
                    ))
                    .details(kept.0.iter().chain(&kept.1).map(|line| masked(line)))
                    .help("see what it waits for, or set a longer `timeout` in `[source]` of the snapshot's description"));
                }
            }
        }
        group.disarm();
        let (stdout, stderr) = kept;
        status
            .map(|status| Ended {
                status,
                stdout,
                stderr,
            })
            .ok_or_else(|| Error::defect("a program ended without a status"))
    }
}

/// The program and its children: told to end when this is dropped before they did.
struct Group(Option<Pid>);

impl Group {
    async fn end(mut self, child: &mut tokio::process::Child) {
        let Some(group) = self.0.take() else { return };
        // ESRCH: nobody is left, which is what is wanted.
        let _ = killpg(group, Signal::SIGTERM);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait().await;
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGTERM);
        }
    }
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Option<Cut<R>>) -> Option<String> {
    let said = match lines {
        Some(open) => open.next().await,
        None => return None,
    };
    match said {
        Ok(Some(said)) => Some(said),
        Ok(None) | Err(_) => {
            *lines = None;
            None
        }
    }
}

fn keep(kept: &mut VecDeque<String>, line: String) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(line);
}
