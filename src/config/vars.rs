//! `${name}` in the user's files. Everything else passes byte for byte, `$1` and `$$` too.

use std::collections::BTreeMap;
use std::fmt;

/// A name that no variable has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undefined {
    /// The name, without `${}`.
    pub name: String,
    /// The line that it stands on, from 1.
    pub line: usize,
    /// A variable of a similar name; None: none is similar.
    pub suggestion: Option<String>,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the variable `{}` on line {} is not defined",
            self.name, self.line
        )?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ": did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Undefined {}

/// Puts the variables' values in their places; a value is not looked into again.
pub fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Undefined> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, behind) = rest.split_at(at);
        result.push_str(before);
        let Some(name) = behind[2..].split_once('}').map(|(name, _)| name) else {
            rest = behind;
            break;
        };
        if !is_name(name) {
            result.push_str("${");
            rest = &behind[2..];
            continue;
        }
        let Some(value) = variables.get(name) else {
            let offset = text.len() - behind.len();
            return Err(Undefined {
                name: name.to_owned(),
                line: text[..offset].matches('\n').count() + 1,
                suggestion: similar(name, variables.keys().map(String::as_str)),
            });
        };
        result.push_str(value);
        rest = &behind[name.len() + 3..];
    }
    result.push_str(rest);
    Ok(result)
}

/// Whether a variable can have this name: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// The name among `known` that was most likely meant.
pub fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [
            ("rows".to_owned(), "10".to_owned()),
            ("_x1".to_owned(), "${rows}".to_owned()),
        ]
        .into()
    }

    #[test]
    fn values_are_put_in_once() {
        let result = substitute("a ${rows} b ${_x1}${rows}", &variables());
        assert_eq!(result.as_deref(), Ok("a 10 b ${rows}10"));
    }

    #[test]
    fn everything_else_passes_byte_for_byte() {
        for text in [
            "",
            "$1 $$ $body$ $ { rows }",
            "${",
            "${rows",
            "${1a} ${} ${a b} ${a-b}",
            "$${ ${é} \r\n\t",
        ] {
            assert_eq!(substitute(text, &variables()).as_deref(), Ok(text));
        }
        assert_eq!(
            substitute("$${rows} ${a ${rows}}", &variables()).as_deref(),
            Ok("$10 ${a 10}")
        );
    }

    #[test]
    fn an_undefined_name_has_its_line_and_a_suggestion() {
        let error = substitute("${rows}\nü\n ${row}", &variables()).expect_err("undefined");
        assert_eq!(
            error.to_string(),
            "the variable `row` on line 3 is not defined: did you mean `rows`?"
        );
        let error = substitute("${zzz}", &variables()).expect_err("undefined");
        assert_eq!(error.suggestion, None);
    }

    proptest::proptest! {
        #[test]
        fn text_without_a_dollar_is_never_changed(text in "[^$]*") {
            let result = substitute(&text, &variables());
            proptest::prop_assert_eq!(result, Ok(text));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[${}a-z\n ]*") {
            let _ = substitute(&text, &variables());
        }
    }
}
