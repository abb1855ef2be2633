//! `[[steps]]` and plain files → `plan::Step`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::budgets;
use super::discover::beside;
use super::document::{Document, KeyPath};
use super::impact;
use super::patience::Patience;
use super::program;
use super::scenario::StepText;
use super::script::{self, Keyset, Origin, VariablesFrom};
use super::suggest::{listed, nearest};
use super::units::{self, Unfit};
use crate::plan::{BatchWork, CommandWork, Impact, Policy, Retry, SqlWork, Step, StepKind, Work};
use crate::stage::Network;
use crate::stage::placeholder;
use crate::{Error, Result};

/// What libpq and the usual frameworks read: set by the stage, so that a command reaches it alone.
const AIMS_ELSEWHERE: [&str; 9] = [
    "DATABASE_URL",
    "PGDATABASE",
    "PGHOST",
    "PGHOSTADDR",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGUSER",
];

/// What the steps of a scenario file are made from.
pub struct Scenario<'a> {
    /// The file.
    pub document: &'a Document<'a>,
    /// Its folder.
    pub folder: &'a Path,
    /// Every variable.
    pub variables: &'a BTreeMap<String, String>,
    /// The scenario's budgets.
    pub policy: &'a Policy,
    /// How long its steps wait for locks unless they say otherwise.
    pub patience: Patience,
    /// What their programs may reach unless they say otherwise.
    pub network: Network,
    /// Where programs are looked for unless a step says otherwise.
    pub path: Option<&'a OsStr>,
}

