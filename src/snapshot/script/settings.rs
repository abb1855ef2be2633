//! The two settings that decide where a quote ends, as far as a script changes them openly.
//!
//! What changes them behind the reader's back (in a function, at a rollback) is caught by the second defence.

use super::refused::Cause;

/// Asks the server, in words that no setting can make into others, whether quotes and characters are what they
/// are taken for; fails, and with it the restore, where they are not. One statement, without a line's end.
pub(super) fn question(standard_strings: bool) -> String {
    let expected = if standard_strings { "on" } else { "off" };
    format!(
        "SELECT CASE WHEN pg_catalog.current_setting('standard_conforming_strings') \
         OPERATOR(pg_catalog.=) '{expected}' AND pg_catalog.strpos(\
         ' SJIS SHIFT_JIS_2004 BIG5 GBK UHC GB18030 JOHAB ', \
         pg_catalog.concat(' ', pg_catalog.current_setting('client_encoding'), ' ')) \
         OPERATOR(pg_catalog.=) 0 THEN 1 ELSE pg_catalog.concat('{CHANGED} ', \
         pg_catalog.current_setting('client_encoding'))::pg_catalog.int4 END; "
    )
}

/// What the server says where the answer is no.
pub(in crate::snapshot) const CHANGED: &str =
    "the dump changes standard_conforming_strings or client_encoding behind the back of its reader";

/// Encodings of clients alone, whose second bytes can be ASCII; by the names that the server takes, without `-` and `_`.
const UNSAFE: &[&str] = &[
    "big5",
    "gb18030",
    "gbk",
    "johab",
    "mskanji",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "uhc",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

/// Statements that carry data and never change a setting of the session by it.
const DATA: &[&str] = &[
    "insert", "update", "delete", "merge", "copy", "create", "alter", "comment", "grant", "revoke",
    "security",
];

/// What is in force.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `standard_conforming_strings`, for the next line.
    pub standard_strings: bool,
    /// It was off at some time: whatever brings back an earlier value may bring that back.
    was_off: bool,
}

impl Settings {
    pub(super) fn new(standard_strings: bool) -> Self {
        Self {
            standard_strings,
            was_off: !standard_strings,
        }
    }

    /// Takes in a statement that ends here; `words` are its first, unquoted and in lower case.
    pub(super) fn after(&mut self, words: &[Vec<u8>]) -> Result<(), Cause> {
        let Some((first, rest)) = words.split_first() else {
            return Ok(());
        };
        let is = |known: &[&str]| known.iter().any(|known| known.as_bytes() == &first[..]);
        if is(DATA) {
            return Ok(());
        }
        let mentions = |name: &str| rest.iter().any(|word| word == name.as_bytes());
        let sets_encoding = mentions("client_encoding") || is(&["set"]) && mentions("names");
        if sets_encoding && let Some(name) = rest.iter().find(|word| is_unsafe(word)) {
            return Err(Cause::Encoding(super::refused::plain(name)));
        }
        if mentions("standard_conforming_strings") {
            return self.strings(words);
        }
        let brings_back = ["rollback", "abort", "savepoint", "reset", "discard"];
        if self.was_off && is(&brings_back) {
            return Err(Cause::Strings);
        }
        Ok(())
    }

    /// `SET standard_conforming_strings = …`, and nothing else that changes it.
    fn strings(&mut self, words: &[Vec<u8>]) -> Result<(), Cause> {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let (value, is_local) = match words.as_slice() {
            [b"show", ..] => return Ok(()),
            [b"set", _, b"=" | b"to", value] => (*value, false),
            [b"set", b"session", _, b"=" | b"to", value] => (*value, false),
            [b"set", b"local", _, b"=" | b"to", value] => (*value, true),
            _ => return Err(Cause::Strings),
        };
        let is_on = match value {
            b"on" | b"true" | b"yes" | b"1" => true,
            b"off" | b"false" | b"no" | b"0" => false,
            _ => return Err(Cause::Strings),
        };
        if is_local && is_on != self.standard_strings {
            return Err(Cause::Strings);
        }
        self.standard_strings = is_on;
        self.was_off |= !is_on;
        Ok(())
    }
}

/// Compared as the server compares names of encodings.
fn is_unsafe(name: &[u8]) -> bool {
    let letters: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    UNSAFE.iter().any(|known| known.as_bytes() == letters)
}
