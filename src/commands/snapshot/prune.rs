//! `lockproof snapshot prune`: removes what nobody used for long, or what is too much.

use std::time::Duration;

use lockproof::exit_code::ExitCode;
use lockproof::report::text;
use lockproof::stage::cache::{Odd, Reason, odd, prunable};
use lockproof::{Error, Result, cli, clock, config};

use super::Shelf;
use super::rm::words;
use super::shown::span;
use crate::terminal::{Screen, print};

/// Removes, and says of each why.
pub async fn prune(arguments: &cli::SnapshotPrune, screen: &Screen) -> Result<ExitCode> {
    let keep = config::keep(arguments)?;
    let shelf = Shelf::look(arguments.cache.folder.as_deref(), screen).await?;
    if arguments.older_than.is_none() && arguments.max_size.is_none() {
        screen.say("asked for nothing in particular: what no run used within 30 days");
    }
    let verb = if arguments.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let now = clock::wall();
    for odd in odd(&shelf.cached, now) {
        match odd {
            Odd::Ahead(cached, at) => screen.say(&format!(
                "last used in the future, and taken for used just now, since a clock was set: {} at {at:.0}",
                words(cached)
            )),
            Odd::AllOld(least) if keep.used_within.is_some() => return Err(no_age(least)),
            Odd::AllOld(_) => {}
        }
    }
    let (mut freed, mut count, mut failure) = (0, 0, None);
    for (cached, reason) in prunable(&shelf.cached, keep, now) {
        let why = match reason {
            Reason::Unused(time) => format!(
                "unused for {}",
                span(time).unwrap_or_else(|| "less than a minute".to_owned())
            ),
            Reason::NoRoom => "to make room".to_owned(),
        };
        if !arguments.dry_run
            && let Err(error) = shelf.remove(cached).await
        {
            // It may have come into use a moment ago; the next in line goes all the same.
            if let Some(earlier) = failure.replace(error) {
                screen.error(&earlier);
            }
            continue;
        }
        freed += cached.bytes.unwrap_or_default();
        count += 1;
        print(&format!("{verb} {} ({why})\n", words(cached)))?;
    }
    screen.finish();
    let in_use = shelf.cached.iter().filter(|cached| cached.in_use).count();
    if in_use > 0 {
        screen.say(&format!("in use, and left alone: {in_use}"));
    }
    screen.say(&match count {
        0 => "nothing to remove".to_owned(),
        _ => format!("{verb} {count}, {}", text::bytes(freed)),
    });
    failure.map_or(Ok(ExitCode::Within), Err)
}

/// By a clock that is ahead everything is old.
fn no_age(least: Duration) -> Error {
    Error::stage(format!(
        "the clock may be wrong: by it nothing that is restored was used within {}",
        span(least).unwrap_or_default()
    ))
    .help(
        "set the clock and prune again; if it is right, `lockproof snapshot prune --max-size 1B` removes all that is not \
         in use",
    )
}
