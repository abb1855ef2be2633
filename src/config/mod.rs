//! Arguments, scenario file and environment become a `Plan`: every decision taken, every unit typed.
//!
//! What is typed on the command line wins over the environment, that over scenario.toml, that over the
//! defaults. Unknown keys are refused with their path. Reads files; runs and writes nothing.

pub mod budgets;
pub mod carried;
pub mod compare;
pub mod conf;
pub mod create;
pub mod digest;
pub mod discover;
pub mod disturbances;
pub mod document;
pub mod impact;
pub mod inputs;
pub mod order;
pub mod outputs;
pub mod patience;
mod pgbench;
pub mod place;
mod program;
mod request;
pub mod scenario;
pub mod script;
pub mod settings;
pub mod several;
pub mod snapshot;
pub mod stage;
pub mod steps;
pub mod suggest;
mod traffic;
pub mod units;
pub mod variables;
pub mod vars;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::discover::Found;
use self::inputs::Inputs;
use self::outputs::Face;
use self::request::Request;
use self::units::Unfit;
use crate::pg::LockMode;
use crate::plan::{Budget, Level, OnUnproven, OnWarning, Plan, Policy};
use crate::stage::cache::Keep;
use crate::{Error, Result, cli};

/// A run, decided, and what its user should know about the decisions.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is run.
    pub plan: Plan,
    /// What is written.
    pub outputs: Outputs,
    /// What is read, and never written over.
    pub inputs: Inputs,
    /// One line each: what was left out, what has no effect, what proves less than it seems.
    pub notes: Vec<String>,
}

/// What is written, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The report, in these forms; without any it is only shown.
    pub faces: BTreeMap<Face, Output>,
    /// The recording; None: it is not kept.
    pub record: Option<Output>,
}

impl Outputs {
    /// Each with the option that asks for it.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Output)> {
        let faces = self.faces.iter();
        faces
            .map(|(face, output)| (outputs::Kind::Face(*face).option(), output))
            .chain(self.record.iter().map(|output| ("--record", output)))
    }
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Output {
    /// `-` is standard output, as is what leads there.
    pub fn of(typed: &Path) -> Self {
        let standard = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        if standard.iter().any(|name| typed == Path::new(name)) {
            Self::Stdout
        } else {
            Self::File(typed.to_owned())
        }
    }
}

/// What of the process and its user bears on decisions.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Relative paths start from here.
    pub working_folder: PathBuf,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub cache_home: Option<PathBuf>,
    /// `PATH`, where the programs of steps are looked for.
    pub path: Option<OsString>,
    /// True if the process runs as root.
    pub root: bool,
}

impl Surroundings {
    /// Those of this process.
    ///
    /// # Errors
    ///
    /// If the working directory is gone.
    pub fn of_this_process() -> Result<Self> {
        let folder = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Ok(Self {
            working_folder: std::env::current_dir()
                .map_err(|error| Error::usage("the working directory is gone").because(error))?,
            home: folder("HOME"),
            cache_home: folder("XDG_CACHE_HOME"),
            path: std::env::var_os("PATH"),
            root: nix::unistd::geteuid().is_root(),
        })
    }
}

/// Decides a run.
///
/// # Errors
///
/// For the first thing on the command line or in the scenario that cannot be.
pub fn plan(run: &cli::Run) -> Result<Planned> {
    plan_in(run, &Surroundings::of_this_process()?)
}

/// As [`plan`], in these surroundings.
///
/// # Errors
///
/// As [`plan`].
pub fn plan_in(run: &cli::Run, surroundings: &Surroundings) -> Result<Planned> {
    several::only(several::plan_all_in(run, surroundings)?)
}

/// Decides every run of the command line, before any of them begins.
///
/// # Errors
///
/// As [`plan`].
pub fn plan_all(run: &cli::Run) -> Result<several::Several> {
    several::plan_all_in(run, &Surroundings::of_this_process()?)
}

/// Decides the run of these paths, all but what is written.
fn plan_one(run: &cli::Run, paths: &[PathBuf], surroundings: &Surroundings) -> Result<Planned> {
    let mut notes = Vec::new();
    let typed_variables = variables::typed(&run.var)?;
    let choice = stage::choice(run, &mut notes)?;
    let request = Request {
        run,
        paths,
        surroundings,
        choice,
        typed_variables,
    };
    let mut inputs = Inputs::default();
    let plan = match discover::discover(paths, &mut notes)? {
        Found::Scenario(file) => {
            inputs.add("the scenario", &file);
            request.of_scenario(&file, &mut inputs, &mut notes)?
        }
        Found::Files { folder, files } => {
            request.of_files(&folder, &files, &mut inputs, &mut notes)?
        }
    };
    inputs.of_run(run, &plan);
    Ok(Planned {
        plan,
        outputs: Outputs::default(),
        inputs,
        notes,
    })
}

