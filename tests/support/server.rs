//! A server that the test runs by itself, as an external one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{output, within};

/// A running server, ended when dropped.
pub struct Server {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
    bin: PathBuf,
}

impl Server {
    /// A fresh cluster with trust for everybody on 127.0.0.1.
    pub fn start() -> Self {
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
        let program = |name: &str| bin.join(name).display().to_string();
        let made = as_postgres(&program("initdb"))
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-D", &data])
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{made:?}");
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let child = as_postgres(&program("postgres"))
            .args(["-D", &data, "-c", "fsync=off", "-c"])
            .arg(format!("port={port}"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c"])
            .arg(format!(
                "unix_socket_directories={}",
                folder.path().display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres");
        let server = Self {
            folder,
            child,
            port,
            bin,
        };
        let answers = || {
            server
                .psql_command("SELECT 1")
                .output()
                .is_ok_and(|output| output.status.success())
        };
        assert!(within(Duration::from_secs(60), answers), "no answer");
        server
    }

    /// `postgres://USER@…/app`.
    pub fn url(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/app", self.port)
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn psql_command(&self, sql: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U"])
            .args(["postgres", "-p", &self.port.to_string(), "-c", sql])
            .env("PGAPPNAME", "a test's psql");
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
        let output = self.psql_command(sql).args(["-d", "app"]).output();
        let output = output.expect("psql");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A session that goes on.
    pub fn busy(&self, sql: &str) -> Child {
        self.psql_command(sql)
            .args(["-d", "app"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        // PostgreSQL's immediate shutdown.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
        let ended = within(Duration::from_secs(10), || {
            self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &str) -> Command {
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
