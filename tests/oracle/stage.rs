//! Runs every row on one container: the ground, a scenario with a step for each row, the witness.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::facts::{Fact, Table};
use crate::seen::Server;
use crate::support::Room;

/// Over a hundred steps, and on 13 each waits for the statistics collector.
const PATIENCE: Duration = Duration::from_secs(600);

/// What came of all rows of a major.
pub struct Outcome {
    /// The report's steps, by name.
    pub steps: BTreeMap<String, Value>,
    pub server: Server,
}

/// The schema in which a row that cannot be in a transaction is run once more, for the witness.
pub fn witnessed(schema: &str) -> String {
    schema.replace('r', "alone")
}

/// Runs the rows of a major.
pub fn run(table: &Table, major: u32, image: &str) -> Outcome {
    let room = Room::new();
    room.file(
        "snapshot/snapshot.toml",
        "name = \"oracle\"\n[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n\
         [restore]\nanalyze = false\n",
    );
    room.file("snapshot/generate.sql", ground(&room, table, major));
    let scenario = room.scenario(&scenario(table, major));
    let json = room.path("report.json").display().to_string();
    let mut command = room.command(&["run", "--stage", "docker", "--image", image]);
    command.args(["--keep", "--json", &json]).arg(scenario);
    let output = assert_cmd::Command::from_std(command)
        .timeout(PATIENCE)
        .output()
        .expect("it ends in time");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    let report = room.json("report.json");
    let steps = report["steps"].as_array().expect("steps").iter();
    let containers = room.containers();
    let [container] = &containers[..] else {
        panic!("one container was to be kept: {containers:?}")
    };
    witness(container, table, major);
    let answer = psql(container, "psql -f -", include_str!("answer.sql"));
    Outcome {
        steps: steps
            .map(|step| {
                (
                    step["name"].as_str().expect("a name").to_owned(),
                    step.clone(),
                )
            })
            .collect(),
        server: Server::read(&answer),
    }
}

/// The objects of every row, in a schema of the row's own.
fn ground(room: &Room, table: &Table, major: u32) -> String {
    // A base is known by its content: with the room's name in it no other test has the same.
    let mut sql = format!(
        "-- {}\n{}",
        room.root().display(),
        include_str!("ground.sql")
    );
    for (schema, fact) in table.of(major) {
        objects(&mut sql, table, &schema, fact);
        if fact.alone {
            objects(&mut sql, table, &witnessed(&schema), fact);
        }
    }
    sql
}

fn objects(sql: &mut String, table: &Table, schema: &str, fact: &Fact) {
    let rows = if fact.alone {
        table.rows_alone
    } else {
        table.rows
    };
    let _ = writeln!(
        sql,
        "BEGIN;\nCREATE SCHEMA {schema};\nSET LOCAL search_path = {schema};"
    );
    for name in &fact.on {
        let object = table.objects.get(name);
        let object = object.unwrap_or_else(|| panic!("{}: there is no `{name}`", fact.title));
        sql.push_str(&object.replace("{rows}", &rows.to_string()));
    }
    sql.push_str("COMMIT;\n");
}

/// A step for each row. Nothing is judged: every hold is within its budget.
fn scenario(table: &Table, major: u32) -> String {
    let mut toml =
        "interval = \"0.5ms\"\n[stage.settings]\nautovacuum = \"off\"\n[budgets]\n".to_owned();
    for mode in lockproof::pg::LockMode::WATCHED {
        let _ = writeln!(toml, "{mode} = \"10m\"");
    }
    for (schema, fact) in table.of(major) {
        let sql = &fact.sql;
        let (wrap, sql) = if fact.alone {
            (
                "autocommit",
                format!("SET search_path = {schema};\nSELECT oracle.before();\n{sql};\n"),
            )
        } else {
            // The rest makes it a transaction that lockproof looks at before COMMIT, always.
            (
                "transaction",
                format!(
                    "SET LOCAL search_path = {schema};\nSELECT oracle.before();\n{sql};\n\
                     SELECT oracle.after();\nSELECT pg_sleep(0.02);\n"
                ),
            )
        };
        let _ = write!(
            toml,
            "[[steps]]\nname = \"{schema}\"\nwrap = \"{wrap}\"\nsql = '''\n{sql}'''\n"
        );
    }
    toml
}

/// Runs the rows that cannot be in a transaction once more, while a session looks at their locks.
fn witness(container: &str, table: &Table, major: u32) {
    let mut sql = "SET application_name = 'alone';\nCALL oracle.wait_for_witness();\n".to_owned();
    for (schema, fact) in table.of(major).filter(|(_, fact)| fact.alone) {
        let schema = witnessed(&schema);
        let _ = write!(
            sql,
            "SET search_path = {schema};\nSELECT oracle.before();\nSET application_name = '{schema}';\n\
             {};\nSET application_name = 'alone';\nSELECT oracle.after();\n",
            fact.sql
        );
    }
    let both = "psql -c 'CALL oracle.witness()' & psql -f -; status=$?; wait; exit $status";
    psql(container, both, &sql);
}

/// Runs a script in the container that calls `psql`; what it printed.
fn psql(container: &str, script: &str, stdin: &str) -> String {
    let script = format!(
        "psql() {{ command psql -XAtq -v ON_ERROR_STOP=1 -h /var/run/postgresql -d lockproof \"$@\"; }}\n\
         export PGOPTIONS='-c statement_timeout=120s'\n{script}"
    );
    let mut child = Command::new("docker")
        .args([
            "exec", "-i", "-u", "postgres", container, "sh", "-c", &script,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(stdin.as_bytes()).expect("written");
    drop(pipe);
    let output = child.wait_with_output().expect("docker");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
