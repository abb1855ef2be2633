//! Which PostgreSQL server programs this machine has, and which of them a run takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The oldest major that the lock rules hold for (`SET NOT NULL` by a proving CHECK came with it).
pub const OLDEST_MAJOR: u32 = 12;

/// What a stage cannot do without.
const NEEDED: [&str; 2] = ["initdb", "postgres"];

/// One set of server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The major version.
    pub major: u32,
    /// The full version, such as `15.20`.
    pub version: String,
    /// The folder that holds `initdb` and `postgres`.
    pub bin_dir: PathBuf,
}

impl Installation {
    /// The path of a program; whether it is there is another matter.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    fn probe(bin_dir: &Path) -> Option<Self> {
        if NEEDED.iter().any(|name| !bin_dir.join(name).is_file()) {
            return None;
        }
        let output = Command::new(bin_dir.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let (major, version) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            major,
            version,
            bin_dir: bin_dir.to_owned(),
        })
    }
}

/// What was found, and where it was looked for.
#[derive(Debug, Clone)]
pub struct Found {
    /// Newest first; one for each real folder.
    pub installations: Vec<Installation>,
    /// The folders and patterns that were looked at, in words.
    pub looked_at: Vec<String>,
}

/// Looks for server programs: only in `given` where there is one.
pub fn find(given: Option<&Path>) -> Found {
    let (folders, looked_at) = folders(given);
    let mut installations: Vec<Installation> = folders
        .iter()
        .filter_map(|folder| Installation::probe(folder))
        .collect();
    installations.sort_by(|a, b| {
        (b.major, minor(&b.version), &a.bin_dir).cmp(&(a.major, minor(&a.version), &b.bin_dir))
    });
    Found {
        installations,
        looked_at,
    }
}

/// Where programs may be, each real folder once, and the same in words: only `given` where there is one.
pub(super) fn folders(given: Option<&Path>) -> (Vec<PathBuf>, Vec<String>) {
    let mut looked_at = Vec::new();
    let mut folders = Vec::new();
    if let Some(given) = given {
        looked_at.push(given.display().to_string());
        folders.push(given.to_owned());
    } else {
        looked_at.push("the folders of `PATH`".to_owned());
        folders.extend(
            std::env::var_os("PATH")
                .iter()
                .flat_map(std::env::split_paths)
                .filter(|folder| folder.is_absolute()),
        );
        for (parent, prefix, rest) in [
            ("/usr/lib/postgresql", "", "bin"),
            ("/usr", "pgsql-", "bin"),
            ("/usr/local", "pgsql", "bin"),
            ("/opt/homebrew/opt", "postgresql", "bin"),
            ("/usr/local/opt", "postgresql", "bin"),
            ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
            ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ] {
            looked_at.push(format!("{parent}/{prefix}*/{rest}"));
            folders.extend(children(Path::new(parent), prefix).map(|child| child.join(rest)));
        }
    }
    let mut seen = BTreeSet::new();
    let folders = folders
        .into_iter()
        // The real folder: Homebrew and Debian link to theirs under several names.
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| seen.insert(folder.clone()))
        .collect();
    (folders, looked_at)
}

impl Found {
    /// The snapshot's major where it has one, else the newest.
    pub fn choose(&self, major: Option<u32>) -> Result<&Installation> {
        let usable = || {
            self.installations
                .iter()
                .filter(|installation| installation.major >= OLDEST_MAJOR)
        };
        let chosen = match major {
            Some(major) => usable().find(|installation| installation.major == major),
            None => usable().next(),
        };
        if let Some(installation) = chosen {
            return Ok(installation);
        }
        let wanted = match major {
            Some(major) => {
                format!("PostgreSQL {major}, which `--pg`, the scenario or the snapshot names,")
            }
            None => format!("PostgreSQL {OLDEST_MAJOR} or newer"),
        };
        let package = major.map_or_else(|| "NN".to_owned(), |major| major.to_string());
        let mut details: Vec<String> = self
            .looked_at
            .iter()
            .map(|place| format!("looked in {place}"))
            .collect();
        details.extend(self.installations.iter().map(|installation| {
            format!(
                "found {} in {}",
                installation.version,
                installation.bin_dir.display()
            )
        }));
        Err(Error::stage(format!(
            "no server programs (`initdb`, `postgres`) of {wanted} on this machine"
        ))
        .details(details)
        .help(format!(
            "install them (`apt install postgresql-{package}`, `dnf install postgresql{package}-server`, `brew install postgresql@{package}`), name their folder with `--pg-bin`, or use a container with `--stage docker`"
        )))
    }
}

fn children(parent: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}

/// `postgres (PostgreSQL) 15.20 (Debian …)`, `… 18beta1`.
pub(super) fn parse_version(output: &str) -> Option<(u32, String)> {
    let version = output.split(')').nth(1)?.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

fn minor(version: &str) -> u32 {
    version
        .split_once('.')
        .and_then(|(_, minor)| minor.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32, version: &str) -> Installation {
        Installation {
            major,
            version: version.into(),
            bin_dir: PathBuf::from(format!("/pg/{version}/bin")),
        }
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        for (output, expected) in [
            (
                "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n",
                (15, "15.20"),
            ),
            ("postgres (PostgreSQL) 18beta1\n", (18, "18beta1")),
            ("postgres (PostgreSQL) 19devel", (19, "19devel")),
        ] {
            let (major, version) = parse_version(output).expect("a version");
            assert_eq!((major, version.as_str()), expected);
        }
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn the_snapshot_s_major_wins_over_the_newest() {
        let found = Found {
            installations: vec![
                installation(17, "17.6"),
                installation(15, "15.20"),
                installation(11, "11.2"),
            ],
            looked_at: vec!["/pg/*/bin".into()],
        };
        assert_eq!(found.choose(None).expect("newest").major, 17);
        assert_eq!(found.choose(Some(15)).expect("asked").version, "15.20");
        let story = found.choose(Some(16)).expect_err("absent").story();
        for part in [
            "PostgreSQL 16",
            "looked in /pg/*/bin",
            "found 15.20",
            "postgresql-16",
        ] {
            assert!(story.contains(part), "{part} in {story}");
        }
        assert!(found.choose(Some(11)).is_err());
    }

    #[test]
    fn a_given_folder_is_the_only_one() {
        let found = find(Some(Path::new("/nonexistent/bin")));
        assert!(found.installations.is_empty());
        assert_eq!(found.looked_at, ["/nonexistent/bin"]);
        let story = found.choose(None).expect_err("nothing there").story();
        assert!(story.contains("looked in /nonexistent/bin") && story.contains("--pg-bin"));
    }
}
