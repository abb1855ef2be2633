//! Data that SQL makes.

use std::path::Path;

use tokio_postgres::Client;

use super::Snapshot;
use super::publishers::{self, Publishers};
use super::underway::Underway;
use crate::config::vars::substitute;
use crate::plan::Literals;
use crate::sql::{line_column, split};
use crate::stage::connect::{Told, connect, said as words, tell_about};
use crate::stage::whole;
use crate::stage::{Endpoint, Unit, Watch};
use crate::{Error, Result, redact};

impl Snapshot {
    /// Runs a file of a generator.
    pub(super) async fn generate(
        &self,
        endpoint: &Endpoint,
        file: &Path,
        watch: &dyn Watch,
    ) -> Result<()> {
        let path = self.folder.join(file);
        let making = format!("making `{}` with `{}`", self.manifest.name, file.display());
        watch.measured(&making, Unit::Statements);
        let text = whole::text(&path, whole::SQL).map_err(|error| {
            Error::usage(format!("cannot read `{}`", path.display())).because(error)
        })?;
        redact::learn_file(&path, &text);
        let sql = substitute(&text, &self.variables).map_err(|undefined| {
            Error::usage(format!("`{}`: {undefined}", path.display()))
                .help("variables of a generator stand in `[variables]` of its `snapshot.toml`")
        })?;
        if sql.trim().is_empty() {
            return Err(Error::usage(format!("`{}` is empty", path.display())));
        }
        let client = connect(endpoint, "lockproof restore").await?;
        tokio::select! {
            ran = run_statements(&client, &path, &sql, watch) => ran,
            never = Underway::tell(endpoint, watch) => match never {},
        }
    }
}

/// Runs a generator's file, each statement by itself.
async fn run_statements(client: &Client, path: &Path, sql: &str, watch: &dyn Watch) -> Result<()> {
    let failed = || Error::stage(format!("`{}` failed", path.display()));
    let statements = split(sql).map_err(|error| {
        let help = error.help().map(str::to_owned);
        let failed = failed().because(error);
        help.into_iter().fold(failed, Error::help)
    })?;
    let mut publishers = Publishers::default();
    for statement in &statements {
        if publishers.refuses(&statement.kind) {
            let (line, _) = line_column(sql, statement.span.start);
            let place = format!("line {line} of `{}`", path.display());
            return Err(publishers::error(&place));
        }
    }
    let count = statements.len() as u64;
    for (number, statement) in statements.iter().enumerate() {
        watch.advance(number as u64, Some(count));
        watch.detail(statement.kind.summary());
        client
            .batch_execute(&statement.text)
            .await
            .map_err(|error| {
                let details = where_in(sql, &statement.text, statement.span.start, &error);
                let told = tell_about(&error, Some(&statement.text), Literals::Hidden);
                failed().because(Told(told)).details(details)
            })?;
    }
    Ok(())
}

/// The line that the server points at, and what it adds.
fn where_in(sql: &str, text: &str, statement: usize, error: &tokio_postgres::Error) -> Vec<String> {
    let mut details = Vec::new();
    let Some(said) = error.as_db_error() else {
        return details;
    };
    if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = said.position() {
        let within: usize = sql[statement..]
            .chars()
            .take((*position as usize).saturating_sub(1))
            .map(char::len_utf8)
            .sum();
        let number = sql[..statement + within].matches('\n').count();
        let (shown, _) = redact::sql::masked(text, Literals::Hidden);
        let begins = sql[..statement].matches('\n').count();
        let line = shown.lines().nth(number - begins).unwrap_or_default();
        details.push(format!("line {}: {}", number + 1, line.trim()));
    }
    // Its DETAIL has rows in it.
    let hint = said
        .hint()
        .map(|hint| words(said).filter(hint, Some(text), Literals::Hidden));
    details.extend(hint.map(|hint| format!("HINT: {hint}")));
    let context = said.where_().map(redact::context);
    details.extend(context.map(|context| format!("CONTEXT: {context}")));
    details
}
