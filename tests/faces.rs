//! The report's faces hold whatever a name or a statement says, and stay within what their readers take.

#[allow(dead_code)]
#[path = "support/sample.rs"]
mod sample;

use lockproof::judge::Verdict;
use lockproof::plan::{Level, OnUnproven};
use lockproof::report::{Report, html, junit, markdown};
use proptest::prelude::*;
use quick_xml::XmlVersion;
use quick_xml::events::Event;

/// A page larger than this is slow to open, and too large for most archives of artifacts.
const LARGEST: usize = 2_000_000;

/// Texts that mean something to one of the readers.
const HOSTILE: [&str; 10] = [
    "</script><script>alert(1)</script>",
    "</style>--><!-- x",
    "\" onload=\"x",
    "' | ` ``` <b>|",
    "{{ 7 * 7 }}{% raw %}",
    "]]><![CDATA[",
    "\u{202e}RTL \u{2066}שלום",
    "😀 e\u{301}\u{0}\u{1b}[31m\u{7f}\u{85}\u{fffe}",
    "@somebody #1 [x](javascript:y) **b** _i_",
    "&lt;&#x41;\\",
];

fn any_text() -> impl Strategy<Value = String> {
    let letters = "[\\PC<>&\"'`|@*_{}%\\-\\[\\]#!\u{202e}\u{0}\u{1b}]{1,40}";
    let hostile = prop::sample::select(&HOSTILE[..]).prop_map(str::to_owned);
    let text = prop_oneof![letters.prop_map(String::from), hostile];
    text.prop_filter("something to see", |text| !text.trim().is_empty())
}

/// The tags of a page and their attributes, in order; it panics where a tag is left open or a value is not quoted.
fn skeleton(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let (tag, attributes, end) = tag(rest);
        rest = &rest[end..];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None if attributes.last().is_some_and(|last| last == "/")
                || tag == "meta"
                || tag == "!DOCTYPE" => {}
            None => open.push(tag.clone()),
        }
        // Ours, without a text of anybody's.
        if tag == "style" || tag == "script" {
            rest = &rest[rest.find("</").expect("an end")..];
        }
        // Words have code and lines of their own.
        if !["code", "/code", "p", "/p"].contains(&tag.as_str()) {
            found.push(format!("{tag} {}", attributes.join(" ")));
        }
    }
    assert!(open.is_empty(), "{open:?}");
    found
}

fn tag(text: &str) -> (String, Vec<String>, usize) {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == '>' && !quoted
    });
    let end = end.expect("a tag ends");
    let mut parts = text[..end].split('"');
    let mut words: Vec<String> = Vec::new();
    while let Some(names) = parts.next() {
        words.extend(names.split_whitespace().map(str::to_owned));
        parts.next();
    }
    (words.remove(0), words, end + 1)
}

/// Letters that no document may have.
fn clean(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
}

fn cells(row: &str) -> usize {
    row.matches('|').count()
}

/// Every event of the document: it panics where that is not well-formed.
fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut found = Vec::new();
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(tag) | Event::Empty(tag) => {
                let attributes = tag.attributes().map(|attribute| {
                    let attribute = attribute.expect("well-formed");
                    let value = attribute
                        .normalized_value(XmlVersion::Implicit1_0)
                        .expect("an entity that is known")
                        .into_owned();
                    (
                        String::from_utf8_lossy(attribute.key.as_ref()).into_owned(),
                        value,
                    )
                });
                let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
                found.push((name, attributes.collect()));
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A text changes no tag and no attribute: it stays a text.
    #[test]
    fn any_text_stays_text_in_a_page(text in any_text()) {
        let plain = html::render(&sample::with_text(sample::everything(), "x")).expect("a page");
        let page = html::render(&sample::with_text(sample::everything(), &text)).expect("a page");
        prop_assert!(clean(&page));
        prop_assert_eq!(skeleton(&page), skeleton(&plain));
    }

    #[test]
    fn any_text_stays_text_in_a_comment(text in any_text()) {
        let report = sample::with_text(sample::everything(), &text);
        let comment = markdown::render(&report);
        prop_assert!(clean(&comment));
        let rows: Vec<&str> = comment.lines().filter(|line| line.starts_with('|')).collect();
        prop_assert_eq!(rows.len(), report.steps.len() + 2);
        prop_assert!(rows.iter().all(|row| cells(row) == 6), "{}", comment);
        let (marker, rest) = comment.split_once('\n').expect("lines");
        prop_assert!(marker.starts_with("<!-- lockproof: ") && marker.find("-->") == Some(marker.len() - 3));
        prop_assert!(!prose(rest).contains('<'), "{}", comment);
        prop_assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
    }

    #[test]
    fn any_text_stays_text_in_junit(text in any_text()) {
        let report = sample::with_text(sample::everything(), &text);
        let xml = junit::render(&report, OnUnproven::Fail).expect("a document");
        let cases = elements(&xml).into_iter().filter(|(name, _)| name == "testcase").count();
        prop_assert_eq!(cases, report.steps.len());
    }
}

