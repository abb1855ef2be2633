//! What is written where: each scenario's own files, none over another's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::place::{self, Place};
use super::{Output, Outputs, Surroundings};
use crate::{Error, Result, cli};

/// Stands for the scenario's name in a file's name.
const PLACEHOLDER: &str = "{scenario}";

/// A file's name may have 255 bytes in all, and a letter up to four.
const LONGEST_NAME: usize = 50;

/// A form of the report that is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Face {
    /// All of it, for programs.
    Json,
    /// A page with a picture of it, for people.
    Html,
    /// A comment on a change.
    Markdown,
    /// Test cases, for a server of continuous integration.
    Junit,
}

impl Face {
    /// Every one of them, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Json, Self::Html, Self::Markdown, Self::Junit];

    fn typed(self, faces: &cli::Faces) -> Option<&Path> {
        match self {
            Self::Json => &faces.json,
            Self::Html => &faces.html,
            Self::Markdown => &faces.markdown,
            Self::Junit => &faces.junit,
        }
        .as_deref()
    }
}

/// An option that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A form of the report.
    Face(Face),
    /// The recording.
    Record,
}

impl Kind {
    /// The option.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Face(Face::Json) => "--json",
            Self::Face(Face::Html) => "--html",
            Self::Face(Face::Markdown) => "--markdown",
            Self::Face(Face::Junit) => "--junit",
            Self::Record => "--record",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Face(Face::Json) => "json",
            Self::Face(Face::Html) => "html",
            Self::Face(Face::Markdown) => "md",
            Self::Face(Face::Junit) => "xml",
            Self::Record => "jsonl",
        }
    }

    /// What it is where several of it, one after the other, are nothing that can be read; None: they are.
    fn alone(self) -> Option<&'static str> {
        match self {
            Self::Face(Face::Json | Face::Markdown) => None,
            Self::Face(Face::Html) => Some("page"),
            Self::Face(Face::Junit) => Some("document"),
            Self::Record => Some("recording"),
        }
    }
}

/// What a command line asks to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The report.
    pub faces: &'a cli::Faces,
    /// The recording.
    pub record: Option<&'a Path>,
}

/// A scenario, as far as its files' names need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// Its name.
    pub name: &'a str,
    /// What was typed for it, to tell it from another of that name.
    pub path: &'a Path,
}

