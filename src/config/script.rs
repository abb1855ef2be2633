//! A step's SQL: read, variables put in, split, and how it goes into transactions.
//!
//! Every complaint names the file and the line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::undefined_help;
use super::variables::{BATCH_VARIABLES, placeholders};
use super::vars;
use crate::plan::{SqlWork, Wrap};
use crate::sql::{SplitError, Statement, TransactionControl, Verb, line_column, split};
use crate::stage::whole;
use crate::{Error, Result, redact};

/// Where a text came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// For messages, backticks included: `` `01.sql` ``.
    pub shown: String,
    /// None: written in the TOML.
    pub file: Option<PathBuf>,
    /// Where a variable for it is defined.
    pub variables_from: VariablesFrom,
}

/// Where the variables of a text are defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariablesFrom {
    /// A scenario.toml, and the command line.
    Scenario,
    /// The command line alone.
    CommandLine,
}

impl Origin {
    /// A file.
    pub fn file(path: &Path, variables_from: VariablesFrom) -> Self {
        Self {
            shown: format!("`{}`", path.display()),
            file: Some(path.to_owned()),
            variables_from,
        }
    }

    pub(super) fn error(&self, line: usize, message: impl std::fmt::Display) -> Error {
        Error::usage(format!("{}, line {line}: {message}", self.shown))
    }

    fn at(&self, text: &str, statement: &Statement, message: impl std::fmt::Display) -> Error {
        let (line, _) = line_column(text, statement.span.start);
        self.error(line, format!("`{}` {message}", statement.kind.summary()))
    }
}

/// What a text file holds, without a byte order mark.
///
/// # Errors
///
/// If it cannot be read, is not UTF-8 or holds a NUL byte.
pub fn read(path: &Path) -> Result<String> {
    let text = read_text(path)?;
    // Whatever is complained about from here on is said without them.
    redact::learn_file(path, &text);
    Ok(text)
}

fn read_text(path: &Path) -> Result<String> {
    let shown = path.display();
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let most = if is_toml {
        whole::DESCRIPTION
    } else {
        whole::SQL
    };
    let bytes = whole::bytes(path, most).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::usage(format!("`{shown}` does not exist")),
        _ => Error::usage(format!("cannot read `{shown}`")).because(error),
    })?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let line = 1 + count_lines(&error.as_bytes()[..offset]);
            return Err(Error::usage(format!(
                "`{shown}` is not UTF-8: byte {offset}, on line {line}"
            ))
            .help(format!(
                "convert it, for example with `iconv -f LATIN1 -t UTF-8 {shown}`"
            )));
        }
    };
    if let Some(offset) = text.find('\0') {
        let line = 1 + count_lines(&text.as_bytes()[..offset]);
        return Err(Error::usage(format!("`{shown}`, line {line}: a NUL byte"))
            .help("PostgreSQL takes none in its text; take it out"));
    }
    // psql leaves it out as well; the server would take it for a part of the first word.
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// The statements of a step, ready to be run.
///
/// # Errors
///
/// If a variable is not defined, the text cannot be split, has no statement, or cannot be run in the
/// way that `wrap` asks for.
pub fn sql_work(
    origin: &Origin,
    text: &str,
    variables: &BTreeMap<String, String>,
    wrap: Option<Wrap>,
) -> Result<SqlWork> {
    let text = put_in(origin, text, variables)?;
    let statements = statements(origin, &text)?;
    one_direction(origin, &text)?;
    let wrap = match wrap {
        Some(wrap) => wrap,
        None => default_wrap(&statements),
    };
    match wrap {
        Wrap::Transaction => fits_one_transaction(origin, &text, &statements)?,
        Wrap::Autocommit | Wrap::AsWritten => own_transactions(origin, &text, &statements)?,
    }
    Ok(SqlWork {
        file: origin.file.clone(),
        text,
        statements,
        wrap,
    })
}

