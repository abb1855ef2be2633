//! Findings about traffic and disturbances that were not what was asked for, in plain words.

use super::felt_words::said;
use super::text::{count, time};
use super::wording::Words;
use crate::judge::{Doubt, Missing, Presence};

/// Words a finding.
pub fn words(doubt: &Doubt) -> Words<'static> {
    match doubt {
        Doubt::TrafficBroke { error: Some(error) } => said(
            "traffic-broke",
            format!(
                "the traffic ended early, so what it tells of requests is not all that there was: {error}"
            ),
            Some("see to it that the server keeps its connections, and run again"),
        ),
        Doubt::TrafficBroke { error: None } => said(
            "traffic-broke",
            "the recording ends before its traffic does, so the last requests are not in it"
                .to_owned(),
            Some("run again"),
        ),
        Doubt::RateNotHeld {
            rate,
            begun: (due, begun),
            baseline,
            wait,
        } => said(
            "traffic-rate-not-held",
            format!(
                "{rate} requests/s were not held{}; of {} in all {} were begun: what the step did to requests cannot \
                 be told from what the load did",
                baseline.map_or_else(String::new, |(due, answered)| format!(
                    " even before the first step: of {} due then {} were answered then, and their wait for a \
                     connection was {} in the median and {} at the longest",
                    count(due),
                    count(answered.min(due)),
                    time(wait.p50),
                    time(wait.max),
                )),
                count(*due),
                count(*begun),
            ),
            Some("lower the rate or give the application a larger pool, as production has them"),
        ),
        Doubt::TrafficLate { lateness, allowed } => said(
            "traffic-late",
            format!(
                "the generator itself made requests late on this machine, {} in the 99th percentile and {} at the \
                 longest{}: latencies are longer by that through no fault of the server",
                time(lateness.p99),
                time(lateness.max),
                allowed.map_or_else(String::new, |allowed| format!(
                    ", where latencies may grow by {}",
                    time(allowed)
                )),
            ),
            Some("run again on a quieter machine, or with a lower rate"),
        ),
        Doubt::DisturbanceMissing { name, presence } => said(
            "disturbance-missing",
            match presence {
                Presence::Never => format!(
                    "the disturbance `{name}` was never in place, so nothing is proved about the step beside it"
                ),
                Presence::Broke(error) => format!(
                    "the disturbance `{name}` ended by itself, so what is proved is the step without it: {error}"
                ),
            },
            match presence {
                Presence::Never => {
                    Some("let it begin earlier: steps may be over by then, or name the step that it begins with")
                }
                Presence::Broke(_) => None,
            },
        ),
        Doubt::NothingDone { sessions, unclear } => said(
            "nothing-done",
            format!(
                "the program ended well, {}, and it was not seen to commit any change{}: nothing was done, so nothing \
                 is proved",
                match sessions {
                    None => "it reached the stage as far as can be told".to_owned(),
                    Some(1) => "one session of it came to the stage".to_owned(),
                    Some(sessions) => format!("{} sessions of it came to the stage", count(*sessions)),
                },
                if unclear.is_empty() {
                    String::new()
                } else {
                    format!(
                        " (whether what changed in {} is its work and was committed cannot be told)",
                        names(unclear)
                    )
                },
            ),
            Some(
                "the snapshot may have this migration already: take one from before it; or say \
                 `may_do_nothing = true` in the step",
            ),
        ),
        Doubt::NotSeen => said(
            "command-not-seen",
            "the program may do nothing, but nothing tells whether a session of it came to the stage at all".to_owned(),
            Some("let it keep the `application_name` that PGAPPNAME gives it, or run on a stage of PostgreSQL 14 or newer"),
        ),
        Doubt::DidLess { missing } => said(
            "did-less",
            format!(
                "the program did less than in an earlier replay of the same step, so this replay proves nothing about \
                 it: {}",
                lacks(missing)
            ),
            Some(
                "let it start from the database alone: what it keeps elsewhere, such as a file of its progress, is \
                 still there when the next replay begins on a fresh clone",
            ),
        ),
        Doubt::EffectsUnread { error } => said(
            "effects-unknown",
            format!("what the program did to the stage could not be read, so nothing is proved: {error}"),
            Some("see to it that the program leaves nothing locked, such as a prepared transaction"),
        ),
        Doubt::ForeignClients { most, applications } => said(
            "foreign-clients",
            format!(
                "up to {most} other client{} on the server during the step{}: their locks and load are in what was \
                 measured, and a server that others use may be production",
                if *most == 1 { " was" } else { "s were" },
                if applications.is_empty() {
                    String::new()
                } else {
                    format!(" (`{}`)", applications.join("`, `"))
                }
            ),
            Some("keep others off the server while it is measured"),
        ),
        Doubt::OthersToo => said(
            "others-too",
            "others were on the server meanwhile: whether what changed is the program's work or theirs is not known"
                .to_owned(),
            Some("keep others off the server while it is measured"),
        ),
    }
}

/// At most so many names bear reading.
const NAMES: usize = 5;

fn names(all: &[String]) -> String {
    let shown: Vec<String> = all
        .iter()
        .take(NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    match all.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn lacks(missing: &[Missing]) -> String {
    let one = |missing: &Missing| match missing {
        Missing::Everything => "it changed nothing this time".to_owned(),
        Missing::Relation(relation) => format!("`{relation}` was not changed this time"),
        Missing::Catalogue(name) => format!("`pg_catalog.{name}` was not changed this time"),
        Missing::Rows {
            relation,
            earlier,
            now,
        } => format!(
            "{} rows of `{relation}` were changed, and {} earlier",
            count(*now),
            count(*earlier)
        ),
    };
    let shown: Vec<String> = missing.iter().take(NAMES).map(one).collect();
    match missing.len().saturating_sub(NAMES) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
