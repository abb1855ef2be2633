//! What of a statement may be shown: its literals only if that was asked for, its passwords never.
//!
//! Pure; no panic on any text. Passwords are what stands behind `PASSWORD` and other names that say so,
//! in bodies of functions and in strings that are SQL or connection strings as well.

use std::collections::BTreeSet;
use std::ops::Range;

use super::pattern::{self, looks_secret};
use super::{MASK, known};
use crate::plan::Literals;
use crate::sql::{Token, TokenKind, Unterminated, lex, normalise};

/// Strings within strings are looked into so deep.
const DEPTH: usize = 4;

/// Functions whose strings are keys.
const CRYPT: [&str; 8] = [
    "crypt",
    "hmac",
    "pgp_sym_encrypt",
    "pgp_sym_decrypt",
    "pgp_sym_encrypt_bytea",
    "pgp_sym_decrypt_bytea",
    "encrypt",
    "decrypt",
];

/// A string that begins so is SQL of its own.
const VERBS: [&str; 22] = [
    "alter", "begin", "call", "comment", "copy", "create", "delete", "do", "drop", "execute",
    "explain", "grant", "insert", "merge", "reindex", "revoke", "select", "set", "truncate",
    "update", "vacuum", "with",
];

/// The statement as reports and recordings have it.
pub fn shown(sql: &str, literals: Literals) -> String {
    let opened = without_passwords(sql);
    match literals {
        Literals::Hidden => normalise(&opened),
        Literals::Shown => known::hide_these(&opened, &passwords(sql)),
    }
}

/// The same text, each literal (or, where literals are shown, each password) replaced by a mark on one line
/// with its line breaks behind it; and where each byte of the original is now.
pub fn masked(sql: &str, literals: Literals) -> (String, Vec<usize>) {
    let secret = spans(sql);
    let mut text = String::with_capacity(sql.len());
    let mut moved = Vec::with_capacity(sql.len() + 1);
    for token in lex(sql) {
        let piece = &sql[token.span.clone()];
        let is_secret = secret
            .iter()
            .any(|span| span.start <= token.span.start && token.span.end <= span.end);
        let mark = match (token.kind, literals) {
            _ if is_secret => "?",
            (TokenKind::LineComment | TokenKind::BlockComment, Literals::Hidden) => "",
            (kind, Literals::Hidden) if is_literal(kind) => "?",
            _ => {
                moved.extend((0..piece.len()).map(|offset| text.len() + offset));
                text.push_str(piece);
                continue;
            }
        };
        moved.extend(std::iter::repeat_n(text.len(), piece.len()));
        text.push_str(mark);
        text.extend(piece.chars().filter(|c| *c == '\n'));
    }
    moved.push(text.len());
    match literals {
        Literals::Hidden => (text, moved),
        // What lies within bodies and strings; its place is no place of the statement.
        Literals::Shown => {
            let nested = passwords(sql);
            let hidden = known::hide_these(&text, &nested);
            let length = hidden.len();
            if hidden == text {
                (text, moved)
            } else {
                let whole = |at: usize| {
                    (0..=at.min(length))
                        .rev()
                        .find(|at| hidden.is_char_boundary(*at))
                        .unwrap_or(0)
                };
                let moved = moved.into_iter().map(whole).collect();
                (hidden, moved)
            }
        }
    }
}

/// The passwords in it, as they are meant.
pub fn passwords(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(sql, DEPTH, &mut found);
    found
}

/// From now on they are known.
pub fn learn(sql: &str) {
    for password in passwords(sql) {
        known::remember(&password);
    }
}

/// What a statement has of names and of values, to tell one from the other in what a server says of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Names and keywords, without their quotes; as typed, and as the server folds them.
    pub names: BTreeSet<String>,
    /// Contents of strings.
    pub values: Vec<String>,
    /// Those of them that `RAISE` says, with `%` for what is put in.
    pub formats: Vec<String>,
}

/// Names and values of a statement, those of bodies and of strings that are SQL among them.
pub(super) fn said(sql: &str) -> Said {
    let mut said = Said::default();
    tell(sql, DEPTH, &mut said);
    said.values.retain(|value| !value.is_empty());
    said.values
        .sort_by_key(|value| std::cmp::Reverse(value.len()));
    said
}

