//! Where a run takes place: the options and `[stage]` → `StagePlan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

use super::document::{Document, KeyPath};
use super::scenario::StageText;
use super::settings::{self, PRODUCTION_LIKE};
use super::suggest::nearest;
use super::units::{self, Unfit};
use super::{Surroundings, option};
use crate::plan::{Keep, StageChoice, StagePlan};
use crate::stage::Network;
use crate::stage::external::{Names, is_address, parse};
use crate::stage::hooked::Hooks;
use crate::{Error, Result, cli};

/// The oldest major that the lock rules hold for: `SET NOT NULL` by a proving CHECK came with it.
const OLDEST_MAJOR: u64 = 12;

/// What was asked for on the command line.
///
/// # Errors
///
/// If it names no stage, or options contradict each other.
pub fn choice(run: &cli::Run, notes: &mut Vec<String>) -> Result<StageChoice> {
    // Understood or refused, also where no server is to be compared with it.
    Names::read(&production(run))?;
    let typed = run
        .place
        .stage
        .as_ref()
        .map_or("auto", |stage| stage.reveal());
    let choice = match typed.trim() {
        "auto" => StageChoice::Auto,
        "docker" => StageChoice::Docker,
        "local" => StageChoice::Local,
        address if is_address(address) => external(run, address)?,
        other => {
            // Never repeated: what is typed here may hold a password.
            let help = match nearest(other, ["auto", "docker", "local"]) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "a URL is written `postgres://USER@HOST:PORT/DATABASE`".to_owned(),
            };
            return Err(Error::usage(
                "`--stage` is none of `auto`, `docker`, `local` and a `postgres://` URL",
            )
            .help(help));
        }
    };
    let refuse = |name: &str, why: &str| {
        Err(
            Error::usage(format!("`{name}` cannot be had with this `--stage`: {why}"))
                .help(format!("leave out `{name}` or `--stage`")),
        )
    };
    let (image, binaries) = (run.place.image.is_some(), run.place.pg_bin.is_some());
    match &choice {
        StageChoice::External { .. } if image => refuse("--image", "the server is there already"),
        StageChoice::External { .. } if binaries => {
            refuse("--pg-bin", "the server is there already")
        }
        StageChoice::External { .. } if !run.set.is_empty() => {
            refuse("--set", "the server's settings are its owner's")
        }
        StageChoice::Local if image => refuse("--image", "`local` runs without containers"),
        StageChoice::Docker if binaries => {
            refuse("--pg-bin", "a container has server binaries of its own")
        }
        StageChoice::Auto if image && !binaries => {
            notes.push("the stage is a container, because `--image` was given".to_owned());
            Ok(StageChoice::Docker)
        }
        StageChoice::Auto if binaries && !image => {
            notes.push(
                "the stage is a server of this machine, because `--pg-bin` was given".to_owned(),
            );
            Ok(StageChoice::Local)
        }
        _ => Ok(choice),
    }
}

/// The stage of a snapshot whose own programs make its servers.
///
/// # Errors
///
/// If another stage was asked for, or something of one.
pub fn by_hooks(
    run: &cli::Run,
    choice: &StageChoice,
    hooks: Hooks,
    folder: &Path,
) -> Result<StageChoice> {
    let options = [
        ("--image", run.place.image.is_some()),
        ("--pg-bin", run.place.pg_bin.is_some()),
        ("--pg", run.pg.is_some()),
        ("--set", !run.set.is_empty()),
        ("--stage", !matches!(choice, StageChoice::Auto)),
    ];
    if let Some((option, _)) = options.iter().find(|(_, given)| *given) {
        return Err(Error::usage(format!(
            "`{option}` cannot be had with the snapshot `{}`: its `provision` makes the server",
            folder.display()
        ))
        .help(format!(
            "leave out `{option}`, or name a snapshot that lockproof restores"
        )));
    }
    Ok(StageChoice::Hooks {
        hooks,
        folder: folder.to_owned(),
        production: production(run),
    })
}