impl Scenario<'_> {
    /// The steps in their order.
    ///
    /// # Errors
    ///
    /// For the first thing about them that cannot be.
    pub fn steps(&self, typed: &[StepText], notes: &mut Vec<String>) -> Result<Vec<Step>> {
        let mut names = BTreeSet::new();
        let mut steps = Vec::with_capacity(typed.len());
        for (index, text) in typed.iter().enumerate() {
            let at = KeyPath::top("steps").index(index);
            let step = self.step(&at, text, notes)?;
            if !names.insert(step.name.clone()) {
                let message = format!("is a second step named `{}`", step.name);
                return Err(self
                    .document
                    .error(&at, &message)
                    .help("give it a `name` of its own"));
            }
            if text.retry.is_some() && step.retry.attempts > 1 && !ever_times_out(&step) {
                notes.push(format!(
                    "step `{}` never retries: it has `retry` and no `lock_timeout`",
                    step.name
                ));
            }
            steps.push(step);
        }
        let retries = self.patience.retry.is_some_and(|retry| retry.attempts > 1);
        if retries && !steps.iter().any(ever_times_out) {
            notes.push("no step ever retries: there is `retry` and no `lock_timeout`".to_owned());
        }
        Ok(steps)
    }

    fn step(&self, at: &KeyPath, text: &StepText, notes: &mut Vec<String>) -> Result<Step> {
        let kind = text.kind();
        if let Some((key, kinds)) = text.foreign_key() {
            let message = format!("means nothing in a step of kind `{}`", kind.name());
            let kinds = listed(kinds.iter().map(|kind| kind.name()));
            let error = self.document.error(&at.key(key), &message);
            return Err(error.help(format!(
                "`{key}` is for kind {kinds}; set `kind`, or leave it out"
            )));
        }
        let name = self.name(at, text)?;
        let work = match kind {
            StepKind::Sql => Work::Sql(self.sql(at, text)?),
            StepKind::Batch => Work::Batch(self.batch(at, text)?),
            StepKind::Command => Work::Command(self.command(at, &name, text, notes)?),
        };
        let (lock_timeout, retry) = self.patience.of_step(self.document, at, text)?;
        Ok(Step {
            impact: impact::of_step(self.document, at, text, self.policy)?,
            name,
            work,
            budgets: budgets::of_step(self.document, at, text, self.policy)?,
            lock_timeout,
            statement_timeout: self.unit(
                at,
                "statement_timeout",
                &text.statement_timeout,
                units::server_timeout,
            )?,
            timeout: self.unit(at, "timeout", &text.timeout, units::duration)?,
            retry,
        })
    }

    fn name(&self, at: &KeyPath, text: &StepText) -> Result<String> {
        let name = match (&text.name, &text.file) {
            (Some(name), _) => name.trim().to_owned(),
            (None, Some(file)) => stem(file),
            (None, None) => {
                return Err(self
                    .document
                    .error(at, "lacks its `name`")
                    .help("only a step with a `file` is named after it"));
            }
        };
        if name.is_empty() || name.contains(char::is_control) {
            let at = at.key(if text.name.is_some() { "name" } else { "file" });
            return Err(self
                .document
                .error(&at, "makes no name")
                .help("a name is one line of text"));
        }
        Ok(name)
    }

    /// The SQL of a step, from its file or from the TOML itself, as typed.
    fn text(&self, at: &KeyPath, text: &StepText) -> Result<(Origin, String)> {
        match (&text.file, &text.sql) {
            (Some(file), None) => {
                let path = beside(self.folder, file);
                if !path.is_file() {
                    let message = if path.exists() {
                        format!("names no file: `{}`", path.display())
                    } else {
                        format!("names a file that does not exist: `{}`", path.display())
                    };
                    return Err(self
                        .document
                        .error(&at.key("file"), &message)
                        .help("paths start from the folder of the scenario file"));
                }
                let text = script::read(&path)?;
                Ok((Origin::file(&path, VariablesFrom::Scenario), text))
            }
            (None, Some(sql)) => {
                let origin = Origin {
                    shown: self.document.shown(&at.key("sql")),
                    file: None,
                    variables_from: VariablesFrom::Scenario,
                };
                Ok((origin, sql.clone()))
            }
            (Some(_), Some(_)) => Err(self
                .document
                .error(&at.key("sql"), "stands beside `file`")
                .help("leave one of them out")),
            (None, None) => Err(self.document.error(at, "has nothing to run").help(
                "add `file = \"….sql\"`, `sql = \"…\"` or `run = [\"program\", \"argument\"]`",
            )),
        }
    }

    fn sql(&self, at: &KeyPath, text: &StepText) -> Result<SqlWork> {
        let (origin, sql) = self.text(at, text)?;
        script::sql_work(&origin, &sql, self.variables, text.wrap)
    }

    fn batch(&self, at: &KeyPath, text: &StepText) -> Result<BatchWork> {
        let (origin, sql) = self.text(at, text)?;
        let Some(batch_size) = self.count(at, "batch_size", &text.batch_size)? else {
            return Err(self
                .document
                .error(at, "lacks its `batch_size`")
                .help("add it, such as `batch_size = 5000`"));
        };
        let after = match &text.after {
            None => None,
            Some(value) => Some(units::scalar(value).ok_or_else(|| {
                let message = format!("has to be a key as text, not {}", units::kind_of(value));
                self.document
                    .error(&at.key("after"), &message)
                    .help("write it as the SQL has it, such as `after = \"0\"`")
            })?),
        };
        let keyset = match after {
            Some(_) => Keyset::After,
            None => Keyset::None,
        };
        Ok(BatchWork {
            template: script::batch_template(&origin, &sql, self.variables, keyset)?,
            file: origin.file,
            batch_size,
            sleep: self
                .unit(at, "sleep", &text.sleep, units::rest)?
                .unwrap_or_default(),
            after,
            max_batches: self.count(at, "max_batches", &text.max_batches)?,
        })
    }

    fn command(
        &self,
        at: &KeyPath,
        name: &str,
        text: &StepText,
        notes: &mut Vec<String>,
    ) -> Result<CommandWork> {
        let argv = text.run.clone().unwrap_or_default();
        if argv.first().is_none_or(String::is_empty) {
            let (at, message) = match text.run {
                Some(_) => (&at.key("run"), "names no program"),
                None => (at, "lacks its `run`"),
            };
            return Err(self
                .document
                .error(at, message)
                .help("write it like `run = [\"python\", \"manage.py\", \"migrate\"]`"));
        }
        let folder = match &text.cwd {
            Some(cwd) => self.folder.join(cwd),
            None => self.folder.to_owned(),
        };
        if !folder.is_dir() {
            let message = format!("names no folder: `{}`", folder.display());
            return Err(self
                .document
                .error(&at.key("cwd"), &message)
                .help("paths start from the folder of the scenario file"));
        }
        for (index, word) in argv.iter().enumerate() {
            self.placeholders(&at.key("run").index(index), word)?;
            if word.contains('\0') {
                return Err(self.document.error(
                    &at.key("run").index(index),
                    "cannot be an argument: it has a zero byte",
                ));
            }
        }
        let environment = self.environment(at, text)?;
        let path = environment.get("PATH").map(OsStr::new).or(self.path);
        let place = program::Place {
            folder: &folder,
            path,
        };
        let found = program::find(&argv[0], place).map_err(|unfit| {
            let message = format!("{} (step `{name}`)", unfit.message);
            let error = self.document.error(&at.key("run"), &message);
            match unfit.help {
                Some(help) => error.help(help),
                None => error,
            }
        })?;
        if let Some(own) = program::of_project(&argv[0], &found, place) {
            notes.push(format!(
                "step `{name}` runs `{}`, and there is a virtual environment with `{}`: write that path if it is meant",
                found.display(),
                own.display()
            ));
        }
        Ok(CommandWork {
            argv,
            folder,
            environment,
            network: text.network.unwrap_or(self.network),
            may_do_nothing: text.may_do_nothing.unwrap_or(false),
        })
    }

    /// The step's own variables; those that say where the server is may only say where the stage is.
    fn environment(&self, at: &KeyPath, text: &StepText) -> Result<BTreeMap<String, String>> {
        let mut environment = BTreeMap::new();
        for (name, value) in text.env.iter().flatten() {
            let at = at.key("env").key(name);
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(self
                    .document
                    .error(&at, "cannot be an environment variable"));
            }
            let Some(value) = units::scalar(value).filter(|value| !value.contains('\0')) else {
                return Err(self
                    .document
                    .error(&at, "has to be a string, an integer or a boolean"));
            };
            self.placeholders(&at, &value)?;
            if AIMS_ELSEWHERE.contains(&name.as_str()) && !aims_at_the_stage(name, &value) {
                return Err(self
                    .document
                    .error(&at, "would aim the command at another server")
                    .help(
                        "leave it out: the stage sets `DATABASE_URL` and the `PG…` variables itself; where another \
                         form is needed, build it from `${stage.host}`, `${stage.port}`, `${stage.user}`, \
                         `${stage.password}` and `${stage.database}`",
                    ));
            }
            environment.insert(name.clone(), value);
        }
        Ok(environment)
    }

    /// Refuses a `${stage.…}` that nothing will be put in for.
    fn placeholders(&self, at: &KeyPath, text: &str) -> Result<()> {
        let wrong = placeholder::names(text).find(|name| !placeholder::NAMES.contains(name));
        // A capital or a space before the dot is as wrong as one behind it.
        let right = text.matches("${stage.").count();
        let other = placeholder::names(text).count() > right;
        let Some(wrong) = wrong.or(other.then_some("")) else {
            return Ok(());
        };
        let known = placeholder::NAMES.map(|name| format!("${{stage.{name}}}"));
        let help = match nearest(wrong.trim(), placeholder::NAMES) {
            Some(name) if !wrong.is_empty() => format!("did you mean `${{stage.{name}}}`?"),
            _ => format!("there are {}", listed(known.iter().map(String::as_str))),
        };
        let message = format!("uses `${{stage.{wrong}}}`, which is nothing of the stage");
        Err(self.document.error(at, &message).help(help))
    }

    fn unit(
        &self,
        at: &KeyPath,
        key: &str,
        value: &Option<Value>,
        read: fn(&str) -> Result<Duration, Unfit>,
    ) -> Result<Option<Duration>> {
        self.document.unit(&at.key(key), value, read)
    }

    fn count(&self, at: &KeyPath, key: &str, value: &Option<Value>) -> Result<Option<u64>> {
        let Some(value) = value else { return Ok(None) };
        units::count(value)
            .map(Some)
            .map_err(|unfit| self.document.unfit(&at.key(key), unfit))
    }
}

