//! `compare` → runs that differ in what they do, and in nothing else.

use std::path::PathBuf;

use super::inputs::Inputs;
use super::place::Place;
use super::several::{self, Several};
use super::units::Unfit;
use super::{Output, Surroundings, option};
use crate::plan::{Plan, SnapshotChoice, Traffic};
use crate::{Error, Result, cli};

/// Everything that a comparison reads, runs and writes.
#[derive(Debug, Clone)]
pub struct Compared {
    /// What is laid side by side.
    pub of: Of,
    /// The comparison; None: it is only shown.
    pub json: Option<Output>,
    /// The same as a page; None: there is none.
    pub html: Option<Output>,
}

/// At least two of a kind.
#[derive(Debug, Clone)]
pub enum Of {
    /// Scenarios, which are run.
    Scenarios(Several),
    /// Recordings of runs that were.
    Recordings(Vec<PathBuf>),
}

/// Decides the runs of a comparison.
///
/// # Errors
///
/// For the first thing that cannot be, and for scenarios that are no comparison.
pub fn plan(compare: &cli::Compare) -> Result<Compared> {
    plan_in(compare, &Surroundings::of_this_process()?)
}

/// As [`plan`], in these surroundings.
///
/// # Errors
///
/// As [`plan`].
pub fn plan_in(compare: &cli::Compare, surroundings: &Surroundings) -> Result<Compared> {
    let mut run = compare.run.clone();
    let file = |typed: Option<PathBuf>| typed.map(|typed| Output::of(&typed));
    let json = file(run.faces.json.take());
    let html = file(run.faces.html.take());
    if (&json, &html) == (&Some(Output::Stdout), &Some(Output::Stdout)) {
        return Err(
            Error::usage("`--json` and `--html` cannot both be standard output")
                .help("write one of them to a file"),
        );
    }
    for (name, typed) in [
        ("--markdown", run.faces.markdown.take()),
        ("--junit", run.faces.junit.take()),
    ] {
        if typed.is_some() {
            return Err(option(
                name,
                Unfit::new(
                    "is a run's: a comparison has several",
                    "leave it out, or use `lockproof run`",
                ),
            ));
        }
    }
    if run.jobs.is_some_and(|jobs| jobs != 1) {
        return Err(option(
            "--jobs",
            Unfit::new(
                "cannot be had in a comparison: a neighbour would be part of what is compared",
                "leave it out",
            ),
        ));
    }
    let of = match recordings(&run.paths)? {
        Some(recordings) => of_recordings(recordings, &run)?,
        None => of_scenarios(&run, surroundings)?,
    };
    let typed = [("--json", &json), ("--html", &html)];
    let own = || {
        typed
            .iter()
            .filter_map(|(option, output)| Some((*option, output.as_ref()?)))
    };
    let mut inputs = Inputs::of_process(None);
    let mut recorded = Vec::new();
    match &of {
        Of::Recordings(read) => {
            for file in read {
                inputs.add("a recording that is compared", file);
            }
        }
        Of::Scenarios(several) => {
            for scenario in &several.scenarios {
                inputs.extend(&scenario.planned.inputs);
                recorded.extend(scenario.planned.outputs.named());
            }
        }
    }
    inputs.refuse(own(), surroundings)?;
    apart(own().chain(recorded), surroundings)?;
    Ok(Compared { of, json, html })
}

fn of_recordings(recordings: Vec<PathBuf>, run: &cli::Run) -> Result<Of> {
    if run.record.is_some() {
        return Err(option(
            "--record",
            Unfit::new(
                "is for scenarios: these were recorded already",
                "leave it out",
            ),
        ));
    }
    let twice = (1..recordings.len()).find(|at| recordings[..*at].contains(&recordings[*at]));
    if let Some(twice) = twice {
        return Err(
            Error::usage(format!("`{}` is there twice", recordings[twice].display()))
                .help("name each recording once"),
        );
    }
    Ok(Of::Recordings(recordings))
}

