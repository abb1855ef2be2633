//! `postgresql.conf` in PostgreSQL's own syntax: text → names and values, in the order of the file.
//!
//! Follows `src/backend/utils/misc/guc-file.l`. Decides nothing about a setting: `carried` does.

use super::units::Unfit;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, in lower case.
    pub name: String,
    /// The value without its quotes.
    pub value: String,
    /// The line, from 1.
    pub line: usize,
}

/// The settings of a file; of a name that is there twice, both.
///
/// # Errors
/// For a line that the server would not understand, and for `include`, whose file is not here; worded
/// to follow the file's name.
pub fn parse(text: &str) -> Result<Vec<Entry>, Unfit> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        if let Some((name, value)) = setting(line).map_err(|why| unfit(at, why))? {
            if ["include", "include_if_exists", "include_dir"].contains(&name.as_str()) {
                return Err(Unfit::new(
                    format!("has an `{name}` on line {at}, whose file does not travel with it"),
                    "put the settings of that file in its place",
                ));
            }
            entries.push(Entry {
                name,
                value,
                line: at,
            });
        }
    }
    Ok(entries)
}

fn unfit(line: usize, why: &str) -> Unfit {
    Unfit::new(
        format!("has no setting on line {line}: {why}"),
        "a line is `name = value`, as in `postgresql.conf`; text is in single quotes",
    )
}

/// `name = value`, `name value`, or nothing.
fn setting(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '$'))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it does not begin with a name");
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let (value, after) = if let Some(quoted) = rest.strip_prefix('\'') {
        quoted_value(quoted)?
    } else {
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '#')
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return Err("the value is missing");
        }
        if word.contains('\'') {
            return Err("a quote stands in the middle of a word");
        }
        (word.to_owned(), after)
    };
    let after = after.trim_start();
    if !after.is_empty() && !after.starts_with('#') {
        return Err("something follows the value");
    }
    Ok(Some((name.to_ascii_lowercase(), value)))
}

/// A value up to its closing quote, and what follows. `''` is a quote; `\` as in C.
fn quoted_value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' if letters.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 'b')) => value.push('\u{8}'),
                Some((_, 'f')) => value.push('\u{c}'),
                Some((_, digit @ '0'..='7')) => {
                    let mut code = digit.to_digit(8).unwrap_or(0);
                    for _ in 0..2 {
                        let Some((_, digit)) = letters.next_if(|(_, c)| ('0'..='7').contains(c))
                        else {
                            break;
                        };
                        code = code * 8 + digit.to_digit(8).unwrap_or(0);
                    }
                    value.push(char::from_u32(code & 0xff).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("the closing quote is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line_is_read() {
        let entries = parse(
            "\u{feff}# a comment\n\n  Work_Mem=64MB # units stay\nshared_buffers 1GB\n\
             search_path = '\"$user\", public'\nx.y = 'it''s \\'so\\' \\t\\101'\nport=1\r\n",
        )
        .expect("valid");
        let read: Vec<(&str, &str, usize)> = entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.as_str(), entry.line))
            .collect();
        assert_eq!(
            read,
            [
                ("work_mem", "64MB", 3),
                ("shared_buffers", "1GB", 4),
                ("search_path", "\"$user\", public", 5),
                ("x.y", "it's 'so' \tA", 6),
                ("port", "1", 7),
            ]
        );
    }

    #[test]
    fn what_the_server_would_not_read_is_told_with_its_line() {
        for (text, words) in [
            ("\na = 'open", "line 2: the closing quote"),
            ("a = b c", "line 1: something follows"),
            ("a =", "line 1: the value is missing"),
            ("= 1", "line 1: it does not begin"),
            ("a = b'c", "a quote stands"),
            ("include 'x.conf'", "an `include` on line 1"),
            ("INCLUDE_DIR = 'conf.d'", "`include_dir`"),
        ] {
            let unfit = parse(text).expect_err(words);
            assert!(unfit.message.contains(words), "{}", unfit.message);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z_'\\\\#= \n0-7é]{0,60}") {
            let _ = parse(&text);
        }
    }
}
