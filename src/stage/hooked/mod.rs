//! A thin clone that somebody else's engine makes: one of the user's programs prints its URL, another ends
//! it. Each replay gets a clone of its own.
//!
//! Where a clone stands is written down before its program runs, in the cache's `clones`, and locked while
//! the run lives: `lockproof clean` ends what a killed run left.

mod door;
mod mask;
mod program;
mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use self::mask::masked;
use self::program::{Ended, Program};
use self::record::Record;
pub use self::record::{Left, left};
use super::external::{Names, parse};
use super::{CloneMethod, Cloned, Endpoint, Secret, Watch};
use crate::{Error, Result};

/// The programs, as the snapshot's description has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Makes a clone and prints its URL: the program and its arguments.
    pub provision: Vec<String>,
    /// Ends it.
    pub teardown: Vec<String>,
    /// How long each of them may take; for the first, until its server answers.
    pub timeout: Duration,
    /// Variables for both.
    pub environment: BTreeMap<String, String>,
    /// The database's name: sessions of others and replicas are no reason to refuse a clone of it.
    pub confirmation: Option<String>,
}

/// The provider.
#[derive(Debug, Clone)]
pub struct Hooked {
    /// The programs.
    pub hooks: Hooks,
    /// Where they run: the folder of the description.
    pub folder: PathBuf,
    /// Where clones are written down.
    pub cache: PathBuf,
    /// Names of production's hosts, databases and clusters: no clone has one of them.
    pub production: Vec<String>,
}

/// A clone that answers.
#[derive(Debug)]
pub struct HookedStage {
    hooked: Hooked,
    record: Record,
    endpoint: Endpoint,
    url: Secret,
    took: Duration,
}

impl Hooked {
    /// Has a clone made and waits until it answers.
    ///
    /// # Errors
    /// The program failed, printed no URL or took too long; nobody answers there; it looks like no clone.
    /// What was begun is ended before the error is told.
    pub async fn start(&self, run_id: &str, watch: &dyn Watch) -> Result<HookedStage> {
        let mut record = Record::begin(&self.cache, run_id, &self.folder)?;
        let mut url = None;
        let begun = Instant::now();
        match self.provision(&mut record, &mut url, watch).await {
            Ok((endpoint, url)) => Ok(HookedStage {
                hooked: self.clone(),
                record,
                endpoint,
                url,
                took: begun.elapsed(),
            }),
            Err(error) => {
                // It may have made something before it failed.
                if let Err(left) = self.teardown(record, url.as_ref(), watch).await {
                    watch.note(&left.story());
                }
                Err(error)
            }
        }
    }

