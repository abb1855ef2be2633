//! Where each statement of a file begins and ends, in the user's own bytes.
//!
//! Cuts where psql would (`psqlscan.l`), inline `COPY … FROM STDIN` data included. What psql would
//! do itself (backslash commands) or would wait for (an open quote) is an error that names the place.
//! Must not change a byte of a statement, nor decide how it is run.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::lex::{Lexer, Token, TokenKind, Unterminated, lex};

/// One statement of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The user's bytes from the first token to the last: without the terminating semicolon, and
    /// without white space and comments around them.
    pub text: String,
    /// Where [`text`](Self::text) is in the file, in bytes.
    pub span: Range<usize>,
    /// What kind of statement it is.
    pub kind: Kind,
    /// Where the inline data of a `COPY … FROM STDIN` is in the file: its lines with their line
    /// breaks, without the closing `\.` line. `None` for every other statement.
    pub copy_data: Option<Range<usize>>,
}

/// Why a file cannot be split, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line}, column {column}")]
pub struct SplitError {
    /// The byte of the file that it is about: where the thing that is never closed was opened.
    pub offset: usize,
    /// The line of [`offset`](Self::offset), from 1.
    pub line: usize,
    /// The column of [`offset`](Self::offset) in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: SplitErrorKind,
}

/// What is wrong with a file that cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitErrorKind {
    /// A string in single quotes is never closed.
    #[error("unterminated string `'`")]
    String,
    /// A name in double quotes is never closed.
    #[error("unterminated quoted identifier `\"`")]
    QuotedIdentifier,
    /// A dollar-quoted string is never closed; holds its tag, dollars included.
    #[error("unterminated dollar-quoted string `{0}`")]
    DollarString(String),
    /// A block comment is never closed.
    #[error("unterminated comment `/*`")]
    Comment,
    /// A parenthesis is never closed.
    #[error("unclosed parenthesis `(`")]
    Parenthesis,
    /// A `BEGIN ATOMIC` body, or a `CASE` within it, has no `END`; holds which.
    #[error("`{0}` without its `END`")]
    Block(&'static str),
    /// A psql command; holds its name, backslash included, without its arguments.
    #[error("`{0}` is a psql command, not SQL")]
    PsqlCommand(String),
    /// Something follows a `COPY … FROM STDIN;` on its line, where psql would have read data next.
    #[error("text after `COPY … FROM STDIN;` on the same line")]
    TextBeforeCopyData,
}

impl SplitError {
    fn new(text: &str, offset: usize, kind: SplitErrorKind) -> Self {
        let (line, column) = line_column(text, offset);
        SplitError {
            offset,
            line,
            column,
            kind,
        }
    }

    /// The way out, where there is one to name. `None` where the message says it all.
    pub fn help(&self) -> Option<&str> {
        match &self.kind {
            SplitErrorKind::PsqlCommand(name) => Some(match name.as_str() {
                "\\." => "`\\.` ends the data of a `COPY … FROM STDIN;`, and none is open here",
                "\\restrict" | "\\unrestrict" => {
                    "delete the `\\restrict` and `\\unrestrict` lines that pg_dump wrote; they only guard psql"
                }
                "\\i" | "\\ir" | "\\include" | "\\include_relative" => {
                    "make the included file a step of its own"
                }
                "\\copy" => "write `COPY … FROM STDIN;`, the data on the lines after it, and `\\.`",
                "\\c" | "\\connect" => {
                    "delete the line; every statement runs on the stage's own database"
                }
                "\\;" => "write `;`",
                _ => "write the SQL that it stands for; psql commands never reach the server",
            }),
            SplitErrorKind::DollarString(_) => Some(
                "the closing tag has to be spelled as the opening one, upper and lower case included",
            ),
            SplitErrorKind::Comment => Some("comments nest: each `/*` needs its own `*/`"),
            SplitErrorKind::TextBeforeCopyData => {
                Some("put what follows on the line after the data's `\\.`")
            }
            SplitErrorKind::String
            | SplitErrorKind::QuotedIdentifier
            | SplitErrorKind::Parenthesis
            | SplitErrorKind::Block(_) => None,
        }
    }
}

