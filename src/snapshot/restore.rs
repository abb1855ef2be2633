//! Brings a snapshot's data into an empty database.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tokio_postgres::Client;

use super::course::Course;
use super::detect::{Format, Packing, damaged, detect, open};
use super::follow::Follow;
use super::found::Found;
use super::needs::{self, Needs};
use super::sizes::sizes;
use super::underway::Underway;
use super::{
    Filtered, Snapshot, Source, apply, collation, dumped, globals, inherited, plain, roles, toc,
    tolerated,
};
use crate::config::vars::substitute;
use crate::sql::split;
use crate::stage::connect::connect;
use crate::stage::{
    Endpoint, Fill, Heard, Inherited, Origin, TOOL_LINES, ToolInput, ToolOutput, Tools, Unit, Watch,
};
use crate::{Error, Result};

/// How many lines of a tool's errors are shown.
const SHOWN_LINES: usize = 20;

impl Fill for Snapshot {
    fn origin(&self) -> Result<Origin> {
        Snapshot::origin(self)
    }

    fn inherits(&self, conf: &str) -> Inherited {
        inherited::inherited(conf)
    }

    fn name(&self) -> Option<&str> {
        Some(&self.manifest.name)
    }

    async fn fill<T: Tools>(
        &self,
        endpoint: &Endpoint,
        tools: &T,
        watch: &dyn Watch,
    ) -> Result<()> {
        let found = Found::default();
        let travels = &self.manifest.travels;
        let client = connect(endpoint, "lockproof restore").await?;
        apply::roles(&client, travels, &found, watch).await?;
        match &self.manifest.source {
            Source::Generator { files } => {
                for file in files {
                    self.generate(endpoint, file, watch).await?;
                }
            }
            Source::Hooks(_) => {
                return Err(Error::defect("a snapshot of hooks was to be restored"));
            }
            Source::Dump { file, filtered } => {
                let restore = Restore {
                    snapshot: self,
                    file: self.folder.join(file),
                    filtered,
                    endpoint,
                    tools,
                    watch,
                    found: &found,
                    is_newer: OnceLock::new(),
                };
                restore.run().await?;
            }
            // It is whole, and keeps its bloat and its statistics.
            Source::Physical { .. } | Source::Image { .. } | Source::Volume { .. } => {}
        }
        if self.manifest.restore.analyze && !self.manifest.source.is_physical() {
            watch.measured("vacuuming and analyzing the tables", Unit::Bytes);
            // Vacuumed as well, as on a server long in use: else the first scans under a lock
            // would set every row's hint bits, and autovacuum would visit each table in the run.
            // The checkpoint first: where commits are asynchronous, VACUUM cannot call rows visible
            // whose commit is not yet written.
            let vacuumed = async {
                client.batch_execute("CHECKPOINT").await?;
                client.batch_execute("VACUUM (ANALYZE)").await
            };
            tokio::select! {
                vacuumed = vacuumed => vacuumed.map_err(|error| {
                    Error::stage("the restored tables cannot be analyzed").because(error)
                })?,
                never = Underway::tell_vacuum(endpoint, watch) => match never {},
            }
        }
        // A session from here on has the settings: this one is from before.
        apply::settings(&client, &endpoint.database, travels, &found, watch).await?;
        found.remember(&client, &endpoint.database).await
    }
}

impl Snapshot {
    async fn generate(&self, endpoint: &Endpoint, file: &Path, watch: &dyn Watch) -> Result<()> {
        let path = self.folder.join(file);
        let making = format!("making `{}` with `{}`", self.manifest.name, file.display());
        watch.measured(&making, Unit::Statements);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::usage(format!("cannot read `{}`", path.display())).because(error)
        })?;
        let sql = substitute(&text, &self.variables).map_err(|undefined| {
            Error::usage(format!("`{}`: {undefined}", path.display()))
                .help("variables of a generator stand in `[variables]` of its `snapshot.toml`")
        })?;
        if sql.trim().is_empty() {
            return Err(Error::usage(format!("`{}` is empty", path.display())));
        }
        let client = connect(endpoint, "lockproof restore").await?;
        tokio::select! {
            ran = run_statements(&client, &path, &sql, watch) => ran,
            never = Underway::tell(endpoint, watch) => match never {},
        }
    }
}

