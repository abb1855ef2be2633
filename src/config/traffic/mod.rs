//! Which traffic runs beside a migration: traffic.toml, scripts of pgbench and options → `plan::Traffic`.
//!
//! What is typed wins over the scenario's `traffic`, that over a traffic.toml in its folder.

mod description;
mod keys;
mod parameters;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use self::scripts::Script;
use super::discover::beside;
use super::document::{Document, KeyPath};
use super::units::{self, Unfit};
use super::{option, script, variables};
use crate::plan::traffic::{Load, Operation};
use crate::plan::{Arrivals, Traffic, Work};
use crate::{Error, Result, cli};

/// The file that is found by itself.
const FILE_NAME: &str = "traffic.toml";
/// Requests a second unless it is said.
const DEFAULT_RATE: f64 = 100.0;
/// One machine makes no more of them and still measures each.
const HIGHEST_RATE: f64 = 100_000.0;
/// Where nobody sets one: the same requests in each run.
const DEFAULT_SEED: u64 = 42;
/// How long traffic runs before the first step, unless it is said.
const DEFAULT_BASELINE: Duration = Duration::from_secs(5);
/// How long it goes on after the last one.
const DEFAULT_SETTLE: Duration = Duration::from_secs(3);

/// Traffic that was asked for, read and not yet decided.
#[derive(Debug)]
pub enum Source {
    /// A traffic.toml.
    Description {
        /// The file.
        file: PathBuf,
        /// What it holds.
        text: String,
    },
    /// Scripts of the command line.
    Scripts(Vec<Script>),
}

/// What bears on the decision.
pub struct Context<'a> {
    /// What was typed.
    pub run: &'a cli::Run,
    /// Those of the snapshot.
    pub declared: &'a BTreeMap<String, String>,
    /// Those of the scenario and of the command line.
    pub set: &'a BTreeMap<String, String>,
}

impl Source {
    /// What is typed, else what the scenario's key names, else a traffic.toml in its folder.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or the options contradict each other.
    pub fn find(
        run: &cli::Run,
        folder: &Path,
        key: Option<(&Document<'_>, &Path)>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Self>> {
        let beside_it = beside(folder, Path::new(FILE_NAME));
        let found = if run.no_traffic {
            None
        } else if !run.traffic.is_empty() {
            Some(Self::typed(&run.traffic)?)
        } else if let Some((document, path)) = key {
            let file = beside(folder, path);
            if !file.is_file() {
                let message = format!("names no file: `{}`", file.display());
                return Err(document
                    .error(&KeyPath::top("traffic"), &message)
                    .help("paths start from the folder of the scenario file"));
            }
            Some(Self::description(file)?)
        } else if beside_it.is_file() {
            notes.push(format!(
                "the traffic of `{}` runs beside the migration; `--no-traffic` leaves it out",
                beside_it.display()
            ));
            Some(Self::description(beside_it)?)
        } else {
            None
        };
        if found.is_none() && !run.no_traffic {
            for (name, given) in [
                ("--rate", run.rate.is_some()),
                ("--seed", run.seed.is_some()),
            ] {
                if given {
                    notes.push(format!("`{name}` has no effect: there is no traffic"));
                }
            }
        }
        Ok(found)
    }

    fn description(file: PathBuf) -> Result<Self> {
        let text = script::read(&file)?;
        Ok(Self::Description { file, text })
    }

    fn typed(typed: &[String]) -> Result<Self> {
        let is_description = |typed: &String| scripts::is_toml(Path::new(typed));
        match typed {
            [only] if is_description(only) => Self::description(PathBuf::from(only)),
            _ => match typed.iter().find(|typed| is_description(typed)) {
                Some(description) => Err(option(
                    "--traffic",
                    Unfit::new(
                        format!("names `{description}` beside others"),
                        "name one .toml, or scripts; a .toml names its scripts in `[[operations]]`",
                    ),
                )),
                None => Ok(Self::Scripts(scripts::read(typed)?)),
            },
        }
    }

    /// What it is read from; a description names others.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Description { file, .. } => vec![file],
            Self::Scripts(scripts) => scripts.iter().map(Script::file).collect(),
        }
    }

    /// The variables that `--var` may set for it.
    pub fn variables(&self) -> BTreeSet<String> {
        match self {
            Self::Description { file, text } => {
                let declared = Document::parse(file, text)
                    .and_then(|document| variables::of_scenario(&document))
                    .unwrap_or_default();
                let used = variables::placeholders(text).map(str::to_owned);
                declared.into_keys().chain(used).collect()
            }
            Self::Scripts(scripts) => scripts.iter().flat_map(Script::variables).collect(),
        }
    }

    /// The traffic, decided.
    ///
    /// # Errors
    ///
    /// For the first thing about it that cannot be.
    pub fn decide(&self, context: &Context<'_>, notes: &mut Vec<String>) -> Result<Traffic> {
        let mut traffic = match self {
            Self::Description { file, text } => description::read(file, text, context, notes)?,
            Self::Scripts(scripts) => scripts::decide(scripts, context, notes)?,
        };
        if let Some(typed) = context.run.rate {
            let rate = rate(typed).map_err(|unfit| option("--rate", unfit))?;
            traffic.load = match traffic.load {
                Load::Open { arrivals, .. } => Load::Open { rate, arrivals },
                Load::Closed { .. } => Load::Open {
                    rate,
                    arrivals: Arrivals::default(),
                },
            };
        }
        Ok(traffic)
    }
}

