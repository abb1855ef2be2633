//! Characters of foreign texts that a terminal or a reader would obey, made visible.
//!
//! Controls are shown as `\x1b`, what has no shape of its own or turns the direction of writing as
//! `\u{202e}`. Pure; escaping twice changes nothing.

use std::borrow::Cow;

/// A text of several lines: line breaks and tabs stay, a carriage return before a line break goes.
pub fn escape(text: &str) -> Cow<'_, str> {
    made_visible(text, |c| matches!(c, '\n' | '\t'))
}

/// A name, which is one line: its line breaks and tabs are shown as well.
pub fn escape_name(name: &str) -> Cow<'_, str> {
    made_visible(name, |_| false)
}

/// A JSON document, in whose strings alone such characters can stand: as JSON itself escapes them.
pub fn escape_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if !is_obeyed(c) || matches!(c, '\n' | '\t' | '\r') {
            shown.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    shown
}

fn made_visible(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(|c| is_obeyed(c) && !stays(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        if c == '\r' && letters.peek() == Some(&'\n') && stays('\n') {
            continue;
        }
        if !is_obeyed(c) || stays(c) {
            shown.push(c);
        } else if u32::from(c) < 0x100 {
            shown.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        }
    }
    Cow::Owned(shown)
}

/// True for a character that does something instead of being seen, or that no XML document may hold.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'
                | '\u{ffff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        for (text, shown) in [
            ("a\u{1b}[31mb", "a\\x1b[31mb"),
            ("a\u{7}\u{8}\u{0}\u{7f}", "a\\x07\\x08\\x00\\x7f"),
            ("\u{9b}2J\u{85}", "\\x9b2J\\x85"),
            ("a\rb\r\nc\td", "a\\x0db\nc\td"),
            ("\u{202e}cba\u{202c}", "\\u{202e}cba\\u{202c}"),
            (
                "\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
                "\\u{2066}\\u{2069}\\u{200e}\\u{200f}\\u{61c}",
            ),
            (
                "a\u{200b}\u{200d}\u{feff}\u{2060}",
                "a\\u{200b}\\u{200d}\\u{feff}\\u{2060}",
            ),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{ffff}", "\\u{ffff}"),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape(shown), shown);
        }
        assert_eq!(escape_name("a\nb\tc\r\n"), "a\\x0ab\\x09c\\x0d\\x0a");
    }

    #[test]
    fn a_json_document_stays_one() {
        let text = serde_json::json!({ "a": "\u{9b}\u{202e}\u{e0041}\n" }).to_string();
        let shown = escape_json(&text);
        assert_eq!(shown, "{\"a\":\"\\u009b\\u202e\\udb40\\udc41\\n\"}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&shown), read(&text));
    }

    #[test]
    fn what_people_write_stays() {
        for text in ["größe שלום 表 🐘 é", "a\n\tb", "", "\\x1b"] {
            assert!(matches!(escape(text), Cow::Borrowed(_)), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_left_to_obey(text in proptest::prelude::any::<String>()) {
            let shown = escape(&text).into_owned();
            proptest::prop_assert!(!shown.contains(|c| is_obeyed(c) && c != '\n' && c != '\t'));
            proptest::prop_assert!(!escape_name(&text).contains(is_obeyed));
        }
    }
}
