//! `--traffic reads.sql@9 --traffic writes.sql@1`: scripts as pgbench takes them with `-f`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::pgbench::{self, Given, WayOut};
use super::super::script::{self, Origin, VariablesFrom};
use super::super::units::Unfit;
use super::super::{option, variables};
use super::{Context, DEFAULT_RATE, DEFAULT_SEED, note_unused};
use crate::Result;
use crate::plan::traffic::{Front, Load, Operation};
use crate::plan::{Arrivals, Traffic};

/// A script of the command line.
#[derive(Debug)]
pub struct Script {
    file: PathBuf,
    weight: f64,
    text: String,
}

impl Script {
    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The variables that it uses, as `:name` or `${name}`.
    pub fn variables(&self) -> BTreeSet<String> {
        let mut used = pgbench::used(&self.text);
        used.extend(variables::placeholders(&self.text).map(str::to_owned));
        used
    }
}

/// Reads what was typed.
///
/// # Errors
///
/// For a file that cannot be read or is there twice, and for a weight that cannot be.
pub fn read(typed: &[String]) -> Result<Vec<Script>> {
    let mut scripts: Vec<Script> = Vec::with_capacity(typed.len());
    for typed in typed {
        let (path, weight) = split(typed).map_err(|unfit| option("--traffic", unfit))?;
        if is_toml(&path) {
            return Err(option(
                "--traffic",
                Unfit::new(
                    format!("`{typed}`: a .toml has no weight"),
                    "leave it out: each of its `[[operations]]` has a `weight`",
                ),
            ));
        }
        if scripts.iter().any(|script| script.file == path) {
            return Err(option(
                "--traffic",
                Unfit::new(
                    format!("names `{}` twice", path.display()),
                    format!("give it a weight instead, as in `{}@2`", path.display()),
                ),
            ));
        }
        let text = script::read(&path)?;
        scripts.push(Script {
            file: path,
            weight,
            text,
        });
    }
    Ok(scripts)
}

/// A description, not a script.
pub fn is_toml(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// `file@weight`, cut at the last `@` as pgbench does it.
fn split(typed: &str) -> Result<(PathBuf, f64), Unfit> {
    let Some((path, weight)) = typed.rsplit_once('@') else {
        return Ok((PathBuf::from(typed), 1.0));
    };
    match weight.parse::<f64>() {
        Ok(weight) if !path.is_empty() => {
            let weight = super::weight(weight).map_err(|unfit| {
                Unfit::new(
                    format!("`{typed}`: the weight {}", unfit.message),
                    unfit.help,
                )
            })?;
            Ok((PathBuf::from(path), weight))
        }
        // The name itself may have one.
        _ if Path::new(typed).exists() => Ok((PathBuf::from(typed), 1.0)),
        _ => Err(Unfit::new(
            format!("`{typed}` has no weight behind its `@`"),
            "write it like `reads.sql@9`",
        )),
    }
}

/// The traffic of scripts alone.
///
/// # Errors
///
/// For the first thing in a script that cannot be run.
pub fn decide(
    scripts: &[Script],
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<Traffic> {
    let mut variables = context.declared.clone();
    variables.extend(context.set.clone());
    let seed = context.run.seed.unwrap_or(DEFAULT_SEED);
    let given = Given {
        parameters: &[],
        variables: &variables,
        seed,
        way_out: WayOut::CommandLine,
    };
    let mut operations = Vec::with_capacity(scripts.len());
    for (script, name) in scripts.iter().zip(names(scripts)) {
        let origin = Origin::file(&script.file, VariablesFrom::CommandLine);
        let text = script::put_in(&origin, &script.text, &variables)?;
        let program = pgbench::program(&origin, &text, &given)?;
        note_unused(&origin.shown, &program.unused, notes);
        operations.push(Operation {
            name,
            weight: script.weight,
            origin: script.file.display().to_string(),
            program: program.instructions,
        });
    }
    if context.run.rate.is_none() {
        notes.push(format!(
            "the traffic makes {DEFAULT_RATE} requests a second unless `--rate` says otherwise"
        ));
    }
    Ok(Traffic {
        operations,
        load: Load::Open {
            rate: DEFAULT_RATE,
            arrivals: Arrivals::default(),
        },
        front: Front::default(),
        baseline: super::DEFAULT_BASELINE,
        settle: super::DEFAULT_SETTLE,
        seed,
    })
}

/// The scripts' stems; the whole path where a stem is there twice.
fn names(scripts: &[Script]) -> Vec<String> {
    let stem = |script: &Script| {
        script.file.file_stem().map_or_else(
            || script.file.display().to_string(),
            |stem| stem.to_string_lossy().into_owned(),
        )
    };
    scripts
        .iter()
        .map(|script| {
            let own = stem(script);
            let namesakes = scripts.iter().filter(|other| stem(other) == own).count();
            if namesakes > 1 {
                script.file.display().to_string()
            } else {
                own
            }
        })
        .collect()
}
