//! One run's decisions, from the paths and options to the `Plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::document::{Document, KeyPath};
use super::inputs::Inputs;
use super::patience::Patience;
use super::scenario::{self, Scenario};
use super::units::{self, Unfit};
use super::{
    Surroundings, budgets, digest, discover, disturbances, impact, option, profile, script,
    snapshot, stage, steps, traffic, typed_policy, variables, vars,
};
use crate::plan::{
    Cadence, DEFAULT_INTERVAL, DEFAULT_REPLAYS, Disturbance, Literals, Plan, Policy, ScenarioId,
    SnapshotChoice, StageChoice, Step, Traffic, Warmth,
};
use crate::snapshot::manifest::Travels;
use crate::snapshot::{Manifest, Source};
use crate::stage::external::Taken;
use crate::stage::hooked::Hooks;
use crate::{Error, Result, cli};

/// The command line, as far as it is read before the scenario.
pub struct Request<'a> {
    /// What was typed.
    pub run: &'a cli::Run,
    /// Those of its paths that make up the scenario.
    pub paths: &'a [PathBuf],
    /// Where it was typed.
    pub surroundings: &'a Surroundings,
    /// The stage, as `--stage` has it.
    pub choice: StageChoice,
    /// The variables of `--var`.
    pub typed_variables: BTreeMap<String, String>,
}

/// A snapshot that was asked for.
struct Snapshot {
    /// None: none was asked for.
    choice: Option<SnapshotChoice>,
    /// The variables that it declares, with its own values for them.
    declared: BTreeMap<String, String>,
    /// What of production comes with it.
    travels: Travels,
    /// What makes its servers; None: lockproof does.
    hooks: Option<Hooks>,
    /// The server that it was taken from.
    taken: Option<Taken>,
}

