//! Names of tables as people type them: `events`, `audit.*`, `"Größe"."a=b"`.

use crate::{Error, Result};

/// Which tables are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// None: any that is on the search path.
    schema: Option<Vec<Glyph>>,
    name: Vec<Glyph>,
    typed: String,
}

/// One character of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glyph {
    /// Itself.
    Plain(char),
    /// `*`
    Any,
    /// `?`
    One,
}

impl Pattern {
    /// Reads a whole name; `option` is named where it is none.
    pub fn parse(typed: &str, option: &str) -> Result<Self> {
        match Self::read(typed) {
            Some((pattern, "")) => Ok(pattern),
            _ => Err(Error::usage(format!("`{option} {typed}` names no table"))
                .help("write `table` or `schema.table`, in double quotes where SQL needs them")),
        }
    }

    /// Reads `TABLE=CONDITION`.
    pub fn with_condition(typed: &str) -> Result<(Self, String)> {
        let read = Self::read(typed)
            .and_then(|(pattern, rest)| Some((pattern, rest.trim_start().strip_prefix('=')?)));
        match read {
            Some((pattern, condition)) if !condition.trim().is_empty() => {
                Ok((pattern, condition.trim().to_owned()))
            }
            // Never repeated: a condition may hold what is not to be printed.
            _ => Err(Error::usage("`--where` is no `TABLE=CONDITION`")
                .help("write it like `--where \"events=created_at > now() - interval '7 days'\"`")),
        }
    }

    /// A name and what follows it.
    fn read(typed: &str) -> Option<(Self, &str)> {
        let (first, rest) = part(typed.trim_start())?;
        let (schema, name, rest) = match rest.strip_prefix('.') {
            None => (None, first, rest),
            Some(rest) => {
                let (name, rest) = part(rest)?;
                (Some(first), name, rest)
            }
        };
        let length = typed.len() - rest.len();
        let pattern = Self {
            schema,
            name,
            typed: typed[..length].trim().to_owned(),
        };
        Some((pattern, rest.trim_end()))
    }

    /// As it was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Whether a table is meant; `visible`: it is on the search path.
    pub fn matches(&self, schema: &str, name: &str, visible: Visible) -> bool {
        let schema_fits = match &self.schema {
            None => visible == Visible::OnThePath,
            Some(wanted) => fits(wanted, schema),
        };
        schema_fits && fits(&self.name, name)
    }
}

/// Whether a table is found by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// It is.
    OnThePath,
    /// Its schema has to be named.
    BySchema,
}

/// `schema.table` of a description: both parts, quotes undone; None: it is no such name.
pub fn exact(text: &str) -> Option<(Option<String>, String)> {
    let plain = |glyphs: &[Glyph]| -> Option<String> {
        glyphs
            .iter()
            .map(|glyph| match glyph {
                Glyph::Plain(letter) => Some(*letter),
                _ => None,
            })
            .collect()
    };
    let (pattern, rest) = Pattern::read(text)?;
    if !rest.is_empty() {
        return None;
    }
    let schema = match &pattern.schema {
        None => None,
        Some(glyphs) => Some(plain(glyphs)?),
    };
    Some((schema, plain(&pattern.name)?))
}

/// One identifier and what follows it.
fn part(text: &str) -> Option<(Vec<Glyph>, &str)> {
    let mut glyphs = Vec::new();
    let mut characters = text.char_indices().peekable();
    let mut quoted = false;
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if quoted && characters.next_if(|(_, next)| *next == '"').is_some() => {
                glyphs.push(Glyph::Plain('"'));
            }
            '"' => quoted = !quoted,
            _ if quoted => glyphs.push(Glyph::Plain(character)),
            '*' => glyphs.push(Glyph::Any),
            '?' => glyphs.push(Glyph::One),
            _ if character.is_alphanumeric() || matches!(character, '_' | '$') => {
                glyphs.extend(character.to_lowercase().map(Glyph::Plain));
            }
            _ => {
                end = at;
                break;
            }
        }
    }
    (!quoted && !glyphs.is_empty()).then(|| (glyphs, &text[end..]))
}

fn fits(pattern: &[Glyph], name: &str) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((Glyph::Any, rest)) => {
            fits(rest, name)
                || name
                    .char_indices()
                    .any(|(at, c)| fits(rest, &name[at + c.len_utf8()..]))
        }
        Some((glyph, rest)) => name.chars().next().is_some_and(|first| {
            let same = match glyph {
                Glyph::Plain(wanted) => *wanted == first,
                _ => true,
            };
            same && fits(rest, &name[first.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_reads_them() {
        for (typed, schema, name, meant) in [
            ("events", "public", "events", true),
            ("Events", "public", "events", true),
            ("\"Events\"", "public", "events", false),
            ("\"Ev\"\"x.y=z\"", "public", "Ev\"x.y=z", true),
            ("audit.*", "audit", "log", true),
            ("audit.l?g", "audit", "log", true),
            ("audit.l?g", "audit", "loog", false),
            ("*_old", "public", "events_old", true),
            ("\"*\"", "public", "events", false),
            ("Größe", "public", "größe", true),
            ("other.events", "public", "events", false),
        ] {
            let pattern = Pattern::parse(typed, "--exclude").expect(typed);
            let fits = pattern.matches(schema, name, Visible::OnThePath);
            assert_eq!(fits, meant, "{typed} {schema}.{name}");
        }
        let hidden = Pattern::parse("log", "--exclude").expect("a name");
        assert!(!hidden.matches("audit", "log", Visible::BySchema));
        for typed in ["", ".a", "a.", "a b", "\"a", "a.b.c", "a;b"] {
            let story = Pattern::parse(typed, "--exclude").expect_err(typed).story();
            assert!(story.contains("names no table"), "{story}");
        }
    }

    #[test]
    fn a_condition_begins_behind_the_first_sign_outside_quotes() {
        for (typed, name, condition) in [
            ("events=id > 1", "events", "id > 1"),
            ("a.\"b=c\" = x = 'y=z'", "a.\"b=c\"", "x = 'y=z'"),
        ] {
            let (pattern, read) = Pattern::with_condition(typed).expect(typed);
            assert_eq!((pattern.typed(), read.as_str()), (name, condition));
        }
        for typed in ["events", "events=", "= 1", "events id=1"] {
            let story = Pattern::with_condition(typed).expect_err(typed).story();
            assert!(story.contains("TABLE=CONDITION"), "{story}");
        }
    }

    #[test]
    fn exact_names_have_no_stars() {
        assert_eq!(exact("a"), Some((None, "a".into())));
        assert_eq!(
            exact("\"A b\".\"c\"\"d\""),
            Some((Some("A b".into()), "c\"d".into()))
        );
        for text in ["a*", "a.b; DROP", "a.b.c", ""] {
            assert_eq!(exact(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_makes_it_panic(typed in ".*") {
            let _ = Pattern::read(&typed);
            let _ = exact(&typed);
        }
    }
}