fn tell(sql: &str, depth: usize, said: &mut Said) {
    let secret = spans(sql);
    // The last two words, without what has no meaning.
    let mut before = [String::new(), String::new()];
    for token in lex(sql).filter(|token| !token.kind.is_trivia()) {
        let text = &sql[token.span.clone()];
        let raises = before.iter().any(|word| word == "raise");
        before = [std::mem::take(&mut before[1]), text.to_lowercase()];
        if raises && token.kind == TokenKind::String {
            said.formats.push(meant(&token, text));
        }
        if secret
            .iter()
            .any(|span| span.start <= token.span.start && token.span.end <= span.end)
        {
            said.values.push(meant(&token, text));
            said.values.push(text.to_owned());
            continue;
        }
        match token.kind {
            TokenKind::Identifier => {
                said.names.insert(text.to_owned());
                said.names.insert(text.to_lowercase());
            }
            TokenKind::QuotedIdentifier => drop(said.names.insert(meant(&token, text))),
            TokenKind::DollarString if depth > 0 => {
                let inner = meant(&token, text);
                // What holds a semicolon is code only where code stands.
                let is_body = matches!(before[0].as_str(), "do" | "as" | "plpgsql" | "sql");
                if begins_with_verb(&inner) || is_body && inner.contains(';') {
                    tell(&inner, depth - 1, said);
                }
                said.values.push(inner);
            }
            TokenKind::String if depth > 0 => {
                let inner = meant(&token, text);
                if begins_with_verb(&inner) {
                    tell(&inner, depth - 1, said);
                }
                let typed = text.trim_start_matches(|c: char| c != '\'');
                said.values.push(typed.trim_matches('\'').to_owned());
                said.values.push(inner);
            }
            kind if is_literal(kind) => {
                said.values.push(meant(&token, text));
                said.values.push(text.to_owned());
            }
            _ => {}
        }
    }
}

fn begins_with_verb(text: &str) -> bool {
    let mut words = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_lowercase();
    let is_code = matches!(first.as_str(), "declare" | "begin") || VERBS.contains(&first.as_str());
    is_code && (words.next().is_some() || first == "begin")
}

/// True for SQL that stands where any text may stand, such as an argument of a program.
pub fn is_sql(text: &str) -> bool {
    let begun = text.trim_start();
    // An option such as `--set` is no comment, unless a line follows it.
    let begins = begun
        .starts_with(|c: char| c.is_alphabetic() || matches!(c, '(' | '/' | '\'' | '"'))
        || begun.starts_with("--") && begun.contains('\n');
    begins && begins_with_verb(text)
}

pub(super) fn is_literal(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::String
            | TokenKind::DollarString
            | TokenKind::BitString
            | TokenKind::Number
            | TokenKind::Unterminated(_)
    )
}

fn without_passwords(sql: &str) -> String {
    let mut text = sql.to_owned();
    for span in spans(sql).into_iter().rev() {
        text.replace_range(span, &format!("'{MASK}'"));
    }
    text
}

fn collect(sql: &str, depth: usize, found: &mut Vec<String>) {
    let secret = spans(sql);
    for token in lex(sql) {
        let text = &sql[token.span.clone()];
        let is_secret = secret
            .iter()
            .any(|span| span.start <= token.span.start && token.span.end <= span.end);
        let inner = meant(&token, text);
        match token.kind {
            _ if is_secret => {
                found.push(inner);
                continue;
            }
            TokenKind::LineComment | TokenKind::BlockComment => {}
            TokenKind::DollarString | TokenKind::String | TokenKind::Unterminated(_)
                if depth > 0 =>
            {
                if token.kind != TokenKind::String || begins_with_verb(&inner) {
                    collect(&inner, depth - 1, found);
                }
            }
            _ => continue,
        }
        if token.kind != TokenKind::DollarString {
            let places = pattern::find(&inner);
            found.extend(places.into_iter().map(|place| inner[place].to_owned()));
        }
    }
}

/// What every name that says that it is secret has in it, and every function of [`CRYPT`].
const HINTS: [&str; 10] = [
    "pass", "pw", "secret", "token", "key", "crypt", "dsn", "cred", "jwt", "hmac",
];

/// Whether there can be one: asked of every statement that a session runs while it is watched.
fn may_have_some(sql: &str) -> bool {
    let is = |bytes: &[u8], hint: &str| {
        bytes.len() >= hint.len() && bytes[..hint.len()].eq_ignore_ascii_case(hint.as_bytes())
    };
    let bytes = sql.as_bytes();
    (0..bytes.len()).any(|at| HINTS.iter().any(|hint| is(&bytes[at..], hint)))
        // Names of variables alone end so.
        || sql.contains("SALT")
        || sql.contains("AUTH")
}

