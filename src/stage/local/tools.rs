//! Client programs of the same installation, under the server's account.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::binaries::Installation;
use super::disk;
use super::folder::cannot;
use super::user::Account;
use crate::stage::lines::Lines;
use crate::stage::{
    Ear, Endpoint, Heard, Host, NetworkFacts, ToolInput, ToolOutput, Tools, Unit, Watch,
};
use crate::{Error, Result};

/// From one look at how large a copy has become to the next.
const GROWN: Duration = Duration::from_millis(500);

/// Runs the programs of an installation.
#[derive(Debug, Clone)]
pub struct LocalTools {
    pub(super) installation: Installation,
    pub(super) account: Account,
    /// Copies of files that the account cannot read go here.
    pub(super) placed: PathBuf,
    /// What they may reach besides the server's socket.
    pub(super) network: NetworkFacts,
}

impl Tools for LocalTools {
    async fn run_heard(
        &self,
        endpoint: &Endpoint,
        program: &str,
        args: &[String],
        stdin: Option<ToolInput>,
        ear: Ear<'_>,
    ) -> Result<ToolOutput> {
        let path = self.installation.program(program);
        if !path.is_file() {
            return Err(Error::stage(format!(
                "`{program}` is not in `{}`",
                self.installation.bin_dir.display()
            ))
            .help(format!(
                "install the client programs, such as `apt install postgresql-client-{}`",
                self.installation.major
            )));
        }
        let (network, sockets) = match &endpoint.host {
            Host::Unix(folder) => (self.network.clone(), vec![folder.as_path()]),
            Host::Tcp(_) => (
                NetworkFacts::open("its server is on the network"),
                Vec::new(),
            ),
        };
        let mut child = self
            .account
            .command_in(&path, &network, &sockets)?
            .args(args)
            .envs(endpoint.own_environment())
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGAPPNAME", format!("lockproof {program}"))
            .stdin(if stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot("start", &path, error))?;
        let input = child.stdin.take();
        let feed = async {
            let (Some(mut from), Some(mut to)) = (stdin, input) else {
                return Ok(());
            };
            let mut buffer = vec![0; 128 * 1024];
            loop {
                let read = from.read(&mut buffer).await?;
                // A program that closed its input has something to say of its own.
                if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
                    return Ok::<(), std::io::Error>(());
                }
            }
        };
        let mut keep = |_: &str| Heard::Keep;
        let stdout = last_lines(child.stdout.take(), &mut keep);
        let stderr = last_lines(child.stderr.take(), ear);
        let outputs = async { Ok(tokio::join!(stdout, stderr)) };
        // An input that breaks off ends it here; the child is killed when it is dropped.
        let ((), (stdout, stderr)) = tokio::try_join!(feed, outputs).map_err(|error| {
            Error::stage(format!("the input of `{program}` broke off")).because(error)
        })?;
        let status = child
            .wait()
            .await
            .map_err(|error| cannot("wait for", &path, error))?;
        Ok(ToolOutput {
            status: status.code(),
            stdout,
            stderr,
        })
    }

    async fn place(&self, path: &Path, watch: &dyn Watch) -> Result<String> {
        let path = path
            .canonicalize()
            .map_err(|error| cannot("read", path, error))?;
        if self.account.can_read(&path).await {
            return shown(&path);
        }
        watch.note(&format!(
            "copying `{}`: the account `{}`, which the server runs as, cannot read it",
            path.display(),
            self.account.name()
        ));
        let name = path
            .file_name()
            .map_or_else(|| "snapshot".into(), ToOwned::to_owned);
        let copy = self.placed.join(name);
        let (from, to, account) = (path.clone(), copy.clone(), self.account.clone());
        let copying = tokio::task::spawn_blocking(move || copy_for(&from, &to, &account));
        watch.measured(&format!("copying `{}`", path.display()), Unit::Bytes);
        let total = size(&path);
        let growing = async {
            loop {
                tokio::time::sleep(GROWN).await;
                watch.advance(size(&copy), Some(total));
            }
        };
        tokio::select! {
            copied = copying => {
                copied.map_err(|error| Error::defect("copying a file broke off").because(error))??;
            }
            () = growing => {}
        }
        shown(&copy)
    }
}

/// The size of a file, or of a folder's files.
fn size(path: &Path) -> u64 {
    match path.metadata() {
        Ok(facts) if facts.is_file() => facts.len(),
        _ => disk::used(path),
    }
}

/// Copies a file, or a folder of files, and hands it to the account.
fn copy_for(from: &Path, to: &Path, account: &Account) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| cannot("create", parent, error))?;
        account.own(parent)?;
    }
    if from.is_dir() {
        std::fs::create_dir_all(to).map_err(|error| cannot("create", to, error))?;
        account.own(to)?;
        let entries = std::fs::read_dir(from).map_err(|error| cannot("read", from, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| cannot("read", from, error))?;
            let target = to.join(entry.file_name());
            copy_file(&entry.path(), &target, account)?;
        }
        return Ok(());
    }
    copy_file(from, to, account)
}

/// A copy, not a hard link: a link has the original's mode and would give the original away.
fn copy_file(from: &Path, to: &Path, account: &Account) -> Result<()> {
    std::fs::copy(from, to).map_err(|error| cannot("copy", from, error))?;
    account.own(to)
}

fn shown(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::usage(format!("the path `{}` is not valid UTF-8", path.display())))
}

/// Reads a stream to its end and keeps its last lines.
pub(super) async fn last_lines(
    stream: Option<impl AsyncRead + Unpin>,
    ear: Ear<'_>,
) -> Vec<String> {
    let mut lines = Lines::new(ear);
    let mut buffer = vec![0; 8192];
    let Some(mut stream) = stream else {
        return Vec::new();
    };
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        lines.push(&buffer[..read]);
    }
    lines.end()
}
