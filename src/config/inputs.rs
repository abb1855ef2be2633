//! What a command reads: no file that it writes is one of them, under whatever name.

use std::path::{Path, PathBuf};

use super::place::Place;
use super::{Output, Surroundings};
use crate::plan::{Plan, SnapshotChoice, StageChoice, Work};
use crate::snapshot::manifest::{FILE_NAME, Manifest};
use crate::stage::external::files_around;
use crate::{Error, Result, cli};

/// What is read.
#[derive(Debug, Clone, Default)]
pub struct Inputs(Vec<Input>);

/// A file, or a folder with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Input {
    /// What it is, for a message: `the file of step \`add\``.
    what: String,
    path: PathBuf,
    extent: Extent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// This file.
    File,
    /// Whatever is in this folder, or will be.
    Folder,
}

impl Inputs {
    /// Adds a file, or a folder that is read as a whole; what does not exist cannot be written over.
    pub fn add(&mut self, what: impl Into<String>, path: &Path) {
        let extent = if path.is_dir() {
            Extent::Folder
        } else {
            Extent::File
        };
        self.0.push(Input {
            what: what.into(),
            path: path.to_owned(),
            extent,
        });
    }

    /// Adds all of another's.
    pub fn extend(&mut self, others: &Self) {
        for input in &others.0 {
            if !self.0.contains(input) {
                self.0.push(input.clone());
            }
        }
    }

    /// What every command reads: this program, and what says how to connect.
    pub fn of_process(typed: Option<&str>) -> Self {
        let mut inputs = Self::default();
        if let Ok(program) = std::env::current_exe() {
            inputs.add("this program", &program);
        }
        for (what, file) in files_around(typed) {
            inputs.add(what, &file);
        }
        inputs
    }

    /// What a run reads, but for its scenario's description and its traffic's.
    pub fn of_run(&mut self, run: &cli::Run, plan: &Plan) {
        let typed = run.place.stage.as_ref().map(|stage| stage.reveal());
        self.extend(&Self::of_process(typed));
        for step in &plan.steps {
            let named = |what: &str| format!("{what} of step `{}`", step.name);
            match &step.work {
                Work::Sql(sql) => self.add_some(&named("the file"), sql.file.as_deref()),
                Work::Batch(batch) => self.add_some(&named("the file"), batch.file.as_deref()),
                Work::Command(command) => {
                    self.add_program(
                        &named("a part of the command"),
                        &command.argv,
                        &command.folder,
                    );
                }
            }
        }
        for operation in plan.traffic.iter().flat_map(|traffic| &traffic.operations) {
            let what = format!("a script of the traffic (`{}`)", operation.name);
            self.add(what, Path::new(&operation.origin));
        }
        if let SnapshotChoice::Folder { folder, .. } = &plan.snapshot {
            self.of_snapshot(folder);
        }
        if let StageChoice::Hooks { hooks, folder, .. } = &plan.stage.choice {
            for words in [&hooks.provision, &hooks.teardown] {
                self.add_program("a program of the snapshot", words, folder);
            }
        }
        for (what, folder) in [
            ("lockproof's cache", plan.stage.cache.join("bases")),
            ("lockproof's cache", plan.stage.cache.join("clones")),
            ("lockproof's cache", plan.stage.cache.join("digests.json")),
        ] {
            self.add(what, &folder);
        }
        self.add_some("the server's programs", plan.stage.pg_bin.as_deref());
    }

    /// What a snapshot's description names, and it.
    fn of_snapshot(&mut self, path: &Path) {
        let file = if path.is_dir() {
            path.join(FILE_NAME)
        } else {
            path.to_owned()
        };
        self.add("the description of the snapshot", &file);
        // One that cannot be read is complained of elsewhere.
        if let Ok((manifest, folder)) = Manifest::load(path) {
            for file in manifest.files() {
                self.add("a file of the snapshot", &folder.join(file));
            }
        }
    }

    /// The program, wherever the command finds it, and those of its arguments that are files: the script of an
    /// interpreter is one.
    fn add_program(&mut self, what: &str, argv: &[String], folder: &Path) {
        if let Some(program) = argv.first().filter(|program| !program.contains('/'))
            && let Some(path) = std::env::var_os("PATH")
        {
            let mut found = std::env::split_paths(&path).map(|folder| folder.join(program));
            self.add_some(what, found.find(|file| file.is_file()).as_deref());
        }
        for word in argv {
            // As in `--settings=app.ini`.
            for part in [
                Some(word.as_str()),
                word.split_once('=').map(|(_, value)| value),
            ] {
                let file = part.map(|part| folder.join(part));
                self.add_some(what, file.filter(|file| file.is_file()).as_deref());
            }
        }
    }

