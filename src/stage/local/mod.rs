//! A stage on server programs of this machine: a base in the cache, a copy of it for each run.
//!
//! The server is a child of ours in a process group of its own, under an unprivileged account, with
//! a random password that exists only in memory. What a killed process leaves behind, `sweep` ends.

mod adopt;
mod base;
pub mod binaries;
mod build;
mod cold;
mod copy;
mod disk;
mod dump;
mod folder;
mod listing;
mod marker;
mod parts;
pub(crate) mod process;
mod server;
mod shelf;
mod spare;
mod sweep;
mod tablespaces;
mod tools;
mod tree;
pub mod user;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use base::Base;
pub use binaries::Installation;
pub use disk::free as free_bytes;
pub use dump::PgDump;
pub(super) use dump::is_trouble;
pub use shelf::{closed, free, list, remove_base};
pub use sweep::{Kept, Swept, sweep};
pub use tools::LocalTools;
pub use user::Account;

use folder::{Folder, cannot};
use server::{Launch, Listen, Server, free_port};
use spare::Spare;

use super::connect::{connect, quoted};
use super::{
    CloneMethod, Cloned, Endpoint, Fill, Host, NetworkFacts, Request, RunningStage, Secret, Unit,
    Watch,
};
use crate::{Error, Result, redact};

/// How long an orderly end may take; what it would write is thrown away after it.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The provider.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// The folder of the server programs; None: look for them.
    pub pg_bin: Option<PathBuf>,
    /// The account that root drops to; None: `postgres`, else `nobody`.
    pub user: Option<String>,
}

impl Local {
    /// The server programs that a request gets.
    pub fn installation(&self, major: Option<u32>) -> Result<Installation> {
        binaries::find(self.pg_bin.as_deref())
            .choose(major)
            .cloned()
    }

    /// A restored base: from the cache, or filled now.
    pub async fn prepare<F: Fill>(
        &self,
        request: &Request,
        fill: &F,
        watch: &dyn Watch,
    ) -> Result<Base> {
        check_run_id(&request.run_id)?;
        let installation = self.installation(request.server_major)?;
        let account = Account::choose(self.user.as_deref())?;
        let cache = open_cache(&request.cache, &account).await?;
        base::prepare(&installation, &account, &cache, request, fill, watch).await
    }

    /// A fresh clone of a base, running and answering queries.
    ///
    /// Any number of them may run at once: each has its own folder, port and password.
    pub async fn start(&self, base: &Base, watch: &dyn Watch) -> Result<LocalStage> {
        let request = &base.request;
        let cache = open_cache(&request.cache, &base.account).await?;
        let mut folder = run_folder(&cache, &request.run_id, &base.account).await?;
        let started = start_in(&mut folder, base, watch).await;
        match started {
            Ok((server, endpoint, cloned)) => Ok(LocalStage {
                cloned,
                spare: base.spare(),
                _in_use: base.also_in_use()?,
                tools: LocalTools {
                    installation: base.installation.clone(),
                    account: base.account.clone(),
                    placed: folder.path().join("placed"),
                    network: NetworkFacts::on_this_machine(request.network),
                },
                endpoint,
                server,
                folder,
            }),
            Err(error) => {
                let log = server::tail(&folder.log(), 200);
                let error = disk::explain(error, &cache, &log);
                let _ = folder.remove();
                Err(error)
            }
        }
    }
}

async fn start_in(
    folder: &mut Folder,
    base: &Base,
    watch: &dyn Watch,
) -> Result<(Server, Endpoint, Cloned)> {
    watch.measured("copying the restored data", Unit::Bytes);
    let begun = tokio::time::Instant::now();
    // An earlier run's clone, where there is one, has most of it already.
    base.spare().take(&folder.data());
    let made = base.clone_into(&folder.data(), watch).await?;
    let mut settings = vec![
        ("timezone".to_owned(), "UTC".to_owned()),
        ("log_timezone".to_owned(), "UTC".to_owned()),
    ];
    settings.extend(base.request.settings.clone());
    let admin = base.admin();
    let launch = Launch {
        installation: &base.installation,
        account: &base.account,
        listen: Listen::Loopback,
        admin: &admin,
        network: NetworkFacts::on_this_machine(base.request.network),
        settings,
    };
    watch.phase("starting the server, while its data go to the disk");
    let data = folder.data();
    // Else the kernel writes it back during the run, and each commit of the migration waits for it.
    let synced = async {
        build::sync(&base.installation, &base.account, &data).await?;
        Ok(Cloned {
            method: made.method,
            took: begun.elapsed(),
            kept_bytes: made.kept,
        })
    };
    let (cloned, (server, endpoint)) =
        tokio::try_join!(synced, serve(&launch, folder, &base.request.database))?;
    Ok((server, endpoint, cloned))
}