/// The tokens that are passwords.
fn spans(sql: &str) -> Vec<Range<usize>> {
    if !may_have_some(sql) {
        return Vec::new();
    }
    let tokens: Vec<Token> = lex(sql).filter(|token| !token.kind.is_trivia()).collect();
    let text = |token: &Token| &sql[token.span.clone()];
    let word = |at: usize| tokens.get(at).map(text).unwrap_or_default();
    let mut found = Vec::new();
    let mut begins = true;
    let mut of_role = false;
    for (at, token) in tokens.iter().enumerate() {
        if begins {
            let is = |at: usize, words: &[&str]| {
                words
                    .iter()
                    .any(|other| word(at).eq_ignore_ascii_case(other))
            };
            of_role = is(at, &["create", "alter"])
                && is(at + 1, &["role", "user", "group"])
                && !is(at + 2, &["mapping"]);
        }
        begins = token.kind == TokenKind::Semicolon
            || matches!(
                word(at).to_lowercase().as_str(),
                "begin" | "then" | "else" | "loop"
            );
        let name = match token.kind {
            TokenKind::Identifier => text(token).to_owned(),
            TokenKind::QuotedIdentifier | TokenKind::String => meant(token, text(token)),
            _ => continue,
        };
        if token.kind == TokenKind::Identifier
            && CRYPT.contains(&name.to_lowercase().as_str())
            && word(at + 1) == "("
        {
            found.extend(strings_of_call(&tokens[at + 1..]));
            continue;
        }
        if name.contains(char::is_whitespace) || !looks_secret(&name) {
            continue;
        }
        let sign = word(at + 1);
        let is_assigned = matches!(sign, "=" | "=>" | ":=")
            || token.kind == TokenKind::String && sign == ","
            || sign.eq_ignore_ascii_case("to")
            || sign == ":" && token.kind != TokenKind::Identifier;
        let Some(value) = tokens.get(if is_assigned { at + 2 } else { at + 1 }) else {
            continue;
        };
        let is_password = name.eq_ignore_ascii_case("password") && of_role;
        let is_value = match value.kind {
            TokenKind::Number => is_assigned || is_password,
            TokenKind::String if token.kind == TokenKind::String => is_assigned,
            kind if is_literal(kind) => true,
            TokenKind::QuotedIdentifier => is_password,
            TokenKind::Identifier => is_password && !text(value).eq_ignore_ascii_case("null"),
            _ => false,
        };
        if is_value {
            found.push(value.span.clone());
        }
    }
    // One may be found twice, as an argument and as a value.
    found.sort_by_key(|span| span.start);
    found.dedup();
    found
}

