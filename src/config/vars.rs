//! `${name}` in SQL and in scenario files: put in once, never twice, everything else untouched.

use std::collections::BTreeMap;

use super::suggest::nearest;

/// A `${name}` that nothing defines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`${{{name}}}` is not defined, line {line}")]
pub struct Undefined {
    /// The name.
    pub name: String,
    /// The line of the text that it is on, from 1.
    pub line: usize,
    /// A defined name that may be meant; None when none is like it.
    pub suggestion: Option<String>,
}

/// The text with every `${name}` replaced by its value; values are not looked into again.
///
/// A name is a letter or `_`, then letters, digits and `_`. Whatever else has a `$` stays: dollar
/// quotes, `$1`, `${` followed by anything else.
///
/// # Errors
///
/// For the first name that is not defined.
pub fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Undefined> {
    let mut whole = String::with_capacity(text.len());
    let mut done = 0;
    for (start, name) in placeholders(text) {
        let Some(value) = variables.get(name) else {
            return Err(Undefined {
                name: name.to_owned(),
                line: 1 + text[..start].bytes().filter(|&byte| byte == b'\n').count(),
                suggestion: nearest(name, variables.keys().map(String::as_str))
                    .map(ToOwned::to_owned),
            });
        };
        whole.push_str(&text[done..start]);
        whole.push_str(value);
        done = start + "${}".len() + name.len();
    }
    whole.push_str(&text[done..]);
    Ok(whole)
}

/// Where each `${name}` begins, and its name.
pub fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("${").filter_map(|(start, opening)| {
        let rest = &text[start + opening.len()..];
        let name = &rest[..rest.find('}')?];
        is_name(name).then_some((start, name))
    })
}

/// True for what may stand between `${` and `}`.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("rows", "10"), ("table", "listings"), ("self", "${rows}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn names_are_replaced_once_and_nothing_else_is() {
        let put = |text| substitute(text, &variables());
        assert_eq!(
            put("FROM ${table} LIMIT ${rows}"),
            Ok("FROM listings LIMIT 10".into())
        );
        assert_eq!(put("${self}"), Ok("${rows}".into()));
        for same in ["", "$$ ${ } $1 $x$ ${1} ${a b} ${", "${größe}", "$ {rows}"] {
            assert_eq!(put(same), Ok(same.into()));
        }
        assert_eq!(put("${${rows}}"), Ok("${10}".into()));
    }

    #[test]
    fn an_undefined_name_has_its_line_and_a_suggestion() {
        let undefined = substitute("a\nb ${tabel}", &variables());
        assert_eq!(
            undefined,
            Err(Undefined {
                name: "tabel".into(),
                line: 2,
                suggestion: Some("table".into())
            })
        );
    }
}
