//! How old a snapshot is, and whether that is too old to be restored at all.

use std::time::Duration;

use jiff::Timestamp;

use crate::snapshot::{Manifest, Source};
use crate::{Error, Result};

/// Without a limit, an older one is warned of: tables have grown since.
const STALE: Duration = Duration::from_secs(30 * DAY);
/// Clocks of two machines differ by as much.
const TOLERANCE: Duration = Duration::from_secs(300);
const DAY: u64 = 86_400;

/// A snapshot's age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Age {
    /// Whole days; None: nobody said when it was taken.
    pub days: Option<i64>,
    /// True when it is old and no limit was set, which is a judgement of its user's own.
    pub stale: bool,
}

impl Age {
    /// The age at `now`; `limit` is the run's, which wins over the snapshot's own.
    ///
    /// # Errors
    /// It is older than the limit, or there is a limit and a dump does not say when it was taken.
    pub fn of(manifest: &Manifest, limit: Option<Duration>, now: Timestamp) -> Result<Self> {
        let limit = limit.or(manifest.travels.max_age);
        let Some(taken_at) = manifest.taken_at else {
            // What a generator makes was taken at no time.
            if limit.is_none() || matches!(manifest.source, Source::Generator { .. }) {
                return Ok(Self::default());
            }
            return Err(Error::usage(format!(
                "the snapshot `{}` does not say how old it is, and there is a limit",
                manifest.name
            ))
            .help("add `taken_at = \"2026-11-01T00:00:00Z\"` to its snapshot.toml"));
        };
        let age = now.duration_since(taken_at);
        let days = age.as_secs().div_euclid(DAY.cast_signed());
        let older_than = |limit: Duration| Duration::try_from(age).is_ok_and(|age| age > limit);
        match limit {
            Some(limit) if older_than(limit) => Err(Error::usage(format!(
                "the snapshot `{}` is too old: taken {taken_at}, {days} days ago, and the limit is {}",
                manifest.name,
                shown(limit)
            ))
            .help("take it again; or raise the limit: `--max-age`, or `max_age` of the scenario or of snapshot.toml")),
            Some(_) => Ok(Self {
                days: Some(days),
                stale: false,
            }),
            None => Ok(Self {
                days: Some(days),
                stale: older_than(STALE),
            }),
        }
    }

    /// What is to be said of it.
    pub fn note(self, manifest: &Manifest, now: Timestamp) -> Option<String> {
        let taken_at = manifest.taken_at?;
        if now.duration_since(taken_at) < -jiff::SignedDuration::try_from(TOLERANCE).ok()? {
            return Some(format!(
                "the snapshot says that it was taken in the future: {taken_at}; its age is not known"
            ));
        }
        let days = self.days.filter(|_| self.stale)?;
        Some(format!(
            "the snapshot is {days} days old: production's tables have grown since, and so have holds \
             that scan or rewrite them"
        ))
    }
}

/// `30 days`, or hours where it is no whole number of days.
fn shown(limit: Duration) -> String {
    let seconds = limit.as_secs();
    if seconds >= DAY && seconds.is_multiple_of(DAY) {
        format!("{} days", seconds / DAY)
    } else {
        format!("{:.1} hours", limit.as_secs_f64() / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(toml: &str) -> Manifest {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("name='shop'\n{toml}");
        std::fs::write(folder.path().join("snapshot.toml"), text).expect("written");
        let loaded = Manifest::load(folder.path());
        loaded.unwrap_or_else(|error| panic!("{}", error.story())).0
    }

    const DUMP: &str = "source={kind='dump',file='a'}\n";

    fn days(days: u64) -> Option<Duration> {
        Some(Duration::from_secs(days * DAY))
    }

    fn now() -> Timestamp {
        "2026-11-25T12:00:00Z".parse().expect("a time")
    }

    #[test]
    fn old_ones_are_warned_of_and_a_limit_refuses() {
        let of = |taken: &str, limit| {
            let manifest = manifest(&format!("taken_at='{taken}'\n{DUMP}"));
            Age::of(&manifest, limit, now())
                .map(|age| (age.days, age.stale, age.note(&manifest, now()).is_some()))
                .map_err(|error| error.story())
        };
        let young = "2026-11-21T00:00:00Z";
        let old = "2026-10-01T00:00:00Z";
        assert_eq!(of(young, None), Ok((Some(4), false, false)));
        assert_eq!(of(old, None), Ok((Some(55), true, true)));
        // Within a limit of its user's own it is not stale.
        assert_eq!(of(old, days(60)), Ok((Some(55), false, false)));
        let story = of(old, days(30)).expect_err("too old");
        assert!(
            story.contains("55 days ago, and the limit is 30 days"),
            "{story}"
        );
        // A clock a little ahead is nothing to tell.
        assert_eq!(
            of("2026-11-25T12:01:00Z", None),
            Ok((Some(-1), false, false))
        );
        assert_eq!(
            of("2026-12-25T12:01:00Z", None),
            Ok((Some(-31), false, true))
        );
    }

    #[test]
    fn the_run_s_limit_wins_over_the_snapshot_s() {
        let manifest = manifest(&format!(
            "taken_at='2026-11-01T00:00:00Z'\nmax_age='7d'\n{DUMP}"
        ));
        assert!(Age::of(&manifest, None, now()).is_err());
        assert!(Age::of(&manifest, days(30), now()).is_ok());
    }

    #[test]
    fn an_unknown_age_breaks_a_limit_but_for_what_was_never_taken() {
        let dump = manifest(DUMP);
        assert_eq!(Age::of(&dump, None, now()).ok(), Some(Age::default()));
        let story = Age::of(&dump, days(1), now()).expect_err("unknown").story();
        assert!(story.contains("taken_at"), "{story}");
        let generator = manifest("source={kind='generator',files=['a']}\n");
        assert_eq!(
            Age::of(&generator, days(1), now()).ok(),
            Some(Age::default())
        );
    }
}
