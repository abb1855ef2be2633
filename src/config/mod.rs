//! Arguments, scenario file and environment become a `Plan`: every decision taken, every unit typed.
//!
//! What is typed on the command line wins over the environment, that over scenario.toml, that over the
//! defaults. Unknown keys are refused with their path. Reads files; runs and writes nothing.

pub mod budgets;
pub mod digest;
pub mod discover;
pub mod document;
pub mod order;
pub mod scenario;
pub mod script;
pub mod settings;
pub mod snapshot;
pub mod stage;
pub mod steps;
pub mod suggest;
pub mod units;
pub mod vars;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use self::discover::Found;
use self::document::{Document, KeyPath};
use self::scenario::Scenario;
use self::suggest::{listed, nearest};
use self::units::Unfit;
use crate::pg::LockMode;
use crate::plan::{
    Budget, DEFAULT_INTERVAL, DEFAULT_REPLAYS, Level, Literals, OnUnproven, OnWarning, Plan,
    Policy, ScenarioId, SnapshotChoice, StageChoice,
};
use crate::snapshot::Manifest;
use crate::{Error, Result, cli};

/// A run, decided, and what its user should know about the decisions.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is run.
    pub plan: Plan,
    /// What is written.
    pub outputs: Outputs,
    /// One line each: what was left out, what has no effect, what proves less than it seems.
    pub notes: Vec<String>,
}