    async fn provision(
        &self,
        record: &mut Record,
        url: &mut Option<Secret>,
        watch: &dyn Watch,
    ) -> Result<(Endpoint, Secret)> {
        let deadline = Instant::now() + self.hooks.timeout;
        let shown = &self.hooks.provision[0];
        watch.phase(&format!("`{shown}` makes a clone"));
        let program = self.program(&self.hooks.provision, record, None, "provision");
        let ended = program
            .run(deadline, Some(record), |line| {
                watch.phase(&format!("`{shown}`: {}", masked(line)));
            })
            .await?;
        let said = ended.said();
        if !ended.succeeded() {
            return Err(
                Error::stage(format!("`{shown}` could not make a clone: {}", ended.how()))
                    .details(said)
                    .help("mend `provision` in the snapshot's description, or what it calls"),
            );
        }
        let Some(printed) = ended.last_line() else {
            return Err(Error::stage(format!("`{shown}` printed no URL"))
                .details(said)
                .help(URL_HELP));
        };
        if !printed.contains("://") {
            return Err(Error::stage(format!(
                "what `{shown}` printed last is no URL: `{}`",
                masked(printed)
            ))
            .details(said)
            .help(URL_HELP));
        }
        let printed = url.insert(Secret::new(printed)).clone();
        let endpoint = match parse(printed.reveal()) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                // What cannot be read cannot be compared with the list.
                *url = None;
                let unusable =
                    Error::stage(format!("the URL that `{shown}` printed cannot be used"));
                return Err(unusable.because(error).help(URL_HELP));
            }
        };
        let (production, notes) = Names::read(&self.production)?.resolved().await;
        for note in notes {
            watch.note(&note);
        }
        if let Err(refused) = door::refuse_listed(&endpoint, &production).await {
            *url = None;
            return Err(refused);
        }
        record.reached_at(Some(endpoint.shown()))?;
        watch.phase(&format!("waiting for `{}`", endpoint.shown()));
        let client = door::answering(&endpoint, deadline, shown).await?;
        let confirmation = self.hooks.confirmation.as_deref();
        if let Err(refused) = door::refuse(&client, &endpoint, confirmation, &production).await {
            // Whatever may be production is not handed to the program that ends clones: that knows the clone's id.
            *url = None;
            record.reached_at(None)?;
            return Err(refused);
        }
        Ok((endpoint, printed))
    }

    /// Ends a clone; what cannot be ended stays written down.
    async fn teardown(
        &self,
        record: Record,
        url: Option<&Secret>,
        watch: &dyn Watch,
    ) -> Result<()> {
        let shown = &self.hooks.teardown[0];
        watch.phase(&format!("`{shown}` ends the clone"));
        let known = url
            .map(|url| url.reveal().to_owned())
            .or_else(|| record.url().map(str::to_owned));
        let program = self.program(&self.hooks.teardown, &record, known, "teardown");
        let outcome = program
            .run(Instant::now() + self.hooks.timeout, None, |_| {})
            .await;
        let said = |ended: &Ended| ended.said();
        let error = match outcome {
            Ok(ended) if ended.succeeded() => return record.discard(),
            Ok(ended) => Error::stage(format!(
                "the clone `{}` was not ended: `{shown}` {}",
                record.id(),
                ended.how()
            ))
            .details(said(&ended)),
            Err(error) => {
                Error::stage(format!("the clone `{}` was not ended", record.id())).because(error)
            }
        };
        let at = record
            .url()
            .map_or_else(String::new, |url| format!(" at `{url}`"));
        Err(error.help(format!(
            "it may still run{at}, and cost: `lockproof clean` tries again; once it is gone, remove `{}`",
            record.path().display()
        )))
    }

    fn program<'a>(
        &'a self,
        words: &'a [String],
        record: &Record,
        url: Option<String>,
        what: &'static str,
    ) -> Program<'a> {
        let mut environment: Vec<(String, String)> = self
            .hooks
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        environment.push(("LOCKPROOF_RUN_ID".to_owned(), record.run_id().to_owned()));
        environment.push(("LOCKPROOF_CLONE_ID".to_owned(), record.id().to_owned()));
        environment.extend(url.map(|url| ("LOCKPROOF_CLONE_URL".to_owned(), url)));
        Program {
            what,
            words,
            folder: &self.folder,
            environment,
        }
    }

    /// Ends what a dropped `start` of this run had begun; what cannot be ended is told.
    pub async fn abandon(&self, run_id: &str, watch: &dyn Watch) {
        let found = match left(&self.cache) {
            Ok(found) => found,
            Err(error) => return watch.note(&error.story()),
        };
        for left in found.into_iter().filter(|left| left.run_id() == run_id) {
            if let Err(error) = left.teardown(&self.hooks, watch).await {
                watch.note(&error.story());
            }
        }
    }
}

impl Left {
    /// Ends it with these programs.
    ///
    /// # Errors
    /// They failed; it stays written down.
    pub async fn teardown(self, hooks: &Hooks, watch: &dyn Watch) -> Result<()> {
        self.end_program().await;
        let hooked = Hooked {
            hooks: hooks.clone(),
            folder: self.folder().to_owned(),
            cache: PathBuf::new(),
            production: Vec::new(),
        };
        hooked.teardown(self.into_record(), None, watch).await
    }
}

const URL_HELP: &str = "the last line that `provision` prints on its standard output has to be the clone's URL: `postgres://user:password@host:5432/database`";

impl HookedStage {
    /// How to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How long it took to make, until it answered.
    pub fn cloned(&self) -> Cloned {
        Cloned {
            method: CloneMethod::Hook,
            took: self.took,
            kept_bytes: 0,
        }
    }

    /// Has it ended.
    ///
    /// # Errors
    /// The program failed: the clone may run on.
    pub async fn stop(self) -> Result<()> {
        let Self {
            hooked,
            record,
            url,
            ..
        } = self;
        hooked
            .teardown(record, Some(&url), &super::watch::Unwatched)
            .await
    }

    /// Leaves it up; says how to end it.
    pub fn keep(self) -> String {
        let id = self.record.id().to_owned();
        let text = format!(
            "the clone `{id}` is still up at {}\n\
             end it:   lockproof clean --all   (or `{}` by hand)",
            self.endpoint.shown(),
            self.hooked.hooks.teardown.join(" "),
        );
        self.record.keep();
        text
    }
}

/// A program beside the description, or one of the search path.
fn path_of(word: &str, folder: &Path) -> PathBuf {
    if word.contains('/') {
        folder.join(word)
    } else {
        PathBuf::from(word)
    }
}
