//! `pg_dump` of this machine. It runs as ourselves: what it writes is ours, and it reaches what we reach.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::binaries::{folders, parse_version};
use super::folder::cannot;
use super::tools::last_lines;
use crate::stage::dump::Dump;
use crate::stage::{Cut, Endpoint, Heard, TOOL_LINES, ToolOutput};
use crate::{Error, Result};

/// Bytes of each line of its words that are kept.
const WIDTH: usize = 4096;

/// A `pg_dump`; it needs no server beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgDump {
    /// Its path.
    pub program: PathBuf,
    /// Its full version.
    pub version: String,
    /// Its major.
    pub major: u32,
}

impl PgDump {
    /// All that there are, newest first, and where they were looked for.
    pub fn find(given: Option<&Path>) -> (Vec<Self>, Vec<String>) {
        let (folders, looked_at) = folders(given);
        let mut found: Vec<Self> = folders
            .iter()
            .filter_map(|folder| Self::probe(&folder.join("pg_dump")))
            .collect();
        // Stable: of the same version, the one that is found first.
        found.sort_by(|a, b| (b.major, &b.version).cmp(&(a.major, &a.version)));
        (found, looked_at)
    }

    fn probe(program: &Path) -> Option<Self> {
        if !program.is_file() {
            return None;
        }
        let output = std::process::Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let (major, version) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            program: program.to_owned(),
            version,
            major,
        })
    }

    /// Runs it with these arguments alone, and says its last words. Dropping the future kills it.
    pub(in crate::stage) async fn run_with(
        &self,
        endpoint: &Endpoint,
        arguments: &[String],
    ) -> Result<ToolOutput> {
        let mut command = tokio::process::Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(&name);
            }
        }
        let environment = endpoint.own_environment();
        let mut child = command
            .args(arguments)
            .envs(
                environment
                    .into_iter()
                    .filter(|(name, _)| *name != "DATABASE_URL"),
            )
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot("start", &self.program, error))?;
        let mut keep = |_: &str| Heard::Keep;
        let stderr = last_lines(child.stderr.take(), &mut keep).await;
        let status = child
            .wait()
            .await
            .map_err(|error| cannot("wait for", &self.program, error))?;
        Ok(ToolOutput {
            status: status.code(),
            stdout: Vec::new(),
            stderr,
        })
    }

    /// Runs it. The password is in its environment alone.
    pub(in crate::stage) async fn run(
        &self,
        endpoint: &Endpoint,
        dump: &Dump<'_>,
    ) -> Result<ToolOutput> {
        let mut command = tokio::process::Command::new("/bin/sh");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(&name);
            }
        }
        let environment = endpoint.own_environment();
        let given = environment.iter().find(|(name, _)| *name == "PGOPTIONS");
        let given = given.map(|(_, options)| options.clone());
        let options: Vec<String> = given.into_iter().chain(dump.options.clone()).collect();
        let options = (!options.is_empty()).then(|| options.join(" "));
        let mut child = command
            .args(["-c", include_str!("watched.sh"), "lockproof"])
            .arg(&self.program)
            .args(&dump.arguments)
            .arg("--file")
            .arg(dump.into)
            // As URL the password would stand there twice.
            .envs(
                environment
                    .into_iter()
                    .filter(|(name, _)| *name != "DATABASE_URL"),
            )
            .env("PGAPPNAME", "lockproof snapshot")
            .envs(options.map(|options| ("PGOPTIONS", options)))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for us.
            .process_group(0)
            .spawn()
            .map_err(|error| cannot("start", &self.program, error))?;
        // Held until it ended: when this goes, so does the program.
        let leash = child.stdin.take();
        let mut last = std::collections::VecDeque::new();
        if let Some(stderr) = child.stderr.take() {
            let mut lines = Cut::at(WIDTH, stderr);
            let broken = |error| Error::stage("the words of `pg_dump` broke off").because(error);
            while let Some(line) = lines.next().await.map_err(broken)? {
                (dump.line)(&line);
                // Only what tells of trouble is kept: it says a line for each of a thousand objects.
                if is_trouble(&line) {
                    if last.len() == TOOL_LINES {
                        last.pop_front();
                    }
                    last.push_back(line);
                }
            }
        }
        let status = child
            .wait()
            .await
            .map_err(|error| cannot("wait for", &self.program, error))?;
        drop(leash);
        Ok(ToolOutput {
            status: status.code(),
            stdout: Vec::new(),
            stderr: last.into(),
        })
    }
}

/// True unless it only tells how far it is.
pub(in crate::stage) fn is_trouble(line: &str) -> bool {
    match line.strip_prefix("pg_dump: ") {
        Some(rest) => ["error:", "warning:", "detail:", "hint:", "fatal:"]
            .iter()
            .any(|word| rest.starts_with(word)),
        None => !line.trim().is_empty(),
    }
}
