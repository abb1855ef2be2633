//! The report as JUnit XML: a test case for each step, for a server of continuous integration.
//!
//! It fails where the exit code does: a run that proves nothing never looks like one that passed.

use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Report as Document, SerializeError, TestCase, TestCaseStatus, TestSuite,
};

use super::model::{Finding, Report, Step};
use super::shown;
use crate::judge::Verdict;
use crate::plan::{Level, OnUnproven};

/// Renders the report.
///
/// # Errors
///
/// If the document cannot be serialised: never for any text.
pub fn render(report: &Report, on_unproven: OnUnproven) -> Result<String, SerializeError> {
    let name = format!("lockproof: {}", report.scenario.name);
    let mut suite = TestSuite::new(name.as_str());
    for (name, value) in properties(report) {
        suite.add_property((name, value.as_str()));
    }
    let mut time = Duration::ZERO;
    for step in &report.steps {
        let case = case(report, step, on_unproven);
        time = time.saturating_add(case.time.unwrap_or_default());
        suite.add_test_case(case);
    }
    if let Some(case) = unfinished(report, on_unproven) {
        suite.add_test_case(case);
    }
    suite.set_time(time);
    let mut document = Document::new(name.as_str());
    document.set_time(time).add_test_suite(suite);
    let skipped = document.test_suites.iter().map(|suite| suite.skipped);
    let skipped: usize = skipped.sum();
    // The schema that most readers go by has this of a suite, and not of all of them together. No text of
    // ours is before it but the name, where a quotation mark is written as an entity.
    document
        .to_string()
        .map(|text| text.replacen(&format!(" skipped=\"{skipped}\""), "", 1))
}

/// What of the run bears on every step.
fn properties(report: &Report) -> Vec<(&'static str, String)> {
    let stage = report.stage.as_ref();
    let text = |text: &str| Some(text.to_owned());
    [
        ("lockproof.version", text(&report.tool.version)),
        ("lockproof.run", text(&report.run.id)),
        ("lockproof.started_at", text(&report.run.started_at)),
        ("lockproof.verdict", text(report.verdict.name())),
        ("lockproof.budget", shown::budget(report)),
        (
            "lockproof.snapshot",
            report
                .snapshot
                .as_ref()
                .map(|snapshot| snapshot.name.clone()),
        ),
        (
            "lockproof.postgresql",
            stage.map(|stage| stage.server_version.clone()),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn case(report: &Report, step: &Step, on_unproven: OnUnproven) -> TestCase {
    let findings: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| finding.step == step.name)
        .collect();
    let mut case = TestCase::new(
        step.name.as_str(),
        status(step.verdict, &findings, on_unproven),
    );
    case.set_classname(report.scenario.name.as_str());
    if let Some(elapsed) = step.elapsed_ms {
        case.set_time(Duration::try_from_secs_f64(elapsed / 1e3).unwrap_or_default());
    }
    case.set_system_out(output(step, &findings));
    case
}

fn status(verdict: Verdict, findings: &[&Finding], on_unproven: OnUnproven) -> TestCaseStatus {
    let kind = match (verdict, on_unproven) {
        (Verdict::Within, _) | (Verdict::Unproven, OnUnproven::Allow) => {
            return TestCaseStatus::success();
        }
        (Verdict::NotRun, _) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message("the step was not reached, so nothing is proved about it");
            return skipped;
        }
        (Verdict::Failed, _) => NonSuccessKind::Error,
        (Verdict::Exceeded | Verdict::Unproven, _) => NonSuccessKind::Failure,
    };
    let mut status = TestCaseStatus::non_success(kind);
    let deciding = |finding: &&&Finding| finding.level == Level::Fail;
    match findings.iter().find(deciding) {
        Some(finding) => {
            let words: Vec<String> = findings.iter().filter(deciding).map(|f| words(f)).collect();
            status
                .set_message(finding.message.lines().next().unwrap_or_default())
                .set_type(finding.rule.as_str())
                .set_description(words.join("\n\n"));
        }
        None => drop(status.set_message(verdict.name()).set_type(verdict.name())),
    }
    status
}

fn words(finding: &Finding) -> String {
    match &finding.advice {
        Some(advice) => format!("{}\n-> {advice}", finding.message),
        None => finding.message.clone(),
    }
}

/// The step's figures, and what is to be said besides.
fn output(step: &Step, findings: &[&Finding]) -> String {
    let mut lines = vec![
        format!("verdict: {}", step.verdict.name()),
        format!("ACCESS EXCLUSIVE hold: {}", shown::hold(step)),
    ];
    if step.queue.is_some() {
        lines.push(format!(
            "ACCESS EXCLUSIVE exclusion: {}",
            shown::exclusion(step)
        ));
    }
    lines.push(format!("blocked: {}", shown::blocked(step)));
    let warnings = findings
        .iter()
        .filter(|finding| finding.level == Level::Warn);
    lines.extend(warnings.map(|finding| format!("warning: {}", words(finding))));
    lines.join("\n")
}

/// A case of its own where the run fails and none of its steps does: all that were reached are within.
fn unfinished(report: &Report, on_unproven: OnUnproven) -> Option<TestCase> {
    let unproven = matches!(report.verdict, Verdict::NotRun | Verdict::Unproven);
    let told = |step: &Step| !matches!(step.verdict, Verdict::Within | Verdict::NotRun);
    if !unproven || on_unproven == OnUnproven::Allow || report.steps.iter().any(told) {
        return None;
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_message(shown::why(report))
        .set_type("unproven")
        .set_description("a gate fails closed: a step that was not reached is not proved");
    let mut case = TestCase::new("the whole migration", status);
    case.set_classname(report.scenario.name.as_str());
    Some(case)
}
