//! What is written where: each scenario's own files, none over another's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Output, Outputs, Surroundings};
use crate::{Error, Result, cli};

/// Stands for the scenario's name in a file's name.
const PLACEHOLDER: &str = "{scenario}";

/// A file's name may have 255 bytes in all, and a letter up to four.
const LONGEST_NAME: usize = 50;

/// An option that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Record,
}

impl Kind {
    fn option(self) -> &'static str {
        match self {
            Self::Json => "--json",
            Self::Record => "--record",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Record => "jsonl",
        }
    }
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
    run: &cli::Run,
    scenarios: &[Named<'_>],
    surroundings: &Surroundings,
) -> Result<Vec<Outputs>> {
    let dash = |typed: &Option<PathBuf>| typed.as_deref() == Some(Path::new("-"));
    if dash(&run.json) && dash(&run.record) {
        return Err(
            Error::usage("`--json` and `--record` cannot both be standard output")
                .help("write one of them to a file"),
        );
    }
    if dash(&run.record) && scenarios.len() > 1 {
        return Err(Error::usage(format!(
            "`--record -` is one recording, and there are {} scenarios",
            scenarios.len()
        ))
        .help(way_out(Kind::Record)));
    }
    let mut taken: BTreeMap<PathBuf, (Kind, Named<'_>)> = BTreeMap::new();
    let mut all = Vec::new();
    for scenario in scenarios {
        let mut output = |kind: Kind, typed: &Option<PathBuf>| -> Result<Option<Output>> {
            let Some(typed) = typed else { return Ok(None) };
            let output = output(kind, typed, scenario.name, scenarios.len(), surroundings)?;
            if let Output::File(file) = &output {
                // Two ways to write one path are one path.
                let place = surroundings.working_folder.join(file);
                if let Some(other) = taken.insert(place, (kind, *scenario)) {
                    return Err(overwritten(file, other, (kind, *scenario)));
                }
            }
            Ok(Some(output))
        };
        all.push(Outputs {
            json: output(Kind::Json, &run.json)?,
            record: output(Kind::Record, &run.record)?,
        });
    }
    Ok(all)
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
