//! A traffic.toml → `plan::Traffic`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::super::discover::{beside, parent};
use super::super::document::{Document, KeyPath};
use super::super::pgbench::{self, Given, WayOut};
use super::super::script::{self, Origin, VariablesFrom};
use super::super::suggest::listed;
use super::super::units::{self, Unfit};
use super::super::variables;
use super::keys::{FrontText, OperationText, TrafficText};
use super::{Context, DEFAULT_BASELINE, DEFAULT_RATE, DEFAULT_SEED, DEFAULT_SETTLE};
use super::{note_unused, number, parameters, rate, weight};
use crate::plan::Traffic;
use crate::plan::traffic::{Front, Instruction, Load, Operation};
use crate::{Error, Result};

/// More than servers have connections for.
const LARGEST_POOL: u64 = 10_000;
/// Longer than anybody waits for what is usual.
const LONGEST_BASELINE: Duration = Duration::from_secs(3600);

/// Reads and decides the file.
///
/// # Errors
///
/// For the first thing in it that cannot be.
pub fn read(
    file: &Path,
    text: &str,
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<Traffic> {
    let mut document = Document::parse(file, text)?;
    let mut all = context.declared.clone();
    all.extend(variables::of_scenario(&document)?);
    all.extend(context.set.clone());
    document.substitute(&all, |path| path == "variables")?;
    let typed: TrafficText = document.read()?;
    if typed.operations.is_empty() {
        return Err(
            Error::usage(format!("`{}` has no operation", file.display()))
                .help("add `[[operations]]` with a `sql = \"…\"` or a `script = \"….sql\"`"),
        );
    }
    let reader = Reader {
        document: &document,
        file,
        variables: &all,
    };
    let seed = match context.run.seed {
        Some(seed) => seed,
        None => reader.seed(typed.seed.as_ref())?,
    };
    Ok(Traffic {
        load: reader.load(&typed)?,
        front: reader.front(&typed.front, notes)?,
        baseline: reader.whole_run("baseline", &typed.baseline, DEFAULT_BASELINE)?,
        settle: reader.whole_run("settle", &typed.settle, DEFAULT_SETTLE)?,
        operations: reader.operations(&typed.operations, seed, notes)?,
        seed,
    })
}

struct Reader<'r> {
    document: &'r Document<'r>,
    file: &'r Path,
    variables: &'r BTreeMap<String, String>,
}

