//! Findings in plain words: what was seen, and what to do.

use super::model;
use super::text::{bounds, count, scenarios_beside, short, time};
use super::{doubt_words, felt_words};
use crate::advice;
use crate::analyse::impact::Wait;
use crate::analyse::{Hold, Holder};
use crate::judge::{Finding, FindingKind, ShutOut};
use crate::plan::Level;
use crate::recording::format::Trace;

/// Advice where a single statement held long without reading or rewriting anything.
const NOTHING_SEEN: &str = "it was not seen to read or rewrite anything, so what took the time was the \
                            server: its disk, its processors, its commit; see whether it does on a \
                            quieter machine, too";
/// Advice where a lock was held while another one was waited for.
const ONE_LOCK_AT_A_TIME: &str = "most of that was a wait for another lock: set `lock_timeout` and `retry`, which let go of \
                                  both, and take one table in each transaction where the statements allow it";
/// How much of a statement a sentence bears.
pub(super) const QUOTE: usize = 100;

/// Words a finding.
pub fn finding(step: &str, finding: &Finding) -> model::Finding {
    let words = match &finding.kind {
        FindingKind::HoldExceeded {
            hold,
            more,
            limit,
            trace,
            waiting,
        } => Words {
            rule: if finding.level == Level::Warn {
                "writes-blocked"
            } else {
                "hold-exceeded"
            },
            hold: Some(hold),
            message: format!(
                "{} was held in {} for {}, over the budget of {}{}{}{}{}; that blocks {}",
                subject(hold),
                hold.mode.sql(),
                bounds(hold.hold),
                time(*limit),
                others(*more),
                origin(hold),
                seen(hold, trace.as_ref()),
                waiting.as_deref().map_or_else(String::new, waited),
                hold.mode.blocks(),
            ),
            advice: match waiting {
                Some(_) => Some(ONE_LOCK_AT_A_TIME.to_owned()),
                None => advise(hold, trace.as_ref()),
            },
        },
        FindingKind::HoldUnproven { hold, more, limit } if hold.holder == Holder::Unclear => Words {
            rule: "hold-unproven",
            hold: Some(hold),
            message: format!(
                "{} was held in {} for {} by a session that is the program's or a stranger's: nothing \
                 tells whether it counts against the budget of {}{}{}",
                subject(hold),
                hold.mode.sql(),
                bounds(hold.hold),
                time(*limit),
                others(*more),
                origin(hold),
            ),
            advice: Some(
                "let the program's sessions keep the `application_name` that PGAPPNAME gives them, or \
                 keep others off the server meanwhile"
                    .to_owned(),
            ),
        },
        FindingKind::HoldUnproven { hold, more, limit } => Words {
            rule: "hold-unproven",
            hold: Some(hold),
            message: format!(
                "{} was held in {} for {}: the budget of {} lies between these bounds{}{}",
                subject(hold),
                hold.mode.sql(),
                bounds(hold.hold),
                time(*limit),
                others(*more),
                origin(hold),
            ),
            advice: Some(
                "a hold this close to its budget is not safe; shorten it, or run again on a \
                 quieter machine with a shorter --interval"
                    .to_owned(),
            ),
        },
        FindingKind::Blind { hidden, limit } => Words {
            rule: "blind-window",
            hold: None,
            message: format!(
                "a lock could have come and gone unseen for up to {}, longer than the budget of \
                 {}: there was no sample meanwhile",
                time(*hidden),
                time(*limit),
            ),
            advice: Some("run again on a quieter machine".to_owned()),
        },
        FindingKind::Felt(felt) => felt_words::words(felt),
        FindingKind::Doubt(doubt) => doubt_words::words(doubt),
        FindingKind::Failed {
            message,
            details,
            shut_out,
        } => Words {
            rule: "step-failed",
            hold: None,
            message: if details.is_empty() {
                message.clone()
            } else {
                format!("{message}\n{}", details.join("\n"))
            },
            advice: match shut_out {
                Some(ShutOut::Server) => Some(CLOSED_SERVER.to_owned()),
                Some(ShutOut::Program) => Some(CLOSED_PROGRAM.to_owned()),
                None => after_failure(message).map(str::to_owned),
            },
        },
        FindingKind::NotRun => Words {
            rule: "step-not-run",
            hold: None,
            message: "the step was not reached, so nothing is proved about it".to_owned(),
            advice: None,
        },
        FindingKind::Blocked {
            count: sessions,
            longest,
        } => Words {
            rule: "sessions-blocked",
            hold: None,
            message: format!(
                "{} other session{} waited behind the migration, the longest {}: `{}` behind `{}`",
                sessions,
                if *sessions == 1 { "" } else { "s" },
                bounds(longest.waited),
                short(&longest.query, QUOTE),
                short(&longest.behind, QUOTE),
            ),
            advice: None,
        },
        FindingKind::Beside { neighbours } => Words {
            rule: "measured-beside",
            hold: None,
            message: format!(
                "it was measured beside {} on this machine: locks were really held this long, and may \
                 be for less alone",
                scenarios_beside(*neighbours),
            ),
            advice: Some(
                "run this scenario by itself, with `--jobs 1`, to see what the migration takes on a \
                 quiet machine"
                    .to_owned(),
            ),
        },
        FindingKind::BatchSlowsDown {
            early,
            late,
            by_key,
        } => Words {
            rule: "batch-slows-down",
            hold: None,
            message: format!(
                "its batches grew slower, from {} to {} each{}",
                time(*early),
                time(*late),
                match by_key {
                    Some(true) =>
                        ", although each begins after the last one's key: something else slows the server, such as \
                         a checkpoint or a vacuum, or there is more to change in later keys",
                    Some(false) => ", as where each searches past the rows that are done already",
                    None => "",
                },
            ),
            advice: (*by_key == Some(false)).then(|| {
                "walk the key: `WHERE id > ${after} ORDER BY id LIMIT ${batch_size}` with \
                 `after` in the scenario"
                    .to_owned()
            }),
        },
    };
    model::Finding {
        rule: words.rule.to_owned(),
        level: finding.level,
        step: step.to_owned(),
        relation: words.hold.map(|hold| hold.relation.clone()),
        mode: words.hold.map(|hold| hold.mode),
        message: words.message,
        advice: words.advice,
    }
}

