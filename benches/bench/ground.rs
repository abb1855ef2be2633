//! The server that measurements run on: a stage of lockproof's own, with its production-like
//! settings, thrown away afterwards.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use lockproof::stage::docker::{Docker, DockerStage, Limits};
use lockproof::stage::local::{Installation, Local, LocalStage};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{Endpoint, Fill, Request, RunningStage, Tools, Watch};
use tempfile::TempDir;

use crate::Outcome;

/// A running server and the programs to talk to it.
pub struct Ground {
    server: Server,
    /// Where the client programs are; those of this machine, also for a container.
    installation: Installation,
    /// Removed at the end.
    pub folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

enum Server {
    Local(LocalStage),
    Container {
        docker: Docker,
        stage: DockerStage,
        /// The name of the base, which is of no use to anybody else.
        base: String,
    },
}

struct Nothing;

impl Fill for Nothing {
    async fn fill<T: Tools>(&self, _: &Endpoint, _: &T, _: &dyn Watch) -> lockproof::Result<()> {
        Ok(())
    }
}

impl Ground {
    /// Starts one on the server programs of this machine.
    pub fn start() -> Outcome<Self> {
        let (folder, runtime, request) = beginning()?;
        let local = Local::default();
        let stage = runtime.block_on(async {
            let base = local.prepare(&request, &Nothing, &Unwatched).await?;
            local.start(&base, &Unwatched).await
        })?;
        Ok(Self {
            server: Server::Local(stage),
            installation: local.installation(None)?,
            folder,
            runtime,
        })
    }

    /// Starts one in a container of an image that is there.
    #[allow(dead_code, reason = "not every bench has one")]
    pub fn container(image: &str) -> Outcome<Self> {
        let (folder, runtime, request) = beginning()?;
        let (docker, stage, base) = runtime.block_on(async {
            let docker = Docker::connect().await?;
            let limits = Limits::default();
            let base = docker
                .prepare(image, &request, &limits, &Nothing, &Unwatched)
                .await?;
            let stage = docker.start(&base, &Unwatched).await?;
            Ok::<_, lockproof::Error>((docker, stage, base.name().to_owned()))
        })?;
        Ok(Self {
            server: Server::Container {
                docker,
                stage,
                base,
            },
            installation: Local::default().installation(None)?,
            folder,
            runtime,
        })
    }

    /// How to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        match &self.server {
            Server::Local(stage) => stage.endpoint(),
            Server::Container { stage, .. } => stage.endpoint(),
        }
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
        let Self {
            server, runtime, ..
        } = self;
        runtime.block_on(async {
            match server {
                Server::Local(stage) => stage.stop().await,
                Server::Container {
                    docker,
                    stage,
                    base,
                } => {
                    stage.stop().await?;
                    docker.remove_base(&base).await.map(drop)
                }
            }
        })?;
        Ok(())
    }
}

fn beginning() -> Outcome<(TempDir, tokio::runtime::Runtime, Request)> {
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
        // A container's base is known to the whole engine: two benches at once have one each.
        base_digest: format!("{:08x}", std::process::id()),
        server_major: None,
        cache: folder.path().to_owned(),
        network: Default::default(),
    };
    Ok((folder, runtime, request))
}
