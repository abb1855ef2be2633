//! The restore of a dump.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tokio_postgres::Client;

use super::complaints::{errors_in, newer_than_here, way_out};
use super::course::Course;
use super::detect::{Format, Packing, damaged, detect, open};
use super::follow::Follow;
use super::found::Found;
use super::needs::{self, Needs};
use super::restrict;
use super::script::{Closed, Reader, Session};
use super::sizes::sizes;
use super::watched::Watched;
use super::{Filtered, Snapshot, collation, dumped, globals, plain, roles, toc, tolerated};
use crate::stage::connect::connect;
use crate::stage::{Endpoint, Heard, TOOL_LINES, ToolInput, ToolOutput, Tools, Unit, Watch};
use crate::{Error, Result};

/// How many lines of a tool's errors are shown.
const SHOWN_LINES: usize = 20;

/// The restore of one dump.
pub(super) struct Restore<'a, T> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) file: PathBuf,
    pub(super) filtered: &'a [Filtered],
    pub(super) endpoint: &'a Endpoint,
    pub(super) tools: &'a T,
    pub(super) watch: &'a dyn Watch,
    pub(super) found: &'a Found,
    /// Whether the dump is of a newer major than the server here; unknown until it was looked at.
    pub(super) is_newer: OnceLock<bool>,
}

impl<T: Tools> Restore<'_, T> {
    pub(super) async fn run(&self) -> Result<()> {
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
        let client = self.connect().await?;
        let session = restrict::session(self.tools, self.endpoint, &client).await?;
        if session.closed_by == Closed::Asking && !self.is_strict() {
            return Err(restrict::cannot_tolerate(&self.file));
        }
        let facts = self.look(packing, session).await?;
        self.check(&client, &facts.needs, facts.server.as_deref())
            .await?;
        roles::create_missing(&client, &facts.roles, self.found, self.watch).await?;
        let mut args = vec!["-X", "--quiet", "--no-password"];
        args.extend(["-v", "VERBOSITY=default", "--output=/dev/null"]);
        args.extend(["-v", self.if_strict("ON_ERROR_STOP=1", "ON_ERROR_STOP=0")]);
        args.extend(["-f", "-"]);
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let follow = Follow::plain(facts.built, &self.snapshot.manifest.name, self.watch);
        let output = self
            .stream("psql", &args, packing, Some(Reader::new(session)), &follow)
            .await?;
        self.judge("psql", &output, facts.server.as_deref())
    }

    /// Looks through a plain dump.
    async fn look(&self, packing: Packing, session: Session) -> Result<plain::Facts> {
        let looking = format!("looking through `{}`", self.file.display());
        self.watch.measured(&looking, Unit::Bytes);
        let (stream, progress) = plain::counted(&self.file, packing)?;
        let path = self.file.clone();
        let look = blocking(move || plain::look(&path, packing, session, stream));
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
            .stream("pg_restore", &args, packing, None, &self.follow(course))
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
        reader: Option<Reader>,
        follow: &Follow<'_>,
    ) -> Result<ToolOutput> {
        let (stream, progress) = plain::stream(&self.file, packing, reader)?;
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

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::defect("reading the dump broke off").because(error))?
}
