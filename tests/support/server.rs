//! A server that the test runs by itself, as an external one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{output, within};

/// A running server, ended when dropped.
pub struct Server {
    // Ended before its folder goes: fields are dropped in this order.
    postmaster: Postmaster,
    folder: tempfile::TempDir,
    bin: PathBuf,
}

/// A server's main process, ended when dropped.
struct Postmaster {
    child: Child,
    port: u16,
}

/// The name that the sessions of a test's own have.
const STRANGER: &str = "a test's psql";

impl Server {
    /// A fresh cluster with trust for everybody on 127.0.0.1.
    pub fn start() -> Self {
        Self::named("")
    }

    /// The same with a name.
    pub fn named(cluster: &str) -> Self {
        let bin = lockproof::stage::local::binaries::find(None)
            .choose(None)
            .expect("server programs")
            .bin_dir
            .clone();
        // Not the room's: it is somebody else's.
        let folder = tempfile::Builder::new()
            .prefix("lockproof-external-")
            .tempdir()
            .expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("opened");
        let data = folder.path().join("data").display().to_string();
        let made = as_postgres(&bin.join("initdb"))
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-D", &data])
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{made:?}");
        let name = format!("cluster_name = '{cluster}'\n");
        fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("data/postgresql.conf"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, name.as_bytes()))
            .expect("named");
        let postmaster = Postmaster::start(&bin, folder.path(), "data");
        let server = Self {
            folder,
            postmaster,
            bin,
        };
        let answers = || answers(server.psql_command("SELECT 1"));
        assert!(within(Duration::from_secs(60), answers), "no answer");
        server
    }

    /// One whose database `app` holds what this SQL makes.
    pub fn with_app(sql: &str) -> Self {
        let server = Self::start();
        server.psql("CREATE DATABASE app");
        server.app(sql);
        server
    }

    /// A base backup in a folder of the server's own, made with these options of `pg_basebackup`.
    pub fn base_backup(&self, name: &str, options: &[&str]) -> PathBuf {
        let to = self.folder.path().join(name);
        let made = as_postgres(&self.bin.join("pg_basebackup"))
            .args([
                "--no-sync",
                "-c",
                "fast",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
            ])
            .arg(format!("--port={}", self.postmaster.port))
            .args(options)
            .arg("-D")
            .arg(&to)
            .output()
            .expect("pg_basebackup");
        assert!(made.status.success(), "{made:?}");
        to
    }

    /// Ends it in good order; its data folder, which lies there as long as the guard lives.
    pub fn shut_down(mut self) -> (PathBuf, tempfile::TempDir) {
        let pid = Pid::from_raw(self.postmaster.child.id().cast_signed());
        kill(pid, Signal::SIGINT).expect("signalled");
        let status = self.postmaster.child.wait().expect("ended");
        assert!(status.success(), "{status}");
        (self.folder.path().join("data"), self.folder)
    }

    /// A second server that copies what this one logs; this one's commits wait for it.
    pub fn standby(&self) -> Standby<'_> {
        let data = self.folder.path().join("standby");
        let source = format!(
            "host=127.0.0.1 port={} user=postgres application_name=copy",
            self.postmaster.port
        );
        let copied = as_postgres(&self.bin.join("pg_basebackup"))
            .args(["--no-sync", "-R", "-c", "fast", "-d", &source, "-D"])
            .arg(data)
            .output()
            .expect("pg_basebackup");
        assert!(copied.status.success(), "{copied:?}");
        let standby = Standby {
            postmaster: Postmaster::start(&self.bin, self.folder.path(), "standby"),
            primary: self,
        };
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'copy'");
        self.psql("SELECT pg_reload_conf()");
        let waited_for = || self.psql("SELECT sync_state FROM pg_stat_replication") == "sync";
        assert!(within(Duration::from_secs(60), waited_for), "no standby");
        standby
    }

    /// `postgres://USER@…/app`.
    pub fn url(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/app", self.postmaster.port)
    }

    pub fn port(&self) -> u16 {
        self.postmaster.port
    }

    /// The folder of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A file in its data folder, which it alone can read.
    pub fn file(&self, name: &str, content: &str) {
        use std::os::unix::fs::{MetadataExt, chown};
        let data = self.folder.path().join("data");
        let path = data.join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
        let owner = fs::metadata(&data).expect("a folder");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("its own");
    }

    /// Has it read its settings and `pg_hba.conf` again, and waits until it has.
    pub fn reload(&self) {
        let loaded = "SELECT pg_conf_load_time()";
        let before = self.psql(loaded);
        self.psql("SELECT pg_reload_conf()");
        let again = || self.psql(loaded) != before;
        assert!(within(Duration::from_secs(20), again), "not read");
    }

    /// One of the client programs that came with it.
    pub fn program(&self, name: &str) -> Command {
        as_postgres(&self.bin.join(name))
    }

    fn psql_command(&self, sql: &str) -> Command {
        self.psql_at(self.postmaster.port, sql)
    }

    fn psql_at(&self, port: u16, sql: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U"])
            .args(["postgres", "-p", &port.to_string(), "-c", sql])
            .env("PGAPPNAME", STRANGER);
        command
    }

    /// In the database `postgres`.
    pub fn psql(&self, sql: &str) -> String {
        let output = self.psql_command(sql).output().expect("psql");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// In the database `app`.
    pub fn app(&self, sql: &str) -> String {
        self.of("app", sql)
    }

    /// In any database.
    pub fn of(&self, database: &str, sql: &str) -> String {
        let output = self.psql_command(sql).args(["-d", database]).output();
        let output = output.expect("psql");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A session that goes on, in the database `app`.
    pub fn busy(&self, sql: &str) -> Child {
        self.busy_in("app", sql)
    }

    /// A session that has run `sql` and waits for more, in any database.
    pub fn interactive(&self, database: &str, sql: &str) -> Child {
        let mut command = Command::new(self.bin.join("psql"));
        let mut child = command
            .args(["-XAtq", "-h", "127.0.0.1", "-U", "postgres", "-d", database])
            .args(["-p", &self.postmaster.port.to_string()])
            .env("PGAPPNAME", STRANGER)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql");
        let mut input = child.stdin.take().expect("its input");
        std::io::Write::write_all(&mut input, format!("{sql}\n;\n").as_bytes()).expect("sent");
        child.stdin = Some(input);
        child
    }

    /// The same in any database.
    pub fn busy_in(&self, database: &str, sql: &str) -> Child {
        self.psql_command(sql)
            .args(["-d", database])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql")
    }
}

impl Server {
    /// Runs something while a session of somebody else's runs `sql`, which is to end in a `pg_sleep`
    /// without end. That session goes once one of the migration's has waited for a lock for `long`.
    pub fn behind<T: Send>(&self, sql: &str, long: Duration, run: impl FnOnce() -> T + Send) -> T {
        let mut busy = self.busy(sql);
        self.sleeps();
        std::thread::scope(|scope| {
            let run = scope.spawn(run);
            let waiting = "SELECT count(*) > 0 FROM pg_stat_activity \
                           WHERE application_name LIKE 'lockproof:%' AND wait_event_type = 'Lock'";
            let waits = || run.is_finished() || self.psql(waiting) == "t";
            let waits = within(Duration::from_secs(60), waits);
            std::thread::sleep(long);
            self.wake();
            let _ = busy.wait();
            let result = run.join().expect("it ran");
            assert!(waits, "nothing waited");
            result
        })
    }

    /// Runs something, and beside it, once one of the migration's sessions sleeps, a session of somebody
    /// else's, which is to end in a `pg_sleep` without end.
    pub fn beside<T: Send>(&self, sql: &str, run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let run = scope.spawn(run);
            let sleeping = "SELECT count(*) > 0 FROM pg_stat_activity \
                            WHERE application_name LIKE 'lockproof:%' AND wait_event = 'PgSleep'";
            let sleeps = || run.is_finished() || self.psql(sleeping) == "t";
            assert!(within(Duration::from_secs(60), sleeps), "no step");
            let mut busy = self.busy(sql);
            let result = run.join().expect("it ran");
            self.wake();
            let _ = busy.wait();
            result
        })
    }

    /// Waits until a session of the test's own has come to its `pg_sleep`.
    pub fn sleeps(&self) {
        let sleeping = "SELECT count(*) > 0 FROM pg_stat_activity \
                        WHERE application_name = 'a test''s psql' AND wait_event = 'PgSleep'";
        let sleeps = || self.psql(sleeping) == "t";
        assert!(within(Duration::from_secs(20), sleeps), "no session sleeps");
    }

    /// Ends the sessions of the test's own that sleep.
    pub fn wake(&self) {
        self.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'a test''s psql' AND wait_event = 'PgSleep'",
        );
    }
}

