//! The line of rooms, held to: which room may know which, and which crate lives where.
//!
//! ARCHITECTURE.md says why. A new arrow is added here on purpose, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may know of others: a whole room, or one path of it.
///
/// `error`, and with it `Error` and `Result`, is everybody's but the pure rooms'. `redact` is there for whoever lets
/// something out, or learns what must not get out.
const MAY_USE: &[(&str, &[&str])] = &[
    ("advice", &[]),
    (
        "analyse",
        &[
            "bounds",
            "clock::Mono",
            "pg::LockMode",
            "pg::names",
            // What the stage was is handed on as it was recorded.
            "plan::Warmth",
            "recording::format",
            "recording::traffic",
            "sql",
            "stage::Cloned",
            "stage::NetworkFacts",
            "stage::StageKind",
        ],
    ),
    ("bounds", &[]),
    ("cli", &["stage::Secret"]),
    ("clock", &[]),
    (
        "config",
        &[
            "cli",
            "error",
            "pg::LockMode",
            "plan",
            "snapshot::Manifest",
            "snapshot::Pattern",
            "snapshot::Source",
            "snapshot::create",
            "snapshot::manifest",
            "sql",
            // What a prune keeps, decided from what was typed.
            "stage::Network",
            "stage::cache::Keep",
            "stage::external",
            "stage::hooked",
            // Which `${stage.…}` a program may be given.
            "stage::placeholder",
            // Files that are read whole, up to a limit.
            "stage::whole",
            "redact",
        ],
    ),
    (
        "disturb",
        &["clock", "error", "pg", "plan", "recording::format", "stage"],
    ),
    ("durations", &["recording::format"]),
    ("error", &["exit_code"]),
    ("exit_code", &[]),
    ("interrupt", &[]),
    (
        "judge",
        &[
            "analyse",
            "bounds",
            "pg::LockMode",
            "plan",
            "recording::format",
            "recording::traffic",
            "stage::Network",
            // Only an external server has strangers who write beside the migration.
            "stage::StageKind",
        ],
    ),
    // Which process is meant is told as for servers.
    ("keeper", &["stage::local"]),
    (
        "observe",
        &[
            "clock",
            "durations",
            "error",
            "pg",
            "plan::Cadence",
            "plan::Literals",
            "recording::format",
            "stage::Endpoint",
            // Which sessions are our own.
            "stage::census",
            "redact",
        ],
    ),
    // One place opens every connection, and it is the stage's: it knows the way and its TLS.
    (
        "pg",
        &[
            "error",
            "recording::format",
            "stage::Endpoint",
            "stage::connect",
        ],
    ),
    (
        "plan",
        &[
            "clock::nanos",
            "pg::LockMode",
            "sql::Statement",
            "stage::Endpoint",
            "stage::Network",
            // Where a snapshot comes from, so that nothing is replayed there.
            "stage::external",
            "stage::hooked",
        ],
    ),
    (
        "recording",
        &[
            "clock",
            "error",
            "pg::LockMode",
            "plan",
            "sql::SetsLockTimeout",
            "stage::Cloned",
            "stage::NetworkFacts",
            "stage::StageKind",
        ],
    ),
    ("redact", &["plan::Literals", "recording::format", "sql"]),
    (
        "replay",
        &[
            "clock",
            "error",
            "interrupt",
            "keeper",
            "observe",
            "pg",
            "plan",
            "recording::format",
            "sql",
            // Lines of a program, cut: as for those that a stage runs.
            "stage::Cut",
            "stage::Endpoint",
            "stage::Host",
            "stage::NetworkFacts",
            "stage::Watch",
            "stage::enclosure",
            "stage::relay",
            // Why an argument of a program cannot be filled in.
            "stage::placeholder",
            "redact",
        ],
    ),
    (
        "report",
        &[
            "advice",
            "analyse",
            "bounds",
            "judge",
            "pg::LockMode",
            "plan",
            "recording::format",
            "recording::traffic",
            "stage::CloneMethod",
            "stage::Network",
            "stage::StageKind",
            "redact",
        ],
    ),
    (
        "run",
        &[
            "analyse",
            "clock",
            "disturb",
            "error",
            "interrupt",
            "judge",
            "observe",
            "pg",
            "plan",
            "recording",
            "replay",
            "report",
            "snapshot",
            "stage",
            "traffic",
            "redact",
        ],
    ),
    (
        "snapshot",
        &[
            // One list says which settings a stage may have, wherever they are written.
            "config::carried",
            "config::conf",
            // Whether a file changed just now, so that its digest is not kept.
            "clock::wall",
            "config::suggest",
            "config::units",
            "config::vars",
            "error",
            // Where `pg_dump` runs, and a request to stop: making a snapshot is work of its own.
            "interrupt",
            "plan::StagePlan",
            "recording::format",
            "sql",
            "stage",
            "redact",
            "plan::Literals",
        ],
    ),
    ("sql", &[]),
    (
        "traffic",
        &[
            "clock",
            "durations",
            "error",
            "pg",
            "plan",
            "recording::format",
            "recording::traffic",
            "sql",
            "stage::Endpoint",
        ],
    ),
    (
        "stage",
        &["clock::nanos", "clock::wall", "error", "plan", "redact"],
    ),
];

