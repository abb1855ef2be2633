//! How the server in a container without a network is reached.
//!
//! By its Unix socket in a folder of this machine that is mounted into the container, where the engine runs on this
//! machine; else through the engine: each connection is a program in the container that carries bytes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::container::{self, Container};
use super::engine::Engine;
use super::socket_folder::Folder;
use super::spec::Spec;
use crate::stage::connect::connect;
use crate::stage::{Endpoint, Host, Network, NetworkFacts};
use crate::{Error, Result};

/// Where the folder of the socket is in the container.
pub(super) const SOCKETS: &str = "/lockproof/sockets";
/// A server makes its second socket right after its first. The server of an image's first start makes only one.
const SECOND_SOCKET: Duration = Duration::from_secs(2);
/// The name of the server's socket, here and there.
const SOCKET: &str = ".s.PGSQL.5432";
/// Carries a connection to the server's own loopback address, where only the password lets in. What is at hand
/// differs by image: bash in Debian's and in the official Alpine ones, nc in busybox. Whichever side ends first ends it.
const CARRIER: &str = r#"
if command -v bash >/dev/null; then
    exec bash -c '
        exec 4<&0 3<>/dev/tcp/127.0.0.1/5432 || exit 1
        cat <&3 & reader=$!
        { cat <&4 >&3; kill $reader 2>/dev/null; } &
        wait $reader'
elif command -v nc >/dev/null; then
    exec nc 127.0.0.1 5432
fi
echo 'lockproof: neither bash nor nc is in this image' >&2
exit 127
"#;

/// A way to a server, as long as it lives.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// What is mounted into the container.
    folder: Option<Folder>,
    /// The folder with the listener of the way through the engine.
    through: Option<Through>,
    /// When the server's socket was first seen in the container, and not here.
    only_inside: Option<Instant>,
}

#[derive(Debug)]
struct Through {
    folder: Folder,
    task: JoinHandle<()>,
}

impl Drop for Through {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Entrance {
    /// Makes what has to be there before the container is.
    pub(super) fn prepare(engine: &Engine, network: Network) -> Result<Self> {
        if network == Network::Open || !engine.host.starts_with("unix://") {
            return Ok(Self::default());
        }
        let made = || -> std::io::Result<Folder> {
            let folder = Folder::make()?;
            let sockets = folder.path().join("s");
            std::fs::create_dir(&sockets)?;
            // For the server's account, whatever its number is here; nobody else gets through the folder around it.
            std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o777))?;
            Ok(folder)
        };
        Ok(Self {
            folder: Some(made().map_err(cannot)?),
            through: None,
            only_inside: None,
        })
    }

    /// Makes the container with the folder of the socket in it, or without where the engine does not see that.
    pub(super) async fn create(
        &mut self,
        engine: &Engine,
        spec: impl Fn(Option<&Path>) -> Spec,
    ) -> Result<Container> {
        let folder = self.mounted();
        match container::create(engine, spec(folder.as_deref())).await {
            // lockproof is in a container itself, with the socket of the engine around it.
            Err(error) if folder.is_some() && error.to_string().contains("bind source path") => {
                self.folder = None;
                container::create(engine, spec(None)).await
            }
            made => made,
        }
    }

    fn mounted(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("s"))
    }

    /// Where the server is reached, if it is up.
    pub(super) async fn addresses(
        &mut self,
        engine: &Engine,
        container: &Container,
    ) -> Result<Vec<(Host, u16)>> {
        if let Some(folder) = self.mounted() {
            if folder.join(SOCKET).exists() {
                return Ok(vec![(Host::Unix(folder), 5432)]);
            }
            // Not up yet; or it is, and the engine's machine is another one in spite of the engine's socket.
            let inside = format!("/var/run/postgresql/{SOCKET}");
            if !container.has(engine, &inside).await? {
                self.only_inside = None;
                return Ok(Vec::new());
            }
            if self.only_inside.get_or_insert_with(Instant::now).elapsed() < SECOND_SOCKET {
                return Ok(Vec::new());
            }
        }
        if self.through.is_none() {
            let folder = Folder::make().map_err(cannot)?;
            let listener = UnixListener::bind(folder.path().join(SOCKET)).map_err(cannot)?;
            let task = tokio::spawn(serve(listener, engine.clone(), container.clone()));
            self.through = Some(Through { folder, task });
        }
        let through = self.through.iter();
        Ok(through
            .map(|through| (Host::Unix(through.folder.path().to_owned()), 5432))
            .collect())
    }

    /// Whether the server behind the mounted socket is the one that stays. That of an image's first start has our
    /// sockets as well, and no address. Through the engine an address is what is connected to.
    pub(super) async fn is_final(&self, endpoint: &Endpoint) -> bool {
        let Host::Unix(folder) = &endpoint.host else {
            return true;
        };
        if self.mounted().as_ref() != Some(folder) {
            return true;
        }
        let asked = async {
            let client = connect(endpoint, "lockproof").await.ok()?;
            let answer = client.query_one("SHOW listen_addresses", &[]).await.ok()?;
            answer.try_get::<_, String>(0).ok()
        };
        asked.await.is_some_and(|addresses| !addresses.is_empty())
    }

    /// Which way it is.
    pub(super) fn facts(&self, host: &Host) -> NetworkFacts {
        let through = self.through.as_ref();
        let is_through = |folder: &PathBuf| {
            through.is_some_and(|through| through.folder.path() == folder.as_path())
        };
        NetworkFacts::closed(match host {
            Host::Unix(folder) if is_through(folder) => {
                "a container without a network, reached through the engine"
            }
            _ => "a container without a network, reached by a Unix socket",
        })
    }
}

async fn serve(listener: UnixListener, engine: Engine, container: Container) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (engine, container) = (engine.clone(), container.clone());
        connections.spawn(async move {
            // A way that broke is a server that went away.
            let _ = carry(client, &engine, &container).await;
        });
    }
}

async fn carry(
    client: UnixStream,
    engine: &Engine,
    container: &Container,
) -> std::result::Result<(), bollard::errors::Error> {
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(false),
        cmd: Some(["/bin/sh", "-c", CARRIER].map(str::to_owned).into()),
        user: Some("postgres".to_owned()),
        ..CreateExecOptions::default()
    };
    let exec = engine.api.create_exec(&container.id, options).await?;
    let started = engine
        .unhurried()
        .start_exec(&exec.id, None::<StartExecOptions>)
        .await?;
    let StartExecResults::Attached {
        mut output,
        mut input,
    } = started
    else {
        return Ok(());
    };
    let (mut read, mut write) = client.into_split();
    let to_server = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if input.write_all(&buffer[..length]).await.is_err() || input.flush().await.is_err() {
                break;
            }
        }
        let _ = input.shutdown().await;
    };
    let to_client = async {
        while let Some(Ok(part)) = output.next().await {
            if let LogOutput::StdOut { message } | LogOutput::Console { message } = part
                && write.write_all(&message).await.is_err()
            {
                break;
            }
        }
    };
    // The client's end is told to the server, whose end is what counts.
    tokio::pin!(to_server);
    tokio::select! {
        () = to_client => {}
        () = async { to_server.await; std::future::pending::<()>().await } => {}
    }
    Ok(())
}

fn cannot(error: std::io::Error) -> Error {
    Error::stage("no folder for the socket of the stage's server can be made")
        .because(error)
        .help("set `TMPDIR` to a folder that you may write to")
}
