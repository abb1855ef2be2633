//! `pg_dump` of an image against a server elsewhere: on the engine's own network, out as a tar stream.

use std::io::{self, Read};
use std::path::Path;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::container::{self, Container};
use super::engine::{Engine, Reach};
use super::image::ImageInfo;
use super::owner::Lock;
use super::spec::{Access, Spec};
use crate::stage::dump::Dump;
use crate::stage::lines::Lines;
use crate::stage::local::is_trouble;
use crate::stage::{Endpoint, Heard, Host, ToolOutput};
use crate::{Error, Result};

const INSIDE: &str = "/lockproof/dump";

/// Runs it and takes its folder out.
pub(super) async fn dump(
    engine: &Engine,
    image: &ImageInfo,
    endpoint: &Endpoint,
    run_id: &str,
    cache: &Path,
    dump: &Dump<'_>,
) -> Result<ToolOutput> {
    refuse_unreachable(engine, endpoint)?;
    let path = cache.join("locks").join(format!("dump-{run_id}.lock"));
    let lock = Lock::acquire_own(&path).await?;
    // The role of what a run has: removed with its lock file.
    let labels = lock.labels("run", run_id);
    let spec = Spec::script(&image.name, &image.id, "exec sleep 2147483647", Vec::new())
        .named(format!("lockproof-dump-{run_id}"))
        .labels(labels.clone())
        .on_the_host_s_network()
        .volume(None, "/lockproof", Access::ReadWrite, labels);
    let container = container::create(engine, spec).await?;
    let dumped = async {
        container.start(engine).await?;
        let output = run(engine, &container, endpoint, dump).await?;
        if output.status == Some(0) {
            take_out(engine, &container, dump.into).await?;
        }
        Ok(output)
    }
    .await;
    container.remove(engine).await?;
    lock.discard();
    dumped
}

fn refuse_unreachable(engine: &Engine, endpoint: &Endpoint) -> Result<()> {
    let why = match &endpoint.host {
        Host::Unix(_) => "a container does not see the socket",
        Host::Tcp(host)
            if !matches!(engine.reach, Reach::Here)
                && matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") =>
        {
            "the engine is on another machine, where that address is another server"
        }
        Host::Tcp(_) => return Ok(()),
    };
    Err(Error::stage(format!(
        "`{}` cannot be reached from a container: {why}",
        endpoint.shown()
    ))
    .help("install `pg_dump` of the server's major on this machine, or name its folder with `--pg-bin`"))
}

/// The password goes in through standard input: neither `docker inspect` nor a process list shows it.
async fn run(
    engine: &Engine,
    container: &Container,
    endpoint: &Endpoint,
    dump: &Dump<'_>,
) -> Result<ToolOutput> {
    let lost = |error| engine.failed("run `pg_dump` in the container", error);
    let environment = endpoint
        .own_environment()
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "PGPASSWORD" | "DATABASE_URL"))
        .map(|(name, value)| format!("{name}={value}"))
        .chain([
            "PGAPPNAME=lockproof snapshot".to_owned(),
            "LC_ALL=C".to_owned(),
        ])
        .collect();
    let mut command: Vec<String> = [
        "/bin/sh",
        "-c",
        concat!(
            include_str!("scripts/prelude.sh"),
            "\nIFS= read -r PGPASSWORD || true\n[ -z \"$PGPASSWORD\" ] || export PGPASSWORD\n",
            "exec pg_dump \"$@\" </dev/null"
        ),
        "lockproof",
    ]
    .map(str::to_owned)
    .into();
    command.extend(dump.arguments.iter().cloned());
    command.extend(["--file".to_owned(), INSIDE.to_owned()]);
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(environment),
        cmd: Some(command),
        user: Some("0".to_owned()),
        ..CreateExecOptions::default()
    };
    let exec = engine
        .api
        .create_exec(&container.id, options)
        .await
        .map_err(lost)?;
    let started = engine
        .api
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
    let password = endpoint
        .password
        .as_ref()
        .map_or("", |secret| secret.reveal());
    input
        .write_all(format!("{password}\n").as_bytes())
        .await
        .ok();
    let mut ear = |line: &str| {
        (dump.line)(line);
        if is_trouble(line) {
            Heard::Keep
        } else {
            Heard::Drop
        }
    };
    let mut lines = Lines::new(&mut ear);
    while let Some(part) = output.next().await {
        lines.push(&part.map_err(lost)?.into_bytes());
    }
    let last = lines.end();
    let ended = engine.api.inspect_exec(&exec.id).await.map_err(lost)?;
    Ok(ToolOutput {
        status: ended.exit_code.and_then(|code| i32::try_from(code).ok()),
        stdout: Vec::new(),
        stderr: last,
    })
}

/// The engine's tar stream, unpacked as it comes: never whole in memory, nor twice on the disk.
async fn take_out(engine: &Engine, container: &Container, into: &Path) -> Result<()> {
    let options = DownloadFromContainerOptionsBuilder::default()
        .path(INSIDE)
        .build();
    let api = engine.unhurried();
    let mut stream = api.download_from_container(&container.id, Some(options));
    let (sender, receiver) = mpsc::channel::<Bytes>(16);
    let target = into.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || unpack(receiver, &target));
    let mut broken = None;
    while let Some(piece) = stream.next().await {
        match piece {
            // Whoever unpacks has given up, and says why.
            Ok(piece) => {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(engine.failed("take the dump out of the container", error));
                break;
            }
        }
    }
    drop(sender);
    let unpacked = unpacking
        .await
        .map_err(|error| Error::defect("unpacking the dump broke off").because(error))?;
    match (broken, unpacked) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => {
            Err(Error::stage(format!("cannot write `{}`", into.display())).because(error))
        }
        (None, Ok(())) => Ok(()),
    }
}

/// Only the files of the one folder, by their names alone: nothing leads out of it.
fn unpack(receiver: mpsc::Receiver<Bytes>, into: &Path) -> io::Result<()> {
    std::fs::create_dir(into)?;
    let mut archive = tar::Archive::new(Pieces {
        receiver,
        piece: Bytes::new(),
    });
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.into_owned();
        let name = path.file_name().ok_or(io::ErrorKind::InvalidData)?;
        let mut file = std::fs::File::create_new(into.join(name))?;
        io::copy(&mut entry, &mut file)?;
        file.sync_all()?;
    }
    Ok(())
}

struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
