//! The report as a page of its own: the verdict first, then the picture, then everything in tables.
//!
//! One file that loads nothing. Rust places every shape (`overview`, `zoom`, `load`), the templates only write
//! them down, and every text goes through their escaping.

mod axis;
mod holds;
mod load;
mod near;
mod overview;
mod page;
mod rich;
mod shape;
mod tables;
mod zoom;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, context};

use serde::Serialize;

use self::page::{View, Word};
use self::rich::{Rich, rich};
use self::shape::Figure;
use super::Report;
use super::compare::Comparison;
use super::shown::visible;

/// Each template and what it is called by the others.
const TEMPLATES: [(&str, &str); 5] = [
    ("page.html", include_str!("page.html")),
    ("compare.html", include_str!("compare.html")),
    ("report.html", include_str!("report.html")),
    ("figure.html", include_str!("figure.html")),
    ("words.html", include_str!("words.html")),
];

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the report.
///
/// # Errors
///
/// For a defect of the templates: never for any report.
pub fn render(report: &Report) -> Result<String, Error> {
    page(
        &format!("{}: {}", report.verdict.name(), report.scenario.name),
        &report.tool.version,
        None,
        &[View::of(report, "r")],
    )
}

/// Renders several reports, what differs first.
///
/// # Errors
///
/// As [`render`].
pub fn compare(comparison: &Comparison) -> Result<String, Error> {
    let reports = || comparison.scenarios.iter().map(|one| &one.report);
    let views: Vec<View> = (1..)
        .zip(reports())
        .map(|(number, report)| View::of(report, &format!("r{number}")))
        .collect();
    let headings = comparison.headings();
    let named = reports().zip(&headings);
    let overviews = (1..)
        .zip(named)
        .map(|(number, (report, heading))| Overview {
            scenario: heading.clone(),
            verdict: Word::of(report.verdict),
            // Its shapes lead into the report below, which has a picture of its own.
            figure: overview::figure(report, &format!("r{number}"), overview::Width::Beside).map(
                |figure| Figure {
                    id: format!("c{number}"),
                    ..figure
                },
            ),
        });
    let compared = Compared {
        traffic: comparison.has_traffic(),
        rows: comparison.rows(),
        notes: comparison.notes().iter().map(|note| rich(note)).collect(),
        overviews: overviews.collect(),
    };
    let version = &comparison.tool.version;
    page("compare", version, Some(&compared), &views)
}

/// What stands above the reports of a comparison.
#[derive(Serialize)]
struct Compared {
    traffic: bool,
    rows: Vec<(String, Vec<String>)>,
    notes: Vec<Rich>,
    overviews: Vec<Overview>,
}

/// The picture of one of them.
#[derive(Serialize)]
struct Overview {
    scenario: String,
    verdict: Word,
    figure: Option<Figure>,
}

fn page(
    title: &str,
    version: &str,
    compared: Option<&Compared>,
    reports: &[View],
) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    let page = environment.get_template("page.html")?.render(context! {
        title,
        version,
        compared => Value::from(Serde(compared)),
        reports => Value::from(Serde(reports)),
        // Ours, and the only texts that are not escaped.
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
    })?;
    Ok(visible(&page))
}
