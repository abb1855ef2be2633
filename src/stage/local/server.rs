//! One `postgres` process of ours: started directly, watched until it answers, ended in good order.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::binaries::Installation;
use super::folder::{Folder, cannot};
use super::user::Account;
use crate::stage::admin::Admin;
use crate::stage::connect::connect;
use crate::stage::{Endpoint, Host, Link, NetworkFacts, Quiet};
use crate::{Error, Result, redact};

/// How many lines of the log an error shows.
pub(super) const LOG_LINES: usize = 20;
const READY_WITHIN: Duration = Duration::from_secs(60);
const PORTS_TO_TRY: u32 = 10;

/// Where a server listens besides its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listen {
    /// Nowhere.
    SocketOnly,
    /// On 127.0.0.1.
    Loopback,
}

/// How a server is started.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub installation: &'a Installation,
    pub account: &'a Account,
    pub listen: Listen,
    pub admin: &'a Admin,
    /// What it may reach.
    pub network: NetworkFacts,
    /// Later ones win.
    pub settings: Vec<(String, String)>,
}

/// A running server; dropping it ends it at once.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    port: u16,
    sockets: PathBuf,
    admin: Admin,
    quiet: Quiet,
    log: PathBuf,
    left_running: bool,
}

/// How the system picks a port: asks for any and gives it back. Somebody may take it in between.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

impl Server {
    /// Starts a server on the folder's data and waits until it answers a query.
    pub async fn launch(
        launch: &Launch<'_>,
        folder: &mut Folder,
        ports: impl Fn() -> std::io::Result<u16>,
    ) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = ports()
                .map_err(|error| Error::stage("no port is free on 127.0.0.1").because(error))?;
            let mut server = Self::spawn(launch, folder, port)?;
            if let Some(pid) = server.child.id() {
                folder.served_by(pid)?;
            }
            let Err(error) = server.ready().await else {
                return Ok(server);
            };
            let taken = server.exited().is_some() && server.log_says("Address already in use");
            server.kill().await;
            if !taken || tries == PORTS_TO_TRY {
                return Err(error);
            }
            // Its words must not be read again by the next try.
            let _ = std::fs::remove_file(&server.log);
        }
    }

    fn spawn(launch: &Launch<'_>, folder: &Folder, port: u16) -> Result<Self> {
        let log = folder.log();
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| cannot("write", &log, error))?;
        let errors = output
            .try_clone()
            .map_err(|error| cannot("write", &log, error))?;
        let program = launch.installation.program("postgres");
        let mut command =
            launch
                .account
                .command_in(&program, &launch.network, &[folder.sockets()])?;
        command.arg("-D").arg(folder.data());
        let addresses = match launch.listen {
            Listen::SocketOnly => "",
            Listen::Loopback => "127.0.0.1",
        };
        // Ours come last: they win over what was asked for.
        let ours = [
            ("logging_collector", "off".to_owned()),
            ("log_destination", "stderr".to_owned()),
            ("listen_addresses", addresses.to_owned()),
            ("port", port.to_string()),
            (
                "unix_socket_directories",
                folder.sockets().display().to_string(),
            ),
            ("unix_socket_permissions", "0700".to_owned()),
        ];
        let asked = launch
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in asked.chain(ours) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| cannot("start", &program, error))?;
        Ok(Self {
            child,
            port,
            sockets: folder.sockets().to_owned(),
            admin: launch.admin.clone(),
            quiet: Quiet::of_major(launch.installation.major),
            log,
            left_running: false,
        })
    }

    /// The superuser over the socket: no password, no network.
    pub fn endpoint(&self, database: &str) -> Endpoint {
        Endpoint {
            host: Host::Unix(self.sockets.clone()),
            port: self.port,
            user: self.admin.superuser.clone(),
            password: None,
            database: database.to_owned(),
            link: Link {
                quiet: self.quiet.clone(),
                ..Link::default()
            },
        }
    }

    /// The superuser where everything can be done.
    pub fn admin(&self) -> Endpoint {
        self.endpoint(&self.admin.database)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended; None: it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it ended, or ends within a moment: its clients notice first.
    pub async fn ends_soon(&mut self) -> Option<ExitStatus> {
        timeout(Duration::from_millis(500), self.child.wait())
            .await
            .ok()
            .and_then(Result::ok)
    }

    /// The last lines of its log, as they are: statements and values among them.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        tail(&self.log, lines)
    }

    fn log_says(&self, words: &str) -> bool {
        self.log_tail(200).iter().any(|line| line.contains(words))
    }

    async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let endpoint = self.admin();
        loop {
            if let Some(status) = self.exited() {
                return Err(self.lost(&format!("the server did not start: {}", ended(status))));
            }
            let answer = timeout(Duration::from_secs(5), async {
                connect(&endpoint, "lockproof start")
                    .await?
                    .batch_execute("SELECT 1")
                    .await
                    .map_err(|error| Error::stage("the first query failed").because(error))
            })
            .await;
            if matches!(answer, Ok(Ok(()))) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let error = self.lost(&format!(
                    "the server did not answer within {} s",
                    READY_WITHIN.as_secs()
                ));
                return Err(match answer {
                    Ok(Err(cause)) => error.because(cause),
                    _ => error,
                });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// An error with the log's last lines.
    pub fn lost(&self, message: &str) -> Error {
        Error::stage(message).details(redact::foreign::log(self.log_tail(LOG_LINES)))
    }

    /// Ends it in good order, or says that it had ended already or would not end in time.
    pub async fn stop(&mut self, limit: Duration) -> Result<()> {
        if let Some(status) = self.exited() {
            return Err(self.lost(&format!("the server had ended: {}", ended(status))));
        }
        self.signal(Signal::SIGINT);
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(self.lost(&format!("the server did not end well: {}", ended(status))))
            }
            Ok(Err(error)) => {
                Err(Error::stage("the server's end could not be seen").because(error))
            }
            Err(_) => {
                let error = self.lost(&format!(
                    "the server did not end within {} s",
                    limit.as_secs()
                ));
                self.kill().await;
                Err(error)
            }
        }
    }

    /// Ends it, in good order if that is quick: its data are thrown away. Says when it had ended.
    pub async fn discard(&mut self, limit: Duration) -> Result<()> {
        if let Some(status) = self.exited() {
            return Err(self.lost(&format!("the server was lost: {}", ended(status))));
        }
        self.signal(Signal::SIGINT);
        if timeout(limit, self.child.wait()).await.is_err() {
            self.kill().await;
        }
        Ok(())
    }

    /// Ends it without a checkpoint, and, where that takes too long, without any order.
    pub async fn kill(&mut self) {
        for signal in [Signal::SIGQUIT, Signal::SIGKILL] {
            self.signal(signal);
            if timeout(Duration::from_secs(5), self.child.wait())
                .await
                .is_ok()
            {
                return;
            }
        }
    }

    /// Leaves it running after us.
    pub fn leave(mut self) {
        self.left_running = true;
    }

    /// Safe while the child is not reaped: nobody else can have its pid, and `id` is None after.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }
}