impl Reader<'_> {
    fn load(&self, typed: &TrafficText) -> Result<Load> {
        let foreign = |key: &str, of: &str, other: &str| {
            let message = format!("is for `{of}`, and there is `{other}`");
            let error = self.document.error(&KeyPath::top(key), &message);
            Err(error.help(format!("leave out `{key}` or `{other}`")))
        };
        match (&typed.rate, &typed.clients) {
            (Some(_), Some(_)) => Err(self
                .document
                .error(&KeyPath::top("clients"), "stands beside `rate`")
                .help(
                    "leave one of them out: `rate` asks whether answers come or not, as users do, each of \
                     `clients` waits for its answer",
                )),
            (Some(_), None) if typed.think.is_some() => foreign("think", "clients", "rate"),
            (None, None) if typed.think.is_some() => Err(self
                .document
                .error(&KeyPath::top("think"), "is for `clients`, and there are none")
                .help("leave out `think`, or say how many `clients` there are")),
            (_, None) => Ok(Load::Open {
                rate: match &typed.rate {
                    None => DEFAULT_RATE,
                    Some(value) => number(value)
                        .and_then(rate)
                        .map_err(|unfit| self.unfit("rate", unfit))?,
                },
                arrivals: typed.arrivals.unwrap_or_default(),
            }),
            (None, Some(_)) if typed.arrivals.is_some() => {
                foreign("arrivals", "rate", "clients")
            }
            (None, Some(value)) => Ok(Load::Closed {
                clients: at_most(value, LARGEST_POOL).map_err(|unfit| self.unfit("clients", unfit))?,
                think: self
                        .document
                        .unit(&KeyPath::top("think"), &typed.think, units::rest)?
                    .unwrap_or_default(),
            }),
        }
    }

    fn front(&self, typed: &FrontText, notes: &mut Vec<String>) -> Result<Front> {
        let top = KeyPath::top("front");
        let time = |key: &str, value: &Option<Value>, default: Duration| {
            self.document
                .unit(&top.key(key), value, units::duration)
                .map(|duration| duration.unwrap_or(default))
        };
        let default = Front::default();
        let front = Front {
            pool: match &typed.pool {
                None => default.pool,
                Some(value) => at_most(value, LARGEST_POOL)
                    .map_err(|unfit| self.document.unfit(&top.key("pool"), unfit))?,
            },
            acquire_timeout: time(
                "acquire_timeout",
                &typed.acquire_timeout,
                default.acquire_timeout,
            )?,
            request_timeout: time(
                "request_timeout",
                &typed.request_timeout,
                default.request_timeout,
            )?,
            slow: time("slow", &typed.slow, default.slow)?,
        };
        if front.slow >= front.request_timeout {
            notes.push(format!(
                "no answer can be slow: `front.slow` of `{}` is not shorter than its `request_timeout`",
                self.file.display()
            ));
        }
        Ok(front)
    }

    fn whole_run(&self, key: &str, value: &Option<Value>, default: Duration) -> Result<Duration> {
        let at = KeyPath::top(key);
        let time = self
            .document
            .unit(&at, value, units::rest)?
            .unwrap_or(default);
        if time > LONGEST_BASELINE {
            return Err(self.unfit(
                key,
                Unfit::new("is longer than an hour", "a few seconds show what is usual"),
            ));
        }
        Ok(time)
    }

    fn seed(&self, value: Option<&Value>) -> Result<u64> {
        let seed = match value {
            None => return Ok(DEFAULT_SEED),
            Some(Value::Integer(seed)) => u64::try_from(*seed).ok(),
            Some(Value::String(seed)) => seed.trim().parse().ok(),
            Some(_) => None,
        };
        seed.ok_or_else(|| {
            self.unfit(
                "seed",
                Unfit::new(
                    "has to be a whole number that is not negative",
                    "the same seed asks for the same keys, such as `42`",
                ),
            )
        })
    }

    fn operations(
        &self,
        typed: &[OperationText],
        seed: u64,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Operation>> {
        let mut names = BTreeSet::new();
        let mut operations = Vec::with_capacity(typed.len());
        for (index, text) in typed.iter().enumerate() {
            let at = KeyPath::top("operations").index(index);
            let operation = self.operation(&at, text, seed, notes)?;
            if !names.insert(operation.name.clone()) {
                let message = format!("is a second operation named `{}`", operation.name);
                return Err(self
                    .document
                    .error(&at, &message)
                    .help("give it a `name` of its own"));
            }
            operations.push(operation);
        }
        Ok(operations)
    }

    fn operation(
        &self,
        at: &KeyPath,
        text: &OperationText,
        seed: u64,
        notes: &mut Vec<String>,
    ) -> Result<Operation> {
        let source = self.source(at, text)?;
        let name = self.name(at, text, source.file.as_deref())?;
        let parameters = parameters::read(self.document, &at.key("parameters"), &text.parameters)?;
        let given = Given {
            parameters: &parameters,
            variables: self.variables,
            seed,
            way_out: WayOut::Description,
        };
        let mut program = pgbench::program(&source.origin, &source.text, &given)?;
        note_unused(&source.origin.shown, &program.unused, notes);
        for instruction in &mut program.instructions {
            if let Instruction::Sql { line, .. } = instruction {
                *line += source.first_line - 1;
            }
        }
        Ok(Operation {
            name,
            weight: match &text.weight {
                None => 1.0,
                Some(value) => number(value)
                    .and_then(weight)
                    .map_err(|unfit| self.document.unfit(&at.key("weight"), unfit))?,
            },
            origin: source
                .file
                .as_deref()
                .unwrap_or(self.file)
                .display()
                .to_string(),
            program: program.instructions,
        })
    }

    fn source(&self, at: &KeyPath, text: &OperationText) -> Result<SqlSource> {
        let given: Vec<&str> = [
            ("sql", text.sql.is_some()),
            ("file", text.file.is_some()),
            ("script", text.script.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect();
        match (given.as_slice(), &text.sql, &text.file, &text.script) {
            (["sql"], Some(sql), ..) => {
                let at = at.key("sql");
                Ok(SqlSource {
                    origin: Origin {
                        shown: self.document.shown(&at),
                        file: None,
                        variables_from: VariablesFrom::Scenario,
                    },
                    text: sql.clone(),
                    file: None,
                    first_line: self.document.text_line(&at),
                })
            }
            ([key], _, Some(file), _) | ([key], _, _, Some(file)) => {
                let path = beside(&parent(self.file), file);
                if !path.is_file() {
                    let message = format!("names no file: `{}`", path.display());
                    return Err(self
                        .document
                        .error(&at.key(key), &message)
                        .help("paths start from the folder of the file that names them"));
                }
                let origin = Origin::file(&path, VariablesFrom::Scenario);
                let text = script::put_in(&origin, &script::read(&path)?, self.variables)?;
                Ok(SqlSource {
                    origin,
                    text,
                    file: Some(path),
                    first_line: 1,
                })
            }
            ([], ..) => Err(self
                .document
                .error(at, "has nothing to ask")
                .help("add `sql = \"…\"`, `file = \"….sql\"` or `script = \"….sql\"`")),
            (several, ..) => {
                let message = format!("has {}", listed(several.iter().copied()));
                Err(self
                    .document
                    .error(at, &message)
                    .help("leave one of them in"))
            }
        }
    }

    fn name(&self, at: &KeyPath, text: &OperationText, file: Option<&Path>) -> Result<String> {
        let name = match (&text.name, file.and_then(Path::file_stem)) {
            (Some(name), _) => name.trim().to_owned(),
            (None, Some(stem)) => stem.to_string_lossy().into_owned(),
            (None, None) => {
                return Err(self
                    .document
                    .error(at, "lacks its `name`")
                    .help("only an operation with a `file` or a `script` is named after it"));
            }
        };
        if name.is_empty() || name.contains(char::is_control) {
            return Err(self
                .document
                .error(&at.key("name"), "makes no name")
                .help("a name is one line of text"));
        }
        Ok(name)
    }

    fn unfit(&self, key: &str, unfit: Unfit) -> Error {
        self.document.unfit(&KeyPath::top(key), unfit)
    }
}

/// The text of an operation.
struct SqlSource {
    origin: Origin,
    text: String,
    /// None: it is written in the traffic.toml.
    file: Option<PathBuf>,
    /// The line of its file that its first line is on.
    first_line: usize,
}

/// A whole number from 1 to `most`.
fn at_most(value: &Value, most: u64) -> Result<u32, Unfit> {
    let count = units::count(value)?;
    u32::try_from(count)
        .ok()
        .filter(|_| count <= most)
        .ok_or_else(|| {
            Unfit::new(
                format!("has to be from 1 to {most}, not {count}"),
                "each of them is a session of the server",
            )
        })
}
