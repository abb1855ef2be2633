//! The report as JSON, and its schema.

use super::model::{Report, SCHEMA_ID};

/// The report, indented, with a final line break.
///
/// # Errors
/// Never for a report built here: every number in it is finite.
pub fn render(report: &Report) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// The schema that every report obeys, as it is kept in `schema/`.
///
/// # Errors
/// Never: the schema is JSON already.
pub fn schema() -> Result<String, serde_json::Error> {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("$id".to_owned(), SCHEMA_ID.into());
    let mut text = serde_json::to_string_pretty(&schema)?;
    text.push('\n');
    Ok(text)
}
