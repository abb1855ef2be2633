//! Words with code in them: what stands between backticks is SQL or a name.

use serde::Serialize;

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    pub code: bool,
    pub text: String,
}

/// A sentence.
pub(super) type Rich = Vec<Part>;

/// Takes it apart; an odd backtick is a letter like any other.
pub(super) fn rich(text: &str) -> Rich {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return vec![Part {
            code: false,
            text: text.to_owned(),
        }];
    }
    let parts = parts.iter().enumerate().map(|(index, text)| Part {
        code: !index.is_multiple_of(2),
        text: (*text).to_owned(),
    });
    parts.filter(|part| !part.text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_are_paired() {
        let shown = |text: &str| -> Vec<(bool, String)> {
            rich(text)
                .into_iter()
                .map(|part| (part.code, part.text))
                .collect()
        };
        let part = |code, text: &str| (code, text.to_owned());
        assert_eq!(
            shown("`a` was held by `b`"),
            [
                part(true, "a"),
                part(false, " was held by "),
                part(true, "b")
            ]
        );
        assert_eq!(shown("one ` only"), [part(false, "one ` only")]);
    }
}