/// What stands outside of backticks, without the tags that are the comment's own.
fn prose(comment: &str) -> String {
    let lines = comment.lines().map(|line| {
        let line = line.replace("\\\\", "").replace("\\`", "");
        let outside = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        let own = [
            "details", "/details", "summary", "/summary", "code", "/code", "!-- --",
        ];
        own.iter()
            .fold(outside, |line, tag| line.replace(&format!("<{tag}>"), ""))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_skeleton_sees_what_is_wrong() {
    assert_eq!(
        skeleton("<a href=\"x>\"><b>t</b></a>"),
        ["a href=", "b ", "/b ", "/a "]
    );
    for wrong in ["<a><b></a></b>", "<a>", "<a x=\">"] {
        assert!(
            std::panic::catch_unwind(|| skeleton(wrong)).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_large_report_stays_usable() {
    let page = html::render(&sample::large()).expect("a page");
    assert!(page.len() < LARGEST, "{} bytes", page.len());
    assert!(
        page.contains("the report as JSON has"),
        "what is left out is told"
    );
    let comment = markdown::render(&sample::large());
    assert!(comment.chars().count() <= markdown::LONGEST);
}

#[test]
fn what_finds_no_room_in_a_comment_is_told() {
    let mut report = sample::everything();
    assert!(!markdown::render(&report).contains("Left out"));
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.level == Level::Fail);
    let finding = finding.expect("one that decides").clone();
    report.findings = std::iter::repeat_n(finding, 400).collect();
    let comment = markdown::render(&report);
    assert!(comment.chars().count() <= markdown::LONGEST);
    assert!(
        comment.contains("of 399 findings"),
        "{}",
        &comment[comment.len() - 300..]
    );
    assert!(comment.contains("| set-default |"), "the steps come first");
    assert_eq!(
        comment.matches("<details>").count(),
        comment.matches("</details>").count()
    );
}

/// Elements and attributes that Jenkins' schema of JUnit files allows, and no others are written.
#[test]
fn junit_keeps_to_the_schema_of_its_readers() {
    const ALLOWED: [(&str, &[&str]); 9] = [
        (
            "testsuites",
            &["name", "time", "tests", "failures", "errors"],
        ),
        (
            "testsuite",
            &["name", "tests", "failures", "errors", "skipped", "time"],
        ),
        ("properties", &[]),
        ("property", &["name", "value"]),
        ("testcase", &["name", "classname", "time"]),
        ("failure", &["type", "message"]),
        ("error", &["type", "message"]),
        ("skipped", &["type", "message"]),
        ("system-out", &[]),
    ];
    for report in [
        "published",
        "redesigned",
        "failed",
        "cut",
        "blocked",
        "repeated",
    ]
    .map(sample::recorded)
    .into_iter()
    .chain([sample::everything()])
    {
        let xml = junit::render(&report, OnUnproven::Fail).expect("a document");
        for (name, attributes) in elements(&xml) {
            let allowed = ALLOWED.iter().find(|(known, _)| *known == name);
            let (_, allowed) = allowed.unwrap_or_else(|| panic!("`{name}` is not known"));
            for (attribute, value) in attributes {
                assert!(
                    allowed.contains(&attribute.as_str()),
                    "`{attribute}` of `{name}`"
                );
                if attribute == "time" {
                    let number = value
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || byte == b'.');
                    assert!(number && value.parse::<f64>().is_ok(), "{value}");
                }
            }
        }
    }
}

fn counted(report: &Report, on_unproven: OnUnproven) -> [usize; 4] {
    let xml = junit::render(report, on_unproven).expect("a document");
    let found = elements(&xml);
    let count = |wanted: &str| found.iter().filter(|(name, _)| name == wanted).count();
    let counted = ["testcase", "failure", "error", "skipped"].map(count);
    let (_, suites) = &found[0];
    let says = |name: &str| -> usize {
        let value = suites.iter().find(|(key, _)| key == name);
        value
            .and_then(|(_, value)| value.parse().ok())
            .expect("a number")
    };
    assert_eq!(
        counted[..3],
        [says("tests"), says("failures"), says("errors")]
    );
    counted
}

/// Whoever looks only at the test cases comes to what the exit code says.
#[test]
fn junit_fails_where_the_gate_does() {
    let (fail, allow) = (OnUnproven::Fail, OnUnproven::Allow);
    assert_eq!(counted(&sample::recorded("redesigned"), fail), [8, 0, 0, 0]);
    assert_eq!(counted(&sample::recorded("published"), fail), [4, 1, 0, 0]);
    let mut report = sample::recorded("published");
    for (verdict, expected, allowed) in [
        (Verdict::Within, [4, 0, 0, 0], [4, 0, 0, 0]),
        (Verdict::Unproven, [4, 1, 0, 0], [4, 0, 0, 0]),
        (Verdict::Exceeded, [4, 1, 0, 0], [4, 1, 0, 0]),
        (Verdict::Failed, [4, 0, 1, 0], [4, 0, 1, 0]),
        // Nothing is proved about it, and no other case would say so.
        (Verdict::NotRun, [5, 1, 0, 1], [4, 0, 0, 1]),
    ] {
        report.verdict = verdict;
        report.steps[2].verdict = verdict;
        assert_eq!(counted(&report, fail), expected, "{verdict:?}");
        assert_eq!(counted(&report, allow), allowed, "{verdict:?}");
    }
}