/// Runs a generator's file, each statement by itself.
async fn run_statements(client: &Client, path: &Path, sql: &str, watch: &dyn Watch) -> Result<()> {
    let failed = || Error::stage(format!("`{}` failed", path.display()));
    let statements = split(sql).map_err(|error| {
        let help = error.help().map(str::to_owned);
        let failed = failed().because(error);
        help.into_iter().fold(failed, Error::help)
    })?;
    let count = statements.len() as u64;
    for (number, statement) in statements.iter().enumerate() {
        watch.advance(number as u64, Some(count));
        watch.detail(statement.kind.summary());
        client
            .batch_execute(&statement.text)
            .await
            .map_err(|error| {
                let details = where_in(sql, statement.span.start, &error);
                failed().because(error).details(details)
            })?;
    }
    Ok(())
}

/// The line that the server points at, and what it adds.
fn where_in(sql: &str, statement: usize, error: &tokio_postgres::Error) -> Vec<String> {
    let mut details = Vec::new();
    let Some(said) = error.as_db_error() else {
        return details;
    };
    if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = said.position() {
        let within: usize = sql[statement..]
            .chars()
            .take((*position as usize).saturating_sub(1))
            .map(char::len_utf8)
            .sum();
        let number = sql[..statement + within].matches('\n').count();
        let line = sql.lines().nth(number).unwrap_or_default();
        details.push(format!("line {}: {}", number + 1, line.trim()));
    }
    details.extend(said.detail().map(|detail| format!("DETAIL: {detail}")));
    details.extend(said.hint().map(|hint| format!("HINT: {hint}")));
    details.extend(said.where_().map(|context| format!("CONTEXT: {context}")));
    details
}

/// The restore of one dump.
struct Restore<'a, T> {
    snapshot: &'a Snapshot,
    file: PathBuf,
    filtered: &'a [Filtered],
    endpoint: &'a Endpoint,
    tools: &'a T,
    watch: &'a dyn Watch,
    found: &'a Found,
    /// Whether the dump is of a newer major than the server here; unknown until it was looked at.
    is_newer: OnceLock<bool>,
}

