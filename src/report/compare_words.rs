//! A comparison in words: what stands in its table, wherever that is shown.

use super::compare::{Change, Compared, Comparison};
use super::model::{Report, Span};
use super::shown::span;
use super::table::millis;
use super::text::{self, count};
use crate::judge::impact::ENOUGH;
use crate::recording::traffic::Ending;

const UNKNOWN: &str = "–";

impl Comparison {
    /// True where applications asked for something meanwhile.
    pub(super) fn has_traffic(&self) -> bool {
        self.scenarios.iter().any(|one| one.requests.is_some())
    }

    /// What each is called: of namesakes the second is `name (2)`.
    pub(super) fn headings(&self) -> Vec<String> {
        let names: Vec<&str> = self
            .scenarios
            .iter()
            .map(|one| one.scenario.as_str())
            .collect();
        let heading = |(index, name): (usize, &&str)| {
            let earlier = names[..index].iter().filter(|other| *other == name).count();
            match earlier {
                0 => (*name).to_owned(),
                earlier => format!("{name} ({})", earlier + 1),
            }
        };
        names.iter().enumerate().map(heading).collect()
    }

    /// The operations of the traffic, which is the same beside all of them.
    fn operations(&self) -> impl Iterator<Item = &str> {
        let mut reports = self.scenarios.iter().map(|one| &one.report);
        let traffic = reports.find_map(|report| report.traffic.as_ref());
        let operations = traffic.into_iter().flat_map(|traffic| &traffic.operations);
        operations.map(|operation| operation.name.as_str())
    }

    /// Operations of which too few requests were made for a 99th percentile, wherever one looks.
    fn without_p99(&self) -> Vec<&str> {
        let is_known = |operation: &&str| {
            let mut changes = self.scenarios.iter().flat_map(|one| &one.p99_changes);
            changes.any(|change| change.operation == *operation)
        };
        self.operations()
            .filter(|operation| !is_known(operation))
            .collect()
    }

    /// What makes the figures less than they seem, and why some are not there.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let unknown = self.without_p99();
        if !unknown.is_empty() {
            notes.push(format!(
                "p99 of {}: fewer than {ENOUGH} requests before the first step or in each step; a longer `baseline`, \
                 a higher rate or more rows have more",
                unknown.join(", ")
            ));
        }
        for (one, heading) in self.scenarios.iter().zip(self.headings()) {
            notes.extend(
                marked(&one.report)
                    .iter()
                    .map(|limit| format!("{heading}: {limit}")),
            );
        }
        notes
    }

    /// What is compared, and how it is in each scenario, in words; what is known of none is left out.
    pub(super) fn rows(&self) -> Vec<(String, Vec<String>)> {
        let of = |cell: &dyn Fn(&Compared) -> String| self.scenarios.iter().map(cell).collect();
        let ended = |ending: Ending| -> Vec<String> {
            of(&|one| match &one.requests {
                Some(requests) => count(requests.get(&ending).copied().unwrap_or(0)),
                None => UNKNOWN.to_owned(),
            })
        };
        let mut rows = [
            ("downtime", of(&|one| nothing_or(one.downtime_ms))),
            ("waits behind it", of(&|one| count(one.blocked))),
            ("timed out (504)", ended(Ending::TimedOut)),
            ("refused (502)", ended(Ending::Refused)),
            ("failed", ended(Ending::Failed)),
            ("deadlocked", ended(Ending::Deadlocked)),
            ("slow", ended(Ending::Slow)),
            (
                "longest AEL hold",
                of(&|one| {
                    one.longest_hold_ms
                        .map_or_else(|| "none seen".to_owned(), span)
                }),
            ),
            ("exclusion", of(&|one| nothing_or(one.exclusion_ms))),
            (
                "longest request",
                of(&|one| {
                    one.longest_request_ms
                        .map_or_else(|| UNKNOWN.to_owned(), millis)
                }),
            ),
            ("total time", of(&|one| one.total())),
        ]
        .map(|(name, cells)| (name.to_owned(), cells))
        .to_vec();
        rows.extend(self.operations().map(|operation| {
            let name = format!("p99 of {}", text::short(operation, 40));
            (name, of(&|one| one.p99(operation)))
        }));
        rows.push(("worst p99 in step".to_owned(), of(&|one| one.worst_step())));
        let is_known =
            |(_, cells): &(String, Vec<String>)| cells.iter().any(|cell| cell != UNKNOWN);
        rows.into_iter().filter(is_known).collect()
    }
}

impl Compared {
    /// `0.9 → 1.4 ms`: an operation's 99th percentile before the first step and where it grew most.
    fn p99(&self, operation: &str) -> String {
        let mut changes = self.p99_changes.iter();
        let change = changes.find(|change| change.operation == operation);
        change.map_or_else(|| UNKNOWN.to_owned(), Change::in_words)
    }

    /// What is known of it where the recording was cut.
    fn total(&self) -> String {
        let known = millis(self.total_ms);
        match self.report.run.finished_at {
            Some(_) => known,
            None => format!("≥ {known}"),
        }
    }

    fn worst_step(&self) -> String {
        let worst = self.p99_change.as_ref();
        worst.map_or_else(|| UNKNOWN.to_owned(), |worst| text::short(&worst.step, 18))
    }
}

impl Change {
    /// `0.9 → 1.4 ms`, `1.7 ms → 5.10 s`.
    fn in_words(&self) -> String {
        let (before, after) = (millis(self.baseline_ms), millis(self.p99_ms));
        let number = before
            .strip_suffix(" ms")
            .filter(|_| after.ends_with(" ms"));
        format!("{} → {after}", number.unwrap_or(&before))
    }
}

fn nothing_or(time: Span) -> String {
    if time.at_most == Some(0.0) {
        "none".to_owned()
    } else {
        span(time)
    }
}

/// What makes a scenario's figures less than they seem.
fn marked(report: &Report) -> Vec<&str> {
    let cut = report.run.finished_at.is_none();
    let cut = cut.then_some("the recording was cut: the run did not end by itself");
    let mut findings = report.findings.iter();
    let traffic = findings.find(|finding| finding.rule.starts_with("traffic-"));
    let traffic = traffic.map(|finding| finding.message.as_str());
    cut.into_iter().chain(traffic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_a_unit_once() {
        let words = |baseline_ms, p99_ms| {
            let (step, operation) = (String::new(), String::new());
            Change {
                step,
                operation,
                baseline_ms,
                p99_ms,
            }
            .in_words()
        };
        assert_eq!(words(0.94, 39.2), "0.9 → 39 ms");
        assert_eq!(words(1.7, 5_100.0), "1.7 ms → 5.10 s");
        assert_eq!(words(1_200.0, 5_100.0), "1.20 s → 5.10 s");
    }
}
