//! Why a plain dump is not run.

use std::path::Path;

use crate::Error;

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::snapshot) struct Refused {
    /// The line, counted from one.
    pub line: u64,
    /// What is there.
    pub cause: Cause,
}

/// What must not reach `psql`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::snapshot) enum Cause {
    /// `\connect`.
    Connects,
    /// Another command, by its name with the backslash.
    Command(String),
    /// A variable of `psql`'s own, whose value would be read as a part of the dump.
    Variable(String),
    /// A carriage return that ends no line: a comment ends there, a quote may go on.
    CarriageReturn,
    /// A zero byte, at which `psql` cuts a line off.
    Nul,
    /// A number with letters, a quote and no space between.
    Number,
    /// `COPY … FROM stdin` among other statements, of which versions differ whether it takes rows.
    CopyWithin,
    /// An encoding with backslashes and quotes within its characters.
    Encoding(String),
    /// `standard_conforming_strings` changes in a way that cannot be followed.
    Strings,
    /// A word that has no end.
    TooLong,
}

impl Refused {
    pub(super) fn new(line: u64, cause: Cause) -> Self {
        Self { line, cause }
    }

    /// In words.
    pub(in crate::snapshot) fn of(self, file: &Path) -> Error {
        let place = format!("line {} of `{}`", self.line, file.display());
        let (what, help) = match self.cause {
            Cause::Connects => (
                "connects to another database: the data would go there".to_owned(),
                "take the dump without `--create`, or remove its `CREATE DATABASE` and `\\connect`",
            ),
            // `pg_dump --create` writes it before a `\connect` whose name needs quotes.
            Cause::Command(name) if name == "\\encoding" => (
                format!("has `{name}`, a command of `psql`: no command of a dump is run"),
                "take the dump without `--create`, or remove its `CREATE DATABASE`, `\\encoding` and `\\connect`",
            ),
            Cause::Command(name) => (
                format!("has `{name}`, a command of `psql`: no command of a dump is run"),
                "take the dump with `pg_dump`, which writes none, or remove the command; in a literal or a row a backslash is no command",
            ),
            Cause::Variable(name) => (
                format!("has `{name}`: `psql` would put the value of its own variable there"),
                "put a space behind the colon, or take the dump with `pg_dump --format=custom`",
            ),
            Cause::CarriageReturn => (
                "has a carriage return that does not end the line: programs differ on whether a comment ends there".to_owned(),
                "let lines end in a line feed, such as with `tr '\\r' '\\n'`",
            ),
            Cause::Nul => (
                "has a zero byte: the line would be cut off there".to_owned(),
                "copy the dump again, or take it again with `pg_dump`",
            ),
            Cause::Number => (
                "has a number that runs into letters and a quote: versions of `psql` differ on what is quoted"
                    .to_owned(),
                "put a space behind the number",
            ),
            Cause::CopyWithin => (
                "begins a `COPY` within parentheses or a function's body: versions of `psql` differ on what its rows are"
                    .to_owned(),
                "put the `COPY` into a statement of its own",
            ),
            Cause::Encoding(name) => (
                format!("sets the encoding `{name}`, whose characters can have a backslash or a quote as their second byte"),
                "take the dump with `pg_dump --encoding=UTF8`",
            ),
            Cause::Strings => (
                "changes `standard_conforming_strings` so that nothing tells which quotes are open after it".to_owned(),
                "set it with `SET standard_conforming_strings = on;` alone, or take the dump with `pg_dump --format=custom`",
            ),
            Cause::TooLong => (
                "has a word of more than a million characters outside quotes".to_owned(),
                "copy the dump again, and compare its size with the original's",
            ),
        };
        Error::stage(format!("{place} {what}")).help(help)
    }
}

/// A command's name: to the next space or backslash, as `psql` takes it, and no longer than a name is.
pub(super) fn command(text: &[u8]) -> Cause {
    let rest = &text[1..];
    let end = rest
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || *byte == 0x0b || *byte == b'\\')
        .unwrap_or(rest.len());
    match &rest[..end] {
        b"c" | b"connect" => Cause::Connects,
        name => Cause::Command(format!("\\{}", plain(name))),
    }
}

/// What can be shown of a name, wherever it comes from.
pub(super) fn plain(name: &[u8]) -> String {
    const LENGTH: usize = 32;
    let shown: String = name
        .iter()
        .take(LENGTH)
        .map(|byte| match byte {
            b'!'..=b'_' | b'a'..=b'~' => char::from(*byte),
            _ => '?',
        })
        .collect();
    if name.len() > LENGTH {
        format!("{shown}…")
    } else {
        shown
    }
}
