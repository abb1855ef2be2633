//! Several scenarios of one command line: all of them decided before any is run.

use std::path::{Path, PathBuf};

use super::inputs::Inputs;
use super::outputs::{self, Asked, Named};
use super::units::Unfit;
use super::{Outputs, Planned, Surroundings, discover, option, plan_one};
use crate::plan::{Keep, StageChoice};
use crate::{Error, Result, cli};

/// More at once would only wait for each other.
const MOST_JOBS: u32 = 64;

/// Everything that one command line asks to be run.
#[derive(Debug, Clone)]
pub struct Several {
    /// In the order in which they were typed; at least one.
    pub scenarios: Vec<Scenario>,
    /// At most so many at once, and no more than there are.
    pub jobs: u32,
    /// What their user should know about running them together.
    pub notes: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called beside the others: its name, with its path where another has the same.
    pub label: String,
    /// What was decided.
    pub planned: Planned,
}

/// As [`super::plan_all`], in these surroundings.
///
/// # Errors
///
/// For the first thing on the command line or in any of the scenarios that cannot be.
pub fn plan_all_in(run: &cli::Run, surroundings: &Surroundings) -> Result<Several> {
    let jobs = jobs(run.jobs)?;
    let paths = discover::scenarios(&run.paths);
    refuse_twice(&paths, surroundings)?;
    let mut planned = paths
        .iter()
        .map(|paths| plan_one(run, paths, surroundings))
        .collect::<Result<Vec<_>>>()?;
    if planned.len() > 1 {
        for one in &planned {
            refuse_together(one, planned.len())?;
        }
    }
    let typed = |index: usize| paths[index].first().map_or(Path::new(""), PathBuf::as_path);
    let named: Vec<Named<'_>> = planned
        .iter()
        .enumerate()
        .map(|(index, one)| Named {
            name: &one.plan.scenario.name,
            path: typed(index),
        })
        .collect();
    let asked = Asked {
        faces: &run.faces,
        record: run.record.as_deref(),
    };
    let outputs = outputs::of_all(asked, &named, surroundings)?;
    let mut inputs = Inputs::default();
    for one in &planned {
        inputs.extend(&one.inputs);
    }
    inputs.refuse(outputs.iter().flat_map(Outputs::named), surroundings)?;
    let labels: Vec<String> = named.iter().map(|one| label(one, &named)).collect();
    for (one, outputs) in planned.iter_mut().zip(outputs) {
        one.outputs = outputs;
    }
    let jobs = jobs.min(u32::try_from(planned.len()).unwrap_or(u32::MAX));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Several {
        scenarios: labels
            .into_iter()
            .zip(planned)
            .map(|(label, planned)| Scenario { label, planned })
            .collect(),
        jobs,
        notes: crowded(jobs, processors).into_iter().collect(),
    })
}

/// The one scenario that there is.
pub(super) fn only(several: Several) -> Result<Planned> {
    let many = several.scenarios.len();
    match <[Scenario; 1]>::try_from(several.scenarios) {
        Ok([one]) => Ok(one.planned),
        Err(_) => Err(
            Error::usage(format!("one scenario is expected, and there are {many}"))
                .help("plan each by itself, or all of them with `config::plan_all`"),
        ),
    }
}

fn jobs(typed: Option<u32>) -> Result<u32> {
    match typed {
        None => Ok(1),
        Some(jobs @ 1..=MOST_JOBS) => Ok(jobs),
        Some(jobs) => Err(option(
            "--jobs",
            Unfit::new(
                format!("has to be from 1 to {MOST_JOBS}, not {jobs}"),
                "each one has a server and a copy of the snapshot of its own",
            ),
        )),
    }
}

/// A scenario that is named twice is a slip: two runs of it would only disturb each other.
fn refuse_twice(scenarios: &[&[PathBuf]], surroundings: &Surroundings) -> Result<()> {
    let identity = |path: &Path| {
        let path = surroundings.working_folder.join(path);
        let path = path.canonicalize().unwrap_or(path);
        match path.file_name() {
            Some(name) if name == "scenario.toml" => discover::parent(&path),
            _ => path,
        }
    };
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for path in scenarios
        .iter()
        .filter_map(|paths| paths.first())
        .map(PathBuf::as_path)
    {
        let identity = identity(path);
        if let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == identity) {
            let what = if *first == path {
                format!("`{}` is there twice", path.display())
            } else {
                format!(
                    "`{}` and `{}` are the same scenario",
                    first.display(),
                    path.display()
                )
            };
            return Err(
                Error::usage(what).help("name it once; `--repeat 2` measures a scenario two times")
            );
        }
        seen.push((identity, path));
    }
    Ok(())
}

/// What only one scenario can have.
fn refuse_together(planned: &Planned, of: usize) -> Result<()> {
    if matches!(planned.plan.stage.choice, StageChoice::External { .. }) {
        return Err(option(
            "--stage",
            Unfit::new(
                format!(
                    "cannot be a `postgres://` URL for {of} scenarios: what the first one does stays \
                     applied, and the next would start from it"
                ),
                "run them one by one and reset the server in between, or on a stage of lockproof's own",
            ),
        ));
    }
    if planned.plan.stage.keep == Keep::LeaveRunning {
        return Err(option(
            "--keep",
            Unfit::new(
                format!("is for one scenario, and would leave the stages of {of} running"),
                "run the one that is to be looked at by itself",
            ),
        ));
    }
    Ok(())
}

fn label(one: &Named<'_>, all: &[Named<'_>]) -> String {
    let namesakes = all.iter().filter(|other| other.name == one.name).count();
    if namesakes > 1 {
        format!("{} ({})", one.name, one.path.display())
    } else {
        one.name.to_owned()
    }
}

/// A scenario keeps one processor busy with its server, and part of another with watching: two of them on
/// two processors had holds 1.3 to 1.8 times as long as alone, four of them 3.5 to 10 times.
fn crowded(jobs: u32, processors: usize) -> Option<String> {
    (jobs > 1 && jobs as usize * 2 > processors).then(|| {
        format!(
            "{jobs} scenarios at once on {processors} processor{}: each can keep two busy, so holds are \
             longer than alone, and their bounds further apart",
            if processors == 1 { "" } else { "s" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_scenarios_than_processors_are_told() {
        assert_eq!(crowded(1, 1), None);
        assert_eq!(crowded(2, 4), None);
        assert_eq!(crowded(8, 16), None);
        let told = crowded(2, 3).unwrap_or_default();
        assert!(
            told.starts_with("2 scenarios at once on 3 processors: "),
            "{told}"
        );
        let told = crowded(2, 1).unwrap_or_default();
        assert!(told.contains("on 1 processor: "), "{told}");
    }
}