fn of_scenarios(run: &cli::Run, surroundings: &Surroundings) -> Result<Of> {
    let several = several::plan_all_in(run, surroundings)?;
    let [first, others @ ..] = several.scenarios.as_slice() else {
        return Err(Error::defect("there is no scenario"));
    };
    if others.is_empty() {
        return Err(alone(&first.label));
    }
    for other in others {
        let (one, two) = (&first.planned.plan, &other.planned.plan);
        if let Some((what, help)) = differ(one, two) {
            return Err(Error::usage(format!(
                "`{}` and `{}` are no comparison: {what}",
                first.label, other.label
            ))
            .help(help));
        }
    }
    Ok(Of::Scenarios(several))
}

/// Refuses a file that would be written over another one.
fn apart<'o>(
    outputs: impl Iterator<Item = (&'static str, &'o Output)>,
    surroundings: &Surroundings,
) -> Result<()> {
    let mut seen: Vec<Place> = Vec::new();
    for (_, output) in outputs {
        let Output::File(file) = output else { continue };
        let Ok(place) = Place::of(&surroundings.working_folder.join(file)) else {
            continue;
        };
        if seen.iter().any(|other| other.is(&place)) {
            return Err(
                Error::usage(format!("`{}` would be written over", file.display()))
                    .help("give the comparison, its page and each recording a file of their own"),
            );
        }
        seen.push(place);
    }
    Ok(())
}

/// The paths, if they are recordings.
fn recordings(paths: &[PathBuf]) -> Result<Option<Vec<PathBuf>>> {
    let is_recording = |path: &&PathBuf| path.extension().is_some_and(|end| end == "jsonl");
    let (stored, others): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(is_recording);
    match (stored.as_slice(), others.first()) {
        ([], _) => Ok(None),
        ([one, ..], Some(other)) => Err(Error::usage(format!(
            "`{}` is a recording, and `{}` is none",
            one.display(),
            other.display()
        ))
        .help("compare recordings with recordings, scenarios with scenarios")),
        ([one], None) => Err(Error::usage(format!(
            "`{}` is alone: there is nothing beside it",
            one.display()
        ))
        .help("name at least two recordings, such as `lockproof compare a.jsonl b.jsonl`")),
        (_, None) => Ok(Some(paths.to_vec())),
    }
}

fn alone(what: &str) -> Error {
    Error::usage(format!("`{what}` is alone: there is nothing beside it"))
        .help("name at least two, such as `lockproof compare scenarios/a scenarios/b`")
}

/// What two runs must have in common and have not.
fn differ(one: &Plan, two: &Plan) -> Option<(&'static str, &'static str)> {
    if snapshot(one) != snapshot(two) {
        return Some((
            "they start from different snapshots",
            "give both the same with `--snapshot`, and the same variables with `--var`",
        ));
    }
    if traffic(one) != traffic(two) {
        return Some((
            "different traffic runs beside them",
            "give both the same with `--traffic FILE`",
        ));
    }
    if one.stage.settings != two.stage.settings {
        return Some((
            "their servers have different settings",
            "leave `[stage.settings]` out of both, or make them the same",
        ));
    }
    None
}

/// One folder has many paths: as many as there are scenarios that are written relative to themselves.
fn snapshot(plan: &Plan) -> SnapshotChoice {
    match plan.snapshot.clone() {
        SnapshotChoice::Folder { folder, variables } => SnapshotChoice::Folder {
            folder: folder.canonicalize().unwrap_or(folder),
            variables,
        },
        other => other,
    }
}

/// What is asked, wherever it is written.
fn traffic(plan: &Plan) -> Option<Traffic> {
    let mut traffic = plan.traffic.clone()?;
    for operation in &mut traffic.operations {
        operation.origin.clear();
    }
    Some(traffic)
}
