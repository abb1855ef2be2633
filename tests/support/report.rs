//! Runs whose JSON report is read, and what tests look for in one.

use serde_json::Value;

use super::server::Server;
use super::{Ran, Room, finish};

/// The mode that blocks reads.
pub const ACCESS_EXCLUSIVE: &str = "AccessExclusiveLock";

/// A report as it was written.
pub struct Report(pub Value);

/// Runs a scenario on a local stage; what was printed, and the report.
#[track_caller]
pub fn ran(room: &Room, steps: &str, arguments: &[&str]) -> (Ran, Report) {
    let scenario = room.scenario(steps);
    let json = room.path("report.json").display().to_string();
    let ran = room.run(&scenario, &[&["--json", &json], arguments].concat());
    room.assert_clean();
    (ran.clone(), report(room, &ran))
}

/// Runs a scenario in the database `app` of a server that is not lockproof's.
#[track_caller]
pub fn ran_on(room: &Room, server: &Server, steps: &str, arguments: &[&str]) -> (Ran, Report) {
    let scenario = room.file("external/scenario.toml", steps);
    let json = room.path("report.json").display().to_string();
    let mut command = room.command(&["run", "--confirm-external", "app", "--json", &json]);
    command
        .arg(scenario)
        .args(arguments)
        .env("LOCKPROOF_STAGE", server.url("postgres"));
    let ran = finish(command);
    (ran.clone(), report(room, &ran))
}

#[track_caller]
fn report(room: &Room, ran: &Ran) -> Report {
    let text = room.read("report.json");
    Report(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {ran:?}")))
}

/// A step of SQL.
pub fn sql(name: &str, wrap: &str, text: &str) -> String {
    format!("[[steps]]\nname = \"{name}\"\nwrap = \"{wrap}\"\nsql = '''{text}'''\n")
}

/// A step that runs a shell's script, which may only take locks.
pub fn script(name: &str, text: &str) -> String {
    format!(
        "[[steps]]\nname = \"{name}\"\nmay_do_nothing = true\nrun = [\"sh\", \"-c\", '''{text}''']\n"
    )
}

/// A list within a report.
pub fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// The lower bound of a time, in milliseconds.
pub fn at_least(time: &Value) -> f64 {
    time["at_least"].as_f64().expect("a lower bound")
}

/// The upper bound; endless where none was seen.
pub fn at_most(time: &Value) -> f64 {
    time["at_most"].as_f64().unwrap_or(f64::INFINITY)
}

impl Report {
    /// A step, from 0.
    pub fn step(&self, step: usize) -> &Value {
        &self["steps"][step]
    }

    /// The steps' verdicts, in order.
    pub fn verdicts(&self) -> Vec<&str> {
        list(self, "steps")
            .iter()
            .filter_map(|step| step["verdict"].as_str())
            .collect()
    }

    /// A step's holds of a mode, as relations and bounds.
    pub fn holds(&self, step: usize, mode: &str) -> Vec<&Value> {
        list(self.step(step), "holds")
            .iter()
            .filter(|hold| hold["mode"] == mode)
            .collect()
    }

    /// A step's only hold of this mode on this relation.
    #[track_caller]
    pub fn hold(&self, step: usize, mode: &str, relation: &str) -> &Value {
        let mut holds = self.holds(step, mode);
        holds.retain(|hold| hold["relation"] == relation);
        assert_eq!(holds.len(), 1, "{mode} on {relation}: {self}");
        holds[0]
    }

    /// The findings of a rule.
    pub fn findings(&self, rule: &str) -> Vec<&Value> {
        list(self, "findings")
            .iter()
            .filter(|finding| finding["rule"] == rule)
            .collect()
    }
}

impl std::ops::Deref for Report {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}