/// Rooms that turn what was recorded into what it means: the same answer wherever they run.
const PURE: &[&str] = &[
    "analyse",
    "bounds",
    "judge",
    "report",
    "recording/format.rs",
];

/// What a pure room cannot name: the world, and the clock.
const WORLD: &[&str] = &[
    "tokio",
    "tokio_postgres",
    "bollard",
    "nix",
    "rand",
    "tempfile",
    "crossbeam_channel",
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "Timestamp::now",
];

/// Crates that live in few places: nothing outside knows their types.
const HOMES: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["replay/place.rs"]),
    ("bollard", &["stage/docker"]),
    ("clap", &["cli", "main.rs", "commands"]),
    (
        "comfy_table",
        &[
            "report/compare.rs",
            "report/felt.rs",
            "report/repeats.rs",
            "report/summary.rs",
            "report/table.rs",
        ],
    ),
    ("hdrhistogram", &["durations.rs", "report"]),
    ("indicatif", &["terminal"]),
    ("minijinja", &["report/html"]),
    ("quick_junit", &["report/junit.rs"]),
    (
        "tokio_postgres",
        &[
            "disturb", "observe", "pg", "replay", "run", "snapshot", "stage", "traffic",
        ],
    ),
    ("rustls_native_certs", &["stage/tls"]),
    ("tokio_rustls", &["stage/tls"]),
    (
        "toml",
        &["config", "snapshot/manifest.rs", "snapshot/manifest"],
    ),
    ("x509_cert", &["stage/tls"]),
];

