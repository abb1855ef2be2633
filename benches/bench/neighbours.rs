//! One scenario alone, beside one and beside three of its own kind on clones of the same snapshot: how much
//! longer its holds are, and how much further apart their bounds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::numbers::{median, setting, spread};
use crate::start::image;
use crate::table::Table;

/// How many run beside it.
const BESIDE: [usize; 3] = [0, 1, 3];
/// The most that run at once.
const MOST: usize = 4;

/// A step of each kind of hold, the statement that its tables get, and how many there are.
const KINDS: [(&str, &str, usize); 3] = [
    ("catalogue", "ADD COLUMN c int", 30),
    ("scan", "ALTER b SET NOT NULL", 10),
    ("rewrite", "ALTER a TYPE bigint", 4),
];

/// A hold's upper bound and the distance of its bounds, in milliseconds.
type Holds = BTreeMap<&'static str, Vec<(f64, f64)>>;

pub fn run(table: &mut Table) -> Outcome {
    let rows: u64 = setting("ROWS", 100_000);
    let folder = tempfile::Builder::new()
        .prefix("lockproof-bench-")
        .tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    describe(folder.path(), rows)?;
    let mut stages = vec![("local", None)];
    stages.extend(image().map(|image| ("docker", Some(image))));
    for (stage, image) in stages {
        let measured = measure(folder.path(), stage, image.as_deref())?;
        tell(table, stage, rows, &measured);
    }
    forget(folder.path())
}

/// Removes the base from the engine, where it is of no use to anybody else: the one whose lock is in our
/// cache. Never `clean --all`, which asks whose nothing is.
fn forget(folder: &Path) -> Outcome {
    let format = "{{.Name}}\t{{.Labels}}";
    let listed = Command::new("docker")
        .args([
            "volume",
            "ls",
            "--filter",
            "label=lockproof.base",
            "--format",
            format,
        ])
        .output();
    // Without an engine there is none.
    let Ok(listed) = listed else { return Ok(()) };
    let ours = folder.display().to_string();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        if let Some((name, labels)) = line.split_once('\t')
            && labels.contains(&ours)
        {
            Command::new("docker")
                .args(["volume", "rm", name])
                .output()?;
        }
    }
    Ok(())
}

/// What was seen of the first scenario in one arrangement, a round each.
#[derive(Default)]
struct Measured {
    rounds: Vec<Holds>,
    /// Steps whose budget was neither proved nor refuted, and all of them.
    unproven: usize,
    steps: usize,
}

fn measure(folder: &Path, stage: &str, image: Option<&str>) -> Outcome<[Measured; 3]> {
    // The first restores it.
    once(folder, stage, image, 0)?;
    let mut measured = <[Measured; 3]>::default();
    for round in 0..setting("PAIRS", 8) {
        // Each begins a round in turn.
        for turn in 0..BESIDE.len() {
            let at = (round + turn) % BESIDE.len();
            let report = once(folder, stage, image, BESIDE[at])?;
            measured[at].take(&report, BESIDE[at]);
        }
    }
    Ok(measured)
}

impl Measured {
    fn take(&mut self, report: &Value, beside: usize) {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let mut holds = Holds::new();
        for step in list(report, "steps") {
            // The neighbours' begin and end may miss one.
            let Some((name, ..)) = KINDS.iter().find(|(name, ..)| step["name"] == *name) else {
                continue;
            };
            if step["neighbours"] != beside {
                continue;
            }
            self.steps += 1;
            self.unproven += usize::from(step["verdict"] == "unproven");
            let of_tables = list(&step, "holds")
                .into_iter()
                .filter(|hold| hold["mode"] == "AccessExclusiveLock" && hold["parent"].is_null());
            for hold in of_tables {
                let bound = |key: &str| hold["hold_ms"][key].as_f64();
                if let (Some(least), Some(most)) = (bound("at_least"), bound("at_most")) {
                    holds.entry(name).or_default().push((most, most - least));
                }
            }
        }
        self.rounds.push(holds);
    }
}