/// The cache folder for commands that run nothing.
///
/// # Errors
///
/// If there is no place for one.
pub fn cache(typed: Option<&Path>) -> Result<PathBuf> {
    stage::cache(typed, &Surroundings::of_this_process()?)
}

/// What a prune leaves; without options, what was used within 30 days.
///
/// # Errors
///
/// If an age or a size is none.
pub fn keep(prune: &cli::SnapshotPrune) -> Result<Keep> {
    let days_30 = Duration::from_secs(30 * 24 * 3600);
    let used_within = match &prune.older_than {
        Some(text) => Some(units::age(text).map_err(|unfit| option("--older-than", unfit))?),
        None => prune.max_size.is_none().then_some(days_30),
    };
    let size = |text: &String| units::size(text).map_err(|unfit| option("--max-size", unfit));
    Ok(Keep {
        used_within,
        bytes: prune.max_size.as_ref().map(size).transpose()?,
    })
}

/// The policy of a recording, changed by what was typed for `judge`; `traffic`: whether any ran beside it.
///
/// # Errors
///
/// If the budget is no duration.
pub fn judged_by(judge: &cli::Judge, recorded: &Policy, traffic: bool) -> Result<Policy> {
    let mut policy = recorded.clone();
    impact::fill(&mut policy, profile(judge.strictness.profile), traffic);
    typed_policy(&mut policy, judge.budget.as_deref(), &judge.strictness)?;
    Ok(policy)
}

fn profile(typed: Option<cli::Profile>) -> impact::Profile {
    match typed {
        Some(cli::Profile::Strict) => impact::Profile::Strict,
        None => impact::Profile::Usual,
    }
}

/// What `judge` writes of the recording of this scenario.
///
/// # Errors
///
/// If two forms of the report would be written to the same place, or one over what is read, or the working directory
/// is gone.
pub fn written_by(judge: &cli::Judge, scenario: &str) -> Result<Outputs> {
    let surroundings = Surroundings::of_this_process()?;
    let outputs = outputs::of_recording(&judge.faces, scenario, &surroundings)?;
    let mut inputs = Inputs::of_process(None);
    inputs.add("the recording", recording(&judge.recording));
    inputs.refuse(outputs.named(), &surroundings)?;
    Ok(outputs)
}

/// `-` is standard input, which may be a file as well.
fn recording(typed: &Path) -> &Path {
    if typed == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        typed
    }
}

/// What does not fit about an option.
fn option(name: &str, unfit: Unfit) -> Error {
    Error::usage(format!("`{name}` {}", unfit.message)).help(unfit.help)
}

fn typed_policy(
    policy: &mut Policy,
    budget: Option<&str>,
    strictness: &cli::Strictness,
) -> Result<()> {
    if let Some(text) = budget {
        policy.set(Budget {
            mode: LockMode::AccessExclusiveLock,
            limit: units::duration(text).map_err(|unfit| option("--budget", unfit))?,
            level: Level::Fail,
            reason: None,
        });
    }
    if strictness.strict {
        policy.on_warning = OnWarning::Fail;
    }
    if strictness.allow_unproven {
        policy.on_unproven = OnUnproven::Allow;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_recording_keeps_its_policy_but_for_what_is_typed() {
        let mut judge = cli::Judge {
            recording: PathBuf::from("-"),
            budget: None,
            strictness: cli::Strictness::default(),
            faces: cli::Faces::default(),
        };
        let recorded = Policy {
            on_warning: OnWarning::Fail,
            ..Policy::default()
        };
        let judged =
            |judge: &cli::Judge| judged_by(judge, &recorded, false).map_err(|error| error.story());
        assert_eq!(judged(&judge).as_ref(), Ok(&recorded));

        judge.budget = Some("20ms".to_owned());
        judge.strictness.allow_unproven = true;
        let policy = judged(&judge).unwrap_or_else(|story| panic!("{story}"));
        let budget = policy.budget_for(LockMode::AccessExclusiveLock, &[]);
        assert_eq!(
            budget.map(|budget| budget.limit),
            Some(Duration::from_millis(20))
        );
        assert_eq!(policy.on_warning, OnWarning::Fail);
        assert_eq!(policy.on_unproven, OnUnproven::Allow);

        judge.budget = Some("20".to_owned());
        assert!(judged(&judge).is_err_and(|story| story.starts_with("`--budget` has no unit")));
    }
}
