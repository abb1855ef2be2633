//! The program of a step, looked for as the system will look for it, before anything is made for it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// Where execvp looks when nothing says where.
const USUAL_PATH: &str = "/bin:/usr/bin";
/// Where projects keep their own programs.
const OF_PROJECTS: [&str; 5] = [
    ".venv/bin",
    "venv/bin",
    "env/bin",
    "node_modules/.bin",
    "bin",
];
/// So far up is looked for a project's folder.
const FOLDERS_UP: usize = 6;
/// As much as the kernel reads of a script's first line.
const FIRST_LINE: u64 = 256;

/// Why a program will not start, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Follows the key's name.
    pub message: String,
    /// None: nothing is meant that could be told.
    pub help: Option<String>,
}

/// Where a program is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The step's folder.
    pub folder: &'a Path,
    /// `PATH`; None: it is not set.
    pub path: Option<&'a OsStr>,
}

/// Looks for it.
///
/// # Errors
/// It is not there, cannot be run, or what interprets it is not there.
pub fn find(program: &str, place: Place<'_>) -> Result<PathBuf, Unfit> {
    let found = if program.contains('/') {
        at(&place.folder.join(program), program)?
    } else {
        on_path(program, place)?
    };
    interpreter(&found, program, place)?;
    Ok(found)
}

/// What the project has of the same name, where another one would run.
pub fn of_project(program: &str, found: &Path, place: Place<'_>) -> Option<PathBuf> {
    let environment = |folder: &Path| folder.join("pyvenv.cfg").is_file();
    let own = beside(program, place)
        .find(|own| own.parent().and_then(Path::parent).is_some_and(environment))?;
    (own.parent() != found.parent()).then_some(own)
}

fn at(file: &Path, program: &str) -> Result<PathBuf, Unfit> {
    if !file.exists() {
        return Err(Unfit {
            message: format!("names a program that does not exist: `{}`", file.display()),
            help: Some(
                "a program with a `/` is looked for from the step's folder: that of the scenario, or its `cwd`"
                    .to_owned(),
            ),
        });
    }
    if !file.is_file() {
        return Err(Unfit {
            message: format!("names no program: `{}` is no file", file.display()),
            help: None,
        });
    }
    if !is_executable(file) {
        return Err(Unfit {
            message: format!("names a file that is not executable: `{}`", file.display()),
            help: Some(format!(
                "make it executable with `chmod +x`, or put its interpreter before it, such as \
                 `run = [\"sh\", \"{program}\"]`"
            )),
        });
    }
    Ok(file.to_owned())
}

fn on_path(program: &str, place: Place<'_>) -> Result<PathBuf, Unfit> {
    let usual = OsString::from(USUAL_PATH);
    let path = place.path.unwrap_or(&usual);
    let mut forbidden = None;
    for folder in std::env::split_paths(path) {
        // An entry that is relative, or empty, means the folder in which the program is started.
        let file = place.folder.join(folder).join(program);
        if file.is_file() {
            if is_executable(&file) {
                return Ok(file);
            }
            forbidden.get_or_insert(file);
        }
    }
    if let Some(file) = forbidden {
        return Err(Unfit {
            message: format!("names a file that is not executable: `{}`", file.display()),
            help: Some("make it executable with `chmod +x`".to_owned()),
        });
    }
    let help = if let Some(own) = beside(program, place).next() {
        let folder = own.parent().unwrap_or(&own).display().to_string();
        format!(
            "the project has one: write `{}` in its place, or put `{folder}` into `PATH` in the step's `env`",
            own.display(),
        )
    } else if place.folder.join(program).is_file() {
        format!("it is in the step's folder: write `./{program}`")
    } else {
        "install it, activate the virtual environment that it belongs to, or write its path"
            .to_owned()
    };
    Err(Unfit {
        message: format!("names a program that is not on `PATH`: `{program}`"),
        help: Some(help),
    })
}

/// Programs of this name that the project of the step's folder has.
fn beside<'a>(program: &'a str, place: Place<'a>) -> impl Iterator<Item = PathBuf> + 'a {
    let folder = std::path::absolute(place.folder).unwrap_or_else(|_| place.folder.to_owned());
    let folders: Vec<PathBuf> = folder
        .ancestors()
        .take(FOLDERS_UP)
        // What is at the top of a machine is nobody's project.
        .filter(|folder| folder.parent().is_some())
        .map(Path::to_owned)
        .collect();
    let files = folders.into_iter().flat_map(move |folder| {
        OF_PROJECTS
            .map(|own| folder.join(own).join(program))
            .into_iter()
    });
    files.filter(|file| !program.contains('/') && file.is_file() && is_executable(file))
}