fn strings_of_call(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut depth = 0;
    let mut found = Vec::new();
    for token in tokens {
        match token.kind {
            TokenKind::LeftParen => depth += 1,
            TokenKind::RightParen => depth -= 1,
            TokenKind::Semicolon => break,
            TokenKind::String | TokenKind::DollarString | TokenKind::Unterminated(_) => {
                found.push(token.span.clone());
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// What a literal or a quoted name stands for; of what was never closed, all that is there.
fn meant(token: &Token, text: &str) -> String {
    match token.kind {
        TokenKind::DollarString | TokenKind::Unterminated(Unterminated::DollarString) => {
            let tag = text[1..].find('$').map_or(text.len(), |end| end + 2);
            let inner = &text[tag.min(text.len())..];
            let closed = inner.strip_suffix(&text[..tag.min(text.len())]);
            closed.unwrap_or(inner).to_owned()
        }
        TokenKind::QuotedIdentifier | TokenKind::Unterminated(Unterminated::QuotedIdentifier) => {
            let inner = text.split_once('"').map_or(text, |(_, inner)| inner);
            inner
                .strip_suffix('"')
                .unwrap_or(inner)
                .replace("\"\"", "\"")
        }
        TokenKind::String
        | TokenKind::BitString
        | TokenKind::Unterminated(Unterminated::String) => {
            let (prefix, inner) = text.split_once('\'').unwrap_or(("", text));
            let inner = inner.strip_suffix('\'').unwrap_or(inner).replace("''", "'");
            if prefix.eq_ignore_ascii_case("e") {
                unescaped(&inner)
            } else {
                inner
            }
        }
        _ => text.to_owned(),
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown_and_literals_when_asked_for() {
        for (sql, open, closed) in [
            (
                "ALTER USER app PASSWORD 'h''x9'",
                "ALTER USER app PASSWORD '***'",
                "ALTER USER app PASSWORD ?",
            ),
            (
                "CREATE ROLE r LOGIN ENCRYPTED PASSWORD \"oops7\" VALID UNTIL 'x'",
                "CREATE ROLE r LOGIN ENCRYPTED PASSWORD '***' VALID UNTIL 'x'",
                "CREATE ROLE r LOGIN ENCRYPTED PASSWORD ? VALID UNTIL ?",
            ),
            (
                "alter role r password oops7 superuser",
                "alter role r password '***' superuser",
                "alter role r password ? superuser",
            ),
            (
                "ALTER ROLE r PASSWORD NULL",
                "ALTER ROLE r PASSWORD NULL",
                "ALTER ROLE r PASSWORD NULL",
            ),
            (
                "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'a', password 'b')",
                "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'a', password '***')",
                "CREATE USER MAPPING FOR u SERVER s OPTIONS (user ?, password ?)",
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=h password=pw77' PUBLICATION p",
                "CREATE SUBSCRIPTION s CONNECTION 'host=h password=***' PUBLICATION p",
                "CREATE SUBSCRIPTION s CONNECTION ? PUBLICATION p",
            ),
            (
                "SELECT dblink_connect('c', 'postgres://u:pw@77@h/db'), 1",
                "SELECT dblink_connect('c', 'postgres://u:***@h/db'), 1",
                "SELECT dblink_connect(?, ?), ?",
            ),
            (
                "DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''deep77'''; END $$",
                "DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''***'''; END $$",
                "DO ?",
            ),
            (
                "UPDATE u SET password = 'x', n = 2",
                "UPDATE u SET password = '***', n = 2",
                "UPDATE u SET password = ?, n = ?",
            ),
            (
                "UPDATE u SET password = t.password",
                "UPDATE u SET password = t.password",
                "UPDATE u SET password = t.password",
            ),
            (
                "SELECT set_config('app.jwt_secret', 'x', false)",
                "SELECT set_config('app.jwt_secret', '***', false)",
                "SELECT set_config(?, ?, false)",
            ),
            (
                "SET app.api_token TO 'x'",
                "SET app.api_token TO '***'",
                "SET app.api_token TO ?",
            ),
            (
                "SELECT crypt('x', gen_salt('bf')), 'y'",
                "SELECT crypt('***', gen_salt('***')), 'y'",
                "SELECT crypt(?, gen_salt(?)), ?",
            ),
            (
                "ALTER USER a PASSWORD 'cut",
                "ALTER USER a PASSWORD '***'",
                "ALTER USER a PASSWORD ?",
            ),
            (
                "-- password: s3cr3t\nSELECT 'x'",
                "-- password: ***\nSELECT 'x'",
                "SELECT ?",
            ),
        ] {
            assert_eq!(shown(sql, Literals::Shown), open);
            assert_eq!(shown(sql, Literals::Hidden), closed);
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let sql = "DO $$\nBEGIN\nEND $$; -- c\nSELECT 'a\nb', nosuch";
        let (text, moved) = masked(sql, Literals::Hidden);
        assert_eq!(text, "DO ?\n\n; \nSELECT ?\n, nosuch");
        let at = sql.find("nosuch").expect("there");
        assert!(text[moved[at]..].starts_with("nosuch"));
        assert_eq!(masked("SELECT 'a', b", Literals::Shown).0, "SELECT 'a', b");
    }

    #[test]
    fn names_and_values_are_told_apart() {
        let said = said(
            "SELECT Foo, \"B c\", 'v', 12 FROM t; DO $$ BEGIN EXECUTE 'drop table gone now'; RAISE 'w %', x; END $$",
        );
        for name in ["Foo", "foo", "B c", "t", "gone", "x"] {
            assert!(said.names.contains(name), "{name}");
        }
        for value in ["v", "12", "w %"] {
            assert!(said.values.iter().any(|other| other == value), "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(sql in "(password|=|'|\"|\\$\\$|\\$a\\$|e'|\\\\|;|é|\n|--|/\\*| |alter|role|x|crypt|\\(|,){0,24}") {
            let _ = shown(&sql, Literals::Shown);
            let _ = shown(&sql, Literals::Hidden);
            for literals in [Literals::Shown, Literals::Hidden] {
                let (text, moved) = masked(&sql, literals);
                proptest::prop_assert_eq!(moved.len(), sql.len() + 1);
                proptest::prop_assert!(moved.iter().all(|at| *at <= text.len()));
            }
            let _ = said(&sql);
        }
    }
}
