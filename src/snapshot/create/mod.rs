//! `snapshot create`: a server's data into a folder that `run` restores like any other dump.
//!
//! Everything is read in one exported snapshot, in read-only transactions; nothing is written there and
//! nothing waits long for a lock. The folder appears whole or not at all.

mod creations;
mod describe;
mod folder;
mod ignored;
mod keys;
mod rows;
mod settings;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_postgres::Client;

pub use self::creations::sweep_creations;
pub use self::folder::Present;

use self::folder::Building;
use self::settings::SourceSettings;
use self::tables::Tables;
use super::filtered::Filtered;
use super::pattern::Pattern;
use super::{Snapshot, manifest};
use crate::error::Trouble;
use crate::interrupt::Interrupt;
use crate::plan::StagePlan;
use crate::stage::connect::{Told, connect, tell};
use crate::stage::dump::{Dump, Dumper};
use crate::stage::{Endpoint, Watch, external, local};
use crate::{Error, Result};

/// What the sessions on the source are called.
const APPLICATION: &str = "lockproof snapshot";

/// The server looks whether we are still there, from this major on.
const CHECK: &str = "client_connection_check_interval = 1000";
const CHECKS: u32 = 14;

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The server that is read.
    pub from: Endpoint,
    /// The folder that is made.
    pub to: PathBuf,
    /// What the snapshot is called; None: like the folder.
    pub name: Option<String>,
    /// What becomes of a folder that is there.
    pub present: Present,
    /// Tables that are left out.
    pub exclude: Vec<Pattern>,
    /// Tables that are taken without rows.
    pub exclude_data: Vec<Pattern>,
    /// Tables of which some rows are taken.
    pub conditions: Vec<(Pattern, String)>,
    /// Tables that are read at once.
    pub jobs: u32,
    /// Where it is restored afterwards.
    pub restore: Restore,
}

/// Where a snapshot is restored once it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// Into a folder of the cache: that disk has to have room too.
    IntoTheCache,
    /// On whatever there is.
    Elsewhere,
    /// When it is first run on.
    Later,
}

/// What the source says of itself.
#[derive(Debug)]
struct Source {
    /// The exported snapshot.
    snapshot: String,
    taken_at: String,
    version: String,
    major: u32,
    database: String,
    standby: bool,
    /// The last transaction that a standby replayed.
    replayed: Option<String>,
    /// Where it is, so that nothing is replayed there.
    taken: external::Taken,
}

/// All that the description tells.
struct Made<'a> {
    name: &'a str,
    shown_source: String,
    source: &'a Source,
    restored_by: u32,
    tables: &'a Tables,
    filtered: Vec<Filtered>,
    settings: &'a SourceSettings,
}

/// Makes the snapshot.
///
/// # Errors
/// What was asked for cannot be, the source cannot be read or the folder not written; nothing is left of
/// it then.
pub async fn create(
    asked: &Asked,
    plan: &StagePlan,
    run_id: &str,
    watch: &dyn Watch,
    interrupt: &Interrupt,
) -> Result<Snapshot> {
    let building = Building::begin(&asked.to, asked.present, run_id, &plan.cache, watch)?;
    let mut dumper = None;
    let making = make(asked, plan, run_id, building.path(), &mut dumper, watch);
    let made = tokio::select! {
        made = making => made,
        signal = interrupt.wait() => Err(Error::new(
            Trouble::Signal(signal),
            format!("interrupted by signal {signal}"),
        )),
    };
    if let Err(error) = made {
        if let Some(dumper) = dumper {
            dumper.abandon(watch).await;
        }
        building.discard(watch).await;
        return Err(error);
    }
    building.publish()?;
    watch.note(&format!("made `{}`", asked.to.display()));
    if let Some(tree) = ignored::work_tree(&asked.to).filter(|_| ignored::is_there(&asked.to)) {
        watch.note(&format!(
            "`{}` holds rows of `{}` and lies in the git work tree `{}`: the `{}` in it keeps it out of commits, and \
             it is better kept elsewhere",
            asked.to.display(),
            asked.from.shown(),
            tree.display(),
            ignored::FILE
        ));
    }
    Snapshot::load(&asked.to, &BTreeMap::new())
}

