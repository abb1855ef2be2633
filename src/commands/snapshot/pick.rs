//! Which restored snapshot is meant: by an id, its beginning, a snapshot's name, or the place that a message named: the
//! volume, the folder, or that folder's own name.

use lockproof::config::suggest::nearest;
use lockproof::stage::cache::Cached;
use lockproof::{Error, Result};

use super::shown::{id, kind};

/// The one that is meant.
pub fn pick<'a>(all: &'a [Cached], typed: &str) -> Result<&'a Cached> {
    let named: Vec<&Cached> = all
        .iter()
        .filter(|cached| cached.snapshot.as_deref() == Some(typed))
        .collect();
    let begun: Vec<&Cached> = all
        .iter()
        .filter(|cached| {
            !typed.is_empty() && (cached.id.starts_with(typed) || is_at(cached, typed))
        })
        .collect();
    // A name is what people chose: it wins over an id that happens to begin like it.
    match (named.as_slice(), begun.as_slice()) {
        ([only], _) | ([], [only]) => Ok(only),
        ([], []) => Err(unknown(all, typed)),
        ([], several) | (several, _) => Err(Error::usage(format!(
            "`{typed}` may mean any of {} restored snapshots",
            several.len()
        ))
        .details(several.iter().map(|cached| {
            format!(
                "{}  {}, {}",
                id(cached),
                cached.snapshot.as_deref().unwrap_or("unnamed"),
                kind(cached)
            )
        }))
        .help("name one by its id")),
    }
}

/// Whether its place is so called.
fn is_at(cached: &Cached, typed: &str) -> bool {
    let place = std::path::Path::new(&cached.place);
    cached.place == typed || place.file_name().is_some_and(|name| name == typed)
}

fn unknown(all: &[Cached], typed: &str) -> Error {
    let error = Error::usage(format!("there is no restored snapshot `{typed}`"));
    let names = all.iter().filter_map(|cached| cached.snapshot.as_deref());
    let ids = all.iter().map(id);
    error.help(match nearest(typed, names.chain(ids)) {
        Some(meant) => format!("did you mean `{meant}`? `lockproof snapshot ls` has all of them"),
        None => "`lockproof snapshot ls` lists them".to_owned(),
    })
}