/// The one statement of a batch, with `${batch_size}` and `${after}` left for the replay.
///
/// # Errors
///
/// As for [`sql_work`], and if it is not exactly one statement that can be repeated.
pub fn batch_template(
    origin: &Origin,
    text: &str,
    variables: &BTreeMap<String, String>,
    keyset: Keyset,
) -> Result<String> {
    let mut variables = variables.clone();
    for name in BATCH_VARIABLES {
        variables.insert(name.to_owned(), format!("${{{name}}}"));
    }
    let text = put_in(origin, text, &variables)?;
    let statements = statements(origin, &text)?;
    let [statement] = statements.as_slice() else {
        return Err(Error::usage(format!(
            "{}: a batch is exactly one statement, and here are {}",
            origin.shown,
            statements.len()
        ))
        .help("put the others into `sql` steps before or after it"));
    };
    if statement.kind.transaction_control().is_some() {
        return Err(origin
            .at(
                &text,
                statement,
                "cannot be a batch: each batch is a transaction of its own",
            )
            .help("write the UPDATE, DELETE or INSERT that is to be repeated"));
    }
    if statement.copy_data.is_some() {
        return Err(origin
            .at(
                &text,
                statement,
                "cannot be a batch: its rows would be loaded again and again",
            )
            .help("use a step of kind `sql`"));
    }
    let holds = |name| placeholders(&statement.text).any(|found| found == name);
    if !holds("batch_size") {
        return Err(origin
            .at(&text, statement, "does not use `${batch_size}`")
            .help("bound the rows of each batch, for example with `LIMIT ${batch_size}`"));
    }
    match (keyset, holds("after")) {
        (Keyset::After, false) => Err(origin
            .at(&text, statement, "does not use `${after}`, and the step has `after`")
            .help("start each batch behind the last key, as in `WHERE id > ${after}`, or leave `after` out")),
        (Keyset::None, true) => Err(origin
            .at(&text, statement, "uses `${after}`, and the step has no `after`")
            .help("say which key to start after, such as `after = \"0\"`")),
        _ => Ok(statement.text.clone()),
    }
}

/// Whether a batch walks along a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyset {
    /// From the key in `after` on.
    After,
    /// It ends when no row is touched.
    None,
}

/// The text with the variables in their places.
pub(super) fn put_in(
    origin: &Origin,
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String> {
    vars::substitute(text, variables).map_err(|undefined| {
        let help = if BATCH_VARIABLES.contains(&undefined.name.as_str()) {
            "only a step of kind `batch` in a scenario.toml sets it".to_owned()
        } else {
            undefined_help(
                &undefined,
                match origin.variables_from {
                    VariablesFrom::Scenario => "add it to `[variables]`, or pass",
                    VariablesFrom::CommandLine => "pass",
                },
            )
        };
        origin
            .error(
                undefined.line,
                format!("`${{{}}}` is not defined", undefined.name),
            )
            .help(help)
    })
}

fn statements(origin: &Origin, text: &str) -> Result<Vec<Statement>> {
    let statements = split(text).map_err(|problem| unsplit(origin, &problem))?;
    if statements.is_empty() {
        return Err(Error::usage(format!("{} has no statement", origin.shown))
            .help("leave it out, or write the SQL that the step is to run"));
    }
    Ok(statements)
}

/// A text that cannot be split; the place is within `origin`.
pub(super) fn unsplit(origin: &Origin, problem: &SplitError) -> Error {
    let error = Error::usage(format!(
        "{}, line {}, column {}: {}",
        origin.shown, problem.line, problem.column, problem.kind
    ));
    match problem.help() {
        Some(help) => error.help(help),
        None => error,
    }
}

/// Refuses files that other tools cut into a way there and a way back: all of it would be run.
fn one_direction(origin: &Origin, text: &str) -> Result<()> {
    const WAYS_BACK: [&str; 3] = ["migrate:down", "+goose down", "+migrate down"];
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("--") else {
            continue;
        };
        let comment = comment.trim().to_lowercase();
        if WAYS_BACK.iter().any(|way| comment.starts_with(way)) {
            return Err(origin
                .error(index + 1, format!("`{}` begins the way back", line.trim()))
                .help("give the way there to lockproof in a file of its own; both would be run one after the other"));
        }
    }
    Ok(())
}