/// What opens the way that a statement wanted to take.
const CLOSED_SERVER: &str = "the network of the stage's server is closed: it can connect to itself and to nothing else; \
     `network = \"open\"` in `[stage]` or `--network open` opens it, and with it the way to production";
/// What opens the way that a program wanted to take.
const CLOSED_PROGRAM: &str = "the program's network is closed: it reaches the stage's server and nothing else; \
     `network = \"open\"` in the step opens it, and with it the way to production";

/// What to do about a failure whose cause lies in the locks.
fn after_failure(message: &str) -> Option<&'static str> {
    message.ends_with("(SQLSTATE 40P01)").then_some(
        "take one table in each transaction, or the tables in the order that the application takes them; `lock_timeout` \
         with `retry` lets go before the server has to end somebody",
    )
}

/// A finding in words.
pub(super) struct Words<'a> {
    /// Which rule.
    pub rule: &'static str,
    /// The hold that it is about.
    pub hold: Option<&'a Hold>,
    /// What was seen.
    pub message: String,
    /// What to do.
    pub advice: Option<String>,
}

fn subject(hold: &Hold) -> String {
    match &hold.parent {
        Some(table) => format!("`{}` (of `{table}`)", hold.relation),
        None => format!("`{}`", hold.relation),
    }
}

/// Further relations of the same statement and mode, none held longer.
fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ", like one more relation".to_owned(),
        more => format!(", like {more} more relations"),
    }
}

/// Which statement took the lock, and which ran while it was still held.
fn origin(hold: &Hold) -> String {
    let mut words = match hold.granted_by.as_slice() {
        [] => String::new(),
        statements => format!("; taken by {}", quote_all(statements)),
    };
    let later: Vec<String> = hold
        .lengthened_by
        .iter()
        .filter(|statement| !is_transaction_end(statement))
        .cloned()
        .collect();
    if !later.is_empty() {
        words.push_str(&format!("; still held during {}", quote_all(&later)));
    }
    words
}

/// `` `a`, `b` and 3 more ``.
fn quote_all(statements: &[String]) -> String {
    const SHOWN: usize = 2;
    let quoted: Vec<String> = statements
        .iter()
        .take(SHOWN)
        .map(|sql| format!("`{}`", short(sql, QUOTE)))
        .collect();
    let more = match statements.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", quoted.join(", "))
}

fn is_transaction_end(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or("");
    ["commit", "end", "rollback"].contains(&first.to_ascii_lowercase().as_str())
}

/// What was waited for meanwhile, and behind whom.
fn waited(wait: &Wait) -> String {
    format!(
        "; meanwhile it waited {} for {}{}",
        bounds(wait.waited),
        match &wait.relation {
            Some(relation) => format!("`{relation}`"),
            None => "others to end".to_owned(),
        },
        match wait.behind.first() {
            Some(stander) => format!(" behind {}", stander.who),
            None => String::new(),
        },
    )
}

fn seen(hold: &Hold, trace: Option<&Trace>) -> String {
    let Some(trace) = trace else {
        return String::new();
    };
    let mut seen = Vec::new();
    if trace.rewritten {
        seen.push(format!("`{}` was rewritten", trace.relation));
    }
    if trace.scans > 0 && trace.rows_scanned > 0 {
        seen.push(format!(
            "{} rows of `{}` were scanned",
            count(trace.rows_scanned),
            trace.relation
        ));
    }
    if seen.is_empty() || hold.hold.at_least().is_zero() {
        return String::new();
    }
    format!("; meanwhile {}", seen.join(" and "))
}

fn advise(hold: &Hold, trace: Option<&Trace>) -> Option<String> {
    let rewritten = trace.is_some_and(|trace| trace.rewritten);
    let lengthened = hold
        .lengthened_by
        .iter()
        .any(|statement| !is_transaction_end(statement));
    let known = advice::advise(hold.granted_by.first()?, rewritten, lengthened);
    let idle = trace.is_none() && !lengthened;
    known.or(idle.then_some(NOTHING_SEEN)).map(str::to_owned)
}
