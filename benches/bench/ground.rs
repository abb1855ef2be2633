//! The server that measurements run on: a local stage of lockproof's own, with its production-like
//! settings, thrown away afterwards.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use lockproof::stage::local::{Installation, Local, LocalStage};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{Endpoint, Fill, Request, RunningStage, Tools, Watch};
use tempfile::TempDir;

use crate::Outcome;

/// A running server and the programs to talk to it.
pub struct Ground {
    stage: LocalStage,
    installation: Installation,
    /// Removed at the end.
    pub folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

struct Nothing;

impl Fill for Nothing {
    async fn fill<T: Tools>(&self, _: &Endpoint, _: &T, _: &dyn Watch) -> lockproof::Result<()> {
        Ok(())
    }
}

impl Ground {
    /// Starts one.
    pub fn start() -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("lockproof-bench-")
            .tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let request = Request {
            run_id: "00000000be9c".to_owned(),
            settings: [
                ("autovacuum", "off"),
                ("max_connections", "400"),
                ("max_locks_per_transaction", "256"),
                ("max_wal_size", "4GB"),
                ("shared_buffers", "256MB"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            database: "bench".to_owned(),
            base_digest: "00".to_owned(),
            server_major: None,
            cache: folder.path().to_owned(),
        };
        let local = Local::default();
        let stage = runtime.block_on(async {
            let base = local.prepare(&request, &Nothing, &Unwatched).await?;
            local.start(&base, &Unwatched).await
        })?;
        Ok(Self {
            stage,
            installation: local.installation(None)?,
            folder,
            runtime,
        })
    }

    /// How to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        self.stage.endpoint()
    }

    /// Its major version.
    pub fn major(&self) -> u32 {
        self.installation.major
    }

    /// Runs something asynchronous.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A program next to the server, set up to reach a database.
    pub fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.installation.program(name));
        command
            .envs(self.endpoint().in_database(database).environment())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        command
    }

    /// Runs SQL by `psql -f`; the time that it took, by the server's clock in the same session just before
    /// and just after, so that the program's start and its connecting are no part of it.
    pub fn psql_file(&self, database: &str, file: &std::path::Path) -> Outcome<Duration> {
        const MARK: &str = "SELECT 'bench ' || extract(epoch FROM clock_timestamp());\n";
        let marked = file.with_extension("marked");
        let sql = std::fs::read_to_string(file)?;
        std::fs::write(&marked, format!("{MARK}{sql}{MARK}"))?;
        let output = self
            .program("psql", database)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(marked)
            .output()?;
        if !output.status.success() {
            return Err(format!("psql -f {}: {}", file.display(), output.status).into());
        }
        let marks: Vec<f64> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.strip_prefix("bench ")?.parse().ok())
            .collect();
        match marks.as_slice() {
            [from, to] => Ok(Duration::from_secs_f64((to - from).max(0.0))),
            _ => Err(format!("psql -f {} told no times", file.display()).into()),
        }
    }

    /// Runs one statement; its output.
    pub fn sql(&self, database: &str, sql: &str) -> Outcome<String> {
        let output = self
            .program("psql", database)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()?;
        if !output.status.success() {
            return Err(format!("psql -c '{sql}': {}", output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Ends it.
    pub fn stop(self) -> Outcome {
        let Self { stage, runtime, .. } = self;
        Ok(runtime.block_on(stage.stop())?)
    }
}