/// Starts the server and opens it to those who know its password.
async fn serve(
    launch: &Launch<'_>,
    folder: &mut Folder,
    database: &str,
) -> Result<(Server, Endpoint)> {
    let mut server = Server::launch(launch, folder, free_port).await?;
    match open_network(&server, database, &launch.network).await {
        Ok(endpoint) => Ok((server, endpoint)),
        Err(error) => {
            let error = match server.ends_soon().await {
                Some(_) => server.lost("the server was lost").because(error),
                None => error,
            };
            server.kill().await;
            Err(error)
        }
    }
}

/// Gives the superuser a password and connects with it.
///
/// Only its SCRAM verifier goes over the wire, and no log setting of the request may write it down.
async fn open_network(server: &Server, database: &str, network: &NetworkFacts) -> Result<Endpoint> {
    let password = format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    );
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let client = connect(&server.admin(), "lockproof start").await?;
    // On their own: a statement is logged as it arrives, with all that was sent along with it.
    let quiet = "SET log_statement = 'none'; SET log_min_duration_statement = -1;
         SET log_min_duration_sample = -1; SET log_min_error_statement = 'panic'";
    let password_is_set = async {
        client.batch_execute(quiet).await?;
        client
            .batch_execute(&format!(
                "ALTER ROLE {} PASSWORD '{verifier}'",
                quoted(&server.admin().user)
            ))
            .await
    };
    password_is_set
        .await
        .map_err(|error| Error::stage("the stage's password cannot be set").because(error))?;
    let endpoint = Endpoint {
        // The loopback interface that it listens on is its own where its network is closed.
        host: if network.is_closed() {
            server.admin().host
        } else {
            Host::Tcp("127.0.0.1".to_owned())
        },
        port: server.port(),
        user: server.admin().user,
        password: Some(Secret::new(password)),
        database: database.to_owned(),
        link: server.admin().link,
    };
    connect(&endpoint, "lockproof start")
        .await?
        .batch_execute("SELECT 1")
        .await
        .map_err(|error| Error::stage("the first query failed").because(error))?;
    Ok(endpoint)
}

/// The run's folder; the second and later stages of one run get a number.
async fn run_folder(cache: &Path, run_id: &str, account: &Account) -> Result<Folder> {
    let runs = cache.join("runs");
    let mut number = 1;
    loop {
        let path = if number == 1 {
            runs.join(run_id)
        } else {
            runs.join(format!("{run_id}.{number}"))
        };
        if let Some(folder) = Folder::create(cache, &path, account).await? {
            return Ok(folder);
        }
        number += 1;
    }
}

/// Makes the cache's folders and checks that the server's account gets to them.
async fn open_cache(cache: &Path, account: &Account) -> Result<PathBuf> {
    for folder in ["", "bases", "runs", "locks"].map(|name| cache.join(name)) {
        if folder.is_dir() {
            continue;
        }
        std::fs::create_dir_all(&folder)
            // Whatever our umask: the server's account has to pass, and what is secret is further in.
            .and_then(|()| {
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
            })
            .map_err(|error| {
                cannot("create", &folder, error).help("choose another folder with `--cache`")
            })?;
    }
    let cache = process::real(cache);
    account
        .must_enter(&cache.join("bases"), "cache folder")
        .await?;
    Ok(cache)
}

