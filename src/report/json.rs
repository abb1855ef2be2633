//! The schema of the report as JSON; the report itself is its own serialisation.

use super::model::{Report, SCHEMA_ID};

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