    fn add_some(&mut self, what: &str, path: Option<&Path>) {
        if let Some(path) = path {
            self.add(what, path);
        }
    }

    /// Refuses outputs that are among them; each with the option that asks for it.
    ///
    /// # Errors
    ///
    /// If one is.
    pub fn refuse<'o>(
        &self,
        outputs: impl IntoIterator<Item = (&'static str, &'o Output)>,
        surroundings: &Surroundings,
    ) -> Result<()> {
        let place = |path: &Path| Place::of(&surroundings.working_folder.join(path)).ok();
        let mut inputs = Vec::new();
        for input in &self.0 {
            inputs.extend(place(&input.path).map(|place| (input, place)));
        }
        // `>> FILE` of the shell leads there as well, also with nothing but what is shown.
        let standard = place(Path::new("/dev/stdout")).map(|place| (None, place));
        let named = outputs
            .into_iter()
            .filter_map(|(option, output)| match output {
                Output::Stdout => None,
                Output::File(file) => place(file).map(|place| (Some((option, file)), place)),
            });
        for (output, place) in named.chain(standard) {
            let hit = inputs.iter().find(|(input, read)| match input.extent {
                Extent::File => place.is(read),
                Extent::Folder => place.is_within(read),
            });
            if let Some((input, _)) = hit {
                return Err(refused(output, input));
            }
        }
        Ok(())
    }
}

fn refused(output: Option<(&str, &PathBuf)>, input: &Input) -> Error {
    let output = match output {
        Some((option, file)) => format!("`{option} {}`", file.display()),
        None => "standard output".to_owned(),
    };
    let (what, read) = (&input.what, input.path.display());
    match input.extent {
        Extent::File => Error::usage(format!("{output} would replace `{read}`: {what}"))
            .help("write it to a file of its own"),
        Extent::Folder => Error::usage(format!("{output} is inside `{read}`: {what}"))
            .help("write it elsewhere: what is in there is read as a whole"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(folder: &Path) -> Surroundings {
        Surroundings {
            working_folder: folder.to_owned(),
            home: None,
            cache_home: None,
            root: false,
            path: None,
        }
    }

    #[test]
    fn an_output_is_no_input_under_any_name() {
        let room = tempfile::tempdir().expect("a folder");
        let at = |name: &str| room.path().join(name);
        std::fs::write(at("01.sql"), "").expect("written");
        std::fs::create_dir(at("dump")).expect("made");
        std::fs::hard_link(at("01.sql"), at("hard.json")).expect("linked");
        std::os::unix::fs::symlink("01.sql", at("soft.json")).expect("linked");
        let mut inputs = Inputs::default();
        inputs.add("the file of step `add`", &at("01.sql"));
        inputs.add("a file of the snapshot", &at("dump"));
        let here = surroundings(room.path());
        let refused = |name: &str| {
            let output = Output::File(name.into());
            let error = inputs.refuse([("--json", &output)], &here).err()?;
            Some(error.story())
        };
        for name in [
            "01.sql",
            "./01.sql",
            "dump/../01.sql",
            "hard.json",
            "soft.json",
        ] {
            let story = refused(name).expect(name);
            assert!(
                story.starts_with(&format!("`--json {name}` would replace `")),
                "{story}"
            );
            assert!(story.contains("the file of step `add`"), "{story}");
        }
        for name in ["dump/new", "dump/deep/../new"] {
            if let Some(story) = refused(name) {
                assert!(story.contains("is inside"), "{story}");
            } else {
                assert_ne!(name, "dump/new");
            }
        }
        for name in [
            "02.sql",
            "dumped",
            "/dev/null",
            "/dev/stderr",
            "nowhere/01.sql",
        ] {
            assert_eq!(refused(name), None, "{name}");
        }
    }

    #[test]
    fn a_command_s_program_and_script_are_inputs() {
        let room = tempfile::tempdir().expect("a folder");
        let at = |name: &str| room.path().join(name);
        for name in ["manage.py", "app.ini", "free"] {
            std::fs::write(at(name), "").expect("written");
        }
        let argv = ["sh", "manage.py", "--settings=app.ini", "migrate"].map(str::to_owned);
        let mut inputs = Inputs::default();
        inputs.add_program("a part of the command", &argv, room.path());
        let here = surroundings(room.path());
        let refused = |name: &str| {
            let output = Output::File(name.into());
            inputs.refuse([("--record", &output)], &here).is_err()
        };
        assert!(["manage.py", "app.ini", "/bin/sh"].into_iter().all(refused));
        assert!(!refused("free") && !refused("migrate"));
    }
}