#[test]
fn rooms_know_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (file, code) in library() {
        let room = room(&file);
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!(
                "`{}`: room `{room}` is not in the table",
                shown(&file)
            ));
            continue;
        };
        for path in crate_paths(&code) {
            let other = first(&path);
            if other == room {
                continue;
            }
            match allowed.iter().find(|allowed| covers(allowed, &path)) {
                Some(allowed) => drop(used.insert((room.clone(), (*allowed).to_owned()))),
                None => wrong.push(format!("`{}` uses `crate::{path}`", shown(&file))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let idle: Vec<String> = MAY_USE
        .iter()
        .flat_map(|(room, allowed)| allowed.iter().map(move |other| (room, other)))
        .filter(|(room, other)| !used.contains(&(room.to_string(), other.to_string())))
        .map(|(room, other)| format!("`{room}` no longer uses `{other}`: take it out"))
        .collect();
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}

#[test]
fn pure_rooms_know_nothing_of_the_world() {
    let mut wrong = Vec::new();
    for (file, code) in library() {
        if !PURE.iter().any(|room| lies_in(&file, room)) {
            continue;
        }
        for word in WORLD.iter().filter(|word| names(&code, word)) {
            wrong.push(format!("`{}` names `{word}`", shown(&file)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_at_home() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        for (name, homes) in HOMES {
            let at_home = homes.iter().any(|home| lies_in(&file, home));
            if !at_home && names(&code, &format!("{name}::")) {
                wrong.push(format!("`{}` names `{name}`", shown(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_library_prints_nothing_and_never_exits() {
    let mut wrong = Vec::new();
    for (file, code) in library() {
        for word in [
            "println!",
            "print!",
            "eprintln!",
            "eprint!",
            "stdout()",
            "stderr()",
            "process::exit",
        ] {
            if names(&code, word) {
                wrong.push(format!("`{}` has `{word}`", shown(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn main_stays_short_and_every_room_is_described() {
    let main = fs::read_to_string(root().join("main.rs")).expect("there");
    assert!(main.lines().count() <= 60, "main.rs has more than 60 lines");
    let described = fs::read_to_string(root().with_file_name("ARCHITECTURE.md")).expect("there");
    for (room, _) in MAY_USE {
        assert!(
            described.contains(&format!("| `{room}`")),
            "ARCHITECTURE.md says nothing of `{room}`"
        );
    }
}

#[test]
fn paths_are_found_in_every_form() {
    let code = "use crate::{Error, Result, cli};\nuse crate::stage::{Endpoint, local::{Local, self}};\n\
                use crate::pg::LockMode as Mode;\nlet x = crate::sql::normalise(y);";
    let found: Vec<String> = crate_paths(code).into_iter().collect();
    assert_eq!(
        found,
        [
            "cli",
            "error",
            "pg::LockMode",
            "sql::normalise",
            "stage::Endpoint",
            "stage::local",
            "stage::local::Local",
        ]
    );
    assert_eq!(bare("a // crate::x\nb"), "a \nb");
    assert!(names("tokio::spawn", "tokio") && !names("tokio_util::x", "tokio"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, its path from `src/`, without comments and tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("readable");
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                let file = path.strip_prefix(root()).expect("below src").to_owned();
                found.push((file, bare(code)));
            }
        }
    }
    assert!(found.len() > 50, "only {} files found", found.len());
    found.sort();
    found
}

/// The library's rooms: all but the command's own files.
fn library() -> impl Iterator<Item = (PathBuf, String)> {
    sources().into_iter().filter(|(file, _)| {
        let command = ["main.rs", "lib.rs", "signals.rs", "terminal", "commands"];
        !command.iter().any(|place| lies_in(file, place))
    })
}

fn shown(file: &Path) -> String {
    format!("src/{}", file.display())
}

fn room(file: &Path) -> String {
    let first = file.iter().next().expect("a path").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// True when the file is the place, lies in its folder or is the one file of a room.
fn lies_in(file: &Path, place: &str) -> bool {
    file.starts_with(place) || file == Path::new(&format!("{place}.rs"))
}

/// Without comments.
fn bare(code: &str) -> String {
    let lines: Vec<&str> = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    lines.join("\n")
}

/// True when `word` stands there as a word of its own.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        let ends_open = word.ends_with(part);
        !(before.is_some_and(part) || ends_open && after.is_some_and(part))
    })
}

/// What stands behind every `crate::`, braces resolved; `Error` and `Result` are `error`'s.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (start, marker) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            resolve("", &code[start + marker.len()..], &mut paths);
        }
    }
    paths
        .into_iter()
        .map(|path| match first(&path) {
            "Error" | "Result" => "error".to_owned(),
            _ => path,
        })
        .collect()
}

/// Reads one path from the start of `text`, or a braced list of them.
fn resolve(prefix: &str, text: &str, paths: &mut BTreeSet<String>) {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    if !list[start..at].trim().is_empty() {
                        resolve(prefix, &list[start..at], paths);
                    }
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let path = match (prefix, word) {
        (prefix, "self") => prefix.to_owned(),
        ("", word) => word.to_owned(),
        (prefix, word) => format!("{prefix}::{word}"),
    };
    match rest.strip_prefix("::") {
        Some(rest) => resolve(&path, rest, paths),
        None => drop(paths.insert(path)),
    }
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

fn covers(allowed: &str, path: &str) -> bool {
    path == allowed || path.starts_with(&format!("{allowed}::"))
}