impl Request<'_> {
    /// The plan of a scenario file.
    pub fn of_scenario(
        self,
        file: &Path,
        inputs: &mut Inputs,
        notes: &mut Vec<String>,
    ) -> Result<Plan> {
        let text = script::read(file)?;
        let mut document = Document::parse(file, &text)?;
        let own = variables::of_scenario(&document)?;
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
        let key = typed.traffic.as_deref().map(|path| (&document, path));
        let source = traffic::Source::find(self.run, &folder, key, notes)?;
        for file in source.iter().flat_map(traffic::Source::files) {
            inputs.add("the traffic", file);
        }
        let of_traffic = source.as_ref().map(traffic::Source::variables);
        let known: BTreeSet<&str> = own
            .keys()
            .chain(snapshot.declared.keys())
            .chain(of_traffic.iter().flatten())
            .map(String::as_str)
            .collect();
        variables::refuse_unknown(
            &self.typed_variables,
            &known,
            "neither the scenario nor its snapshot declares it",
        )?;

        let mut policy = Policy::default();
        for budget in budgets::read(&document, &KeyPath::top("budgets"), &typed.budgets)? {
            policy.set(budget);
        }
        policy.impact = impact::read(&document, &KeyPath::top("budgets"), &typed.budgets)?;
        let patience = Patience::of_scenario(&document, &typed)?;
        if typed.steps.is_empty() {
            return Err(Error::usage(format!("`{}` has no step", file.display()))
                .help("add `[[steps]]` with a `file = \"….sql\"`"));
        }
        let steps = steps::Scenario {
            document: &document,
            folder: &folder,
            variables: &variables,
            policy: &policy,
            patience,
            network: stage::network(self.run, typed.stage.network),
            path: self.surroundings.path.as_deref(),
        }
        .steps(&typed.steps, notes)?;
        let server = if self.choice.is_somebody_else_s() || snapshot.hooks.is_some() {
            disturbances::Server::Theirs
        } else {
            disturbances::Server::Ours
        };
        let disturbances = disturbances::read(&document, &typed.disturbances, &steps, server)?;
        let traffic = self.traffic(source.as_ref(), &snapshot, &set, &steps, notes)?;

        let name = match typed.name.as_deref().map(str::trim) {
            Some("") => return Err(document.error(&KeyPath::top("name"), "is empty")),
            Some(name) => name.to_owned(),
            None => self.folder_name(&folder),
        };
        let scenario = ScenarioId {
            digest: digest::digest(
                &name,
                &set,
                &policy,
                &steps,
                &disturbances,
                traffic.as_ref(),
                &folder,
            ),
            name,
        };
        let interval = self.interval(Some(&document), typed.interval.as_ref())?;
        let replays = self.replays(Some(&document), typed.replays.as_ref())?;
        let max_age = self.max_age(Some(&document), typed.max_age.as_ref())?;
        let warmth = self.warmth(typed.warmth)?;
        let travels = snapshot.travels.clone();
        let hooks = snapshot.hooks.clone();
        let taken = snapshot.taken.clone();
        let snapshot = chosen(snapshot, &set)?;
        self.finish(
            Parts {
                hooks,
                taken,
                scenario,
                snapshot,
                steps,
                disturbances,
                traffic,
                policy,
                interval,
                replays,
                travels,
                max_age,
                warmth,
            },
            Some((&document, &typed.stage)),
            notes,
        )
    }

    /// The plan of plain SQL files.
    pub fn of_files(
        self,
        folder: &Path,
        files: &[PathBuf],
        inputs: &mut Inputs,
        notes: &mut Vec<String>,
    ) -> Result<Plan> {
        let texts = files
            .iter()
            .map(|file| Ok((file.clone(), script::read(file)?)))
            .collect::<Result<Vec<_>>>()?;
        let snapshot = self.snapshot(folder, None)?;
        let source = traffic::Source::find(self.run, folder, None, notes)?;
        for file in source.iter().flat_map(traffic::Source::files) {
            inputs.add("the traffic", file);
        }
        let of_traffic = source.as_ref().map(traffic::Source::variables);
        let known: BTreeSet<&str> = texts
            .iter()
            .flat_map(|(_, text)| variables::placeholders(text))
            .chain(snapshot.declared.keys().map(String::as_str))
            .chain(of_traffic.iter().flatten().map(String::as_str))
            .collect();
        variables::refuse_unknown(
            &self.typed_variables,
            &known,
            "no file uses it and no snapshot declares it",
        )?;
        let mut variables = snapshot.declared.clone();
        variables.extend(self.typed_variables.clone());
        let steps = steps::of_files(&texts, &variables)?;
        let name = match files {
            [only] if self.paths == [only.clone()] => steps[0].name.clone(),
            _ => self.folder_name(folder),
        };
        let policy = Policy::default();
        let set = self.typed_variables.clone();
        let traffic = self.traffic(source.as_ref(), &snapshot, &set, &steps, notes)?;
        let scenario = ScenarioId {
            digest: digest::digest(&name, &set, &policy, &steps, &[], traffic.as_ref(), folder),
            name,
        };
        let interval = self.interval(None, None)?;
        let replays = self.replays(None, None)?;
        let max_age = self.max_age(None, None)?;
        let warmth = self.warmth(None)?;
        let travels = snapshot.travels.clone();
        let hooks = snapshot.hooks.clone();
        let taken = snapshot.taken.clone();
        let snapshot = chosen(snapshot, &set)?;
        self.finish(
            Parts {
                hooks,
                taken,
                scenario,
                snapshot,
                steps,
                disturbances: Vec::new(),
                traffic,
                policy,
                interval,
                replays,
                travels,
                max_age,
                warmth,
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
            hooks,
            taken,
            scenario,
            snapshot,
            steps,
            disturbances,
            traffic,
            mut policy,
            interval,
            replays,
            travels,
            max_age,
            warmth,
        } = parts;
        let run = self.run;
        typed_policy(&mut policy, run.budget.as_deref(), &run.strictness)?;
        let repeat = self.repeat()?;
        let choice = match (hooks, &snapshot) {
            (Some(hooks), SnapshotChoice::Folder { folder, .. }) => {
                stage::by_hooks(run, &self.choice, hooks, folder)?
            }
            _ => self.choice,
        };
        let choice = match choice {
            StageChoice::External {
                endpoint,
                confirmation,
                production,
                ..
            } => StageChoice::External {
                endpoint,
                confirmation,
                production,
                taken,
            },
            other => other,
        };
        match &snapshot {
            SnapshotChoice::AsFound => {
                notes.push("nothing is restored: the server is taken as it is found".to_owned());
            }
            SnapshotChoice::Empty => {
                notes.push(
                    "the database is empty: its holds prove nothing about real rows".to_owned(),
                );
            }
            SnapshotChoice::Folder { .. } => notes.extend(travels.left_out_note()),
        }
        let settings = &travels.settings;
        let document = stage.map(|(document, _)| document);
        let mut plan = Plan {
            traffic,
            disturbances,
            stage: stage::plan(run, choice, settings, stage, self.surroundings, notes)?,
            scenario,
            snapshot,
            steps,
            policy,
            interval,
            cadence: match run.cadence {
                cli::Cadence::Adaptive => Cadence::Adaptive,
                cli::Cadence::Fixed => Cadence::Fixed,
            },
            replays,
            repeat,
            warmth,
            max_age,
            literals: if run.literals {
                Literals::Shown
            } else {
                Literals::Hidden
            },
        };
        impact::settle(&mut plan, profile(run.strictness.profile), document, notes)?;
        Ok(plan)
    }

    /// What runs beside the steps.
    fn traffic(
        &self,
        source: Option<&traffic::Source>,
        snapshot: &Snapshot,
        set: &BTreeMap<String, String>,
        steps: &[Step],
        notes: &mut Vec<String>,
    ) -> Result<Option<Traffic>> {
        let Some(source) = source else {
            return Ok(None);
        };
        let context = traffic::Context {
            run: self.run,
            declared: &snapshot.declared,
            set,
        };
        let decided = source.decide(&context, notes)?;
        traffic::refuse_steps(&decided.operations, steps.iter().map(|step| &step.work))?;
        if matches!(self.choice, StageChoice::External { .. }) {
            notes.push(
                "what the traffic writes stays on the server, as the migration does".to_owned(),
            );
        }
        Ok(Some(decided))
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
        let (declared, travels, hooks, taken) = match &found {
            Some(folder) => {
                let manifest = Manifest::load(folder)?.0;
                let hooks = match manifest.source {
                    Source::Hooks(hooks) if !external => Some(hooks),
                    _ => None,
                };
                (
                    manifest.variables,
                    manifest.travels,
                    hooks,
                    manifest.taken_from,
                )
            }
            None => Default::default(),
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
            travels,
            hooks,
            taken,
        })
    }

    fn without_snapshot(&self, external: bool) -> Snapshot {
        Snapshot {
            choice: external.then_some(SnapshotChoice::AsFound),
            declared: BTreeMap::new(),
            travels: Travels::default(),
            hooks: None,
            taken: None,
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

    fn max_age(
        &self,
        document: Option<&Document<'_>>,
        typed: Option<&Value>,
    ) -> Result<Option<Duration>> {
        match (&self.run.max_age, document, typed) {
            (Some(text), _, _) => units::max_age(text)
                .map(Some)
                .map_err(|unfit| option("--max-age", unfit)),
            (None, Some(document), Some(value)) => units::with_unit(value)
                .and_then(|text| units::max_age(&text))
                .map(Some)
                .map_err(|unfit| document.unfit(&KeyPath::top("max_age"), unfit)),
            _ => Ok(None),
        }
    }

    fn warmth(&self, typed: Option<Warmth>) -> Result<Option<Warmth>> {
        let external = matches!(self.choice, StageChoice::External { .. });
        match self.run.warmth {
            Some(_) if external => Err(option(
                "--warmth",
                Unfit::new(
                    "cannot be had with a `postgres://` stage: its memory is its owner's",
                    "leave it out, or run on a stage of lockproof's own",
                ),
            )),
            // What the scenario says is for a stage of its own.
            None if external => Ok(None),
            Some(cli::Warmth::Warm) => Ok(Some(Warmth::Warm)),
            Some(cli::Warmth::Cold) => Ok(Some(Warmth::Cold)),
            Some(cli::Warmth::AsIs) => Ok(Some(Warmth::AsIs)),
            None => Ok(typed),
        }
    }

    fn repeat(&self) -> Result<u32> {
        let unfit = |unfit| Err(option("--repeat", unfit));
        let external = matches!(self.choice, StageChoice::External { .. });
        match self.run.repeat {
            Some(2..) if external => unfit(Unfit::new(
                "cannot be had with a `postgres://` stage: the first time changes it for good",
                "leave it out, or run on a stage of lockproof's own",
            )),
            Some(count @ 1..=1_000) => Ok(count),
            Some(count) => unfit(Unfit::new(
                format!("has to be from 1 to 1000, not {count}"),
                "each time, the whole scenario runs on a fresh copy of the snapshot",
            )),
            None => Ok(1),
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
    hooks: Option<Hooks>,
    taken: Option<Taken>,
    scenario: ScenarioId,
    snapshot: SnapshotChoice,
    steps: Vec<Step>,
    disturbances: Vec<Disturbance>,
    traffic: Option<Traffic>,
    policy: Policy,
    interval: Duration,
    replays: u32,
    travels: Travels,
    max_age: Option<Duration>,
    warmth: Option<Warmth>,
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
