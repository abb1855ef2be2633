//! The order in which a folder's files run, and which of them do not run forwards at all.
//!
//! Natural order: numbers by their value, so `2_` comes before `10_` and `V1.9__` before `V1.10__`.
//! Looks at names only.

use std::cmp::Ordering;

/// What a file's name says of its part in a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A step.
    Forward,
    /// It takes a step back: `*.down.sql`, `*.undo.sql`, `U1__*.sql`.
    Undo,
    /// No SQL file, or a hidden one.
    Other,
}

/// What the name says of the file's part.
pub fn role(name: &str) -> Role {
    let lower = name.to_lowercase();
    let Some(stem) = lower.strip_suffix(".sql") else {
        return Role::Other;
    };
    if stem.is_empty() || stem.starts_with('.') {
        return Role::Other;
    }
    let backwards = ["down", "undo"]
        .iter()
        .any(|word| stem == *word || stem.ends_with(&format!(".{word}")));
    if backwards || flyway(name, 'U').is_some() {
        return Role::Undo;
    }
    Role::Forward
}

/// Compares two file names as they are to run; equal only for equal names.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (key_a, key_b) = (key(a), key(b));
    key_a
        .class
        .cmp(&key_b.class)
        .then_with(|| versions(&key_a.version, &key_b.version))
        .then_with(|| natural(key_a.rest, key_b.rest))
        // `01_x` and `1_x` are equal so far: the order has to be the same on every machine.
        .then_with(|| a.cmp(b))
}

/// Files with a version come first, Flyway's repeatable ones (`R__x.sql`) last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Versioned,
    Plain,
    Repeatable,
}

struct Key<'a> {
    class: Class,
    version: Vec<&'a str>,
    rest: &'a str,
}

fn key(name: &str) -> Key<'_> {
    if let Some((version, rest)) = flyway(name, 'V') {
        return Key {
            class: Class::Versioned,
            version: version.split(['.', '_']).collect(),
            rest,
        };
    }
    if let Some(rest) = name.strip_prefix("R__") {
        return Key {
            class: Class::Repeatable,
            version: Vec::new(),
            rest,
        };
    }
    let length = version_length(name, &['.']);
    let (version, rest) = name.split_at(length);
    Key {
        class: if length == 0 {
            Class::Plain
        } else {
            Class::Versioned
        },
        version: version.split('.').filter(|part| !part.is_empty()).collect(),
        rest,
    }
}

/// The version and what follows it, of a Flyway name such as `V1_2__add_column.sql`.
fn flyway(name: &str, prefix: char) -> Option<(&str, &str)> {
    let name = name.strip_prefix(prefix)?;
    let length = version_length(name, &['.', '_']);
    let (version, rest) = name.split_at(length);
    (length > 0 && rest.starts_with("__")).then_some((version, rest))
}

/// How many bytes of the name are numbers with single separators between them.
fn version_length(name: &str, separators: &[char]) -> usize {
    let mut length = digits(name);
    while length > 0 {
        let rest = &name[length..];
        let Some(after) = rest.strip_prefix(separators) else {
            break;
        };
        let more = digits(after);
        if more == 0 {
            break;
        }
        length += 1 + more;
    }
    length
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Number by number; a shorter version comes first: 1 before 1.1.
fn versions(a: &[&str], b: &[&str]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| numbers(a, b))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Two runs of digits by their value, whatever their length.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Runs of digits by their value, everything else by its characters.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (number_a, number_b) = (digits(a), digits(b));
        let (taken_a, taken_b, order) = if number_a > 0 && number_b > 0 {
            (number_a, number_b, numbers(&a[..number_a], &b[..number_b]))
        } else {
            match (a.chars().next(), b.chars().next()) {
                (Some(first_a), Some(first_b)) => (
                    first_a.len_utf8(),
                    first_b.len_utf8(),
                    first_a.cmp(&first_b),
                ),
                (first_a, first_b) => return first_a.is_some().cmp(&first_b.is_some()),
            }
        };
        if order.is_ne() {
            return order;
        }
        a = &a[taken_a..];
        b = &b[taken_b..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
        let mut names = names.to_vec();
        names.sort_by(|a, b| compare(a, b));
        names
    }

    #[test]
    fn numbers_count_by_their_value() {
        for in_order in [
            vec!["2_b.sql", "10_a.sql", "0011_c.sql"],
            vec!["V2__x.sql", "V10__x.sql"],
            vec![
                "V1__z.sql",
                "V1.1__a.sql",
                "V1_2__a.sql",
                "V1.10__a.sql",
                "V2__a.sql",
                "R__views.sql",
            ],
            vec![
                "1.sql",
                "1.1.sql",
                "1.10_b.sql",
                "a1.sql",
                "a2.sql",
                "a10.sql",
            ],
            vec!["0001_x.up.sql", "0002_x.up.sql"],
            vec!["20240102_a.sql", "20240103_a.sql"],
            vec!["01_x.sql", "1_x.sql"],
        ] {
            let reversed: Vec<&str> = in_order.iter().rev().copied().collect();
            assert_eq!(sorted(&reversed), in_order);
        }
    }

    #[test]
    fn undo_files_are_known_by_their_names() {
        for (name, expected) in [
            ("01.sql", Role::Forward),
            ("01.SQL", Role::Forward),
            ("0001_x.up.sql", Role::Forward),
            ("0001_x.down.sql", Role::Undo),
            ("down.sql", Role::Undo),
            ("x.undo.sql", Role::Undo),
            ("U1__x.sql", Role::Undo),
            ("U1.sql", Role::Forward),
            ("shutdown.sql", Role::Forward),
            ("README.md", Role::Other),
            (".01.sql", Role::Other),
            (".sql", Role::Other),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }

    /// Names that collide in all sorts of ways.
    fn name() -> impl Strategy<Value = String> {
        "(V|U|R__|)[0-9]{0,3}([._][0-9]{1,2}){0,2}(_|__|-|.)?[a-z0-9é]{0,4}(.sql)?"
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(a in name(), b in name(), c in name()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b).is_eq(), a == b);
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn it_is_the_order_of_the_numbers(
            a in any::<u64>(), b in any::<u64>(), pad_a in 0..25usize, pad_b in 0..25usize,
            prefix in "(V|x|)", rest in "__[a-z]{0,5}",
        ) {
            let name_a = format!("{prefix}{a:0pad_a$}{rest}.sql");
            let name_b = format!("{prefix}{b:0pad_b$}{rest}.sql");
            if a != b {
                prop_assert_eq!(compare(&name_a, &name_b), a.cmp(&b));
            }
        }

        #[test]
        fn any_text_has_a_place(a in any::<String>(), b in any::<String>()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
