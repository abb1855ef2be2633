//! An engine of the test's own: started, stopped and frozen without harm to anybody else's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{missing, output, skipped, within};

/// A daemon on a loaded machine takes some seconds.
const START: Duration = Duration::from_secs(60);

/// `dockerd`, its `containerd` and all containers; gone at the end of the test, however it ends.
pub struct Engine {
    folder: tempfile::TempDir,
    bridge: String,
    mounted: Option<PathBuf>,
    machine: Option<Child>,
}

/// What the engine's data lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Whatever the folder for temporary files is on.
    Here,
    /// A file system in a file, made by this program.
    Made(&'static str),
}

impl Engine {
    /// None: it cannot be had here.
    pub fn new(disk: Disk) -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            skipped("only root can start a container engine");
            return None;
        }
        for program in [
            "dockerd",
            "containerd",
            "docker",
            "unshare",
            "setpriv",
            "ip",
        ] {
            if !has(program) {
                missing(&format!(
                    "no `{program}`, which an engine of the test's own needs"
                ));
                return None;
            }
        }
        if let Disk::Made(maker) = disk
            && !has(maker)
        {
            missing(&format!("no `{maker}`: tests/setup.sh installs it"));
            return None;
        }
        let number: u16 = rand::random();
        let bridge = format!("lpb{number:04x}");
        let mut engine = Self {
            folder: tempfile::Builder::new()
                .prefix("lockproof-engine-")
                .tempdir()
                .expect("a folder"),
            bridge,
            mounted: None,
            machine: None,
        };
        if let Disk::Made(maker) = disk {
            engine.mount(maker);
        }
        let bridge = engine.bridge.as_str();
        // Of the block for tests between networks.
        let address = format!("198.19.{}.{}/28", number >> 8, (number & 0xf0) + 1);
        output("ip", &["link", "add", bridge, "type", "bridge"]);
        output("ip", &["addr", "add", &address, "dev", bridge]);
        output("ip", &["link", "set", bridge, "up"]);
        engine.start();
        Some(engine)
    }

    /// Sparse: it takes what is written.
    fn mount(&mut self, maker: &str) {
        let (file, data) = (self.path("disk"), self.path("data"));
        File::create(&file)
            .and_then(|made| made.set_len(8 << 30))
            .expect("made");
        fs::create_dir(&data).expect("made");
        let (file, data) = (file.display().to_string(), data.display().to_string());
        output(maker, &["-q", &file]);
        output("mount", &["-o", "loop", &file, &data]);
        self.mounted = Some(data.into());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As `DOCKER_HOST` says it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Plugs it in.
    pub fn start(&mut self) {
        assert!(self.machine.is_none(), "it runs");
        let log = File::create(self.path("machine.log")).expect("made");
        let child = Command::new("setpriv")
            // With the test everything ends, also when the test is killed.
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid"])
            .args(["--fork", "--kill-child", "--mount-proc", "sh"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine_faults/machine.sh"))
            .arg(self.folder.path())
            .args([&self.bridge, &self.bridge])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("started");
        self.machine = Some(child);
        self.assert_answers();
    }

    /// Pulls the plug: the daemon and every container end without a word.
    pub fn unplug(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            let _ = machine.kill();
            let _ = machine.wait();
        }
        let left = || !processes(self.folder.path()).is_empty();
        assert!(within(START, || !left()), "the engine's processes live on");
    }

    /// Ends or freezes the daemon alone.
    pub fn daemon(&self, signal: Signal) {
        let socket = self.host();
        let daemon = processes(self.folder.path())
            .into_iter()
            .find(|(_, line)| line.starts_with("dockerd ") && line.contains(&socket));
        let (pid, _) = daemon.expect("a daemon");
        if signal == Signal::SIGKILL {
            File::create(self.path("off")).expect("made");
        }
        kill(Pid::from_raw(pid), signal).expect("sent");
    }

    /// Lets a daemon that was ended start again.
    pub fn restore_daemon(&self) {
        fs::remove_file(self.path("off")).expect("removed");
        self.assert_answers();
    }

    #[track_caller]
    fn assert_answers(&self) {
        let answers = || {
            let asked = self.docker(&["version"]).output();
            asked.is_ok_and(|answer| answer.status.success())
        };
        let log = || fs::read_to_string(self.path("dockerd.log")).unwrap_or_default();
        assert!(within(START, answers), "it does not start: {}", log());
    }

    /// The client, talking to this engine.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.args(["-H", &self.host()]).args(arguments);
        docker
    }

    /// What the client says, line by line.
    pub fn says(&self, arguments: &[&str]) -> Vec<String> {
        let answer = self.docker(arguments).output().expect("run");
        assert!(answer.status.success(), "{arguments:?}: {answer:?}");
        let text = String::from_utf8_lossy(&answer.stdout);
        text.lines().map(str::to_owned).collect()
    }

    /// Brings an image over from the engine of this machine.
    pub fn load(&self, image: &str) {
        let mut save = Command::new("docker")
            .args(["save", image])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let loaded = self
            .docker(&["load", "-q"])
            .stdin(save.stdout.take().expect("a pipe"))
            .output();
        let saved = save.wait().expect("waited for");
        let loaded = loaded.expect("run");
        assert!(saved.success() && loaded.status.success(), "{loaded:?}");
    }

    /// Containers and volumes, whoever made them.
    pub fn holds(&self) -> Vec<String> {
        let mut all = self.says(&["ps", "-a", "--format", "{{.Names}}"]);
        all.extend(self.says(&["volume", "ls", "-q"]));
        all
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            let _ = machine.kill();
            let _ = machine.wait();
        }
        // Its mounts go with the last of its processes.
        within(Duration::from_secs(10), || {
            processes(self.folder.path()).is_empty()
        });
        let _ = Command::new("ip")
            .args(["link", "del", &self.bridge])
            .output();
        if let Some(mounted) = &self.mounted {
            let _ = Command::new("umount").arg(mounted).output();
        }
        remove_groups(&self.bridge);
    }
}

/// Whether there is such a program; `sbin` is not on every user's PATH.
fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .any(|folder| Path::new(folder).join(program).exists())
}

/// Processes that name the folder on their command line: the daemons and the shims of containers. Those
/// in containers end with their machine, which is the parent of all of them.
fn processes(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_client = line.starts_with("docker -H");
        if line.contains(&folder) && !is_client {
            found.push((pid, line));
        }
    }
    found
}

/// Control groups outlive what was in them.
fn remove_groups(parent: &str) {
    fn remove(folder: &Path) {
        for inner in fs::read_dir(folder).into_iter().flatten().flatten() {
            if inner.path().is_dir() {
                remove(&inner.path());
            }
        }
        let _ = fs::remove_dir(folder);
    }
    let root = Path::new("/sys/fs/cgroup");
    remove(&root.join(parent));
    for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
        let group = hierarchy.path().join(parent);
        if group.is_dir() {
            remove(&group);
        }
    }
}