impl<T: Tools> Restore<'_, T> {
    async fn run(&self) -> Result<()> {
        match detect(&self.file)? {
            Format::Plain(packing) => self.plain(packing).await,
            Format::Custom(Packing::None) | Format::Directory => self.archive(true).await,
            Format::Tar => {
                let path = self.file.clone();
                blocking(move || whole_tar(&path)).await?;
                self.archive(false).await
            }
            Format::Custom(packing) => self.streamed_archive(packing).await,
        }
    }

    async fn plain(&self, packing: Packing) -> Result<()> {
        let facts = self.look(packing).await?;
        let client = self.connect().await?;
        self.check(&client, &facts.needs, facts.server.as_deref())
            .await?;
        roles::create_missing(&client, &facts.roles, self.found, self.watch).await?;
        let left_out = if knows_restrict(&client).await? {
            Vec::new()
        } else {
            facts.restrictions
        };
        let mut args = vec!["-X", "--quiet", "--no-password"];
        args.extend(["-v", "VERBOSITY=default", "--output=/dev/null"]);
        args.extend(["-v", self.if_strict("ON_ERROR_STOP=1", "ON_ERROR_STOP=0")]);
        args.extend(["-f", "-"]);
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let follow = Follow::plain(facts.built, &self.snapshot.manifest.name, self.watch);
        let output = self
            .stream("psql", &args, packing, left_out, &follow)
            .await?;
        self.judge("psql", &output, facts.server.as_deref())
    }

    /// Looks through a plain dump.
    async fn look(&self, packing: Packing) -> Result<plain::Facts> {
        let looking = format!("looking through `{}`", self.file.display());
        self.watch.measured(&looking, Unit::Bytes);
        let (stream, progress) = plain::counted(&self.file, packing)?;
        let path = self.file.clone();
        let look = blocking(move || plain::look(&path, packing, stream));
        tokio::pin!(look);
        loop {
            tokio::select! {
                facts = &mut look => return facts,
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    self.watch.advance(progress.done(), Some(progress.total));
                }
            }
        }
    }

    /// A custom archive inside gzip or Zstandard: `pg_restore` reads it from its input, alone.
    async fn streamed_archive(&self, packing: Packing) -> Result<()> {
        let contents = self.contents(packing).await;
        self.make_roles(contents.as_ref()).await?;
        let args = self.pg_restore_arguments();
        let course = contents.as_ref().map_or_else(Course::default, |toc| {
            Course::new(&toc.items, &BTreeMap::new())
        });
        let output = self
            .stream(
                "pg_restore",
                &args,
                packing,
                Vec::new(),
                &self.follow(course),
            )
            .await?;
        self.judge(
            "pg_restore",
            &output,
            contents.as_ref().map(|toc| &*toc.pg_dump),
        )
    }

    async fn archive(&self, parallel: bool) -> Result<()> {
        let contents = self.contents(Packing::None).await;
        self.make_roles(contents.as_ref()).await?;
        let mut args = self.pg_restore_arguments();
        if parallel {
            let jobs = self.snapshot.manifest.restore.jobs.unwrap_or_else(|| {
                std::thread::available_parallelism()
                    .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
            });
            args.push(format!("--jobs={jobs}"));
        }
        args.push(self.tools.place(&self.file, self.watch).await?);
        let course = self.course(contents.as_ref()).await?;
        let follow = self.follow(course);
        let made_by = contents.as_ref().map(|toc| &*toc.pg_dump);
        if self.filtered.is_empty() {
            return self.pg_restore(&args, made_by, &follow).await;
        }
        // The rows that lie beside the dump come before what is made of all rows.
        for section in ["pre-data", "data"] {
            self.pg_restore_section(section, &args, made_by, &follow)
                .await?;
        }
        let client = self.connect().await?;
        for part in self.filtered {
            part.load(&client, &self.snapshot.folder, self.watch)
                .await?;
        }
        drop(client);
        self.pg_restore_section("post-data", &args, made_by, &follow)
            .await
    }

    async fn pg_restore_section(
        &self,
        section: &str,
        args: &[String],
        made_by: Option<&str>,
        follow: &Follow<'_>,
    ) -> Result<()> {
        let mut all = vec![format!("--section={section}")];
        all.extend_from_slice(args);
        self.pg_restore(&all, made_by, follow).await
    }

    async fn pg_restore(
        &self,
        args: &[String],
        made_by: Option<&str>,
        follow: &Follow<'_>,
    ) -> Result<()> {
        let output = self.run_tool("pg_restore", args, follow, None).await?;
        self.judge("pg_restore", &output, made_by)
    }

    fn pg_restore_arguments(&self) -> Vec<String> {
        let mut args: Vec<String> = [
            "--no-password",
            // Each line tells how far it is; they are not kept.
            "--verbose",
            // The stage has no tablespaces but its own.
            "--no-tablespaces",
            // A copy of production must not get production's changes.
            "--no-subscriptions",
        ]
        .map(str::to_owned)
        .into();
        if self.is_strict() {
            args.push("--exit-on-error".to_owned());
        }
        if !self.snapshot.manifest.restore.owners {
            args.extend(["--no-owner".to_owned(), "--no-privileges".to_owned()]);
        }
        // A name with `=` in it would be taken for a connection string.
        let name = self
            .endpoint
            .database
            .replace('\\', "\\\\")
            .replace('\'', "\\'");
        args.push(format!("--dbname=dbname='{name}'"));
        args
    }

    /// What the archive says of itself; None where that cannot be read: `pg_restore` knows why.
    async fn contents(&self, packing: Packing) -> Option<toc::Toc> {
        let path = self.file.clone();
        blocking(move || {
            let read = || -> std::io::Result<toc::Toc> {
                if path.is_dir() {
                    return toc::read(open(&path.join("toc.dat"), Packing::None)?);
                }
                if packing == Packing::None && detect(&path).is_ok_and(|f| f == Format::Tar) {
                    let mut archive = tar::Archive::new(open(&path, packing)?);
                    for entry in archive.entries()? {
                        let entry = entry?;
                        if entry.path()?.as_os_str() == "toc.dat" {
                            return toc::read(entry);
                        }
                    }
                    return Err(std::io::ErrorKind::NotFound.into());
                }
                toc::read(open(&path, packing)?)
            };
            Ok(read().ok())
        })
        .await
        .ok()
        .flatten()
    }

    /// Makes ready what the archive's objects need of the server.
    async fn make_roles(&self, contents: Option<&toc::Toc>) -> Result<()> {
        let Some(contents) = contents else {
            return Ok(());
        };
        let client = self.connect().await?;
        self.check(&client, &contents.needs, Some(&contents.server))
            .await?;
        roles::create_missing(&client, &contents.roles, self.found, self.watch).await?;
        // Damage shows when the rest is restored; what cannot be read here is only not taken over.
        let properties = globals::properties(&contents.properties).unwrap_or_default();
        let owner = Some(contents.database_owner.clone())
            .filter(|owner| self.snapshot.manifest.restore.owners && !owner.is_empty());
        self.found.database(properties, owner);
        let other = collation::other_than_here(&client, &contents.database).await?;
        if let Some(note) = other {
            self.found.note(self.watch, note);
        }
        Ok(())
    }

    /// Whether the server has what the dump needs, and is of its major.
    async fn check(&self, client: &Client, needs: &Needs, dumped: Option<&str>) -> Result<()> {
        let here = needs::major(client).await?;
        if let Some(note) = dumped::note(dumped, here) {
            self.found.note(self.watch, note);
        }
        let beside = dumped::beside(dumped, here);
        self.is_newer
            .get_or_init(|| beside == Some(Ordering::Greater));
        let tolerate = &self.snapshot.manifest.restore.tolerate;
        let missing = needs.check(client, &self.file, tolerate).await?;
        if !missing.is_empty() {
            let missing = missing.join(", ");
            self.found.note(
                self.watch,
                format!("restored without what this server lacks, as tolerated: {missing}"),
            );
        }
        Ok(())
    }

    /// What an archive restores, with the sizes of its data: for progress.
    async fn course(&self, contents: Option<&toc::Toc>) -> Result<Course> {
        let Some(contents) = contents.cloned() else {
            return Ok(Course::default());
        };
        let path = self.file.clone();
        blocking(move || Ok(Course::new(&contents.items, &sizes(&path, &contents)))).await
    }

    fn follow(&self, course: Course) -> Follow<'_> {
        Follow::new(course, &self.snapshot.manifest.name, self.watch)
    }

    /// Streams the dump into a tool.
    async fn stream(
        &self,
        program: &str,
        args: &[String],
        packing: Packing,
        left_out: Vec<(u64, u64)>,
        follow: &Follow<'_>,
    ) -> Result<ToolOutput> {
        let (stream, progress) = plain::stream(&self.file, packing, left_out)?;
        let (watched, broken) = Watched::new(stream);
        let input: ToolInput = Box::new(watched);
        let outcome = self
            .run_tool(program, args, follow, Some((input, progress)))
            .await;
        // Whatever the tool made of it: a dump that could not be read to its end is not restored.
        if let Some(error) = broken.lock().ok().and_then(|mut broken| broken.take()) {
            return Err(damaged(&self.file, packing, error));
        }
        outcome
    }

    /// Runs a tool and tells how far it is.
    async fn run_tool(
        &self,
        program: &str,
        args: &[String],
        follow: &Follow<'_>,
        input: Option<(ToolInput, plain::Progress)>,
    ) -> Result<ToolOutput> {
        let (input, progress) = input.unzip();
        let mut ear = |line: &str| {
            // Only `--verbose` has these lines, two an error: with them, fewer errors are kept that
            // could be tolerated.
            let is_context = |line: &str| {
                ["pg_restore: from TOC entry ", "pg_restore: while "]
                    .iter()
                    .any(|start| line.starts_with(start))
            };
            let heard = follow.hear(line);
            match &heard {
                Heard::Keep if is_context(line) && !self.is_strict() => Heard::Drop,
                Heard::KeepAs(meant) if is_context(meant) && !self.is_strict() => Heard::Drop,
                _ => heard,
            }
        };
        let outcome = tokio::select! {
            outcome = self.tools.run_heard(self.endpoint, program, args, input, &mut ear) => outcome,
            never = follow.tell(self.endpoint, progress.as_ref()) => match never {},
        };
        if outcome
            .as_ref()
            .is_ok_and(|output| output.status == Some(0))
        {
            follow.end();
        }
        outcome
    }

    async fn connect(&self) -> Result<Client> {
        connect(self.endpoint, "lockproof restore").await
    }

    fn is_strict(&self) -> bool {
        self.snapshot.manifest.restore.tolerate.is_empty()
    }

    fn if_strict<'b>(&self, strict: &'b str, tolerant: &'b str) -> &'b str {
        if self.is_strict() { strict } else { tolerant }
    }

    fn judge(&self, program: &str, output: &ToolOutput, made_by: Option<&str>) -> Result<()> {
        let tolerate = &self.snapshot.manifest.restore.tolerate;
        let errors = errors_in(&output.stderr);
        let all_are_tolerated = || {
            // As many lines as are kept: some may be missing, and nobody knows what they said.
            !errors.is_empty()
                && output.stderr.len() < TOOL_LINES
                && errors
                    .iter()
                    .all(|error| tolerate.iter().any(|part| error.contains(part)))
        };
        let accepted = match (output.status, tolerate.is_empty()) {
            (Some(0), true) => true,
            // Without ON_ERROR_STOP `psql` ends well whatever happened.
            (Some(0), false) => errors.is_empty() || all_are_tolerated(),
            (Some(1), false) => program == "pg_restore" && all_are_tolerated(),
            _ => false,
        };
        if accepted {
            if !errors.is_empty() {
                self.found
                    .note(self.watch, tolerated::note(&output.stderr, &errors));
            }
            return Ok(());
        }
        let from = output.stderr.len().saturating_sub(SHOWN_LINES);
        let mut error = Error::stage(format!("cannot restore `{}`", self.file.display()))
            .details(output.stderr[from..].iter().cloned());
        if output.stderr.is_empty() {
            error = error.details([match output.status {
                Some(status) => format!("`{program}` ended with status {status} and no word"),
                None => format!("`{program}` was ended by a signal"),
            }]);
        }
        let newer = || {
            self.is_newer
                .get()
                .is_some_and(|newer| *newer)
                .then(|| newer_than_here(made_by))
        };
        Err(match way_out(&output.stderr, made_by).or_else(newer) {
            Some(help) => error.help(help),
            None => error,
        })
    }
}

