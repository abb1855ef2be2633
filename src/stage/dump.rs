//! `pg_dump` against a server that somebody else runs: a program of this machine, else an image's.
//!
//! It has to be as new as the server, and no newer where that can be had: an archive is read by programs
//! that know its version, and the stage has the server's major.

use std::path::{Path, PathBuf};

use super::docker::{Docker, ImageInfo};
use super::local::PgDump;
use super::provider::default_image;
use super::{Endpoint, ToolOutput, Watch};
use crate::plan::{StageChoice, StagePlan};
use crate::{Error, Result};

/// What is asked of `pg_dump`.
pub struct Dump<'a> {
    /// Its arguments, without those that say where the server and the result are.
    pub arguments: Vec<String>,
    /// `PGOPTIONS`: settings of its sessions.
    pub options: Option<String>,
    /// The folder to be made.
    pub into: &'a Path,
    /// Gets each line that it says, as it says it.
    pub line: &'a (dyn Fn(&str) + Send + Sync),
}

/// Where `pg_dump` is.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Dumper {
    /// On this machine.
    Local(PgDump),
    /// In an image.
    Image {
        /// The engine.
        docker: Docker,
        /// The image.
        image: ImageInfo,
        /// Labels the container.
        run_id: String,
        /// Where its lock file goes.
        cache: PathBuf,
    },
}

impl Dumper {
    /// Picks one for a server of this major.
    ///
    /// # Errors
    /// There is none; the error names what was looked for and the ways to get one.
    pub async fn choose(
        plan: &StagePlan,
        major: u32,
        run_id: &str,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let (found, looked_at) = match plan.choice {
            StageChoice::Docker => (Vec::new(), Vec::new()),
            _ => PgDump::find(plan.pg_bin.as_deref()),
        };
        if let Some(fits) = found
            .iter()
            .find(|program| reads_alike(program.major, major))
        {
            return Ok(Self::Local(fits.clone()));
        }
        let newer = found.iter().rev().find(|program| program.major > major);
        let no_image = if plan.choice == StageChoice::Local {
            None
        } else {
            match Self::image(plan, major, run_id, watch).await {
                Ok(image) => return Ok(image),
                Err(error) => Some(error),
            }
        };
        if let Some(newer) = newer {
            watch.note(&format!(
                "`pg_dump` is of PostgreSQL {}, the server of {major}: the snapshot is restored by {} \
                 or newer, whose locks may differ",
                newer.major, newer.major
            ));
            return Ok(Self::Local(newer.clone()));
        }
        let mut details: Vec<String> = looked_at
            .iter()
            .map(|place| format!("looked in {place}"))
            .collect();
        details.extend(
            found.iter().map(|program| {
                format!("found {} at {}", program.version, program.program.display())
            }),
        );
        details.extend(no_image.iter().flat_map(|error| {
            let story = error.story();
            story.lines().map(str::to_owned).collect::<Vec<_>>()
        }));
        Err(Error::stage(format!("there is no `pg_dump` of PostgreSQL {major}"))
            .details(details)
            .help(format!(
                "install it (`apt install postgresql-client-{major}`), name its folder with `--pg-bin`, or \
                 use a container that has it (`--stage docker --image postgres:{major}`)"
            )))
    }

    async fn image(plan: &StagePlan, major: u32, run_id: &str, watch: &dyn Watch) -> Result<Self> {
        let docker = Docker::connect().await?;
        let name = match &plan.image {
            Some(image) => image.clone(),
            None => default_image(&docker, Some(major)).await?,
        };
        let image = docker.ensure_image(&name, watch).await?;
        if image.postgres_major < major {
            return Err(Error::stage(format!(
                "image `{name}` has PostgreSQL {}, the server is of {major}",
                image.postgres_major
            )));
        }
        Ok(Self::Image {
            docker,
            image,
            run_id: run_id.to_owned(),
            cache: plan.cache.clone(),
        })
    }

    /// Where it is, in words.
    pub fn place(&self) -> String {
        match self {
            Self::Local(program) => {
                format!("`{}` {}", program.program.display(), program.version)
            }
            Self::Image { image, .. } => format!("`pg_dump` of the image `{}`", image.name),
        }
    }

    /// Its major.
    pub fn major(&self) -> u32 {
        match self {
            Self::Local(program) => program.major,
            Self::Image { image, .. } => image.postgres_major,
        }
    }

    /// The oldest major that restores what it takes from a server of this one.
    pub fn restored_by(&self, server: u32) -> u32 {
        if reads_alike(self.major(), server) {
            server
        } else {
            self.major()
        }
    }

    /// Runs it to its end. Dropping the future ends it soon after.
    pub async fn run(&self, endpoint: &Endpoint, dump: &Dump<'_>) -> Result<ToolOutput> {
        match self {
            Self::Local(program) => program.run(endpoint, dump).await,
            Self::Image {
                docker,
                image,
                run_id,
                cache,
            } => docker.dump(image, endpoint, run_id, cache, dump).await,
        }
    }

    /// Removes what a dropped `run` left on an engine.
    pub async fn abandon(&self, watch: &dyn Watch) {
        if let Self::Image { docker, run_id, .. } = self
            && let Err(error) = docker.remove_run(run_id).await
        {
            watch.note(&error.story());
        }
    }
}

/// Whether an archive by `pg_dump` of the one major is read by `pg_restore` of the other, for a server
/// of that other: versions 1.14 (12 to 15), 1.15 (16), 1.16 (from 17).
fn reads_alike(pg_dump: u32, server: u32) -> bool {
    let version = |major: u32| match major {
        ..=15 => 14,
        16 => 15,
        _ => 16,
    };
    // From 17 on it also writes settings into the archive that an older server does not know.
    pg_dump == server || pg_dump > server && version(pg_dump) == version(server) && pg_dump <= 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_program_never_reads_and_a_newer_one_writes_for_its_like() {
        for (pg_dump, server, alike) in [
            (15, 15, true),
            (15, 13, true),
            (13, 15, false),
            (16, 15, false),
            (17, 15, false),
            (18, 17, false),
            (18, 18, true),
        ] {
            assert_eq!(reads_alike(pg_dump, server), alike, "{pg_dump} {server}");
        }
    }
}