impl Drop for Server {
    /// A panic, or a future dropped half-way: end it, so that its folder can go after it.
    fn drop(&mut self) {
        if self.left_running || self.exited().is_some() {
            return;
        }
        for signal in [Signal::SIGQUIT, Signal::SIGKILL] {
            self.signal(signal);
            for _ in 0..200 {
                if self.exited().is_some() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

pub(super) fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended for an unknown reason".to_owned(),
    }
}

/// The last lines of a file, from its last 64 KiB.
pub(super) fn tail(path: &Path, lines: usize) -> Vec<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        let length = file.metadata().map_or(0, |facts| facts.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)));
        let _ = file.read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::stage::Request;
    use crate::stage::local::{Local, open_cache};
    use crate::stage::watch::Unwatched;

    struct Nothing;

    impl crate::stage::Fill for Nothing {
        async fn fill<T: crate::stage::Tools>(
            &self,
            _: &Endpoint,
            _: &T,
            _: &dyn crate::stage::Watch,
        ) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_port_that_somebody_took_is_not_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let found = super::super::binaries::find(None);
        if found.choose(None).is_err() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no server programs in CI"
            );
            return;
        }
        let parent = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o755))
            .expect("opened");
        let request = Request {
            run_id: "run".into(),
            settings: Default::default(),
            database: "postgres".into(),
            base_digest: "00".into(),
            server_major: None,
            cache: parent.path().join("cache"),
            network: Default::default(),
        };
        let base = Local::default()
            .prepare(&request, &Nothing, &Unwatched)
            .await
            .expect("a base");
        let cache = open_cache(&request.cache, &base.account)
            .await
            .expect("a cache");
        let mut folder = Folder::create(&cache, &cache.join("runs/run"), &base.account)
            .await
            .expect("a folder")
            .expect("a new one");
        base.clone_into(&folder.data(), &crate::stage::watch::Unwatched)
            .await
            .expect("a copy");

        let squatter = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let taken = squatter.local_addr().expect("its address").port();
        let launch = Launch {
            installation: &base.installation,
            account: &base.account,
            admin: &base.admin(),
            network: NetworkFacts::open("the test takes ports"),
            listen: Listen::Loopback,
            settings: Vec::new(),
        };
        let asked = AtomicU32::new(0);
        let ports = || match asked.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Ok(taken),
            _ => free_port(),
        };
        let mut server = Server::launch(&launch, &mut folder, ports)
            .await
            .expect("another port");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert_ne!(server.port(), taken);
        server
            .discard(Duration::from_secs(10))
            .await
            .expect("ended");

        // Ten times and no more.
        asked.store(0, Ordering::SeqCst);
        let ports = || {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(taken)
        };
        let error = Server::launch(&launch, &mut folder, ports)
            .await
            .expect_err("taken");
        assert_eq!(asked.load(Ordering::SeqCst), 10);
        assert!(
            error.story().contains("Address already in use"),
            "{error:?}"
        );
    }
}
