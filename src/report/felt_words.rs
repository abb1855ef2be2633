//! Findings about what applications felt, in plain words.

use super::text::{bounds, count, short, time};
use super::wording::{QUOTE, Words};
use crate::analyse::impact::{Exclusion, Stander, Victim, WaitEnd};
use crate::judge::Felt;
use crate::judge::impact::ENOUGH;
use crate::pg::LockMode;
use crate::plan::Increase;

/// What to do about a queue.
const BE_IMPATIENT: &str = "set `lock_timeout` and `retry` for the step or the scenario: a lock that is only waited for \
                            keeps everybody else out as well, and between two attempts they get through; with less in \
                            its way, or in a quieter hour, it waits less";

/// Words a finding.
pub fn words(felt: &Felt) -> Words<'static> {
    match felt {
        Felt::ExclusionExceeded {
            exclusion,
            more,
            limit,
        } => said(
            "exclusion-exceeded",
            format!(
                "nobody else could have `{}` for {}, from asked to {}, over the budget of {}{}{}",
                exclusion.relation,
                bounds(exclusion.lasted),
                ending(exclusion),
                time(*limit),
                also(*more),
                behind(exclusion.blocked),
            ),
            Some(BE_IMPATIENT),
        ),
        Felt::ExclusionUnproven { exclusion, limit } => said(
            "exclusion-unproven",
            format!(
                "nobody else could have `{}` for {}, from asked to {}: the budget of {} lies between these bounds",
                exclusion.relation,
                bounds(exclusion.lasted),
                ending(exclusion),
                time(*limit),
            ),
            Some(
                "run again on a quieter machine; an exclusion this close to its budget is not safe",
            ),
        ),
        Felt::VictimWait {
            waited,
            victim,
            limit,
            proved,
        } => said(
            if *proved {
                "victim-wait-exceeded"
            } else {
                "victim-wait-unproven"
            },
            format!(
                "somebody waited behind the migration for {}, {} {}: {}",
                bounds(*waited),
                if *proved {
                    "over the budget of"
                } else {
                    "and nothing proves that this keeps the budget of"
                },
                time(*limit),
                story(victim),
            ),
            Some(BE_IMPATIENT),
        ),
        Felt::RequestsBlocked {
            seen,
            surely,
            limit,
            victim,
        } => said(
            if surely > limit {
                "requests-blocked"
            } else {
                "requests-blocked-unproven"
            },
            format!(
                "{} wait{} behind the migration {} seen{}, and {} allowed{}",
                count(*seen),
                if *seen == 1 { "" } else { "s" },
                if *seen == 1 { "was" } else { "were" },
                if surely < seen {
                    format!(", {} of them surely behind it", count(*surely))
                } else {
                    String::new()
                },
                match limit {
                    0 => "none is".to_owned(),
                    1 => "1 is".to_owned(),
                    limit => format!("{} are", count(*limit)),
                },
                victim.as_ref().map_or_else(String::new, |victim| format!(
                    "; the longest: {}",
                    story(victim)
                )),
            ),
            Some(BE_IMPATIENT),
        ),
        Felt::P99Increased {
            operation,
            before,
            after,
            requests,
            limit,
            proved,
        } => {
            let allowed = match limit {
                Increase::By(limit) => time(*limit),
                Increase::Percent(percent) => format!("{percent}%"),
            };
            let few = [requests.0, requests.1].iter().any(|count| *count < ENOUGH);
            said(
                if *proved {
                    "p99-increased"
                } else {
                    "p99-unproven"
                },
                format!(
                    "the 99th percentile of `{operation}` was {} in {} requests during the step, and {} in {} before \
                     the first one; {}{}",
                    time(*after),
                    count(requests.1),
                    before.map_or_else(|| "unknown".to_owned(), time),
                    count(requests.0),
                    if *proved {
                        format!("it may grow by {allowed}")
                    } else {
                        format!("that neither proves nor refutes that it grows by no more than {allowed}")
                    },
                    if few && !*proved {
                        format!(": {ENOUGH} requests are needed on each side")
                    } else {
                        String::new()
                    },
                ),
                (few && !*proved).then_some(
                    "raise the rate of the traffic or lengthen its baseline; for a short step, raise the rate",
                ),
            )
        }
        Felt::RequestsLost {
            timed_out,
            refused,
            limit,
        } => said(
            "requests-lost",
            format!(
                "{} requests timed out and {} got no connection during the step; {} allowed",
                count(*timed_out),
                count(*refused),
                match limit {
                    0 => "none is".to_owned(),
                    1 => "1 is".to_owned(),
                    limit => format!("{} are", count(*limit)),
                },
            ),
            Some(BE_IMPATIENT),
        ),
        Felt::RequestsFailed {
            operation,
            failed,
            requests,
            sqlstates,
            after,
            others,
        } => said(
            "requests-failed",
            format!(
                "{} of {} requests of `{operation}` failed {} as none did before the first: {}{}",
                count(*failed),
                count(*requests),
                if *after {
                    "during the step or after it"
                } else {
                    "during the step"
                },
                sqlstates
                    .iter()
                    .map(|(sqlstate, times)| match sqlstate.as_str() {
                        "connection" => format!("{} lost their connection", count(*times)),
                        sqlstate => format!("{} with SQLSTATE {sqlstate}", count(*times)),
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
                match others {
                    0 => String::new(),
                    1 => "; so did those of one more operation".to_owned(),
                    others => format!("; so did those of {others} more operations"),
                },
            ),
            Some(
                "the application that runs during the migration has to know both the old schema and the new one: first \
                 deploy one that does",
            ),
        ),
        Felt::NotMeasured => said(
            "requests-not-measured",
            "there is a budget of requests, and nothing was recorded of any".to_owned(),
            Some("run it with traffic; a recording without traffic cannot be judged by it"),
        ),
        Felt::NoLockTimeout {
            statement,
            mode,
            more,
        } => said(
            "no-lock-timeout",
            format!(
                "`{}`{} asked for {} without a lock_timeout: behind one long transaction it would wait as long as \
                 that takes, and {} behind it",
                short(statement, QUOTE),
                match more {
                    0 => String::new(),
                    1 => ", like one more statement,".to_owned(),
                    more => format!(", like {more} more statements,"),
                },
                mode.sql(),
                match mode {
                    LockMode::AccessExclusiveLock => "everybody else",
                    _ => "every write",
                },
            ),
            Some(
                "`lock_timeout = \"500ms\"` with `retry = { attempts = 10, backoff = \"500ms\" }` in scenario.toml, and \
                 the same in production: a request that is given up lets the others through",
            ),
        ),
        Felt::Retried {
            attempts,
            rested,
            excluded,
            took,
        } => said(
            "lock-timeout-retried",
            format!(
                "lock_timeout struck, and it took up to {attempts} attempts{}, {} of it in rests{}",
                took.map_or_else(String::new, |took| format!(" in {}", time(took))),
                time(*rested),
                excluded.map_or_else(String::new, |excluded| format!(
                    "; nobody else could have what it asked for during {} of it in all",
                    bounds(excluded)
                )),
            ),
            None,
        ),
    }
}

/// `` `SELECT …` (traffic) behind `ALTER …` (migration) behind `COPY …` (pg_dump) ``.
fn story(victim: &Victim) -> String {
    let chain = victim
        .chain
        .iter()
        .map(|stander| format!(" behind {}", named(stander)));
    format!("{}{}", named(&victim.session), chain.collect::<String>())
}

fn named(stander: &Stander) -> String {
    if stander.query.trim().is_empty() {
        return stander.who.clone();
    }
    format!("`{}` ({})", short(&stander.query, 60), stander.who)
}

fn ending(exclusion: &Exclusion) -> &'static str {
    match exclusion.ended {
        WaitEnd::Granted => "released",
        WaitEnd::InVain => "given up",
    }
}

fn also(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ", and once more".to_owned(),
        more => format!(", and {more} times more"),
    }
}

fn behind(sessions: u64) -> String {
    match sessions {
        0 => "; nobody was seen behind it".to_owned(),
        1 => "; 1 session waited behind it".to_owned(),
        sessions => format!("; {sessions} sessions waited behind it"),
    }
}

/// A finding that is about no hold.
pub(super) fn said(rule: &'static str, message: String, advice: Option<&str>) -> Words<'static> {
    Words {
        rule,
        hold: None,
        message,
        advice: advice.map(str::to_owned),
    }
}
