//! What tests of the whole command share: a room with a cache and a small snapshot, runs of the real
//! binary with a time limit, and a look at what they leave behind.
#![allow(dead_code)]
#![allow(clippy::disallowed_methods, reason = "a test may read a clock")]
// `eprintln` would be swallowed by the harness; what is written out is not.
#![allow(clippy::explicit_write)]

pub mod report;
pub mod sample;
pub mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A run of the command takes longer only when it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Past the harness, which shows nothing of a test that passes.
pub fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// In CI a test that cannot run has failed.
pub fn missing(why: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    skipped(why);
    false
}

/// Whether there are server programs here.
pub fn has_server() -> bool {
    match lockproof::stage::local::binaries::find(None).choose(None) {
        Ok(_) => true,
        Err(error) => missing(&error.story()),
    }
}

/// The image of container stages.
pub fn image() -> String {
    std::env::var("LOCKPROOF_TEST_IMAGE").unwrap_or_else(|_| "lockproof/postgres:17".to_owned())
}

/// Whether there is an engine with the image of container stages.
pub fn has_engine() -> bool {
    has_image(&image())
}

/// Whether there is an engine with this image.
pub fn has_image(image: &str) -> bool {
    let found = Command::new("docker")
        .args(["image", "inspect", image])
        .output();
    match found {
        Ok(output) if output.status.success() => true,
        Ok(output) => missing(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => missing(&format!("no `docker`: {error}")),
    }
}

/// Whether file systems can be mounted here; even in CI that is not promised.
pub fn can_mount() -> bool {
    let can = nix::unistd::Uid::effective().is_root();
    if !can {
        skipped("only root can mount a small file system");
    }
    can
}

/// Output of a program that has to succeed.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until something is so; false: it never was.
pub fn within(limit: Duration, mut so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Which stage a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Local,
    Container,
}

/// A folder of one test: `cache`, `tmp` (for sockets), `snapshot` (2,000 rows), and its scenarios.
pub struct Room {
    folder: tempfile::TempDir,
    mounts: Vec<PathBuf>,
}

/// The table that every room's snapshot has.
const GENERATOR: &str = "\
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, price numeric, note text);
INSERT INTO items SELECT n, 'item ' || n, n % 100, repeat('x', 50) FROM generate_series(1, ${rows}) AS n;
";

impl Room {
    pub fn new() -> Self {
        let open = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new()
            .prefix("lockproof-bad-")
            .tempdir()
            .expect("a folder");
        let room = Self {
            folder,
            mounts: Vec::new(),
        };
        fs::set_permissions(room.root(), open).expect("opened");
        for name in ["cache", "tmp"] {
            fs::create_dir(room.path(name)).expect("created");
        }
        // Every account may enter both; the server's makes files in neither.
        room.file(
            "snapshot/snapshot.toml",
            "name = \"small\"\n[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n\
             [variables]\nrows = 2_000\n",
        );
        // A base is known by its content: with the room's name in it no other test has the same.
        let nonce = room.root().display().to_string();
        room.file("snapshot/generate.sql", format!("-- {nonce}\n{GENERATOR}"));
        room
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(&path, content).expect("writable");
        path
    }

    /// A room whose snapshot has more than `items`.
    pub fn with(sql: &str) -> Self {
        let room = Self::new();
        let generator = room.read("snapshot/generate.sql");
        room.file("snapshot/generate.sql", format!("{generator}{sql}\n"));
        room
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A scenario on the room's snapshot with one replay at most; its folder.
    pub fn scenario(&self, steps: &str) -> PathBuf {
        self.scenario_named("scenario", steps)
    }

    pub fn scenario_named(&self, name: &str, steps: &str) -> PathBuf {
        self.file(
            &format!("{name}/scenario.toml"),
            format!("snapshot = \"../snapshot\"\nreplays = 1\n{steps}"),
        );
        self.path(name)
    }

    /// A small file system in place of a folder.
    pub fn mount(&mut self, name: &str, size: &str) {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("created");
        let shown = path.display().to_string();
        let options = format!("size={size},mode=755");
        output("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &shown]);
        self.mounts.push(path);
    }

    /// The same as a real disk has it: ext4 in a file.
    pub fn mount_ext4(&mut self, name: &str, size: &str) {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("created");
        let shown = path.display().to_string();
        let image = self.path(&format!("{name}.ext4")).display().to_string();
        output("truncate", &["-s", size, &image]);
        // No blocks kept for root: the server is not root.
        output("mkfs.ext4", &["-q", "-F", "-m", "0", &image]);
        output("mount", &["-o", "loop", &image, &shown]);
        self.mounts.push(path);
    }

    /// The command, with nothing of ours in its environment but this room.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("LOCKPROOF_") || text.starts_with("PG") {
                command.env_remove(&name);
            }
        }
        command
            .args(arguments)
            .env("TMPDIR", self.path("tmp"))
            .env("LOCKPROOF_CACHE", self.path("cache"))
            .current_dir(self.root());
        command
    }

    /// `lockproof run` of a path in the room.
    pub fn run_command(&self, on: On, path: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(&["run"]);
        command.arg(path);
        match on {
            On::Local => command.args(["--stage", "local"]),
            On::Container => command.args(["--stage", "docker", "--image", &image()]),
        };
        command.args(arguments);
        command
    }

    /// Runs on server programs of this machine to the end.
    pub fn run(&self, path: &Path, arguments: &[&str]) -> Ran {
        finish(self.run_command(On::Local, path, arguments))
    }

    /// Any command of lockproof to its end.
    pub fn lockproof(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    /// Starts a run and goes on.
    pub fn start(&self, mut command: Command) -> Running {
        let name = format!("{:08x}", rand::random::<u32>());
        let open = |end: &str| fs::File::create(self.path(&format!("{name}.{end}"))).expect("made");
        let child = command
            .stdin(Stdio::null())
            .stdout(open("out"))
            .stderr(open("err"))
            .spawn()
            .expect("started");
        Running {
            child,
            out: self.path(&format!("{name}.out")),
            err: self.path(&format!("{name}.err")),
        }
    }

    /// Pids of all processes that have to do with this room.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let root = self.root().display().to_string();
        let ours = std::process::id().cast_signed();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // A zombie has no command line.
            if pid == ours || line.is_empty() {
                continue;
            }
            let folder = fs::read_link(entry.path().join("cwd"))
                .map(|folder| folder.display().to_string())
                .unwrap_or_default();
            if line.contains(&root) || folder.contains(&root) {
                found.push((pid, format!("{line} in {folder}")));
            }
        }
        found
    }

    /// The postmaster of a run, not of a base that is being made.
    pub fn postmaster(&self) -> Option<i32> {
        let runs = format!("-D {}/runs/", self.path("cache").display());
        self.processes()
            .into_iter()
            .find(|(_, line)| line.contains(&runs))
            .map(|(pid, _)| pid)
    }

    /// Names of containers of this room.
    pub fn containers(&self) -> Vec<String> {
        let root = self.root().display().to_string();
        let listed = Command::new("docker")
            .args(["ps", "-a", "--filter", "label=lockproof.role"])
            .args(["--format", "{{.Names}}\t{{.Labels}}"])
            .output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&listed)
            .lines()
            .filter(|line| line.contains(&root))
            .filter_map(|line| line.split('\t').next())
            .map(str::to_owned)
            .collect()
    }

    /// Names of volumes of this room, bases among them.
    pub fn volumes(&self) -> Vec<String> {
        let root = self.root().display().to_string();
        let listed = Command::new("docker")
            .args(["volume", "ls", "--filter", "label=lockproof.role"])
            .args(["--format", "{{.Name}}\t{{.Labels}}"])
            .output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&listed)
            .lines()
            .filter(|line| line.contains(&root))
            .filter_map(|line| line.split('\t').next())
            .map(str::to_owned)
            .collect()
    }

    /// Names in a folder of the room.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Everything that a run should have taken away.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> = self
            .processes()
            .into_iter()
            .map(|(pid, line)| format!("process {pid}: {line}"))
            .collect();
        left.extend(self.names("cache/runs"));
        left.extend(self.names("tmp"));
        let half_made = |name: &String| name.starts_with(".building");
        left.extend(self.names("cache/bases").into_iter().filter(half_made));
        left
    }

    /// Nothing of a run is left; a base in the cache may be.
    #[track_caller]
    pub fn assert_clean(&self) {
        // A process that was killed is gone a moment later.
        let clean = within(Duration::from_secs(3), || self.leftovers().is_empty());
        assert!(clean, "left behind: {:#?}", self.leftovers());
    }

    /// The same on the engine: containers and the volumes of runs and half-made bases.
    #[track_caller]
    pub fn assert_engine_clean(&self) {
        let containers = self.containers();
        assert!(containers.is_empty(), "left behind: {containers:#?}");
        let volumes: Vec<String> = self.volumes();
        let stray: Vec<&String> = volumes
            .iter()
            .filter(|name| !name.starts_with("lockproof-base-"))
            .collect();
        assert!(stray.is_empty(), "left behind: {stray:#?}");
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let containers = self.containers();
        for name in &containers {
            let _ = Command::new("docker").args(["rm", "-fv", name]).output();
        }
        for name in self.volumes() {
            let _ = Command::new("docker")
                .args(["volume", "rm", &name])
                .output();
        }
        for mount in &self.mounts {
            let _ = Command::new("umount").arg("-l").arg(mount).output();
        }
    }
}