/// The line and the column of a byte, both from 1, the column in characters.
///
/// An offset beyond the end counts as the end, one within a character as the character's first byte.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The statements of a file in their order; empty ones are dropped.
///
/// Two things are read as the server reads them, where psql does not: an `E'…'` string that goes on
/// across a line break keeps its backslash escapes (psql scans line by line and forgets them), and in
/// a `BEGIN ATOMIC` body a name spelled `end`, `case` or `begin` is a name. psql variables (`:name`)
/// are left as they are, for the server to refuse.
///
/// ```
/// let file = "SET lock_timeout = '1s'; -- be polite\nALTER TABLE listings ADD note text;";
/// let statements = lockproof::sql::split(file)?;
/// assert_eq!(statements[1].text, "ALTER TABLE listings ADD note text");
/// assert_eq!(statements[1].text, file[statements[1].span.clone()]);
/// # Ok::<(), lockproof::sql::SplitError>(())
/// ```
///
/// # Errors
///
/// If something is opened and never closed, and for psql's own commands.
pub fn split(text: &str) -> Result<Vec<Statement>, SplitError> {
    Splitter {
        text,
        tokens: lex(text),
        statements: Vec::new(),
        current: Current::default(),
    }
    .run()
}

struct Splitter<'a> {
    text: &'a str,
    tokens: Lexer<'a>,
    statements: Vec<Statement>,
    current: Current<'a>,
}

/// The statement that is being read.
#[derive(Default)]
struct Current<'a> {
    /// From its first token to its last so far; `None` before the first.
    span: Option<Range<usize>>,
    /// What is open, outermost first: what it is and where it was opened.
    open: Vec<(Open, usize)>,
    head: Head,
    /// The token before, if it was an unquoted word, and where it was.
    previous_word: Option<(&'a str, usize)>,
    /// True if the token before was a `.`, so that a word now is a name whatever it says.
    after_dot: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Parenthesis,
    BeginAtomic,
    Case,
}

/// How far the statement matches `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`, which alone may have a
/// `BEGIN ATOMIC` body.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Head {
    #[default]
    Start,
    Create,
    CreateOr,
    CreateOrReplace,
    Routine,
    Other,
}

impl Head {
    fn then(self, word: &str) -> Head {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        match self {
            Head::Start if is("create") => Head::Create,
            Head::Create if is("or") => Head::CreateOr,
            Head::CreateOr if is("replace") => Head::CreateOrReplace,
            Head::Create | Head::CreateOrReplace if is("function") || is("procedure") => {
                Head::Routine
            }
            Head::Routine => Head::Routine,
            _ => Head::Other,
        }
    }
}

impl<'a> Splitter<'a> {
    fn run(mut self) -> Result<Vec<Statement>, SplitError> {
        while let Some(token) = self.tokens.next() {
            match token.kind {
                kind if kind.is_trivia() => {}
                TokenKind::Unterminated(what) => return Err(self.unterminated(what, &token)),
                TokenKind::Backslash => return Err(self.psql_command(&token)),
                TokenKind::Semicolon if self.current.open.is_empty() => {
                    self.finish(token.span.end)?;
                }
                _ => self.take(&token),
            }
        }
        if let Some(&(open, offset)) = self.current.open.last() {
            let kind = match open {
                Open::Parenthesis => SplitErrorKind::Parenthesis,
                Open::BeginAtomic => SplitErrorKind::Block("BEGIN ATOMIC"),
                Open::Case => SplitErrorKind::Block("CASE"),
            };
            return Err(SplitError::new(self.text, offset, kind));
        }
        self.finish(self.text.len())?;
        Ok(self.statements)
    }

