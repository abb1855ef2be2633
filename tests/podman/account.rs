//! An ordinary account with a Podman of its own, as rootless users have it; gone at the end, with all of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::IMAGE;
use crate::support::{missing, output, skipped, within};

/// What the tests use and tests/setup.sh installs.
const PROGRAMS: [&str; 5] = ["podman", "runc", "slirp4netns", "newuidmap", "setpriv"];

/// Not root's: what a rootless user finds.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A network of their own needs the device; every distribution lets everybody open it.
const TUN: &str = "/dev/net/tun";

/// What is particular to machines of tests: no systemd to ask for a control group, no journal.
const CONF: &str =
    "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";

/// An account, and its engine's service.
pub struct Account {
    name: String,
    home: PathBuf,
    /// Its own number, and those that its containers have.
    numbers: Vec<std::ops::Range<u32>>,
    service: Option<Child>,
}

impl Account {
    /// None, loudly, where there can be none.
    pub fn with_engine() -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            skipped("only root can make an account");
            return None;
        }
        let path = std::env::split_paths(PATH);
        let folders: Vec<PathBuf> = path.collect();
        for program in PROGRAMS {
            if !folders.iter().any(|folder| folder.join(program).exists()) {
                missing(&format!("no `{program}`: tests/setup.sh installs it"));
                return None;
            }
        }
        if !std::path::Path::new(TUN).exists() {
            missing(&format!("no {TUN}: rootless containers have no network"));
            return None;
        }
        fs::set_permissions(TUN, fs::Permissions::from_mode(0o666)).expect("opened");
        let mut account = Self::new();
        account.load();
        account.serve();
        Some(account)
    }

    fn new() -> Self {
        let name = format!("lockproof-{:08x}", rand::random::<u32>());
        output("useradd", &["-m", "-s", "/bin/sh", &name]);
        // From here on it is removed, whatever happens.
        let mut account = Self {
            home: PathBuf::from(format!("/home/{name}")),
            name,
            numbers: Vec::new(),
            service: None,
        };
        let own = number(&output("id", &["-u", &account.name]));
        account.numbers.push(own..own + 1);
        account.numbers.extend(account.subordinates());
        assert!(
            account.numbers.len() > 1,
            "`useradd` gave it no further numbers"
        );
        for folder in ["run", "tmp", ".config/containers"] {
            fs::create_dir_all(account.home.join(folder)).expect("made");
        }
        fs::set_permissions(account.home.join("run"), fs::Permissions::from_mode(0o700))
            .expect("set");
        account.file(".config/containers/containers.conf", CONF);
        account.file(
            ".config/containers/storage.conf",
            "[storage]\ndriver = \"overlay\"\n",
        );
        // Root's folder of build products is closed to others.
        let binary = account.home.join("lockproof");
        fs::copy(env!("CARGO_BIN_EXE_lockproof"), &binary).expect("copied");
        output(
            "chown",
            &["-R", &format!("{}:", account.name), &account.home_text()],
        );
        account
    }

    /// The numbers of its containers' users.
    fn subordinates(&self) -> Option<std::ops::Range<u32>> {
        let file = fs::read_to_string("/etc/subuid").ok()?;
        let line = file
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{}:", self.name)))?;
        let (first, count) = line.split_once(':')?;
        let first = number(first);
        Some(first..first + number(count))
    }

    fn file(&self, name: &str, content: &str) {
        fs::write(self.home.join(name), content).expect("written");
    }

    fn home_text(&self) -> String {
        self.home.display().to_string()
    }

    pub fn path(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    fn socket(&self) -> PathBuf {
        self.home.join("run/podman.sock")
    }

    /// A program run by it: with nothing in its environment but its own, and the same process.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid",
                &self.name,
                "--regid",
                &self.name,
                "--init-groups",
            ])
            .args(["env", "-i", &format!("PATH={PATH}")])
            .arg(format!("HOME={}", self.home.display()))
            .arg(format!("TMPDIR={}", self.path("tmp")))
            .arg(format!("XDG_RUNTIME_DIR={}", self.path("run")))
            .arg(format!("DOCKER_HOST=unix://{}", self.socket().display()))
            .arg(program)
            .current_dir(&self.home);
        command
    }

    pub fn lockproof(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.path("lockproof"));
        command.args(arguments);
        command
    }

    /// What Podman itself says.
    pub fn podman(&self, arguments: &[&str]) -> String {
        let done = self.command("podman").args(arguments).output();
        let done = done.expect("podman");
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "podman {arguments:?}: {words}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Hands the image on from the engine that the other tests run on.
    fn load(&self) {
        if self.try_load() {
            return;
        }
        // Where layers cannot be laid one over the other, Podman copies them.
        fs::remove_file(self.home.join(".config/containers/storage.conf")).expect("removed");
        fs::remove_dir_all(self.home.join(".local")).ok();
        assert!(self.try_load(), "`podman load` failed");
    }

    fn try_load(&self) -> bool {
        let mut save = Command::new("docker")
            .args(["save", IMAGE])
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker");
        let archive = save.stdout.take().expect("piped");
        let mut load = self.command("podman");
        load.args(["load", "-q"]).stdin(archive);
        let loaded = load.output().expect("podman");
        let saved = save.wait().expect("waited for");
        loaded.status.success() && saved.success()
    }

    fn serve(&mut self) {
        let url = format!("unix://{}", self.socket().display());
        let mut service = self.command("podman");
        service
            .args(["system", "service", "--time=0", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        self.service = Some(service.spawn().expect("started"));
        let socket = self.socket();
        let listens = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        assert!(within(Duration::from_secs(30), listens), "no service");
    }

    /// Its processes and those of its containers, by number and command line.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let owner = status
                .lines()
                .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
            let ours = owner.is_some_and(|owner| {
                let owner = number(owner);
                self.numbers.iter().any(|range| range.contains(&owner))
            });
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            // A zombie has no command line.
            if ours && !line.is_empty() {
                found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
            }
        }
        found
    }

    /// What belongs to a run: Podman's service, the process that keeps its name space, and its watchers of programs
    /// that have ended, which it lets live for five minutes, do not.
    pub fn processes_of_runs(&self) -> Vec<String> {
        let of_podman = |line: &String| {
            line.starts_with("podman ")
                || (line.contains("conmon ") && line.contains(" --exec-attach "))
        };
        let lines = self.processes().into_iter().map(|(_, line)| line);
        lines.filter(|line| !of_podman(line)).collect()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let gone = || {
            for (pid, _) in self.processes() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            self.processes().is_empty()
        };
        within(Duration::from_secs(20), gone);
        if let Some(service) = &mut self.service {
            let _ = service.wait();
        }
        // Mounts were in the name space that ended with the last process; files of containers' users go with the home.
        let _ = Command::new("userdel")
            .args(["-f", "-r", &self.name])
            .output();
        let _ = fs::remove_dir_all(&self.home);
        if let Some(own) = self.numbers.first() {
            let _ = fs::remove_file(format!("/dev/shm/libpod_rootless_lock_{}", own.start));
        }
    }
}

fn number(text: &str) -> u32 {
    text.trim()
        .parse()
        .unwrap_or_else(|error| panic!("{text:?}: {error}"))
}
