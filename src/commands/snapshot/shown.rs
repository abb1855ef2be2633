//! A restored snapshot in words.

use std::time::Duration;

use jiff::Timestamp;
use lockproof::report::text;
use lockproof::stage::StageKind;
use lockproof::stage::cache::Cached;

/// What nobody knows.
pub const UNKNOWN: &str = "-";

/// So many digits tell millions apart, and fit a line.
const DIGITS: usize = 12;

/// The id as lists show it.
pub fn id(cached: &Cached) -> &str {
    cached.id.get(..DIGITS).unwrap_or(&cached.id)
}

/// `local`, or `container` with its image.
pub fn kind(cached: &Cached) -> String {
    match (cached.stage, &cached.image) {
        (StageKind::Docker, Some(image)) => format!("container {image}"),
        (StageKind::Docker, None) => "container".to_owned(),
        _ => "local".to_owned(),
    }
}

/// Its size.
pub fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), text::bytes)
}

/// How long ago something was: `3 days ago`. What is still to come is now: a clock was set.
pub fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else {
        return UNKNOWN.to_owned();
    };
    let past = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    match span(past) {
        Some(span) => format!("{span} ago"),
        None => "just now".to_owned(),
    }
}

/// A long time in its largest unit: `3 days`; None: less than a minute.
pub fn span(time: Duration) -> Option<String> {
    let seconds = time.as_secs();
    [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .iter()
        .find(|(unit, _)| seconds >= *unit)
        .map(|(unit, name)| {
            let count = seconds / unit;
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {name}{plural}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        for (seconds, words) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7_300, "2 hours ago"),
            (86_400 * 40, "40 days ago"),
            (-86_400, "just now"),
        ] {
            let at = Timestamp::from_second(1_800_000_000 - seconds).expect("a time");
            assert_eq!(ago(Some(at), now), words);
        }
        assert_eq!(ago(None, now), "-");
        assert_eq!(ago(Some(Timestamp::MAX), now), "just now");
    }
}