    /// Makes the token a part of the current statement.
    fn take(&mut self, token: &Token) {
        let text = &self.text[token.span.clone()];
        let current = &mut self.current;
        match &mut current.span {
            Some(span) => span.end = token.span.end,
            none => *none = Some(token.span.clone()),
        }
        match token.kind {
            TokenKind::LeftParen => current.open.push((Open::Parenthesis, token.span.start)),
            // One too many is the server's to complain about, as it is with psql.
            TokenKind::RightParen => {
                if matches!(current.open.last(), Some((Open::Parenthesis, _))) {
                    current.open.pop();
                }
            }
            TokenKind::Identifier => current.block(text, token.span.start),
            _ => current.head = current.head.then(""),
        }
        current.previous_word =
            (token.kind == TokenKind::Identifier).then_some((text, token.span.start));
        current.after_dot = text == ".";
    }

    /// Ends the current statement; `after` is the first byte behind its semicolon.
    fn finish(&mut self, after: usize) -> Result<(), SplitError> {
        let Some(span) = std::mem::take(&mut self.current).span else {
            return Ok(());
        };
        let text = self.text[span.clone()].to_owned();
        let kind = Kind::of(&text);
        let copy_data = if kind.is_copy_from_stdin() {
            Some(self.copy_data(after)?)
        } else {
            None
        };
        self.statements.push(Statement {
            text,
            span,
            kind,
            copy_data,
        });
        Ok(())
    }

    /// The lines from the one after `after` up to `\.`, which ends them as psql has it: alone on its
    /// line, or at the end of the file.
    fn copy_data(&mut self, after: usize) -> Result<Range<usize>, SplitError> {
        let line_end = self.line_end(after);
        let rest = &self.text[after..line_end];
        if let Some(token) = lex(rest).find(|token| !token.kind.is_trivia()) {
            let offset = after + token.span.start;
            return Err(SplitError::new(
                self.text,
                offset,
                SplitErrorKind::TextBeforeCopyData,
            ));
        }
        let start = line_end;
        let mut line_start = start;
        let mut resume = self.text.len();
        while line_start < self.text.len() {
            let next = self.line_end(line_start);
            let line = self.text[line_start..next].trim_end_matches('\n');
            if line.strip_suffix('\r').unwrap_or(line) == "\\." {
                resume = next;
                break;
            }
            line_start = next;
        }
        self.tokens.seek(resume);
        Ok(start..line_start)
    }

    /// The first byte of the line after the one that `at` is on.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..]
            .find('\n')
            .map_or(self.text.len(), |length| at + length + 1)
    }

    fn unterminated(&self, what: Unterminated, token: &Token) -> SplitError {
        let text = &self.text[token.span.clone()];
        let kind = match what {
            Unterminated::String => SplitErrorKind::String,
            Unterminated::QuotedIdentifier => SplitErrorKind::QuotedIdentifier,
            Unterminated::Comment => SplitErrorKind::Comment,
            Unterminated::DollarString => {
                let tag = text[1..]
                    .find('$')
                    .map_or(text, |length| &text[..length + 2]);
                SplitErrorKind::DollarString(tag.to_owned())
            }
        };
        SplitError::new(self.text, token.span.start, kind)
    }

    fn psql_command(&self, token: &Token) -> SplitError {
        let rest = &self.text[token.span.end..];
        // Up to white space or the next backslash; no command of psql has so long a name.
        let length = rest
            .char_indices()
            .find(|&(at, c)| c.is_whitespace() || (at > 0 && matches!(c, '\\' | ';')) || at >= 32)
            .map_or(rest.len(), |(at, _)| at);
        let name = format!("\\{}", &rest[..length]);
        SplitError::new(
            self.text,
            token.span.start,
            SplitErrorKind::PsqlCommand(name),
        )
    }
}