/// What is written, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The report; None: it is only shown.
    pub json: Option<Output>,
    /// The recording; None: it is not kept.
    pub record: Option<Output>,
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
    fn of(typed: &Path) -> Self {
        if typed == Path::new("-") {
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
    let mut notes = Vec::new();
    let outputs = outputs(run)?;
    let typed_variables = typed_variables(&run.var)?;
    let choice = stage::choice(run, &mut notes)?;
    let request = Request {
        run,
        surroundings,
        choice,
        typed_variables,
    };
    let plan = match discover::discover(&run.paths, &mut notes)? {
        Found::Scenario(file) => request.of_scenario(&file, &mut notes)?,
        Found::Files { folder, files } => request.of_files(&folder, &files, &mut notes)?,
    };
    Ok(Planned {
        plan,
        outputs,
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

/// The policy of a recording, changed by what was typed for `judge`.
///
/// # Errors
///
/// If the budget is no duration.
pub fn judged_by(judge: &cli::Judge, recorded: &Policy) -> Result<Policy> {
    let mut policy = recorded.clone();
    typed_policy(
        &mut policy,
        judge.budget.as_deref(),
        judge.strict,
        judge.allow_unproven,
    )?;
    Ok(policy)
}

/// The command line, as far as it is read before the scenario.
struct Request<'a> {
    run: &'a cli::Run,
    surroundings: &'a Surroundings,
    choice: StageChoice,
    typed_variables: BTreeMap<String, String>,
}

/// A snapshot that was asked for.
struct Snapshot {
    /// None: none was asked for.
    choice: Option<SnapshotChoice>,
    /// The variables that it declares, with its own values for them.
    declared: BTreeMap<String, String>,
}

impl Request<'_> {
    fn of_scenario(self, file: &Path, notes: &mut Vec<String>) -> Result<Plan> {
        let text = script::read(file)?;
        let mut document = Document::parse(file, &text)?;
        let own = snapshot::variables(&document)?;
        for name in own.keys() {
            steps::free_name(name)
                .map_err(|unfit| document.unfit(&KeyPath::top("variables").key(name), unfit))?;
        }
        let mut set = own.clone();
        set.extend(self.typed_variables.clone());

        let folder = discover::parent(file);
        let snapshot = self.snapshot(&folder, Some((&document, &set)))?;
        let mut variables = snapshot.declared.clone();
        variables.extend(set.clone());
        document.substitute(&variables, |path| {
            // SQL is left for its own turn, where `${batch_size}` has a meaning.
            path == "variables" || (path.starts_with("steps[") && path.ends_with("].sql"))
        })?;
        let typed: Scenario = document.read()?;
        let known: BTreeSet<&str> = own
            .keys()
            .chain(snapshot.declared.keys())
            .map(String::as_str)
            .collect();
        self.refuse_unknown_variables(&known, "neither the scenario nor its snapshot declares it")?;

        let mut policy = Policy::default();
        for budget in budgets::read(&document, &KeyPath::top("budgets"), &typed.budgets)? {
            policy.set(budget);
        }
        if typed.steps.is_empty() {
            return Err(Error::usage(format!("`{}` has no step", file.display()))
                .help("add `[[steps]]` with a `file = \"….sql\"`"));
        }
        let steps = steps::Scenario {
            document: &document,
            folder: &folder,
            variables: &variables,
            policy: &policy,
        }
        .steps(&typed.steps, notes)?;

        let name = match typed.name.as_deref().map(str::trim) {
            Some("") => return Err(document.error(&KeyPath::top("name"), "is empty")),
            Some(name) => name.to_owned(),
            None => self.folder_name(&folder),
        };
        let scenario = ScenarioId {
            digest: digest::digest(&name, &set, &policy.budgets, &steps, &folder),
            name,
        };
        let interval = self.interval(Some(&document), typed.interval.as_ref())?;
        let replays = self.replays(Some(&document), typed.replays.as_ref())?;
        let snapshot = chosen(snapshot, &set)?;
        self.finish(
            Parts {
                scenario,
                snapshot,
                steps,
                policy,
                interval,
                replays,
            },
            Some((&document, &typed.stage)),
            notes,
        )
    }

    fn of_files(self, folder: &Path, files: &[PathBuf], notes: &mut Vec<String>) -> Result<Plan> {
        let texts = files
            .iter()
            .map(|file| Ok((file.clone(), script::read(file)?)))
            .collect::<Result<Vec<_>>>()?;
        let snapshot = self.snapshot(folder, None)?;
        let known: BTreeSet<&str> = texts
            .iter()
            .flat_map(|(_, text)| script::placeholders(text))
            .chain(snapshot.declared.keys().map(String::as_str))
            .collect();
        self.refuse_unknown_variables(&known, "no file uses it and no snapshot declares it")?;
        let mut variables = snapshot.declared.clone();
        variables.extend(self.typed_variables.clone());
        let steps = steps::of_files(&texts, &variables)?;
        let name = match files {
            [only] if self.run.paths == [only.clone()] => steps[0].name.clone(),
            _ => self.folder_name(folder),
        };
        let policy = Policy::default();
        let set = self.typed_variables.clone();
        let scenario = ScenarioId {
            digest: digest::digest(&name, &set, &policy.budgets, &steps, folder),
            name,
        };
        let interval = self.interval(None, None)?;
        let replays = self.replays(None, None)?;
        let snapshot = chosen(snapshot, &set)?;
        self.finish(
            Parts {
                scenario,
                snapshot,
                steps,
                policy,
                interval,
                replays,
            },
            None,
            notes,
        )
    }

    /// What is the same for both.
    fn finish(
        self,
        parts: Parts,
        stage: Option<(&Document<'_>, &scenario::StageText)>,
        notes: &mut Vec<String>,
    ) -> Result<Plan> {
        let Parts {
            scenario,
            snapshot,
            steps,
            mut policy,
            interval,
            replays,
        } = parts;
        let run = self.run;
        typed_policy(
            &mut policy,
            run.budget.as_deref(),
            run.strict,
            run.allow_unproven,
        )?;
        match &snapshot {
            SnapshotChoice::AsFound => {
                notes.push("nothing is restored: the server is taken as it is found".to_owned());
            }
            SnapshotChoice::Empty => {
                notes.push(
                    "the database is empty: its holds prove nothing about real rows".to_owned(),
                );
            }
            SnapshotChoice::Folder { .. } => {}
        }
        Ok(Plan {
            stage: stage::plan(run, self.choice, stage, self.surroundings, notes)?,
            scenario,
            snapshot,
            steps,
            policy,
            interval,
            replays,
            literals: if run.literals {
                Literals::Shown
            } else {
                Literals::Hidden
            },
        })
    }

    /// The snapshot of the command line, else that of the scenario.
    fn snapshot(
        &self,
        folder: &Path,
        scenario: Option<(&Document<'_>, &BTreeMap<String, String>)>,
    ) -> Result<Snapshot> {
        let external = matches!(self.choice, StageChoice::External { .. });
        let found = match (&self.run.snapshot, scenario) {
            (Some(_), _) if external => {
                return Err(Error::usage(
                    "`--snapshot` cannot be had with a `postgres://` stage: nothing is restored into a server of somebody else",
                )
                .help("leave out `--snapshot` or `--stage`"));
            }
            (Some(typed), _) => self
                .find(typed, &self.surroundings.working_folder, folder)
                .map_err(|unfit| option("--snapshot", unfit))?,
            (None, Some((document, variables))) => match document.peek("snapshot") {
                Some(Value::String(typed)) => {
                    // An undefined variable is told of when all of them are put in.
                    let Ok(typed) = vars::substitute(&typed, variables) else {
                        return Ok(self.without_snapshot(external));
                    };
                    match self.find(&typed, folder, folder) {
                        Ok(found) => found,
                        Err(_) if external => None,
                        Err(unfit) => {
                            return Err(document.unfit(&KeyPath::top("snapshot"), unfit));
                        }
                    }
                }
                _ => return Ok(self.without_snapshot(external)),
            },
            (None, None) => return Ok(self.without_snapshot(external)),
        };
        let declared = match &found {
            Some(folder) => Manifest::load(folder)?.0.variables,
            None => BTreeMap::new(),
        };
        let choice = match found {
            _ if external => SnapshotChoice::AsFound,
            None => SnapshotChoice::Empty,
            Some(folder) => SnapshotChoice::Folder {
                folder,
                variables: BTreeMap::new(),
            },
        };
        Ok(Snapshot {
            choice: Some(choice),
            declared,
        })
    }

    fn without_snapshot(&self, external: bool) -> Snapshot {
        Snapshot {
            choice: external.then_some(SnapshotChoice::AsFound),
            declared: BTreeMap::new(),
        }
    }

    /// None: an empty database.
    fn find(&self, typed: &str, base: &Path, folder: &Path) -> Result<Option<PathBuf>, Unfit> {
        if typed == snapshot::EMPTY {
            return Ok(None);
        }
        let scenario = self.absolute(folder);
        let mut searched: Vec<PathBuf> = scenario.ancestors().map(Path::to_owned).collect();
        searched.push(self.surroundings.working_folder.clone());
        snapshot::find(typed, &self.absolute(base), &searched).map(Some)
    }

    /// Without `..`, so that the folders above it are those that it is in.
    fn absolute(&self, folder: &Path) -> PathBuf {
        let folder = self.surroundings.working_folder.join(folder);
        folder.canonicalize().unwrap_or(folder)
    }

    fn folder_name(&self, folder: &Path) -> String {
        self.absolute(folder).file_name().map_or_else(
            || "scenario".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    fn refuse_unknown_variables(&self, known: &BTreeSet<&str>, why: &str) -> Result<()> {
        let Some(unknown) = self
            .typed_variables
            .keys()
            .find(|name| !known.contains(name.as_str()))
        else {
            return Ok(());
        };
        let help = match (nearest(unknown, known.iter().copied()), known.is_empty()) {
            (Some(name), _) => format!(
                "did you mean `{name}`? known are {}",
                listed(known.iter().copied())
            ),
            (None, false) => format!("known are {}", listed(known.iter().copied())),
            (None, true) => "there are no variables here".to_owned(),
        };
        Err(Error::usage(format!("`--var {unknown}` sets nothing: {why}")).help(help))
    }

    fn interval(&self, document: Option<&Document<'_>>, typed: Option<&Value>) -> Result<Duration> {
        let read = |text: &str| {
            let interval = units::duration(text)?;
            if (Duration::from_micros(500)..=Duration::from_secs(1)).contains(&interval) {
                return Ok(interval);
            }
            Err(Unfit::new(
                format!("has to be from 0.5ms to 1s, not `{}`", text.trim()),
                "quicker, the sampler would burden the server; slower, it would see too little",
            ))
        };
        match (&self.run.interval, document, typed) {
            (Some(text), _, _) => read(text).map_err(|unfit| option("--interval", unfit)),
            (None, Some(document), Some(value)) => units::with_unit(value)
                .and_then(|text| read(&text))
                .map_err(|unfit| document.unfit(&KeyPath::top("interval"), unfit)),
            _ => Ok(DEFAULT_INTERVAL),
        }
    }

    fn replays(&self, document: Option<&Document<'_>>, typed: Option<&Value>) -> Result<u32> {
        let read = |count: u64| match u32::try_from(count) {
            Ok(count @ 1..=20) => Ok(count),
            _ => Err(Unfit::new(
                format!("has to be from 1 to 20, not {count}"),
                "each one replays the scenario on a fresh copy of the snapshot",
            )),
        };
        match (self.run.replays, document, typed) {
            (Some(count), _, _) => {
                read(u64::from(count)).map_err(|unfit| option("--replays", unfit))
            }
            (None, Some(document), Some(value)) => units::count(value)
                .and_then(read)
                .map_err(|unfit| document.unfit(&KeyPath::top("replays"), unfit)),
            _ => Ok(DEFAULT_REPLAYS),
        }
    }
}

/// What scenario files and plain files come to.
struct Parts {
    scenario: ScenarioId,
    snapshot: SnapshotChoice,
    steps: Vec<crate::plan::Step>,
    policy: Policy,
    interval: Duration,
    replays: u32,
}

/// Hands the snapshot those of the variables that it declares.
fn chosen(snapshot: Snapshot, set: &BTreeMap<String, String>) -> Result<SnapshotChoice> {
    match snapshot.choice {
        Some(SnapshotChoice::Folder { folder, .. }) => Ok(SnapshotChoice::Folder {
            folder,
            variables: set
                .iter()
                .filter(|(name, _)| snapshot.declared.contains_key(*name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }),
        Some(choice) => Ok(choice),
        None => Err(Error::usage("no snapshot to start from").help(
            "name one with `--snapshot NAME` or `snapshot = \"NAME\"` in scenario.toml; \
             `--snapshot empty` starts from an empty database",
        )),
    }
}

/// What does not fit about an option.
fn option(name: &str, unfit: Unfit) -> Error {
    Error::usage(format!("`{name}` {}", unfit.message)).help(unfit.help)
}

fn typed_policy(
    policy: &mut Policy,
    budget: Option<&str>,
    strict: bool,
    allow_unproven: bool,
) -> Result<()> {
    if let Some(text) = budget {
        policy.set(Budget {
            mode: LockMode::AccessExclusiveLock,
            limit: units::duration(text).map_err(|unfit| option("--budget", unfit))?,
            level: Level::Fail,
            reason: None,
        });
    }
    if strict {
        policy.on_warning = OnWarning::Fail;
    }
    if allow_unproven {
        policy.on_unproven = OnUnproven::Allow;
    }
    Ok(())
}

fn typed_variables(typed: &[String]) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for pair in typed {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::usage(format!("`--var {pair}` is no `name=value`"))
                .help("write it like `--var rows=250000`"));
        };
        let shown = format!("--var {name}");
        if !vars::is_name(name) {
            return Err(option(
                &shown,
                Unfit::new(
                    "cannot stand in `${…}`",
                    "a name is a letter or `_`, then letters, digits and `_`",
                ),
            ));
        }
        steps::free_name(name).map_err(|unfit| option(&shown, unfit))?;
        if variables
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(
                Error::usage(format!("`{shown}` is there twice")).help("leave one of them out")
            );
        }
    }
    Ok(variables)
}

fn outputs(run: &cli::Run) -> Result<Outputs> {
    let outputs = Outputs {
        json: run.json.as_deref().map(Output::of),
        record: run.record.as_deref().map(Output::of),
    };
    match (&outputs.json, &outputs.record) {
        (Some(Output::Stdout), Some(Output::Stdout)) => Err(Error::usage(
            "`--json` and `--record` cannot both be standard output",
        )
        .help("write one of them to a file")),
        (Some(Output::File(json)), Some(Output::File(record))) if json == record => {
            Err(Error::usage(format!(
                "`--json` and `--record` cannot both be `{}`",
                json.display()
            ))
            .help("write one of them to another file"))
        }
        _ => Ok(outputs),
    }
}