/// As a migration tool would do it, unless the text says otherwise.
fn default_wrap(statements: &[Statement]) -> Wrap {
    use TransactionControl::{Begin, Commit, Prepare, Release, Rollback, RollbackTo, Savepoint};
    let controls = |wanted: fn(TransactionControl) -> bool| {
        statements
            .iter()
            .filter_map(|statement| statement.kind.transaction_control())
            .any(wanted)
    };
    if controls(|control| matches!(control, Begin | Commit { .. } | Rollback { .. } | Prepare)) {
        Wrap::AsWritten
    } else if statements
        .iter()
        .any(|statement| statement.kind.cannot_run_in_transaction())
    {
        Wrap::Autocommit
    } else if controls(|control| matches!(control, Savepoint | RollbackTo | Release)) {
        // Savepoints need a transaction around them.
        Wrap::Transaction
    } else if matches!(statements, [only] if matches!(only.kind.verb(), Verb::Do | Verb::Call)) {
        // It may commit by itself, which a transaction around it would forbid.
        Wrap::Autocommit
    } else {
        Wrap::Transaction
    }
}

fn fits_one_transaction(origin: &Origin, text: &str, statements: &[Statement]) -> Result<()> {
    use TransactionControl::{Release, RollbackTo, Savepoint};
    for statement in statements {
        match statement.kind.transaction_control() {
            None | Some(Savepoint | RollbackTo | Release) => {}
            Some(_) => {
                return Err(origin
                    .at(text, statement, "in a step whose `wrap` is `transaction`")
                    .help("leave `wrap` out, or set `wrap = \"as-written\"`"));
            }
        }
        if statement.kind.cannot_run_in_transaction() {
            return Err(origin
                .at(
                    text,
                    statement,
                    "cannot run in a transaction, and the step's `wrap` is `transaction`",
                )
                .help("set `wrap = \"autocommit\"`, or give it a step of its own"));
        }
    }
    Ok(())
}