/// The interpreter of a script has to be there as well; the kernel says of either that there is no such file.
fn interpreter(file: &Path, program: &str, place: Place<'_>) -> Result<(), Unfit> {
    let Some(line) = first_line(file) else {
        return Ok(());
    };
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let Some(first) = words.next() else {
        return Ok(());
    };
    let lacks = |name: &OsStr, help: &str| Unfit {
        message: format!(
            "names `{program}`, whose first line asks for {:?}, which is not there or cannot be run",
            name.to_string_lossy(),
        ),
        help: Some(help.to_owned()),
    };
    let name = OsString::from_vec(first.to_vec());
    if name.as_bytes().ends_with(b"\r") || line.ends_with(b"\r") {
        return Err(lacks(
            &name,
            "its lines end like those of Windows: convert them, for example with `dos2unix`",
        ));
    }
    let path = place.folder.join(&name);
    if !path.is_file() || !is_executable(&path) {
        return Err(lacks(
            &name,
            "install it, or make the virtual environment anew: those of Python do not survive being moved",
        ));
    }
    // `env` looks for the next word itself; its own options are left to it.
    if path.file_name() == Some(OsStr::new("env"))
        && let Some(next) = words
            .next()
            .filter(|word| !word.starts_with(b"-") && !word.contains(&b'='))
    {
        let next = OsString::from_vec(next.to_vec());
        if let Some(text) = next.to_str().filter(|text| !text.contains('/'))
            && on_path(text, place).is_err()
        {
            return Err(lacks(
                &next,
                "install it, or put its folder into `PATH` in the step's `env`",
            ));
        }
    }
    Ok(())
}

/// What stands behind `#!`; None: it is no script.
fn first_line(file: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    let file = std::fs::File::open(file).ok()?;
    file.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?;
    let end = line.iter().position(|byte| *byte == b'\n');
    Some(line[..end.unwrap_or(line.len())].to_vec())
}

fn is_executable(file: &Path) -> bool {
    access(file, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn file(&self, name: &str, text: &str, mode: u32) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        }

        fn told(&self, program: &str) -> String {
            match find(program, self.place()) {
                Ok(_) => "found".to_owned(),
                Err(unfit) => format!("{}\n{}", unfit.message, unfit.help.unwrap_or_default()),
            }
        }

        fn place(&self) -> Place<'_> {
            Place {
                folder: self.0.path(),
                path: Some(OsStr::new("tools:/usr/bin:/bin")),
            }
        }
    }

    #[track_caller]
    fn says(told: &str, words: &[&str]) {
        for word in words {
            assert!(told.contains(word), "no {word:?} in {told}");
        }
    }

    #[test]
    fn a_program_is_found_where_the_system_finds_it() {
        let folder = Folder::new();
        assert_eq!(folder.told("sh"), "found");
        assert_eq!(folder.told("/bin/sh"), "found");
        folder.file("tools/mine", "#!/bin/sh\n", 0o755);
        folder.file("migrate.sh", "#! /usr/bin/env sh\n", 0o755);
        for program in ["mine", "./migrate.sh", "tools/mine"] {
            assert_eq!(folder.told(program), "found");
        }
    }

    #[test]
    fn one_that_will_not_start_is_told_with_the_way_out() {
        let folder = Folder::new();
        folder.file("plain.sh", "true\n", 0o644);
        folder.file("tools/shy", "true\n", 0o644);
        folder.file("manage.py", "", 0o755);
        says(
            &folder.told("no-such"),
            &["not on `PATH`: `no-such`", "install it"],
        );
        says(
            &folder.told("./no-such"),
            &["does not exist", "from the step's folder"],
        );
        says(&folder.told("./tools"), &["is no file"]);
        says(
            &folder.told("./plain.sh"),
            &["not executable", "`run = [\"sh\", \"./plain.sh\"]`"],
        );
        says(&folder.told("shy"), &["not executable", "chmod +x"]);
        says(&folder.told("manage.py"), &["write `./manage.py`"]);
    }

    #[test]
    fn the_interpreter_of_a_script_has_to_be_there() {
        let folder = Folder::new();
        folder.file("moved", "#!/no/such/python3\n", 0o755);
        folder.file("asks", "#!/usr/bin/env no-such-python\n", 0o755);
        folder.file("windows", "#!/bin/sh\r\ntrue\r\n", 0o755);
        folder.file("options", "#!/usr/bin/env -S sh -e\n", 0o755);
        says(
            &folder.told("./moved"),
            &["asks for \"/no/such/python3\"", "virtual environment"],
        );
        says(&folder.told("./asks"), &["asks for \"no-such-python\""]);
        says(&folder.told("./windows"), &["Windows"]);
        assert_eq!(folder.told("./options"), "found");
    }

    #[test]
    fn a_virtual_environment_that_seems_meant_is_told() {
        let folder = Folder::new();
        folder.file(".venv/pyvenv.cfg", "", 0o644);
        folder.file(".venv/bin/alembic-x", "#!/bin/sh\n", 0o755);
        folder.file(".venv/bin/sh", "#!/bin/sh\n", 0o755);
        says(
            &folder.told("alembic-x"),
            &[
                "not on `PATH`",
                ".venv/bin/alembic-x`",
                "`PATH` in the step's `env`",
            ],
        );
        let found = find("sh", folder.place()).expect("the system's");
        let own = of_project("sh", &found, folder.place()).expect("the project's");
        assert!(own.ends_with(".venv/bin/sh"), "{own:?}");
        assert_eq!(of_project("env", &found, folder.place()), None);
    }
}
