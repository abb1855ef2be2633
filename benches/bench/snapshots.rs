//! Snapshots: a restore against bare `pg_restore -j`, a clone against `cp -a`, from the command to the first
//! step cold and warm, and what the first writes to a clone cost, on this disk and on a file system that
//! can share blocks (a loop-mounted XFS; only root can mount one).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lockproof::clock::Clock;

use crate::Outcome;
use crate::ground::Ground;
use crate::numbers::{median, setting, spread, spread_by};
use crate::start::phases;
use crate::table::{Bar, Table};

pub fn run(table: &mut Table) -> Outcome {
    let rows: u64 = setting("ROWS", 4_000_000);
    let folder = tempfile::Builder::new()
        .prefix("lockproof-bench-")
        .tempdir()?;
    open(folder.path())?;
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain)?;
    open(&plain)?;
    clones(table, "this disk", &plain, rows)?;
    if let Some(sharing) = Sharing::mount(folder.path())? {
        clones(table, "XFS", &sharing.at, rows)?;
    }
    restore(table, folder.path(), setting("RESTORE_ROWS", 1_000_000))
}

/// What a clone is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// The base alone, as in the first run.
    Base,
    /// The clone that the last run left, where there is one.
    Spare,
}

/// A clone of a restored snapshot in a cache folder, against `cp -a` of the same folder.
fn clones(table: &mut Table, name: &str, cache: &Path, rows: u64) -> Outcome {
    let steps = cache.join("steps");
    std::fs::create_dir(&steps)?;
    std::fs::write(steps.join("step.sql"), "SELECT 1;\n")?;
    let size = format!("{name}, {rows} rows");
    eprintln!("  restoring it: {size}");
    first_step(cache, rows, "as-is", From::Spare)?;
    let data = base(cache)?;
    let spares = data.with_file_name("spare").is_dir();
    let ways: &[(From, &str)] = if spares {
        &[
            (From::Base, "copied"),
            (From::Spare, "renewed from the last run's"),
        ]
    } else {
        &[(From::Base, "sharing blocks")]
    };
    let mut copies = vec![];
    let mut ours = vec![vec![]; ways.len()];
    let rounds = setting("PAIRS", 9);
    for round in 0..rounds {
        // Each begins a round in turn.
        for turn in 0..=ways.len() {
            match (round + turn) % (ways.len() + 1) {
                0 => copies.push(cp(&data, &cache.join("cp"))?),
                way => ours[way - 1].push(first_step(cache, rows, "as-is", ways[way - 1].0)?),
            }
        }
        eprintln!("  {} of {rounds} rounds: {size}", round + 1);
    }
    let of = |what: fn(&(f64, f64)) -> f64, all: &[(f64, f64)]| all.iter().map(what).collect();
    let copy: Vec<f64> = of(|took| took.0, &copies);
    let synced: Vec<f64> = of(|took| took.1, &copies);
    let ms = |figures: &[f64]| format!("{} ms", spread_by(figures, 0));
    table.info(format!("`cp -a`, {size}"), ms(&copy));
    table.info(format!("`cp -a` and `sync -f`, {size}"), ms(&synced));
    for ((_, way), ours) in ways.iter().zip(&ours) {
        let whole: Vec<f64> = of(|took| took.0, ours);
        let clone: Vec<f64> = of(|took| took.1, ours);
        table.info(format!("command to first step, {way}, {size}"), ms(&whole));
        table.info("  of it the clone, up to its last sync", ms(&clone));
        for (theirs, what) in [(&copy, "`cp -a`"), (&synced, "`cp -a` and `sync -f`")] {
            let ratio = |ours: &[f64]| -> Vec<f64> {
                ours.iter()
                    .zip(theirs)
                    .map(|(own, copy)| own / copy)
                    .collect()
            };
            let whole = ratio(&whole);
            let shown = spread(&whole);
            table.add(
                format!("  ÷ {what}"),
                median(&whole),
                shown,
                Bar::AtMost(1.2),
            );
            table.info(
                format!("  the clone, up to its last sync ÷ {what}"),
                spread(&ratio(&clone)),
            );
        }
    }
    for warmth in ["warm", "cold"] {
        let took: Vec<f64> = (0..3)
            .map(|_| Ok(first_step(cache, rows, warmth, From::Spare)?.0))
            .collect::<Outcome<_>>()?;
        table.info(
            format!("command to first step, {warmth}, {size}"),
            ms(&took),
        );
    }
    first_writes(table, name, cache, rows, &steps)
}

