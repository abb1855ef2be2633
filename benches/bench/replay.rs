//! A replay against `psql -f` of the same statements, on copies of one database of one server.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::ground::Ground;
use crate::numbers::{median, peak_mib, setting, spread};
use crate::table::{Bar, Table};

struct Shape {
    name: &'static str,
    /// Statements, for the cost of each.
    statements: usize,
    /// Fills the database that both sides get a copy of.
    setup: String,
    /// What psql runs.
    psql: String,
    /// What lockproof runs: a scenario's folder.
    scenario: PathBuf,
}

pub fn run(table: &mut Table) -> Outcome {
    let ground = Ground::start()?;
    let rows: u64 = setting("ROWS", 200_000);
    let rounds: usize = setting("PAIRS", 8);
    let folder = ground.folder.path().to_owned();
    let mut peak: f64 = 0.0;
    for shape in shapes(&folder, rows)? {
        ground.sql("postgres", "DROP DATABASE IF EXISTS shape")?;
        ground.sql("postgres", "CREATE DATABASE shape")?;
        let setup = folder.join("setup.sql");
        fs::write(&setup, &shape.setup)?;
        ground.psql_file("shape", &setup)?;
        let psql = folder.join("psql.sql");
        fs::write(&psql, &shape.psql)?;
        let (mut theirs, mut ours, mut ratios, mut gaps) = (vec![], vec![], vec![], vec![]);
        let rounds = if rows >= 1_000_000 && shape.name.starts_with("listings") {
            4
        } else {
            rounds
        };
        for round in 0..rounds {
            let mut pair = [0.0; 2];
            for side in [round % 2, (round + 1) % 2] {
                copy(&ground)?;
                if side == 0 {
                    pair[0] = millis(ground.psql_file("work", &psql)?);
                } else {
                    let (report, most) = lockproof(&ground, &shape.scenario)?;
                    peak = peak.max(most);
                    let (elapsed, inside) = times(&report);
                    pair[1] = elapsed;
                    gaps.push((elapsed - inside) * 1_000.0 / shape.statements as f64);
                }
            }
            theirs.push(pair[0]);
            ours.push(pair[1]);
            ratios.push(pair[1] / pair[0]);
        }
        table.add(
            format!("replay ÷ psql -f: {}", shape.name),
            median(&ratios),
            format!(
                "{}  ({:.0} ms ÷ {:.0} ms; {:.0} µs a statement outside statements)",
                spread(&ratios),
                median(&ours),
                median(&theirs),
                median(&gaps)
            ),
            Bar::AtMost(1.05),
        );
    }
    table.add(
        "peak memory of these replays",
        peak,
        format!("{peak:.1} MiB"),
        Bar::AtMost(64.0),
    );
    ground.stop()
}

fn copy(ground: &Ground) -> Outcome {
    ground.sql("postgres", "DROP DATABASE IF EXISTS work")?;
    ground.sql("postgres", "CREATE DATABASE work TEMPLATE shape")?;
    // What the copying left to write is written now, not during either side's run.
    ground.sql("postgres", "CHECKPOINT")?;
    // The disk is given a moment: lockproof would have it anyway, while it reads the catalogue.
    std::thread::sleep(Duration::from_millis(300));
    Ok(())
}

