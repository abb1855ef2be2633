//! `lockproof snapshot ls`: what is restored.

use lockproof::exit_code::ExitCode;
use lockproof::report::text;
use lockproof::stage::cache::Cached;
use lockproof::stage::local;
use lockproof::{Error, Result, cli, clock, redact};
use serde::Serialize;

use super::Shelf;
use super::shown::{UNKNOWN, ago, id, kind, size};
use crate::terminal::{Screen, print, print_ready};

/// What `--json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    cache: String,
    /// Of the cache folder's disk.
    free_bytes: Option<u64>,
    bytes: u64,
    snapshots: &'a [Cached],
}

const COLUMNS: [&str; 8] = [
    "id",
    "snapshot",
    "server",
    "stage",
    "size",
    "made",
    "last used",
    "in use",
];

/// Lists and says how large all of it is.
pub async fn ls(arguments: &cli::SnapshotLs, screen: &Screen) -> Result<ExitCode> {
    let shelf = Shelf::look(arguments.cache.folder.as_deref(), screen).await?;
    let bytes = shelf.cached.iter().filter_map(|cached| cached.bytes).sum();
    let free = local::free(&shelf.folder);
    screen.finish();
    if arguments.json {
        let listed = Listed {
            cache: shelf.folder.display().to_string(),
            free_bytes: free,
            bytes,
            snapshots: &shelf.cached,
        };
        print_ready(&json(&listed)?)?;
        return Ok(ExitCode::Within);
    }
    if shelf.cached.is_empty() {
        screen.say("nothing is restored");
        return Ok(ExitCode::Within);
    }
    let now = clock::wall();
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(shelf.cached.iter().map(|cached| {
        let said = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        [
            id(cached).to_owned(),
            said(&cached.snapshot),
            said(&cached.server_version),
            kind(cached),
            size(cached.bytes),
            ago(cached.made_at, now),
            ago(cached.used_at, now),
            if cached.in_use { "yes" } else { "no" }.to_owned(),
        ]
    }));
    print(&aligned(&rows))?;
    let free = free.map_or_else(String::new, |free| {
        format!(
            "; {} are free on the disk of {}",
            text::bytes(free),
            shelf.folder.display()
        )
    });
    screen.say(&format!("{} in all{free}", text::bytes(bytes)));
    Ok(ExitCode::Within)
}

/// As one JSON document with a line break behind it.
pub fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| redact::escape_json(&text) + "\n")
        .map_err(|error| Error::defect("the list cannot be written as JSON").because(error))
}

/// Columns side by side; two blanks between, none at a line's end.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        let rows = [["id", "é"], ["1", "long name"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "id  é\n1   long name\n");
    }
}
