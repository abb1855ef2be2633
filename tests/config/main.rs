//! What is asked for → a plan, or the exact words of why not.

mod any_text;
mod pgbench;
mod plans;
mod refused;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod traffic_refused;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use clap::Parser;
use lockproof::cli;
use lockproof::cli::{Cli, Command};
use lockproof::config::several::{Several, plan_all_in};
use lockproof::config::{Planned, Surroundings, plan_in};
use tempfile::TempDir;

/// A folder with a snapshot `listings` and a scenario folder `s`, which is the working directory.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let site = Self { folder };
        site.file(
            "snapshots/listings/snapshot.toml",
            "name = \"listings\"\n[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n\
             [variables]\nrows = 1_000_000\n",
        );
        site.file("tools/python", "#!/bin/sh\n");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(site.path("tools/python"), executable).expect("set");
        site.file("s/01.sql", "ALTER TABLE listings ADD note text;\n");
        site
    }

    /// With this scenario.toml.
    fn with(toml: &str) -> Self {
        let site = Self::new();
        site.file("s/scenario.toml", toml);
        site
    }

    /// With one step of these keys, `snapshot` given.
    fn with_step(keys: &str) -> Self {
        Self::with(&format!("snapshot = \"listings\"\n[[steps]]\n{keys}\n"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there")
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, content).expect("writable");
    }

    /// Plans `lockproof run` with these arguments; paths without `-` in front are within the site.
    fn plan(&self, arguments: &[&str]) -> Result<Planned, String> {
        self.planned(arguments, plan_in)
    }

    /// The same of several scenarios.
    fn plan_all(&self, arguments: &[&str]) -> Result<Several, String> {
        self.planned(arguments, plan_all_in)
    }

    fn planned<T>(
        &self,
        arguments: &[&str],
        plan: impl Fn(&cli::Run, &Surroundings) -> lockproof::Result<T>,
    ) -> Result<T, String> {
        let mut typed = vec!["lockproof".to_owned(), "run".to_owned()];
        let mut value = false;
        for argument in arguments {
            let option = argument.starts_with('-');
            typed.push(if option || value {
                (*argument).to_owned()
            } else {
                self.path(argument).display().to_string()
            });
            let flags = [
                "--strict",
                "--keep",
                "--allow-unproven",
                "--literals",
                "--no-traffic",
            ];
            value = option && !argument.contains('=') && !flags.contains(argument);
        }
        let cli = Cli::try_parse_from(typed).unwrap_or_else(|error| panic!("{error}"));
        let Command::Run(run) = cli.command else {
            panic!("another command")
        };
        let surroundings = Surroundings {
            path: Some(format!("{}:/usr/bin:/bin", self.path("tools").display()).into()),
            working_folder: self.path("s"),
            home: Some(PathBuf::from("/home/u")),
            cache_home: None,
            root: false,
        };
        let root = format!("{}/", self.root().display());
        plan(&run, &surroundings).map_err(|error| error.story().replace(&root, ""))
    }

    fn good(&self, arguments: &[&str]) -> Planned {
        self.plan(arguments)
            .unwrap_or_else(|story| panic!("{story}"))
    }

    fn bad(&self, arguments: &[&str]) -> String {
        match self.plan(arguments) {
            Ok(planned) => panic!("{planned:?}"),
            Err(story) => story,
        }
    }
}
