//! The secrets that this process has met, in every spelling in which programs repeat them.
//!
//! One list for the whole process: what one scenario knows may stand in what another one writes.
//! Only grows, by few entries a run.

use std::sync::{PoisonError, RwLock};

use super::escape::escape;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Longest first, so that no part of one is left where another lies within it.
static KNOWN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// A shorter one is only hidden where it stands as a word: else it would tear up half of what is said.
const WORD: usize = 6;

/// What says nothing where it stands alone; as a password it is hidden by its place.
const PUBLIC: [&str; 16] = [
    "postgres",
    "postgresql",
    "password",
    "true",
    "false",
    "null",
    "none",
    "default",
    "localhost",
    "yes",
    "no",
    "on",
    "off",
    "user",
    "test",
    "***",
];

/// From now on it is not shown, however it is spelled.
pub fn remember(secret: &str) {
    for spelling in spellings(secret) {
        let lower = spelling.to_lowercase();
        if spelling.chars().count() < 2 || PUBLIC.contains(&lower.as_str()) {
            continue;
        }
        let has = |known: &[String]| known.contains(&spelling);
        if has(&KNOWN.read().unwrap_or_else(PoisonError::into_inner)) {
            continue;
        }
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let at = known.partition_point(|other| other.len() >= spelling.len());
        known.insert(at, spelling);
    }
}

/// `text` without them.
pub fn hide(text: &str) -> String {
    without(
        text,
        &KNOWN.read().unwrap_or_else(PoisonError::into_inner),
        0,
    )
}

/// `text` without the long ones: a short one may be a name of something.
pub fn hide_long(text: &str) -> String {
    without(
        text,
        &KNOWN.read().unwrap_or_else(PoisonError::into_inner),
        WORD,
    )
}

/// A text that was cut at its end: what may be the beginning of one goes as well.
pub fn hide_cut(text: &str) -> String {
    let mut shown = hide(text);
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let begun = known.iter().filter_map(|secret| {
        let ends = secret.char_indices().skip(4).map(|(end, _)| end);
        ends.filter(|end| shown.ends_with(&secret[..*end])).max()
    });
    if let Some(length) = begun.max() {
        shown.truncate(shown.len() - length);
        shown.push_str(MASK);
    }
    shown
}

/// `text` without these, and without their spellings.
pub(super) fn hide_these(text: &str, secrets: &[String]) -> String {
    let mut all: Vec<String> = secrets
        .iter()
        .flat_map(|secret| spellings(secret))
        .collect();
    all.retain(|spelling| spelling.chars().count() > 1);
    all.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    without(text, &all, 0)
}

fn without(text: &str, secrets: &[String], shortest: usize) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if !text.contains(secret.as_str()) {
            continue;
        }
        let letters = secret.chars().count();
        if letters >= WORD {
            text = text.replace(secret.as_str(), MASK);
        } else if letters >= shortest {
            text = without_word(&text, secret);
        }
    }
    text
}

fn without_word(text: &str, word: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices(word) {
        let before = text[..at].chars().next_back();
        let end = at + word.len();
        let after = text[end..].chars().next();
        let inside = before.is_some_and(part) && word.starts_with(part)
            || after.is_some_and(part) && word.ends_with(part);
        if !inside && at >= from {
            shown.push_str(&text[from..at]);
            shown.push_str(MASK);
            from = end;
        }
    }
    shown.push_str(&text[from..]);
    shown
}

/// The same secret as URLs, SQL, shells, JSON and error messages write it.
fn spellings(secret: &str) -> Vec<String> {
    let mut bases = vec![secret.to_owned()];
    if let Some(decoded) = decoded(secret) {
        bases.push(decoded);
    }
    let mut all = Vec::new();
    for base in bases {
        let json = serde_json::to_string(&base).unwrap_or_default();
        let debug = format!("{base:?}");
        let inner = |quoted: &str| {
            quoted
                .get(1..quoted.len().saturating_sub(1))
                .unwrap_or_default()
                .to_owned()
        };
        all.extend([
            percent(&base, true),
            percent(&base, false),
            percent(&base, true).replace("%20", "+"),
            base.replace('\'', "''"),
            base.replace('"', "\"\""),
            base.replace('\\', "\\\\"),
            base.replace('\\', "\\\\").replace('\'', "\\'"),
            base.replace('\\', "\\\\").replace('\'', "''"),
            base.replace('\'', "'\\''"),
            base.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
            ascii_json(&inner(&json)),
            inner(&json),
            inner(&debug),
            escape(&base).into_owned(),
        ]);
        // A program may print a part of it on each line.
        all.extend(base.lines().map(|line| line.trim().to_owned()));
        all.push(base.trim().to_owned());
        all.push(base);
    }
    all.retain(|spelling| !spelling.is_empty());
    all.sort();
    all.dedup();
    all
}

/// As programs write JSON that has to be ASCII.
fn ascii_json(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// As a URL has it.
fn percent(text: &str, upper: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else if upper {
            encoded.push_str(&format!("%{byte:02X}"));
        } else {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}

/// What a URL means by it; None: nothing else than what it is.
fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| *byte == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out)
        .ok()
        .filter(|decoded| decoded != text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_in_every_spelling() {
        let secret = "k9 'q\"\\/é%41zz";
        remember(secret);
        for said in [
            format!("<{secret}>"),
            "postgres://u:k9%20%27q%22%5C%2F%C3%A9%2541zz@h/db".to_owned(),
            "postgres://u:k9%20%27q%22%5c%2f%c3%a9%2541zz@h/db".to_owned(),
            format!("PASSWORD '{}'", secret.replace('\'', "''")),
            format!("{}", serde_json::json!({ "x": secret })),
            format!("{secret:?}"),
            format!(
                "password='{}'",
                secret.replace('\\', "\\\\").replace('\'', "\\'")
            ),
        ] {
            let shown = hide(&said);
            assert!(
                !shown.contains("zz") && shown.contains(MASK),
                "{said}: {shown}"
            );
        }
    }

    #[test]
    fn a_short_one_is_hidden_as_a_word() {
        remember("q7x");
        assert_eq!(hide("q7x, 'q7x' and aq7x_b"), "***, '***' and aq7x_b");
        assert_eq!(hide_long("q7x"), "q7x");
        remember("x");
        remember("");
        assert_eq!(hide("x"), "x");
    }

    #[test]
    fn what_was_cut_shows_no_beginning() {
        remember("w3lc0me-to-the-cut");
        assert_eq!(hide_cut("line w3lc0me-to-t"), "line ***");
        assert_eq!(hide_cut("line w3l"), "line w3l");
        assert_eq!(hide("line w3lc0me-to-t"), "line w3lc0me-to-t");
    }

    #[test]
    fn each_line_and_each_end_counts() {
        remember("  firstline77\nsecondline88 \n");
        assert_eq!(hide("firstline77"), "***");
        assert_eq!(hide("a secondline88."), "a ***.");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in proptest::prelude::any::<String>(), secret in ".{0,8}") {
            let _ = hide_these(&text, &[secret]);
        }
    }
}