/// Refuses a tar archive that is cut off: `pg_restore` would look for the rest for ever.
fn whole_tar(path: &Path) -> Result<()> {
    const BLOCK: u64 = 512;
    let end_of_members = || -> std::io::Result<u64> {
        let mut archive = tar::Archive::new(std::fs::File::open(path)?);
        let mut end = 0;
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
        }
        Ok(end)
    };
    let length = std::fs::metadata(path).map_or(0, |facts| facts.len());
    let cut_off = Error::stage(format!("the dump `{}` is cut off", path.display()))
        .help("copy or take it again, and compare its size with the original's");
    match end_of_members() {
        // Two empty blocks are the end of every archive.
        Ok(end) if end + 2 * BLOCK <= length => Ok(()),
        Ok(_) => Err(cut_off),
        Err(error) => Err(cut_off.because(error)),
    }
}

/// The lines that tell of errors, each once.
fn errors_in(stderr: &[String]) -> Vec<&str> {
    stderr
        .iter()
        .filter(|line| {
            ["ERROR:  ", "FATAL:  ", "PANIC:  "]
                .iter()
                .any(|level| line.contains(level))
                || line.starts_with("pg_restore: error:")
                || line.contains(": error: ")
                || line.contains("invalid command \\")
        })
        .map(String::as_str)
        .collect()
}