async fn make(
    asked: &Asked,
    plan: &StagePlan,
    run_id: &str,
    folder: &Path,
    dumper: &mut Option<Dumper>,
    watch: &dyn Watch,
) -> Result<()> {
    watch.phase("looking at the source");
    let client = connect(&asked.from, APPLICATION).await?;
    let settings = settings::read(&client).await?;
    let source = open(&client, &asked.from).await?;
    let tables = Tables::choose(&client, asked, source.standby).await?;
    rows::check(&client, &tables).await?;
    keys::check(&client, &tables, watch).await?;
    let dumper = dumper.insert(Dumper::choose(plan, source.major, run_id, watch).await?);
    say(asked, &source, &tables, dumper, watch);
    enough_disk(asked, plan, &tables, folder)?;

    let filtered = take(asked, &client, &source, &tables, dumper, folder, watch).await?;
    // The snapshot is no longer needed, and no session is left behind on the source.
    drop(client);
    let restored_by = dumper.restored_by(source.major);
    let fragment = folder.join(describe::SETTINGS);
    std::fs::write(&fragment, settings.fragment()).map_err(|e| cannot_write(&fragment, e))?;
    let file = folder.join(manifest::FILE_NAME);
    let name = match (&asked.name, asked.to.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => source.database.clone(),
    };
    let text = describe::describe(&Made {
        name: &name,
        shown_source: asked.from.shown(),
        source: &source,
        restored_by,
        tables: &tables,
        filtered,
        settings: &settings,
    });
    std::fs::write(&file, text).map_err(|error| cannot_write(&file, error))?;
    if tables.whole().count() + tables.filtered().count() > 0 {
        ignored::write(folder)?;
    }
    // Whoever reads it next is `run`: what that would refuse is a defect of ours.
    super::Manifest::load(folder).map(drop).map_err(|error| {
        Error::defect("the description that was written cannot be read").because(error)
    })
}