/// Refuses a file that is a request and a step: the migration would run what users ask for.
///
/// # Errors
///
/// If there is one.
pub fn refuse_steps<'s>(
    operations: &[Operation],
    steps: impl Iterator<Item = &'s Work>,
) -> Result<()> {
    let identity = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let scripts: BTreeSet<PathBuf> = operations
        .iter()
        .map(|operation| identity(Path::new(&operation.origin)))
        .collect();
    let mut files = steps.filter_map(|work| match work {
        Work::Sql(sql) => sql.file.as_deref(),
        Work::Batch(batch) => batch.file.as_deref(),
        Work::Command(_) => None,
    });
    match files.find(|file| scripts.contains(&identity(file))) {
        None => Ok(()),
        Some(file) => Err(Error::usage(format!(
            "`{}` is a step of the migration and a part of its traffic",
            file.display()
        ))
        .help("keep the traffic's files in a folder of their own, such as `traffic/`")),
    }
}

/// What a variable gets that nothing uses.
fn note_unused(shown: &str, unused: &[String], notes: &mut Vec<String>) {
    for name in unused {
        notes.push(format!("{shown} gives `:{name}` a value that nothing uses"));
    }
}

fn rate(rate: f64) -> Result<f64, Unfit> {
    if rate.is_finite() && rate > 0.0 && rate <= HIGHEST_RATE {
        return Ok(rate);
    }
    Err(Unfit::new(
        format!("has to be more than 0 and at most {HIGHEST_RATE} requests a second, not {rate}"),
        "write it like `200`, or `0.5` for one request in two seconds",
    ))
}

fn weight(weight: f64) -> Result<f64, Unfit> {
    if weight.is_finite() && weight > 0.0 && weight <= 1e9 {
        return Ok(weight);
    }
    Err(Unfit::new(
        format!("has to be more than 0, not {weight}"),
        "the larger, the more often beside the others; leave out what is never to come",
    ))
}

/// A number, as such or, out of a variable, as text.
fn number(value: &Value) -> Result<f64, Unfit> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| {
        let shown = match value {
            Value::String(text) => format!("`{text}`"),
            Value::Float(number) => format!("`{number}`"),
            other => units::kind_of(other).to_owned(),
        };
        Unfit::new(
            format!("has to be a number, not {shown}"),
            "write it without quotes, such as `200` or `0.5`",
        )
    })
}