/// A server that copies another one.
pub struct Standby<'a> {
    postmaster: Postmaster,
    primary: &'a Server,
}

impl Standby<'_> {
    /// `postgres://USER@…/app`.
    pub fn url(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/app", self.postmaster.port)
    }

    /// In its database `postgres`.
    pub fn psql(&self, sql: &str) -> String {
        let output = self.primary.psql_at(self.postmaster.port, sql).output();
        let output = output.expect("psql");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Has it stand still while something runs, until a commit has waited for it for `long`.
    pub fn stopped<T: Send>(&self, long: Duration, run: impl FnOnce() -> T + Send) -> T {
        let mut receiver = None;
        within(Duration::from_secs(20), || {
            let asked = "SELECT pid FROM pg_stat_wal_receiver";
            let told = self.primary.psql_at(self.postmaster.port, asked).output();
            let told = told.expect("psql").stdout;
            receiver = String::from_utf8_lossy(&told).trim().parse().ok();
            receiver.is_some()
        });
        let receiver = Pid::from_raw(receiver.expect("a receiver"));
        let signal = |signal| kill(receiver, signal).expect("signalled");
        signal(Signal::SIGSTOP);
        std::thread::scope(|scope| {
            let run = scope.spawn(run);
            let waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            let waits = || run.is_finished() || self.primary.psql(waiting) == "t";
            let waits = within(Duration::from_secs(60), waits);
            std::thread::sleep(long);
            signal(Signal::SIGCONT);
            let result = run.join().expect("it ran");
            assert!(waits, "no commit waited");
            result
        })
    }
}

impl Postmaster {
    /// Starts one on a cluster in `folder`.
    fn start(bin: &Path, folder: &Path, data: &str) -> Self {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let log = fs::File::create(folder.join(format!("{data}.log"))).expect("a log");
        let child = as_postgres(&bin.join("postgres"))
            .arg("-D")
            .arg(folder.join(data))
            .args(["-c", "fsync=off", "-c"])
            .arg(format!("port={port}"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c"])
            .arg(format!("unix_socket_directories={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres");
        Self { child, port }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // PostgreSQL's immediate shutdown.
        let _ = kill(pid, Signal::SIGQUIT);
        let ended = within(Duration::from_secs(10), || {
            self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn answers(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if nix::unistd::Uid::effective().is_root() {
        let id = |what: &str| -> u32 {
            output("id", &[what, "postgres"])
                .trim()
                .parse()
                .expect("a number")
        };
        command.uid(id("-u")).gid(id("-g"));
    }
    command
}
