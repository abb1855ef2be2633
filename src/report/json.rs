//! The schemas of what is written as JSON; a report and a comparison are their own serialisation.

use schemars::JsonSchema;

use super::compare::{self, Comparison};
use super::model::{Report, SCHEMA_ID};

/// The schema that every report obeys, as it is kept in `schema/`.
///
/// # Errors
/// Never: the schema is JSON already.
pub fn schema() -> Result<String, serde_json::Error> {
    of::<Report>(SCHEMA_ID)
}

/// The schema that every comparison obeys, as it is kept in `schema/`.
///
/// # Errors
/// Never, as with [`schema`].
pub fn comparison_schema() -> Result<String, serde_json::Error> {
    of::<Comparison>(compare::SCHEMA_ID)
}

fn of<T: JsonSchema>(id: &str) -> Result<String, serde_json::Error> {
    let mut schema = schemars::schema_for!(T);
    schema.insert("$id".to_owned(), id.into());
    let mut text = serde_json::to_string_pretty(&schema)?;
    text.push('\n');
    Ok(text)
}