/// Plain files as steps, each named after its file.
///
/// # Errors
///
/// For the first thing about a file that cannot be, and for a file named twice.
pub fn of_files(
    files: &[(PathBuf, String)],
    variables: &BTreeMap<String, String>,
) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::with_capacity(files.len());
    for ((file, text), name) in files.iter().zip(names(files)) {
        if steps.iter().any(|step| step.name == name) {
            return Err(Error::usage(format!("`{}` is there twice", file.display()))
                .help("each file is one step; name it once"));
        }
        let origin = Origin::file(file, VariablesFrom::CommandLine);
        steps.push(Step {
            impact: Impact::default(),
            name,
            work: Work::Sql(script::sql_work(&origin, text, variables, None)?),
            budgets: Vec::new(),
            lock_timeout: None,
            statement_timeout: None,
            timeout: None,
            retry: Retry::default(),
        });
    }
    Ok(steps)
}

/// The files' stems; with their folder in front where a stem alone is there twice (`0001/up.sql`).
fn names(files: &[(PathBuf, String)]) -> Vec<String> {
    let stems: Vec<String> = files.iter().map(|(file, _)| stem(file)).collect();
    files
        .iter()
        .zip(&stems)
        .map(|((file, _), own)| {
            let twice = stems.iter().filter(|stem| *stem == own).count() > 1;
            let folder = file.parent().and_then(Path::file_name);
            match folder.filter(|_| twice) {
                Some(folder) => format!("{}/{own}", folder.to_string_lossy()),
                None => own.clone(),
            }
        })
        .collect()
}

fn stem(file: &Path) -> String {
    file.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether a variable that says where the server is says that it is the stage.
fn aims_at_the_stage(name: &str, value: &str) -> bool {
    match name {
        "DATABASE_URL" => placeholder::uses(value, &["host", "url"]),
        "PGSERVICE" | "PGSERVICEFILE" => false,
        _ => placeholder::NAMES
            .iter()
            .any(|part| value == format!("${{stage.{part}}}")),
    }
}

/// True if something sets a `lock_timeout`, so that a retry can ever happen.
fn ever_times_out(step: &Step) -> bool {
    step.lock_timeout.is_some()
        || match &step.work {
            Work::Sql(sql) => sql
                .statements
                .iter()
                .any(|statement| statement.kind.sets_lock_timeout()),
            _ => false,
        }
}