/// What the user can do about a tool's words.
fn way_out(stderr: &[String], made_by: Option<&str>) -> Option<String> {
    let says = |parts: &[&str]| {
        stderr
            .iter()
            .any(|line| parts.iter().any(|part| line.contains(part)))
    };
    let help = if says(&["violates foreign key constraint"]) {
        "rows refer to rows that the snapshot does not have: take it with a condition for the referring table as well (`--where`), or name the error in `restore.tolerate` and do without the constraint".to_owned()
    } else if says(&[
        "unsupported version (",
        "unrecognized configuration parameter",
    ]) {
        newer_than_here(made_by)
    } else if says(&[
        "end of file",
        "could not read from input file",
        "could not uncompress data",
        "could not decompress",
        "corrupt tar header",
        "did not find magic string",
        "could not find block ID",
        "unexpected block ID",
        "incomplete tar header",
        "could not open input file",
        "could not open file",
        "entry ID",
    ]) {
        "the dump is damaged or cut off: copy or take it again, and compare its size with the original's".to_owned()
    } else if says(&[
        "extension control file",
        "could not access file",
        "is not available",
    ]) && says(&["extension", "could not access file"])
    {
        "the stage's server lacks an extension that the snapshot uses: install it, use an image that has it (`--image`), or name the error in `restore.tolerate`".to_owned()
    } else if says(&["role \""]) && says(&["does not exist"]) {
        "name the error in `restore.tolerate`, or leave owners and privileges of an archive out with `restore.owners = false`".to_owned()
    } else if says(&["default_tablespace", "tablespace \""]) {
        "take the dump with `pg_dump --no-tablespaces`: the stage has none".to_owned()
    } else if says(&["does not appear to be a valid archive"]) {
        "take the dump with `pg_dump`; its plain, custom, directory and tar formats are read"
            .to_owned()
    } else {
        return None;
    };
    Some(help)
}

