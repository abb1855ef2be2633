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

use self::page::View;
use super::Report;
use super::shown::visible;

/// Each template and what it is called by the others.
const TEMPLATES: [(&str, &str); 4] = [
    ("page.html", include_str!("page.html")),
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
        &[View::of(report, "r")],
    )
}

fn page(title: &str, version: &str, reports: &[View]) -> Result<String, Error> {
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
        reports => Value::from(Serde(reports)),
        // Ours, and the only texts that are not escaped.
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
    })?;
    Ok(visible(&page))
}