/// Everything about the stage; `carried` are the settings that travel with the snapshot, `typed` is the
/// scenario's `[stage]` where there is one.
///
/// # Errors
///
/// For a setting, a size or a number that cannot be.
pub fn plan(
    run: &cli::Run,
    choice: StageChoice,
    carried: &BTreeMap<String, String>,
    typed: Option<(&Document<'_>, &StageText)>,
    surroundings: &Surroundings,
    notes: &mut Vec<String>,
) -> Result<StagePlan> {
    let external = choice.is_somebody_else_s();
    let mut plan = StagePlan {
        choice,
        image: run.place.image.clone(),
        pg_bin: run.place.pg_bin.clone(),
        pg_major: None,
        settings: BTreeMap::new(),
        cpus: None,
        memory_bytes: None,
        shm_bytes: None,
        cache: cache(run.cache.folder.as_deref(), surroundings)?,
        network: network(run, typed.and_then(|(_, typed)| typed.network)),
        keep: if run.keep {
            Keep::LeaveRunning
        } else {
            Keep::Remove
        },
    };
    if !external {
        for (name, value, _) in PRODUCTION_LIKE {
            plan.settings
                .insert((*name).to_owned(), (*value).to_owned());
        }
        plan.settings.extend(carried.clone());
    }
    if let Some((document, typed)) = typed {
        of_scenario(document, typed, &mut plan, notes)?;
        Names::read(&typed.production)?;
        if let StageChoice::External { production, .. } | StageChoice::Hooks { production, .. } =
            &mut plan.choice
        {
            production.extend(typed.production.clone());
        }
    }
    if let Some(pg) = run.pg {
        plan.pg_major = Some(major(u64::from(pg)).map_err(|unfit| option("--pg", unfit))?);
    }
    for typed in &run.set {
        let Some((name, value)) = typed.split_once('=') else {
            return Err(Error::usage(format!("`--set {typed}` is no `name=value`"))
                .help("write it like `--set work_mem=64MB`"));
        };
        let name = name.trim().to_ascii_lowercase();
        settings::check(&name, value).map_err(|unfit| option(&format!("--set {name}"), unfit))?;
        plan.settings.insert(name, value.to_owned());
    }
    notes.extend(
        plan.settings
            .iter()
            .filter_map(|(name, value)| settings::caution(name, value)),
    );
    Ok(plan)
}

fn of_scenario(
    document: &Document<'_>,
    typed: &StageText,
    plan: &mut StagePlan,
    notes: &mut Vec<String>,
) -> Result<()> {
    let top = KeyPath::top("stage");
    let size = |key: &str, value: &Option<Value>| -> Result<Option<u64>> {
        let Some(value) = value else { return Ok(None) };
        units::with_unit(value)
            .and_then(|text| units::size(&text))
            .map(Some)
            .map_err(|unfit| document.unfit(&top.key(key), unfit))
    };
    plan.memory_bytes = size("memory", &typed.memory)?;
    plan.shm_bytes = size("shm", &typed.shm)?;
    if let Some(value) = &typed.cpus {
        let cpus = cpus(value).map_err(|unfit| document.unfit(&top.key("cpus"), unfit))?;
        plan.cpus = Some(cpus);
    }
    if let Some(value) = &typed.pg {
        let major = units::count(value)
            .and_then(major)
            .map_err(|unfit| document.unfit(&top.key("pg"), unfit))?;
        plan.pg_major = Some(major);
    }
    if plan.image.is_none() {
        plan.image = typed.image.clone();
    }
    let mut settings = BTreeMap::new();
    for (name, value) in &typed.settings {
        let at = top.key("settings").key(name);
        let text = match value {
            Value::Boolean(on) => if *on { "on" } else { "off" }.to_owned(),
            Value::Float(number) => number.to_string(),
            other => units::scalar(other).ok_or_else(|| {
                let message = format!(
                    "has to be a string or a number, not {}",
                    units::kind_of(other)
                );
                document.error(&at, &message)
            })?,
        };
        settings::check(name, &text).map_err(|unfit| document.unfit(&at, unfit))?;
        settings.insert(name.to_ascii_lowercase(), text);
    }
    if plan.choice.is_somebody_else_s() {
        if !settings.is_empty() {
            notes.push(
                "the server's settings are its owner's: `[stage.settings]` has no effect"
                    .to_owned(),
            );
        }
    } else {
        plan.settings.extend(settings);
    }
    Ok(())
}

/// The list of production's servers: the option's entries and those of the environment, which the option does not
/// replace.
fn production(run: &cli::Run) -> Vec<String> {
    let everybody_s = std::env::var("LOCKPROOF_PRODUCTION").unwrap_or_default();
    let typed = run.production.iter().map(String::as_str);
    let all = typed.chain(
        everybody_s
            .split(',')
            .filter(|entry| !entry.trim().is_empty()),
    );
    let mut entries: Vec<String> = Vec::new();
    for entry in all {
        if !entries.iter().any(|known| known == entry) {
            entries.push(entry.to_owned());
        }
    }
    entries
}

/// What may be reached: as the option says, else the scenario, else nothing.
pub fn network(run: &cli::Run, typed: Option<Network>) -> Network {
    match run.place.network {
        Some(cli::Network::Closed) => Network::Closed,
        Some(cli::Network::Open) => Network::Open,
        None => typed.unwrap_or_default(),
    }
}

/// Where restored snapshots are kept: `--cache`, or the place for this user.
///
/// # Errors
///
/// If there is no such place.
pub fn cache(typed: Option<&Path>, surroundings: &Surroundings) -> Result<PathBuf> {
    if let Some(folder) = typed {
        return Ok(surroundings.working_folder.join(folder));
    }
    // The server cannot run as root, and the user that it runs as cannot look into /root.
    if surroundings.root {
        return Ok(PathBuf::from("/var/cache/lockproof"));
    }
    let absolute = |folder: &Option<PathBuf>| folder.clone().filter(|folder| folder.is_absolute());
    absolute(&surroundings.cache_home)
        .or_else(|| absolute(&surroundings.home).map(|home| home.join(".cache")))
        .map(|folder| folder.join("lockproof"))
        .ok_or_else(|| {
            Error::usage("no folder to keep restored snapshots in: neither `XDG_CACHE_HOME` nor `HOME` is set")
                .help("name one with `--cache DIR`")
        })
}

fn major(number: u64) -> Result<u32, Unfit> {
    u32::try_from(number)
        .ok()
        .filter(|_| (OLDEST_MAJOR..100).contains(&number))
        .ok_or_else(|| {
            Unfit::new(
                format!("is no major of PostgreSQL that can be run on: {number}"),
                format!("the oldest is {OLDEST_MAJOR}"),
            )
        })
}

fn cpus(value: &Value) -> Result<f64, Unfit> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| {
            Unfit::new(
                "has to be a number of processors greater than 0",
                "write it without quotes, such as `2` or `1.5`",
            )
        })
}