/// The report as JSON, and the peak memory of the program in MiB.
fn lockproof(ground: &Ground, scenario: &Path) -> Outcome<(Value, f64)> {
    let report = ground.folder.path().join("report.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockproof"))
        .arg("run")
        .arg(scenario)
        .args(["--allow-unproven", "--confirm-external", "work", "--json"])
        .arg(&report)
        .env(
            "LOCKPROOF_STAGE",
            ground.endpoint().in_database("work").url().reveal(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut peak: f64 = 0.0;
    let status = loop {
        peak = peak.max(peak_mib(&child.id().to_string()).unwrap_or(0.0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // 1: a budget was exceeded, which is no matter here.
    if !matches!(status.code(), Some(0 | 1)) {
        return Err(format!("lockproof run {}: {status}", scenario.display()).into());
    }
    Ok((serde_json::from_slice(&fs::read(report)?)?, peak))
}

/// The time of all steps from their first statement on, and that of their statements alone. Connecting
/// comes before, and is no part of psql's time either.
fn times(report: &Value) -> (f64, f64) {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(0.0);
    let (mut whole, mut inside) = (0.0, 0.0);
    for step in list(report, "steps") {
        let statements = list(&step, "statements");
        let connected = statements
            .first()
            .map_or(0.0, |first| number(first, "started_ms"));
        whole += number(&step, "elapsed_ms") - connected;
        inside += statements
            .iter()
            .map(|each| number(each, "elapsed_ms"))
            .sum::<f64>();
    }
    (whole, inside)
}

fn shapes(folder: &Path, rows: u64) -> Outcome<Vec<Shape>> {
    let tables: String = (0..50)
        .map(|n| format!("CREATE TABLE s{n} (a int);\n"))
        .collect();
    let ddl: String = (0..300)
        .map(|n| format!("ALTER TABLE s{} ADD COLUMN c{n} int;\n", n % 50))
        .collect();
    let dml: String = (0..1_000)
        .map(|n| format!("INSERT INTO t VALUES ({n}, 'x');\nUPDATE t SET b = 'y' WHERE a = {n};\n"))
        .collect();
    let in_one = |sql: &str| format!("BEGIN;\n{sql}COMMIT;\n");
    let small = |name: &'static str,
                 statements,
                 setup: &str,
                 sql: &str,
                 wrap: &str|
     -> Outcome<Shape> {
        let scenario = folder.join(name.replace([' ', ','], "-"));
        fs::create_dir_all(&scenario)?;
        fs::write(scenario.join("step.sql"), sql)?;
        fs::write(
            scenario.join("scenario.toml"),
            format!(
                "name = \"bench\"\n[[steps]]\nname = \"all\"\nfile = \"step.sql\"\nwrap = \"{wrap}\"\n"
            ),
        )?;
        Ok(Shape {
            name,
            statements,
            setup: setup.to_owned(),
            psql: if wrap == "transaction" {
                in_one(sql)
            } else {
                sql.to_owned()
            },
            scenario,
        })
    };
    Ok(vec![
        listings(folder, rows)?,
        small(
            "2,000 DML in one transaction",
            2_000,
            "CREATE TABLE t (a int PRIMARY KEY, b text);",
            &dml,
            "transaction",
        )?,
        small("300 DDL, autocommitted", 300, &tables, &ddl, "autocommit")?,
        small(
            "300 DDL in one transaction",
            300,
            &tables,
            &ddl,
            "transaction",
        )?,
        small(
            "12 DDL in one transaction, two of them long",
            12,
            &format!(
                "{tables}CREATE TABLE big AS SELECT n AS a FROM generate_series(1, 300000) n;"
            ),
            &(0..10)
                .map(|n| format!("ALTER TABLE s{n} ADD COLUMN c int;\n"))
                .chain([
                    "ALTER TABLE big ALTER a TYPE bigint;\n".to_owned(),
                    "CREATE INDEX ON big (a);\n".to_owned(),
                ])
                .collect::<String>(),
            "transaction",
        )?,
    ])
}

/// The redesigned recipe without its pauses; psql gets each batch with its key put in.
fn listings(folder: &Path, rows: u64) -> Outcome<Shape> {
    const BATCH: u64 = 5_000;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let from = root.join("scenarios/listings-redesigned");
    let scenario = folder.join("listings");
    fs::create_dir_all(&scenario)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&from)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|ext| ext == "sql" || ext == "toml")
            && let Some(name) = path.file_name()
        {
            // The server is found filled, and no pause.
            let text = fs::read_to_string(&path)?
                .replace("snapshot = \"listings\"\n", "")
                .replace("sleep = \"100ms\"", "sleep = \"0s\"");
            fs::write(scenario.join(name), text)?;
            if name.to_string_lossy().ends_with(".sql") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut psql = String::new();
    let mut statements = 0;
    for file in files {
        let text = fs::read_to_string(&file)?;
        if text.contains("${after}") {
            for batch in 0..=rows.div_ceil(BATCH) {
                let text = text
                    .replace("${after}", &(batch * BATCH).min(rows).to_string())
                    .replace("${batch_size}", &BATCH.to_string());
                writeln!(psql, "{text}")?;
                statements += 1;
            }
        } else {
            psql += &text;
            statements += 1;
        }
    }
    let generate = fs::read_to_string(root.join("snapshots/listings/generate.sql"))?;
    Ok(Shape {
        name: "listings-redesigned",
        statements,
        setup: generate.replace("${rows}", &rows.to_string()) + "\nVACUUM ANALYZE;\n",
        psql,
        scenario,
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