/// From the command to its first step, and of it the clone, in milliseconds.
fn first_step(cache: &Path, rows: u64, warmth: &str, from: From) -> Outcome<(f64, f64)> {
    if from == From::Base
        && let Ok(data) = base(cache)
    {
        let spare = data.with_file_name("spare");
        if spare.is_dir() {
            std::fs::remove_dir_all(spare)?;
        }
    }
    let phases = phases(command(cache, rows, warmth, &cache.join("steps/step.sql")))?;
    let sum = |clone: bool| -> f64 {
        phases
            .iter()
            .filter(|(phase, _)| !clone || phase.starts_with("copying the restored"))
            .map(|(_, took)| took)
            .sum()
    };
    Ok((sum(false), sum(true)))
}

/// The same statement twice in one run: the first one writes to pages that the clone shares with its base
/// or that were just copied, the second to pages that are its own by then.
fn first_writes(table: &mut Table, name: &str, cache: &Path, rows: u64, steps: &Path) -> Outcome {
    let write = "CHECKPOINT;\nUPDATE listings_listing SET price = price WHERE id % 400 = 1;\n";
    std::fs::write(steps.join("1_first.sql"), write)?;
    std::fs::write(steps.join("2_again.sql"), write)?;
    let report = cache.join("report.json");
    let mut ratios = vec![];
    for _ in 0..setting("PAIRS", 5).min(5) {
        let mut go = command(cache, rows, "warm", &steps.join("1_first.sql"));
        go.arg(steps.join("2_again.sql")).arg("--json").arg(&report);
        phases(go)?;
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report)?)?;
        let took = |step: usize| {
            let statements = report["steps"][step]["statements"].as_array()?;
            let update = statements.iter().find(|statement| {
                let sql = statement["sql"].as_str();
                sql.is_some_and(|sql| sql.trim_start().starts_with("UPDATE"))
            });
            update?["elapsed_ms"].as_f64()
        };
        let (Some(first), Some(again)) = (took(0), took(1)) else {
            return Err("a report without times".into());
        };
        ratios.push(first / again);
    }
    table.info(
        format!("first writes to a clone ÷ the same again, {name}"),
        spread(&ratios),
    );
    Ok(())
}