/// A run that goes on.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Waits until the run has said something on standard error.
    #[track_caller]
    pub fn says(&mut self, words: &str) {
        let said = within(PATIENCE, || {
            self.stderr().contains(words) || self.child.try_wait().is_ok_and(|end| end.is_some())
        });
        let stderr = self.stderr();
        assert!(said && stderr.contains(words), "no {words:?} in:\n{stderr}");
    }

    /// Sends the signal and takes the time to the end, which has to come soon.
    #[track_caller]
    pub fn signalled(self, signal: Signal) -> Ran {
        kill(Pid::from_raw(self.pid()), signal).expect("signalled");
        let asked = Instant::now();
        let ran = self.end();
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(20), "it took {took:?} to stop");
        ran
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Ran {
        let mut status = None;
        within(PATIENCE, || {
            status = self.child.try_wait().expect("waited for");
            status.is_some()
        });
        let hangs = status.is_none();
        if hangs {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let text =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let ran = Ran {
            code: status.and_then(code),
            stdout: text(&self.out),
            stderr: text(&self.err),
        };
        assert!(!hangs, "it hangs: {ran:#?}");
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// None: a signal ended it, which nothing of ours may.
fn code(status: ExitStatus) -> Option<i32> {
    status
        .code()
        .or_else(|| status.signal().map(|signal| -signal))
}

/// How a run ended.
#[derive(Clone)]
pub struct Ran {
    /// The exit code; negative: ended by this signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit code {:?}\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Ran {
    /// The exit code, and words that are all said somewhere.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let said = self.said();
        for word in words {
            assert!(said.contains(word), "no {word:?}: {self:?}");
        }
        // Whatever happens, a stage's password is nowhere, and nothing of ours broke.
        for never in ["panicked", "SCRAM-SHA-256$"] {
            assert!(!said.contains(never), "{never:?}: {self:?}");
        }
        #[allow(clippy::print_stdout)]
        if let Some(line) = self.stderr.lines().find(|line| line.starts_with("error: ")) {
            println!("{code}: {line}");
        }
        self
    }

    /// Both outputs, with each run of white space as one blank: paragraphs are wrapped.
    pub fn said(&self) -> String {
        let words: Vec<&str> = self
            .stdout
            .split_whitespace()
            .chain(self.stderr.split_whitespace())
            .collect();
        words.join(" ")
    }
}

/// Runs a command to its end; one that hangs fails the test.
pub fn finish(command: Command) -> Ran {
    let output = assert_cmd::Command::from_std(command)
        .timeout(PATIENCE)
        .output()
        .expect("it ends in time");
    Ran {
        code: code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
