//! The report as JSON, and its schema.

use std::io::{self, Write};

use super::model::{Report, SCHEMA_ID};

/// Writes the report, indented, with a final line break; never the whole of it in memory.
///
/// # Errors
/// What the sink says.
pub fn write<W: Write>(report: &Report, mut sink: W) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut sink, report)?;
    sink.write_all(b"\n")?;
    sink.flush()
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