fn tell(table: &mut Table, stage: &str, rows: u64, measured: &[Measured; 3]) {
    let [alone, others @ ..] = measured;
    for (other, beside) in others.iter().zip(&BESIDE[1..]) {
        for (name, statement, count) in KINDS {
            let size = if name == "catalogue" { 10 } else { rows };
            let compare = |what: fn(&(f64, f64)) -> f64| compare(name, alone, other, what);
            table.info(
                format!("holds beside {beside} ÷ alone, {stage}: {statement} ({count} tables of {size} rows)"),
                compare(|hold| hold.0),
            );
            table.info("  the distance of their bounds", compare(|hold| hold.1));
        }
        table.info(
            format!("  steps unproven beside {beside}, {stage}, in one replay"),
            format!(
                "{} of {}, alone {} of {}",
                other.unproven, other.steps, alone.unproven, alone.steps
            ),
        );
    }
}

/// The ratio of the medians round by round, then those of all rounds together.
fn compare(
    name: &str,
    alone: &Measured,
    beside: &Measured,
    what: fn(&(f64, f64)) -> f64,
) -> String {
    let of = |holds: &Holds| -> Vec<f64> {
        let holds = holds.get(name).map_or(&[][..], Vec::as_slice);
        holds.iter().map(what).collect()
    };
    let all = |measured: &Measured| -> Vec<f64> { measured.rounds.iter().flat_map(of).collect() };
    let ratios: Vec<f64> = alone
        .rounds
        .iter()
        .zip(&beside.rounds)
        .map(|(alone, beside)| median(&of(beside)) / median(&of(alone)))
        .filter(|ratio| ratio.is_finite())
        .collect();
    let (alone, beside) = (all(alone), all(beside));
    let (far, near) = (p99(&beside), p99(&alone));
    format!(
        "{}  ({:.2} ms ÷ {:.2} ms; p99 {:.2}: {far:.1} ms ÷ {near:.1} ms)",
        spread(&ratios),
        median(&beside),
        median(&alone),
        far / near,
    )
}

fn p99(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get(last.min(values.len() * 99 / 100))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The first scenario's report.
fn once(folder: &Path, stage: &str, image: Option<&str>, beside: usize) -> Outcome<Value> {
    let together = beside + 1;
    let output = lockproof(folder)
        .args([
            "run",
            "--stage",
            stage,
            "--replays",
            "1",
            "--allow-unproven",
        ])
        .args(["--json", "./", "--jobs", &together.to_string()])
        .args(image.iter().flat_map(|image| ["--image", image]))
        .args((1..=together).map(|number| format!("s{number}")))
        .stderr(Stdio::piped())
        .output()?;
    // 1: a budget was exceeded, which is no matter here.
    if !matches!(output.status.code(), Some(0 | 1)) {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("lockproof run: {}\n{told}", output.status).into());
    }
    Ok(serde_json::from_slice(&fs::read(folder.join("s1.json"))?)?)
}

fn lockproof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    command
        .env("LOCKPROOF_CACHE", folder.join("cache"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The snapshot, and as many scenarios of one content as ever run at once.
fn describe(folder: &Path, rows: u64) -> Outcome {
    let mut generate = format!("-- {}\n", folder.display());
    let mut steps = String::new();
    for (kind, statement, count) in KINDS {
        let size = if kind == "catalogue" { 10 } else { rows };
        let mut file = String::new();
        for number in 0..count {
            generate += &format!(
                "CREATE TABLE {kind}_{number} AS SELECT n AS a, n AS b FROM generate_series(1, {size}) n;\n"
            );
            file += &format!("ALTER TABLE {kind}_{number} {statement};\n");
        }
        for number in 1..=MOST {
            let scenario = folder.join(format!("s{number}"));
            fs::create_dir_all(&scenario)?;
            fs::write(scenario.join(format!("{kind}.sql")), &file)?;
        }
        steps += &format!(
            "[[steps]]\nname = \"{kind}\"\nfile = \"{kind}.sql\"\nwrap = \"autocommit\"\n"
        );
    }
    for number in 1..=MOST {
        fs::write(
            folder.join(format!("s{number}/scenario.toml")),
            format!("snapshot = \"../snapshot\"\n{steps}"),
        )?;
    }
    fs::create_dir_all(folder.join("snapshot"))?;
    fs::write(folder.join("snapshot/generate.sql"), generate)?;
    fs::write(
        folder.join("snapshot/snapshot.toml"),
        "name = \"neighbours\"\n[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n",
    )?;
    Ok(())
}