/// The way out of what an older server does not understand.
fn newer_than_here(made_by: Option<&str>) -> String {
    let made_by = made_by
        .filter(|version| !version.is_empty())
        .map_or_else(String::new, |version| format!(" ({version})"));
    format!(
        "a newer PostgreSQL{made_by} made the dump than the stage has: set `server_version` in `snapshot.toml`, and use an image or server programs of that major (`--image`, `--pg-bin`)"
    )
}

/// Whether this server's `psql` knows `\restrict`, which `pg_dump` writes since August 2025.
async fn knows_restrict(client: &Client) -> Result<bool> {
    let failed = |error| Error::stage("the server does not tell its version").because(error);
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int4", &[])
        .await
        .map_err(failed)?
        .get(0);
    Ok(restrict_is_known(version))
}

fn restrict_is_known(version: i32) -> bool {
    let first = match version / 10_000 {
        13 => 130_022,
        14 => 140_019,
        15 => 150_014,
        16 => 160_010,
        17 => 170_006,
        major => return major >= 18,
    };
    version >= first
}

type Broken = std::sync::Arc<std::sync::Mutex<Option<std::io::Error>>>;

/// A stream that remembers how it broke off: a provider's `run` may tell that in other words.
struct Watched {
    stream: plain::Stream,
    broken: Broken,
}

impl Watched {
    fn new(stream: plain::Stream) -> (Self, Broken) {
        let broken = Broken::default();
        let watched = Self {
            stream,
            broken: broken.clone(),
        };
        (watched, broken)
    }
}

impl tokio::io::AsyncRead for Watched {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let polled = std::pin::Pin::new(&mut self.stream).poll_read(context, buffer);
        if let std::task::Poll::Ready(Err(error)) = &polled
            && let Ok(mut broken) = self.broken.lock()
        {
            *broken = Some(std::io::Error::new(error.kind(), error.to_string()));
        }
        polled
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::defect("reading the dump broke off").because(error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_follows_the_tool_s_words() {
        for (words, help) in [
            (
                "pg_restore: error: unsupported version (1.16) in file header",
                "(17.2) made the dump",
            ),
            (
                "psql:<stdin>:9: ERROR:  unrecognized configuration parameter \"transaction_timeout\"",
                "server_version",
            ),
            (
                "pg_restore: error: could not read from input file: end of file",
                "cut off",
            ),
            (
                "ERROR:  extension \"postgis\" is not available",
                "restore.tolerate",
            ),
            ("ERROR:  role \"x\" does not exist", "restore.owners"),
        ] {
            let said = way_out(&[words.to_owned()], Some("17.2")).expect(words);
            assert!(said.contains(help), "{said}");
        }
        assert_eq!(way_out(&["ERROR:  division by zero".into()], None), None);
    }

    #[test]
    fn restrict_is_known_since_its_minor_releases() {
        for (version, known) in [
            (120_022, false),
            (130_021, false),
            (130_022, true),
            (150_013, false),
            (150_020, true),
            (170_005, false),
            (180_000, true),
        ] {
            assert_eq!(restrict_is_known(version), known, "{version}");
        }
    }
}