/// A restore of a dump in the directory format, and bare `pg_restore` of the same on the same programs.
fn restore(table: &mut Table, folder: &Path, rows: u64) -> Outcome {
    let ground = Ground::start()?;
    let generator = std::fs::read_to_string(listings().join("generate.sql"))?;
    let sql = folder.join("generate.sql");
    std::fs::write(&sql, generator.replace("${rows}", &rows.to_string()))?;
    ground.psql_file("bench", &sql)?;
    let snapshot = folder.join("snapshot");
    std::fs::create_dir(&snapshot)?;
    let dump = snapshot.join("dump");
    let dumped = ground
        .program("pg_dump", "bench")
        .args(["-Fd", "-j2", "-f"])
        .arg(&dump)
        .status()?;
    if !dumped.success() {
        return Err(format!("pg_dump: {dumped}").into());
    }
    std::fs::write(
        snapshot.join("snapshot.toml"),
        "name = 'dump'\nsource = { kind = 'dump', file = 'dump' }\nrestore = { jobs = 2 }\n",
    )?;
    let (mut ours, mut theirs, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..setting("PAIRS", 5).min(3) {
        ground.sql("postgres", "DROP DATABASE IF EXISTS bare")?;
        ground.sql("postgres", "CREATE DATABASE bare")?;
        eprintln!("  restore, round {}", round + 1);
        let clock = Clock::start();
        let restored = ground
            .program("pg_restore", "bare")
            .args(["-j2", "-d", "bare"])
            .arg(&dump)
            .status()?;
        let bare = clock.now().since(lockproof::clock::Mono(0)).as_secs_f64() * 1e3;
        if !restored.success() {
            return Err(format!("pg_restore: {restored}").into());
        }
        // A cache of its own each time: it restores.
        let cache = folder.join(format!("restore-{round}"));
        std::fs::create_dir(&cache)?;
        open(&cache)?;
        let mut go = Command::new(env!("CARGO_BIN_EXE_lockproof"));
        let step = folder.join("plain/steps/step.sql");
        go.args([
            "-v",
            "run",
            "--allow-unproven",
            "--stage",
            "local",
            "--cache",
        ])
        .arg(&cache)
        .arg("--snapshot")
        .arg(&snapshot)
        .arg(step);
        let own: f64 = phases(go)?
            .iter()
            .filter(|(phase, _)| {
                phase.starts_with("restoring") || phase.starts_with("building the indexes")
            })
            .map(|(_, took)| took)
            .sum();
        std::fs::remove_dir_all(&cache)?;
        ours.push(own);
        theirs.push(bare);
        ratios.push(own / bare);
    }
    table.info(
        format!("restore ÷ bare `pg_restore -j2`, {rows} rows, directory format"),
        format!(
            "{} ({:.0} ÷ {:.0} ms)",
            spread(&ratios),
            median(&ours),
            median(&theirs)
        ),
    );
    ground.stop()
}

/// `cp -a`, and with `sync -f` behind it, in milliseconds; the copy is removed.
fn cp(from: &Path, to: &Path) -> Outcome<(f64, f64)> {
    let clock = Clock::start();
    let ms = || clock.now().since(lockproof::clock::Mono(0)).as_secs_f64() * 1e3;
    let done = |mut command: Command| -> Outcome {
        let status = command.status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{command:?}: {status}").into())
        }
    };
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=never"]).arg(from).arg(to);
    done(copy)?;
    let copied = ms();
    let mut sync = Command::new("sync");
    sync.arg("-f").arg(to);
    done(sync)?;
    let synced = ms();
    std::fs::remove_dir_all(to)?;
    Ok((copied, synced))
}

fn command(cache: &Path, rows: u64, warmth: &str, step: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    command
        .args(["-v", "run", "--stage", "local", "--cache"])
        .arg(cache)
        .arg("--snapshot")
        .arg(listings())
        .args(["--var", &format!("rows={rows}"), "--warmth", warmth])
        // What is measured is no verdict: a machine that starves the sampler must not end the bench.
        .args(["--budget", "60s", "--allow-unproven"])
        .arg(step);
    command
}

fn listings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/listings")
}

/// The data folder of the one base of a cache.
fn base(cache: &Path) -> Outcome<PathBuf> {
    let base = std::fs::read_dir(cache.join("bases"))?
        .next()
        .ok_or("no base")??;
    Ok(base.path().join("data"))
}

fn open(folder: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// A file system that shares blocks, unmounted when dropped.
struct Sharing {
    at: PathBuf,
}

impl Sharing {
    /// None: it cannot be made here.
    fn mount(folder: &Path) -> Outcome<Option<Self>> {
        let (image, at) = (folder.join("xfs.img"), folder.join("xfs"));
        std::fs::create_dir(&at)?;
        std::fs::File::create(&image)?.set_len(12 << 30)?;
        let quiet = |program: &str, arguments: &[&Path]| {
            Command::new(program)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let made = quiet("mkfs.xfs", &[Path::new("-q"), &image])
            && quiet("mount", &[Path::new("-o"), Path::new("loop"), &image, &at]);
        if !made {
            eprintln!("  no file system that shares blocks: it takes root and mkfs.xfs");
            return Ok(None);
        }
        let sharing = Self { at };
        open(&sharing.at)?;
        Ok(Some(sharing))
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}