/// Transactions that the text opens have to be closed by it, and hold nothing that refuses them.
pub(super) fn own_transactions(
    origin: &Origin,
    text: &str,
    statements: &[Statement],
) -> Result<()> {
    use TransactionControl::{Begin, Commit, Prepare, Rollback};
    let mut open: Option<&Statement> = None;
    for statement in statements {
        match statement.kind.transaction_control() {
            Some(Begin) => open = open.or(Some(statement)),
            Some(Commit { chain } | Rollback { chain }) => open = chain.then_some(statement),
            Some(Prepare) => open = None,
            _ => {}
        }
        if let (Some(begin), true) = (open, statement.kind.cannot_run_in_transaction()) {
            let (line, _) = line_column(text, begin.span.start);
            return Err(origin
                .at(
                    text,
                    statement,
                    format!("cannot run in a transaction, and line {line} opens one"),
                )
                .help("move it in front of the `BEGIN` or behind the `COMMIT`"));
        }
    }
    match open {
        None => Ok(()),
        Some(begin) => Err(origin
            .at(text, begin, "opens a transaction that nothing ends")
            .help("add the `COMMIT`; until then its locks would be held")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin::file(Path::new("01.sql"), VariablesFrom::Scenario)
    }

    fn wrap(text: &str) -> Wrap {
        sql_work(&origin(), text, &BTreeMap::new(), None)
            .unwrap_or_else(|error| panic!("{}", error.story()))
            .wrap
    }

    fn story(text: &str, wrap: Option<Wrap>) -> String {
        match sql_work(&origin(), text, &BTreeMap::new(), wrap) {
            Ok(work) => panic!("{work:?}"),
            Err(error) => error.story(),
        }
    }

    fn batch(text: &str, keyset: Keyset) -> Result<String, String> {
        batch_template(&origin(), text, &BTreeMap::new(), keyset).map_err(|error| error.story())
    }

    #[test]
    fn the_default_is_what_the_text_asks_for() {
        assert_eq!(wrap("ALTER TABLE t ADD a int"), Wrap::Transaction);
        assert_eq!(wrap("CALL fill()"), Wrap::Autocommit);
        assert_eq!(wrap("VACUUM t"), Wrap::Autocommit);
        assert_eq!(
            wrap("ALTER TABLE t ADD a int; ALTER TABLE t ADD b int;"),
            Wrap::Transaction
        );
        assert_eq!(
            wrap("BEGIN; ALTER TABLE t ADD a int; COMMIT;"),
            Wrap::AsWritten
        );
        assert_eq!(
            wrap("SELECT 1; CREATE INDEX CONCURRENTLY i ON t (a);"),
            Wrap::Autocommit
        );
        assert_eq!(wrap("SAVEPOINT a; SELECT 1; RELEASE a"), Wrap::Transaction);
        assert_eq!(
            wrap("COPY t FROM STDIN;\n1\n\\.\nSELECT 1;"),
            Wrap::Transaction
        );
    }

    #[test]
    fn a_wrap_that_the_text_contradicts_is_refused() {
        assert_eq!(
            story("SELECT 1;\nCOMMIT;", Some(Wrap::Transaction)),
            "`01.sql`, line 2: `COMMIT` in a step whose `wrap` is `transaction`\n  \
             help: leave `wrap` out, or set `wrap = \"as-written\"`"
        );
        assert_eq!(
            story(
                "SELECT 1;\n\nREINDEX TABLE CONCURRENTLY t;",
                Some(Wrap::Transaction)
            ),
            "`01.sql`, line 3: `REINDEX TABLE CONCURRENTLY t` cannot run in a transaction, and the step's `wrap` is `transaction`\n  \
             help: set `wrap = \"autocommit\"`, or give it a step of its own"
        );
        assert_eq!(
            story("BEGIN;\nVACUUM t;\nCOMMIT", None),
            "`01.sql`, line 2: `VACUUM t` cannot run in a transaction, and line 1 opens one\n  \
             help: move it in front of the `BEGIN` or behind the `COMMIT`"
        );
        assert_eq!(
            story("BEGIN;\nSELECT 1;", None),
            "`01.sql`, line 1: `BEGIN` opens a transaction that nothing ends\n  \
             help: add the `COMMIT`; until then its locks would be held"
        );
        assert_eq!(
            story(
                "BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;",
                Some(Wrap::Autocommit)
            ),
            "`01.sql`, line 3: `COMMIT` opens a transaction that nothing ends\n  \
             help: add the `COMMIT`; until then its locks would be held"
        );
    }

    #[test]
    fn a_text_without_a_statement_or_with_two_directions_is_refused() {
        assert_eq!(
            story("-- nothing\n;", None),
            "`01.sql` has no statement\n  help: leave it out, or write the SQL that the step is to run"
        );
        assert_eq!(
            story("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;", None),
            "`01.sql`, line 3: `-- migrate:down` begins the way back\n  \
             help: give the way there to lockproof in a file of its own; both would be run one after the other"
        );
        assert_eq!(
            story("SELECT '", None),
            "`01.sql`, line 1, column 8: unterminated string `'`"
        );
        assert_eq!(
            story("SELECT 1;\nSELECT ${batch_size};", None),
            "`01.sql`, line 2: `${batch_size}` is not defined\n  \
             help: only a step of kind `batch` in a scenario.toml sets it"
        );
    }

    #[test]
    fn a_batch_is_one_bounded_statement() {
        let text =
            "-- why\nUPDATE t SET b = a WHERE id IN (SELECT id FROM t LIMIT ${batch_size});\n";
        assert_eq!(
            batch(text, Keyset::None).as_deref(),
            Ok("UPDATE t SET b = a WHERE id IN (SELECT id FROM t LIMIT ${batch_size})")
        );
        for (text, keyset, expected) in [
            (
                "SELECT 1; SELECT ${batch_size}",
                Keyset::None,
                "`01.sql`: a batch is exactly one statement, and here are 2\n  \
                 help: put the others into `sql` steps before or after it",
            ),
            (
                "-- ${batch_size}\nDELETE FROM t",
                Keyset::None,
                "`01.sql`, line 2: `DELETE FROM t` does not use `${batch_size}`\n  \
                 help: bound the rows of each batch, for example with `LIMIT ${batch_size}`",
            ),
            (
                "DELETE FROM t LIMIT ${batch_size}",
                Keyset::After,
                "`01.sql`, line 1: `DELETE FROM t` does not use `${after}`, and the step has `after`\n  \
                 help: start each batch behind the last key, as in `WHERE id > ${after}`, or leave `after` out",
            ),
            (
                "DELETE FROM t WHERE id > ${after} LIMIT ${batch_size}",
                Keyset::None,
                "`01.sql`, line 1: `DELETE FROM t` uses `${after}`, and the step has no `after`\n  \
                 help: say which key to start after, such as `after = \"0\"`",
            ),
            (
                "COMMIT",
                Keyset::None,
                "`01.sql`, line 1: `COMMIT` cannot be a batch: each batch is a transaction of its own\n  \
                 help: write the UPDATE, DELETE or INSERT that is to be repeated",
            ),
        ] {
            assert_eq!(batch(text, keyset), Err(expected.to_owned()));
        }
    }
}