impl<'a> Current<'a> {
    /// Follows `BEGIN ATOMIC … END` and the `CASE … END` within it. psql counts every `BEGIN`, `CASE`
    /// and `END`; we let those be that can only be names, such as `t.end`, `AS end` and a `BEGIN`
    /// without `ATOMIC`.
    fn block(&mut self, word: &'a str, offset: usize) {
        self.head = self.head.then(word);
        if self.head != Head::Routine || self.after_dot {
            return;
        }
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        let previous = |keyword: &str| {
            self.previous_word
                .filter(|(word, _)| word.eq_ignore_ascii_case(keyword))
        };
        let innermost = self.open.last().map(|&(open, _)| open);
        match innermost {
            Some(Open::Parenthesis) => {}
            _ if is("atomic") => {
                if let Some((_, begin)) = previous("begin") {
                    self.open.push((Open::BeginAtomic, begin));
                }
            }
            Some(Open::BeginAtomic | Open::Case) if previous("as").is_some() => {}
            Some(_) if is("case") => self.open.push((Open::Case, offset)),
            Some(_) if is("end") => {
                self.open.pop();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        let statements = split(file).unwrap();
        for statement in &statements {
            assert_eq!(statement.text, file[statement.span.clone()]);
        }
        statements
            .into_iter()
            .map(|statement| statement.text)
            .collect()
    }

    fn error(file: &str) -> String {
        split(file).unwrap_err().to_string()
    }

    #[test]
    fn cuts_at_semicolons_of_the_top_level_only() {
        for whole in [
            "select ';'",
            "select e'\\';'",
            "select $$;$$, $a$;$$;$a$",
            "select \";\"",
            "select /* ; /* ; */ ; */ 1",
            "select -- ;\n 1",
            "create rule r as on insert to a do also (insert into b values (1); delete from c)",
            "select 'a'\n'b;c'",
            "select e'a'\n'b\\';c'",
            "create function f(a int default (1)) returns int begin atomic select 1; select case a when 1 then 2 else 3 end; end",
        ] {
            assert_eq!(texts(&format!("{whole};b")), [whole, "b"]);
        }
        assert_eq!(texts("select a$$;b"), ["select a$$", "b"]);
        assert_eq!(texts("select 1);b"), ["select 1)", "b"]);
    }

    #[test]
    fn drops_what_is_empty_and_what_surrounds_a_statement() {
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts(" ;; -- a;\n;/* ; */;"), [""; 0]);
        assert_eq!(
            texts("-- a\n /* b */ c /* d */ e -- f\n ; g"),
            ["c /* d */ e", "g"]
        );
        assert_eq!(
            texts("\u{feff}select 1;\r\nselect 2;\r\n"),
            ["select 1", "select 2"]
        );
    }

    #[test]
    fn begin_atomic_bodies_stay_whole() {
        for whole in [
            "CREATE PROCEDURE p() BEGIN /* x */ ATOMIC INSERT INTO a VALUES (1); DELETE FROM b; END",
            "create or replace function f() returns int begin atomic; end",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT (CASE WHEN true THEN 1 END); SELECT CASE WHEN CASE 1 WHEN 1 THEN true END THEN 1 END; END",
            // psql would end the body at each of these.
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT t.end FROM t; SELECT 1 AS end; SELECT \"end\"; END",
            // psql would never find the end of these.
            "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'select 1'",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT begin FROM t; END",
        ] {
            assert_eq!(texts(&format!("{whole};b")), [whole, "b"]);
        }
        assert_eq!(
            texts("BEGIN; SELECT 1; END; b"),
            ["BEGIN", "SELECT 1", "END", "b"]
        );
        assert_eq!(
            texts("CREATE TABLE a (); BEGIN ATOMIC; c"),
            ["CREATE TABLE a ()", "BEGIN ATOMIC", "c"]
        );
        assert_eq!(
            texts("CREATE FUNCTION f() RETURNS int RETURN CASE WHEN true THEN 1 END; b").len(),
            2
        );
    }

    #[test]
    fn copy_data_is_not_sql() {
        let file = "COPY a (b) FROM stdin; -- rows\n1;\\N\n'\\.\n\\.\nSELECT 1;";
        let statements = split(file).unwrap();
        assert_eq!(statements[0].text, "COPY a (b) FROM stdin");
        assert_eq!(
            &file[statements[0].copy_data.clone().unwrap()],
            "1;\\N\n'\\.\n"
        );
        assert_eq!(statements[1].text, "SELECT 1");
        assert_eq!(statements[1].copy_data, None);
        assert_eq!(statements.len(), 2);
    }

    #[test]
    fn copy_data_ends_with_the_file_at_the_latest() {
        for (file, data, count) in [
            ("COPY a FROM STDIN;\r\n1\r\n\\.\r\nb;", "1\r\n", 2),
            ("COPY a FROM STDIN;\n\\.\nb;", "", 2),
            ("COPY a FROM STDIN;\n1\n\\.", "1\n", 1),
            ("COPY a FROM STDIN;\n1\n2", "1\n2", 1),
            ("COPY a FROM STDIN;", "", 1),
            ("COPY a FROM STDIN -- c", "", 1),
            ("COPY a FROM STDIN;\n\\. \n\\.\nb", "\\. \n", 2),
            (
                "COPY a FROM STDIN\n;\n1\n\\.\nCOPY b FROM STDIN;\n2\n\\.\n",
                "1\n",
                2,
            ),
        ] {
            let statements = split(file).unwrap();
            assert_eq!(
                &file[statements[0].copy_data.clone().unwrap()],
                data,
                "{file}"
            );
            assert_eq!(statements.len(), count, "{file}");
        }
        assert_eq!(texts("COPY a TO STDOUT;\nb;").len(), 2);
    }

    #[test]
    fn text_where_copy_data_is_expected_is_refused() {
        let file = "COPY a FROM STDIN; SELECT 1;\n1\n\\.\n";
        assert_eq!(
            error(file),
            "text after `COPY … FROM STDIN;` on the same line at line 1, column 20"
        );
        assert!(split("COPY a FROM STDIN; /* a\n */\n").is_err());
    }

    #[test]
    fn psql_commands_are_refused_by_name() {
        for (file, message) in [
            (
                "select 1;\n\\restrict abc\n",
                "`\\restrict` is a psql command, not SQL at line 2, column 1",
            ),
            (
                "\\connect db user",
                "`\\connect` is a psql command, not SQL at line 1, column 1",
            ),
            (
                "select 'é' \\gexec",
                "`\\gexec` is a psql command, not SQL at line 1, column 12",
            ),
            (
                "select 1\\;",
                "`\\;` is a psql command, not SQL at line 1, column 9",
            ),
            (
                "select (1 \\g",
                "`\\g` is a psql command, not SQL at line 1, column 11",
            ),
            (
                "\\i a.sql",
                "`\\i` is a psql command, not SQL at line 1, column 1",
            ),
            (
                "copy a from stdin\n1\n\\.\n",
                "`\\.` is a psql command, not SQL at line 3, column 1",
            ),
            ("\\", "`\\` is a psql command, not SQL at line 1, column 1"),
            (
                "\\\\ a",
                "`\\\\` is a psql command, not SQL at line 1, column 1",
            ),
            (
                "\\ a",
                "`\\` is a psql command, not SQL at line 1, column 1",
            ),
        ] {
            assert_eq!(error(file), message);
            assert!(split(file).unwrap_err().help().is_some());
        }
    }

    #[test]
    fn what_is_never_closed_is_named_where_it_was_opened() {
        for (file, message) in [
            (
                "a;\n  select 'b",
                "unterminated string `'` at line 2, column 10",
            ),
            (
                "select \"b",
                "unterminated quoted identifier `\"` at line 1, column 8",
            ),
            (
                "do $a$ $A$",
                "unterminated dollar-quoted string `$a$` at line 1, column 4",
            ),
            ("/* /* */", "unterminated comment `/*` at line 1, column 1"),
            ("a (b; c ()", "unclosed parenthesis `(` at line 1, column 3"),
            (
                "create function f() begin atomic select 1;",
                "`BEGIN ATOMIC` without its `END` at line 1, column 21",
            ),
            (
                "create function f() begin atomic select case when a;",
                "`CASE` without its `END` at line 1, column 41",
            ),
        ] {
            assert_eq!(error(file), message);
        }
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        assert_eq!(line_column("", 0), (1, 1));
        assert_eq!(line_column("é\nab", 1), (1, 1));
        assert_eq!(line_column("é\nab", 2), (1, 2));
        assert_eq!(line_column("é\nab", 3), (2, 1));
        assert_eq!(line_column("é\nab", 99), (2, 3));
    }
}