/// What is written for each of the scenarios.
///
/// # Errors
///
/// If two of them would write the same file, or to a standard output that takes one only.
pub(super) fn of_all(
    asked: Asked<'_>,
    scenarios: &[Named<'_>],
    surroundings: &Surroundings,
) -> Result<Vec<Outputs>> {
    let typed = typed(asked);
    refuse_sharing(&typed, scenarios.len())?;
    let mut taken: BTreeMap<PathBuf, (Kind, Named<'_>)> = BTreeMap::new();
    let mut places: Vec<(Place, Kind, Named<'_>)> = Vec::new();
    let mut all = Vec::new();
    for scenario in scenarios {
        let mut outputs = Outputs::default();
        for (kind, typed) in &typed {
            let output = output(*kind, typed, scenario.name, scenarios.len(), surroundings)?;
            if let Output::File(file) = &output {
                // Two ways to write one path are one path.
                let place = surroundings.working_folder.join(file);
                let found = Place::of(&place);
                let shared = found
                    .as_ref()
                    .is_ok_and(|place| place.kind == place::Kind::Channel);
                let same = taken.insert(place, (*kind, *scenario)).filter(|_| !shared);
                let same = same.or_else(|| {
                    let here = found.as_ref().ok()?;
                    let other = places.iter().find(|(place, ..)| place.is(here))?;
                    Some((other.1, other.2))
                });
                if let Some(other) = same {
                    return Err(overwritten(file, other, (*kind, *scenario)));
                }
                places.extend(found.ok().map(|place| (place, *kind, *scenario)));
            }
            match kind {
                Kind::Face(face) => drop(outputs.faces.insert(*face, output)),
                Kind::Record => outputs.record = Some(output),
            }
        }
        all.push(outputs);
    }
    Ok(all)
}

/// What is written of the one scenario of a recording.
///
/// # Errors
///
/// If two of them would be written to the same place.
pub fn of_recording(
    faces: &cli::Faces,
    scenario: &str,
    surroundings: &Surroundings,
) -> Result<Outputs> {
    let asked = Asked {
        faces,
        record: None,
    };
    let named = Named {
        name: scenario,
        path: Path::new(scenario),
    };
    let mut all = of_all(asked, &[named], surroundings)?;
    Ok(all.pop().unwrap_or_default())
}

/// What was typed, in the order in which it is written.
fn typed(asked: Asked<'_>) -> Vec<(Kind, &Path)> {
    let faces = Face::ALL.map(|face| (Kind::Face(face), face.typed(asked.faces)));
    faces
        .into_iter()
        .chain([(Kind::Record, asked.record)])
        .filter_map(|(kind, typed)| Some((kind, typed?)))
        .collect()
}

/// Standard output takes one thing, and of some things only one.
fn refuse_sharing(typed: &[(Kind, &Path)], scenarios: usize) -> Result<()> {
    let mut standard = typed
        .iter()
        .filter(|(_, typed)| Output::of(typed) == Output::Stdout);
    let Some((first, _)) = standard.next() else {
        return Ok(());
    };
    if let Some((second, _)) = standard.next() {
        return Err(Error::usage(format!(
            "`{}` and `{}` cannot both be standard output",
            first.option(),
            second.option()
        ))
        .help("write one of them to a file"));
    }
    match first.alone() {
        Some(what) if scenarios > 1 => Err(Error::usage(format!(
            "`{} -` is one {what}, and there are {scenarios} scenarios",
            first.option()
        ))
        .help(way_out(*first))),
        _ => Ok(()),
    }
}

fn output(
    kind: Kind,
    typed: &Path,
    name: &str,
    of: usize,
    surroundings: &Surroundings,
) -> Result<Output> {
    let text = typed.to_string_lossy();
    Ok(match Output::of(typed) {
        Output::Stdout => Output::Stdout,
        Output::File(_) if text.contains(PLACEHOLDER) => {
            Output::File(text.replace(PLACEHOLDER, &file_name(name)).into())
        }
        // One scenario's report is the file that was named: a folder in its place is a mistake.
        Output::File(folder)
            if text.ends_with('/')
                || (of > 1 && surroundings.working_folder.join(&folder).is_dir()) =>
        {
            Output::File(folder.join(format!("{}.{}", file_name(name), kind.extension())))
        }
        Output::File(_) if of > 1 => {
            return Err(Error::usage(format!(
                "`{} {text}` is one file, and there are {of} scenarios",
                kind.option()
            ))
            .help(way_out(kind)));
        }
        file => file,
    })
}

fn way_out(kind: Kind) -> String {
    format!(
        "name a folder, or put `{PLACEHOLDER}` into the file's name, such as `{} '{PLACEHOLDER}.{}'`",
        kind.option(),
        kind.extension()
    )
}

fn overwritten(file: &Path, first: (Kind, Named<'_>), second: (Kind, Named<'_>)) -> Error {
    let shown = file.display();
    if first.1.path == second.1.path {
        return Error::usage(format!(
            "`{}` and `{}` cannot both be `{shown}`",
            first.0.option(),
            second.0.option()
        ))
        .help("write one of them to another file");
    }
    Error::usage(format!(
        "`{shown}` would be written for `{}` and for `{}`",
        first.1.path.display(),
        second.1.path.display()
    ))
    .help("give one of them a `name` of its own in its scenario.toml, or run them apart")
}

/// The name as part of a file's name: nothing in it leads elsewhere or needs quoting.
fn file_name(name: &str) -> String {
    let safe = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = name
        .chars()
        .map(|letter| if safe(letter) { letter } else { '-' })
        .take(LONGEST_NAME)
        .collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("-{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for (name, expected) in [
            ("0042_add-column.v2", "0042_add-column.v2"),
            ("add a column, ../../etc", "add-a-column--..-..-etc"),
            ("..", "-."),
            (".hidden", "-hidden"),
            ("größe", "größe"),
        ] {
            assert_eq!(file_name(name), expected);
        }
        assert_eq!(file_name(&"ß".repeat(300)).len(), 2 * LONGEST_NAME);
    }
}