fn external(run: &cli::Run, url: &str) -> Result<StageChoice> {
    Ok(StageChoice::External {
        endpoint: parse(url)?,
        confirmation: run.confirm_external.clone(),
        production: production(run),
        taken: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(root: bool, home: Option<&str>, cache_home: Option<&str>) -> Surroundings {
        Surroundings {
            path: None,
            working_folder: PathBuf::from("/w"),
            home: home.map(PathBuf::from),
            cache_home: cache_home.map(PathBuf::from),
            root,
        }
    }

    #[test]
    fn the_cache_is_where_the_user_s_server_can_reach_it() {
        let cache = |typed: Option<&str>, at: &Surroundings| {
            cache(typed.map(Path::new), at).map_err(|error| error.story())
        };
        let user = surroundings(false, Some("/home/u"), None);
        assert_eq!(cache(None, &user), Ok("/home/u/.cache/lockproof".into()));
        assert_eq!(cache(Some("c"), &user), Ok("/w/c".into()));
        let xdg = surroundings(false, Some("/home/u"), Some("/x"));
        assert_eq!(cache(None, &xdg), Ok("/x/lockproof".into()));
        let relative = surroundings(false, Some("/home/u"), Some("x"));
        assert_eq!(
            cache(None, &relative),
            Ok("/home/u/.cache/lockproof".into())
        );
        let root = surroundings(true, Some("/root"), Some("/root/.cache"));
        assert_eq!(cache(None, &root), Ok("/var/cache/lockproof".into()));
        assert_eq!(
            cache(None, &surroundings(false, None, None)),
            Err("no folder to keep restored snapshots in: neither `XDG_CACHE_HOME` nor `HOME` is set\n  \
                 help: name one with `--cache DIR`".into())
        );
    }
}
