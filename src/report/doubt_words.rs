//! Findings about traffic and disturbances that were not what was asked for, in plain words.

use super::felt_words::said;
use super::text::{count, time};
use super::wording::Words;
use crate::judge::{Doubt, Presence};

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
    }
}