/// It becomes the name of folders.
fn check_run_id(run_id: &str) -> Result<()> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !run_id.is_empty() && !run_id.starts_with('.') && run_id.bytes().all(fine) {
        return Ok(());
    }
    Err(Error::defect(format!(
        "`{run_id}` cannot be a run's identity"
    )))
}

/// A server of ours on a copy of a base.
///
/// `stop` ends it. Dropping it without ends it too, at once and without a word.
#[derive(Debug)]
pub struct LocalStage {
    endpoint: Endpoint,
    cloned: Cloned,
    spare: Spare,
    // Before its folder: fields are dropped in this order.
    server: Server,
    folder: Folder,
    tools: LocalTools,
    /// The base's lock.
    _in_use: std::fs::File,
}

impl LocalStage {
    /// Client programs of the server's own version.
    pub fn tools(&self) -> &LocalTools {
        &self.tools
    }

    /// How the server ended, because of what was noticed; its log when it runs on.
    pub async fn lost(&mut self, noticed: Error) -> Error {
        let log = self.server.log_tail(200);
        let error = match self.server.ends_soon().await {
            Some(status) => self
                .server
                .lost(&format!("the server was lost: {}", server::ended(status)))
                .because(noticed)
                .help("if nobody ended it, `dmesg` tells whether memory ran out; then run again"),
            None => noticed.details(redact::foreign::log(
                self.server.log_tail(server::LOG_LINES),
            )),
        };
        // The run's own folder is about to go: `<cache>/runs/<id>`.
        let folder = self.folder.path();
        let cache = folder.ancestors().nth(2).unwrap_or(folder);
        disk::explain(error, cache, &log)
    }

    /// Takes its data out of the kernel's memory.
    pub async fn chill(&self) -> Result<()> {
        cold::chill(&self.folder.data()).await
    }

    /// What its server may reach.
    pub fn network(&self) -> &NetworkFacts {
        &self.tools.network
    }

    /// How its data were cloned from the base.
    pub fn cloned(&self) -> &Cloned {
        &self.cloned
    }

    /// The server's process; None: it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The superuser over the socket, for whoever must not have the password.
    pub fn socket_endpoint(&self) -> Endpoint {
        self.server.endpoint(&self.endpoint.database)
    }

    /// The folder of the run, with the data and the server's log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl RunningStage for LocalStage {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn log_tail(&self) -> Vec<String> {
        redact::foreign::log(self.server.log_tail(server::LOG_LINES))
    }

    async fn stop(self) -> Result<()> {
        let Self {
            mut server,
            folder,
            cloned,
            spare,
            _in_use,
            ..
        } = self;
        let stopped = server.discard(STOP_WITHIN).await;
        process::end_orphans(&folder.data());
        process::free_shared_memory(&folder.data()).await;
        drop(server);
        tablespaces::remove(&folder.data());
        // Where blocks are shared, a clone takes no time.
        if stopped.is_ok() && cloned.method == CloneMethod::Copy {
            let data = folder.data();
            // A migration may have made gigabytes that nobody needs any more.
            let _ = tokio::task::spawn_blocking(move || spare.keep(&data)).await;
        }
        stopped.and(folder.remove())
    }

    fn keep(self) -> String {
        let Self {
            endpoint,
            server,
            folder,
            ..
        } = self;
        let pid = server.pid().unwrap_or_default();
        let text = format!(
            "the stage keeps running (process {pid}, files in `{}`)\n\
             connect:  psql 'host={} port={} user={} dbname={}'\n\
             end it:   kill -INT {pid}   (then `lockproof clean` removes its files)",
            folder.path().display(),
            folder.sockets().display(),
            server.port(),
            endpoint.user.replace('\\', "\\\\").replace('\'', "\\'"),
            endpoint.database.replace('\\', "\\\\").replace('\'', "\\'"),
        );
        server.leave();
        folder.keep();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_s_identity_is_a_safe_folder_name() {
        assert!(check_run_id("20261101-120000-ab12.3").is_ok());
        for bad in ["", "a/b", "..", ".hidden", "a b"] {
            assert!(check_run_id(bad).is_err(), "{bad}");
        }
    }
}