/// Begins the transaction that everything is read in.
async fn open(client: &Client, from: &Endpoint) -> Result<Source> {
    // Nothing waits in a lock's queue for long: newcomers on a busy server would wait behind us.
    client
        .batch_execute(
            "SET lock_timeout = '5s'; SET statement_timeout = '60s'; SET row_security = off;
             SET idle_in_transaction_session_timeout = 0; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .await
        .map_err(|error| failed("cannot begin to read", error))?;
    let row = client
        .query_one(include_str!("../queries/source.sql"), &[])
        .await
        .map_err(|error| failed("cannot look at the source", error))?;
    let number: i32 = row.get("number");
    let major = u32::try_from(number / 10_000).unwrap_or_default();
    if major < local::binaries::OLDEST_MAJOR {
        return Err(Error::stage(format!(
            "the source is PostgreSQL {}, older than the oldest that is supported, {}",
            row.get::<_, &str>("version"),
            local::binaries::OLDEST_MAJOR
        )));
    }
    // Newer settings, each with its first major. The check ends a long read soon after lockproof ended:
    // without, a server that computes notices when it next has something to send.
    for (setting, first) in [
        ("idle_session_timeout = 0", 14),
        (CHECK, CHECKS),
        ("transaction_timeout = 0", 17),
    ] {
        if major >= first {
            client
                .batch_execute(&format!("SET {setting}"))
                .await
                .map_err(|error| failed("cannot begin to read", error))?;
        }
    }
    client
        .batch_execute("SAVEPOINT lockproof")
        .await
        .map_err(|error| failed("cannot begin to read", error))?;
    Ok(Source {
        snapshot: row.get("snapshot"),
        taken_at: row.get("taken_at"),
        version: row.get("version"),
        major,
        database: row.get("database"),
        standby: row.get("standby"),
        replayed: row.get("replayed"),
        taken: external::taken(client, from).await,
    })
}

/// What is about to be read, and how.
fn say(asked: &Asked, source: &Source, tables: &Tables, dumper: &Dumper, watch: &dyn Watch) {
    let bytes: u64 = tables.whole().map(|table| table.bytes).sum();
    let parts: u64 = tables.filtered().map(|(table, _)| table.bytes).sum();
    let some = if parts > 0 {
        format!(", and some rows of {}", size(parts))
    } else {
        String::new()
    };
    watch.note(&format!(
        "reading {} of {} tables{some} from `{}` ({}, PostgreSQL {}) with {}; nothing is written there",
        size(bytes),
        tables.whole().count(),
        asked.from.shown(),
        if source.standby { "a standby" } else { "a primary" },
        source.version,
        dumper.place(),
    ));
}

/// Refuses what cannot end well: a dump is seldom packed to less than a tenth, and a restored table,
/// even without its dead rows, seldom takes less than a third of what it had.
fn enough_disk(asked: &Asked, plan: &StagePlan, tables: &Tables, folder: &Path) -> Result<()> {
    let packed = tables.whole().map(|table| table.bytes).sum::<u64>() / 10;
    let restored = tables.whole().map(|table| table.total).sum::<u64>() / 3;
    let cache = plan.cache.ancestors().find(|place| place.exists());
    let mut needs = vec![(folder, packed, "the snapshot", "--to")];
    if let (Some(cache), Restore::IntoTheCache) = (cache, asked.restore) {
        needs.push((cache, restored, "the restored snapshot", "--cache"));
    }
    for (place, needed, what, option) in needs {
        if let Some(free) = local::free_bytes(place).filter(|free| *free < needed) {
            return Err(Error::stage(format!(
                "{what} takes {} at the least, and {} are free in `{}`",
                size(needed),
                size(free),
                place.display()
            ))
            .help(format!(
                "free some space, name a folder on a larger disk with `{option}`, or take less \
                 (`--exclude-data`, `--where`)"
            )));
        }
    }
    Ok(())
}

/// Dumps, and copies the rows that were chosen beside it; all of one moment.
async fn take(
    asked: &Asked,
    client: &Client,
    source: &Source,
    tables: &Tables,
    dumper: &Dumper,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<Vec<Filtered>> {
    // From here on statements take as long as they take.
    client
        .batch_execute("SET statement_timeout = 0")
        .await
        .map_err(|error| failed("cannot begin to read", error))?;
    watch.phase(&format!("reading `{}`", source.database));
    let begun = AtomicU64::new(0);
    let (rows, dumped) = tokio::join!(
        rows::copy(client, tables, folder),
        dump(asked, source, tables, dumper, folder, &begun, watch)
    );
    // A source that went away ends both: what pg_dump says of it has the way out.
    dumped?;
    rows
}

async fn dump(
    asked: &Asked,
    source: &Source,
    tables: &Tables,
    dumper: &Dumper,
    folder: &Path,
    begun: &AtomicU64,
    watch: &dyn Watch,
) -> Result<()> {
    let sizes: BTreeMap<String, u64> = tables
        .whole()
        .map(|table| (table.quoted.replace('"', ""), table.bytes))
        .collect();
    let total: u64 = sizes.values().sum();
    let line = |line: &str| {
        // `dumping contents of table "public.events"`: the one before it is done, more or less.
        if let Some(name) = line.split("dumping contents of table ").nth(1)
            && let Some(bytes) = sizes.get(&name.replace('"', ""))
        {
            watch.advance(begun.fetch_add(*bytes, Ordering::Relaxed), Some(total));
        }
    };
    let mut arguments: Vec<String> = [
        "--format=directory",
        "--verbose",
        "--no-password",
        "--no-subscriptions",
        "--lock-wait-timeout=30s",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--jobs={}", asked.jobs));
    arguments.push(format!("--snapshot={}", source.snapshot));
    if source.standby {
        arguments.push("--no-unlogged-table-data".to_owned());
    }
    arguments.extend(tables.arguments());
    let into = folder.join(describe::DUMP);
    // Where it knows Zstandard, a third of the time of gzip for less space.
    let mut packing = if dumper.major() >= 16 {
        "--compress=zstd:1"
    } else {
        "--compress=1"
    };
    let output = loop {
        let mut arguments = arguments.clone();
        arguments.push(packing.to_owned());
        let dump = Dump {
            arguments,
            options: (source.major >= CHECKS).then(|| format!("-c {}", CHECK.replace(' ', ""))),
            into: &into,
            line: &line,
        };
        let output = dumper.run(&asked.from, &dump).await?;
        let unknown = |line: &String| line.contains("not support compression with");
        if packing == "--compress=1" || !output.stderr.iter().any(unknown) {
            break output;
        }
        packing = "--compress=1";
    };
    if output.status == Some(0) {
        for line in output
            .stderr
            .iter()
            .filter(|line| line.contains("warning:"))
        {
            watch.note(line);
        }
        return Ok(());
    }
    let words = output.stderr.join("\n");
    let error = Error::stage(format!("`pg_dump` could not read `{}`", asked.from.shown()))
        .details(output.stderr);
    Err(match way_out(&words) {
        Some(help) => error.help(help),
        None => error,
    })
}

/// What can be done about the source's words.
fn way_out(words: &str) -> Option<&'static str> {
    let says = |part: &str| words.contains(part);
    Some(if says("conflict with recovery") {
        "the standby put its replay before this read: set `hot_standby_feedback = on` there, or a longer \
         `max_standby_streaming_delay` (-1 waits for any read), or read the primary"
    } else if says("lock timeout") || says("could not obtain lock") {
        "a session holds one of the tables in ACCESS EXCLUSIVE: run again when it is done, or leave the \
         table out with `--exclude`"
    } else if says("row-level security") {
        "the role does not see every row: read as the tables' owner, or as a role with BYPASSRLS"
    } else if says("permission denied") {
        "grant the role SELECT (`GRANT pg_read_all_data TO …` from PostgreSQL 14), or leave the table out \
         with `--exclude` or `--exclude-data`"
    } else if says("server version mismatch") {
        "name a `pg_dump` that is as new as the server with `--pg-bin` or `--image`"
    } else if says("No space left on device") {
        "free some space, name a folder on a larger disk with `--to`, or take less (`--exclude-data`, `--where`)"
    } else {
        return None;
    })
}

fn failed(what: &str, error: tokio_postgres::Error) -> Error {
    let words = error
        .as_db_error()
        .map_or_else(String::new, |said| said.message().to_owned());
    let error = Error::stage(what).because(Told(tell(&error)));
    match way_out(&words) {
        Some(help) => error.help(help),
        None => error,
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    let words = error.to_string();
    let error = Error::stage(format!("cannot write `{}`", path.display())).because(error);
    match way_out(&words) {
        Some(help) => error.help(help),
        None => error,
    }
}

/// `1.1 GB`
fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if size < 1000.0 {
            return if unit == "bytes" {
                format!("{bytes} bytes")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// The jobs unless asked otherwise: more would burden a server that others use.
pub fn default_jobs() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(1).min(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_100_000_000, "1.1 GB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert!(size(u64::MAX).ends_with(" TB"));
    }

    #[test]
    fn the_way_out_follows_the_source_s_words() {
        for (words, help) in [
            (
                "ERROR:  canceling statement due to conflict with recovery",
                "hot_standby_feedback",
            ),
            (
                "canceling statement due to lock timeout",
                "ACCESS EXCLUSIVE",
            ),
            (
                "query would be affected by row-level security policy",
                "BYPASSRLS",
            ),
            ("permission denied for table x", "SELECT"),
        ] {
            assert!(
                way_out(words).is_some_and(|said| said.contains(help)),
                "{words}"
            );
        }
        assert_eq!(way_out("division by zero"), None);
    }
}
