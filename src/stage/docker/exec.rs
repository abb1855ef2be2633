//! Client programs inside the server's container, of the server's own version.

use std::path::Path;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::container::Container;
use super::engine::Engine;
use super::place;
use crate::stage::lines::Lines;
use crate::stage::{Ear, Endpoint, Heard, ToolInput, ToolOutput, Tools, Watch};
use crate::{Error, Result};

/// The shell's word for a program that is not there; no client program ends with it.
const NO_PROGRAM: i32 = 127;

/// The tools in one container.
pub(super) struct ContainerTools<'a> {
    pub(super) engine: &'a Engine,
    pub(super) container: &'a Container,
}

impl Tools for ContainerTools<'_> {
    async fn run_heard(
        &self,
        endpoint: &Endpoint,
        program: &str,
        args: &[String],
        stdin: Option<ToolInput>,
        ear: Ear<'_>,
    ) -> Result<ToolOutput> {
        // Over the socket inside, which trusts: no password reaches a command line or environment
        // that `docker inspect` shows. The endpoint's own host is for this side of the wall.
        let mut environment = vec![
            "PGHOST=/var/run/postgresql".to_owned(),
            "PGPORT=5432".to_owned(),
            format!("PGUSER={}", endpoint.user),
            format!("PGDATABASE={}", endpoint.database),
            // Its words are read: in English, whatever language the image speaks.
            "LC_ALL=C".to_owned(),
            "PGCLIENTENCODING=UTF8".to_owned(),
        ];
        let options = endpoint.own_environment().into_iter();
        let options = options.filter(|(name, _)| *name == "PGOPTIONS");
        environment.extend(options.map(|(name, value)| format!("{name}={value}")));
        let mut command = vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            concat!(
                include_str!("scripts/prelude.sh"),
                include_str!("scripts/tool.sh")
            )
            .to_owned(),
            "lockproof".to_owned(),
            program.to_owned(),
        ];
        command.extend_from_slice(args);
        let output = self
            .exec("postgres", environment, command, stdin, ear)
            .await?;
        if output.status == Some(NO_PROGRAM) {
            return Err(Error::stage(format!(
                "the image `{}` has no `{program}`",
                self.container.image
            ))
            .details(output.stderr)
            .help("name an image with --image that has the client programs"));
        }
        Ok(output)
    }

    async fn place(&self, path: &Path, watch: &dyn Watch) -> Result<String> {
        place::place(self.engine, self.container, path, watch).await
    }
}

/// The same, for whoever outlives the stage's own hands.
#[derive(Clone)]
pub(in crate::stage) struct Programs {
    pub(super) engine: Engine,
    pub(super) container: Container,
}

impl Tools for Programs {
    async fn run_heard(
        &self,
        endpoint: &Endpoint,
        program: &str,
        args: &[String],
        stdin: Option<ToolInput>,
        ear: Ear<'_>,
    ) -> Result<ToolOutput> {
        let tools = ContainerTools {
            engine: &self.engine,
            container: &self.container,
        };
        tools.run_heard(endpoint, program, args, stdin, ear).await
    }

    async fn place(&self, path: &Path, _watch: &dyn Watch) -> Result<String> {
        Err(Error::defect(format!(
            "`{}` was to be placed into a running stage",
            path.display()
        )))
    }
}

impl ContainerTools<'_> {
    /// What a script prints to its end, run as root: for what is told beside the work. None: nothing.
    pub(super) async fn asked(&self, script: &str) -> Option<Vec<String>> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).into();
        let mut keep = |_: &str| Heard::Keep;
        let output = self
            .exec("0", Vec::new(), command, None, &mut keep)
            .await
            .ok()?;
        Some(output.stdout)
    }

    async fn exec(
        &self,
        user: &str,
        environment: Vec<String>,
        command: Vec<String>,
        stdin: Option<ToolInput>,
        ear: Ear<'_>,
    ) -> Result<ToolOutput> {
        let lost = |error| self.engine.failed("run a program in the container", error);
        let options = CreateExecOptions {
            attach_stdin: Some(stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(environment),
            cmd: Some(command),
            user: Some(user.to_owned()),
            ..CreateExecOptions::default()
        };
        let api = &self.engine.api;
        let exec = api
            .create_exec(&self.container.id, options)
            .await
            .map_err(lost)?;
        let started = api
            .start_exec(&exec.id, None::<StartExecOptions>)
            .await
            .map_err(lost)?;
        let StartExecResults::Attached {
            mut output,
            mut input,
        } = started
        else {
            return Err(Error::defect("the engine detached an attached command"));
        };

        let mut keep = |_: &str| Heard::Keep;
        let (mut stdout, mut stderr) = (Lines::new(&mut keep), Lines::new(ear));
        let read = async {
            while let Some(part) = output.next().await {
                match part.map_err(lost)? {
                    LogOutput::StdErr { message } => stderr.push(&message),
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        stdout.push(&message);
                    }
                    LogOutput::StdIn { .. } => {}
                }
            }
            Ok(())
        };
        let write = async {
            if let Some(mut stdin) = stdin {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let length = stdin.read(&mut buffer).await.map_err(|error| {
                        Error::stage("cannot read what a program was to get").because(error)
                    })?;
                    // A program that ended early closes its side: its status says why.
                    if length == 0 || input.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            }
            input.shutdown().await.ok();
            Ok(())
        };
        // Whoever ends first: a program may end without reading everything, and an unreadable input
        // must not pass for its end.
        let both = async {
            tokio::pin!(read, write);
            tokio::select! {
                ended = &mut read => ended,
                written = &mut write => {
                    written?;
                    read.await
                }
            }
        };
        self.engine.attended(both).await??;
        Ok(ToolOutput {
            status: self.status(&exec.id).await?,
            stdout: stdout.end(),
            stderr: stderr.end(),
        })
    }

    /// The exit status; the engine learns of it a moment after the streams end.
    async fn status(&self, exec: &str) -> Result<Option<i32>> {
        for _ in 0..500 {
            let state = self
                .engine
                .api
                .inspect_exec(exec)
                .await
                .map_err(|error| self.engine.failed("say how a program ended", error))?;
            if state.running != Some(true) {
                // 128 + n comes from the engine for a signal, as from a shell.
                return Ok(state
                    .exit_code
                    .and_then(|code| i32::try_from(code).ok())
                    .filter(|code| *code >= 0 && *code <= 128));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Error::stage(format!(
            "a program in the container of the image `{}` closed its output and does not end",
            self.container.image
        )))
    }
}
