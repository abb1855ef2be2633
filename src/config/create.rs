//! What was typed for `snapshot create` → what is made, and where it is restored.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Surroundings, stage};
use crate::plan::{StageChoice, StagePlan};
use crate::snapshot::Pattern;
use crate::snapshot::create::{Asked, Present, Restore, default_jobs};
use crate::stage::external::parse;
use crate::{Error, Result, cli};

/// A snapshot to be made, decided.
#[derive(Debug, Clone)]
pub struct Creation {
    /// What is made.
    pub asked: Asked,
    /// Where `pg_dump` runs and the snapshot is restored.
    pub stage: StagePlan,
    /// One line each: what was decided.
    pub notes: Vec<String>,
}

/// Decides it.
///
/// # Errors
///
/// For the first option that cannot be.
pub fn creation(typed: &cli::SnapshotCreate) -> Result<Creation> {
    creation_in(typed, &Surroundings::of_this_process()?)
}

fn creation_in(typed: &cli::SnapshotCreate, surroundings: &Surroundings) -> Result<Creation> {
    let mut notes = Vec::new();
    let from = parse(typed.from.reveal())?;
    // As for a run, so that its base is the one that a run looks for.
    let run = cli::Run {
        place: typed.place.clone(),
        cache: typed.cache.clone(),
        ..cli::Run::default()
    };
    let choice = stage::choice(&run, &mut notes)?;
    if choice.is_somebody_else_s() {
        return Err(Error::usage(
            "`--stage` cannot be a server of somebody else here: a snapshot is restored on a stage of lockproof's own",
        )
        .help("the server that is read is named by `--from`"));
    }
    let restore = match &choice {
        _ if typed.no_restore => Restore::Later,
        StageChoice::Local => Restore::IntoTheCache,
        // The disk of a volume is its engine's.
        _ => Restore::Elsewhere,
    };
    let jobs = match typed.jobs {
        None => default_jobs(),
        Some(jobs @ 1..=64) => jobs,
        Some(jobs) => {
            return Err(
                Error::usage(format!("`--jobs` has to be from 1 to 64, not {jobs}"))
                    .help("each job is a session on the server that is read"),
            );
        }
    };
    let name = typed.name.as_deref().map(str::trim);
    if name.is_some_and(|name| name.is_empty() || name.contains(char::is_control)) {
        return Err(
            Error::usage("`--name` is empty").help("leave it out: the folder's name is taken")
        );
    }
    let folder = match (&typed.to, name) {
        (Some(folder), _) => folder.clone(),
        (None, name) => Path::new("snapshots").join(plain(name.unwrap_or(&from.database))?),
    };
    let patterns = |option: &str, typed: &[String]| {
        let named = typed.iter().filter(|text| !text.trim().is_empty());
        named
            .map(|text| Pattern::parse(text, option))
            .collect::<Result<Vec<_>>>()
    };
    let to = surroundings.working_folder.join(folder);
    if to.file_name().is_none() {
        return Err(
            Error::usage(format!("`--to {}` names no folder", to.display()))
                .help("name the folder that is to be made, such as `snapshots/shop`"),
        );
    }
    Ok(Creation {
        asked: Asked {
            exclude: patterns("--exclude", &typed.exclude)?,
            exclude_data: patterns("--exclude-data", &typed.exclude_data)?,
            conditions: typed
                .conditions
                .iter()
                .filter(|text| !text.trim().is_empty())
                .map(|text| Pattern::with_condition(text))
                .collect::<Result<_>>()?,
            from,
            to,
            name: name.map(str::to_owned),
            present: if typed.force {
                Present::Replace
            } else {
                Present::Keep
            },
            jobs,
            restore,
        },
        stage: stage::plan(
            &run,
            choice,
            &BTreeMap::new(),
            None,
            surroundings,
            &mut notes,
        )?,
        notes,
    })
}

/// A name that can be a folder's and is found again by `--snapshot NAME`.
fn plain(name: &str) -> Result<&str> {
    if name.contains('/') || name.starts_with('.') || name == super::snapshot::EMPTY {
        return Err(Error::usage(format!(
            "`{name}` cannot be the name of a snapshot's folder"
        ))
        .help("name another with `--name`, or the folder with `--to`"));
    }
    Ok(name)
}
