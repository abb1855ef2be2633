//! `lockproof snapshot inspect`: one of them, with everything that is known.

use jiff::Timestamp;
use lockproof::exit_code::ExitCode;
use lockproof::report::text;
use lockproof::{Result, cli, clock};

use super::Shelf;
use super::ls::json;
use super::pick::pick;
use super::shown::{UNKNOWN, ago, kind, size};
use crate::terminal::{Screen, print, print_ready};

/// Shows it.
pub async fn inspect(arguments: &cli::SnapshotInspect, screen: &Screen) -> Result<ExitCode> {
    let shelf = Shelf::look(arguments.cache.folder.as_deref(), screen).await?;
    let cached = pick(&shelf.cached, &arguments.id)?;
    screen.finish();
    if arguments.json {
        print_ready(&json(cached)?)?;
        return Ok(ExitCode::Within);
    }
    let now = clock::wall();
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let moment = |at: Option<Timestamp>| match at {
        // Of a second, as reports have it.
        Some(time) => format!("{time:.0} ({})", ago(at, now)),
        None => UNKNOWN.to_owned(),
    };
    let rows = cached.rows.map_or_else(
        || UNKNOWN.to_owned(),
        |rows| format!("about {}", text::count(rows)),
    );
    for (what, value) in [
        ("id", cached.id.clone()),
        ("snapshot", said(&cached.snapshot)),
        ("digest", said(&cached.digest)),
        ("database", said(&cached.database)),
        ("stage", kind(cached)),
        ("server", said(&cached.server_version)),
        ("place", cached.place.clone()),
        ("size", size(cached.bytes)),
        ("rows", rows),
        ("made", moment(cached.made_at)),
        ("made by", format!("lockproof {}", said(&cached.made_by))),
        ("last used", moment(cached.used_at)),
        (
            "in use",
            if cached.in_use { "yes" } else { "no" }.to_owned(),
        ),
    ] {
        print(&format!("{what:<10} {value}\n"))?;
    }
    Ok(ExitCode::Within)
}
