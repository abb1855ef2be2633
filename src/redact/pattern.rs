//! Where a text of any sort has a password by its shape: in a URL, and behind a name that says so.
//!
//! Errs on the side of hiding. Pure; no panic on any text.

use std::ops::Range;

/// The places of what is to be hidden, in order and apart.
pub fn find(text: &str) -> Vec<Range<usize>> {
    let mut found = urls(text);
    found.extend(bare_logins(text, &found));
    found.extend(assignments(text));
    found.extend(bearers(text));
    found.retain(|range| !range.is_empty() && !says_nothing(&text[range.clone()]));
    found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// A placeholder is no secret.
fn says_nothing(value: &str) -> bool {
    let lower = value.to_lowercase();
    matches!(
        lower.as_str(),
        "?" | "***" | "…" | "null" | "none" | "''" | "\"\"" | "…@" | "..."
    ) || value.starts_with("${")
        || value.starts_with('$') && value[1..].chars().all(|c| c.is_ascii_digit())
        || value.starts_with("***")
        || value.chars().all(|c| c == '*' || c == '.')
}

/// Passwords of `scheme://user:password@host`, also where the scheme is mistyped.
fn urls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(":/") {
        let scheme = text[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .map_or(0, |end| {
                end + text[end..].chars().next().map_or(1, char::len_utf8)
            });
        let scheme = &text[scheme..at];
        let slashes = text[at + 1..].len() - text[at + 1..].trim_start_matches('/').len();
        if scheme.is_empty() || slashes < 2 && !scheme.to_lowercase().starts_with("postgr") {
            continue;
        }
        let start = at + 1 + slashes;
        let run = &text[start..];
        let run = &run[..run.find(ends_a_url).unwrap_or(run.len())];
        let authority = run.find('?').map_or(run, |end| &run[..end]);
        let at_sign = authority.rfind('@').or_else(|| run.rfind('@'));
        if let Some(end) = at_sign {
            match run[..end].find(':') {
                Some(colon) => found.push(start + colon + 1..start + end),
                None if scheme.to_lowercase().starts_with("http") => found.push(start..start + end),
                None => {}
            }
        } else if let Some(colon) = authority.find(':').filter(|_| !authority.starts_with('[')) {
            // No host: what stands in the port's place and is no port.
            let rest = &authority[colon + 1..];
            let port = &rest[..rest.find([',', '/', '#']).unwrap_or(rest.len())];
            let is_placeholder = port.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if !port.chars().all(|c| c.is_ascii_digit())
                && !is_placeholder
                && !authority[..colon].contains('/')
            {
                found.push(start + colon + 1..start + colon + 1 + port.len());
            }
        }
    }
    found
}

fn ends_a_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '`' | '"' | '<' | '>')
}

/// `user:password@host` without a scheme.
fn bare_logins(text: &str, known: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        if known
            .iter()
            .any(|range| range.start <= at && at <= range.end)
        {
            continue;
        }
        let behind = &text[at + 1..];
        let host =
            behind.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '[' | '/' | '%'));
        if !host || behind.starts_with("sha256:") || behind.starts_with("sha512:") {
            continue;
        }
        let start = text[..at]
            .rfind(|c: char| ends_a_url(c) || matches!(c, '\'' | '(' | ',' | ';'))
            .map_or(0, |end| {
                end + text[end..].chars().next().map_or(1, char::len_utf8)
            });
        let Some(colon) = text[start..at].find(':') else {
            continue;
        };
        let user = &text[start..start + colon];
        let named = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '=' | '/');
        let password = &text[start + colon + 1..at];
        if user.starts_with(char::is_alphabetic)
            && user.chars().all(named)
            && !password.starts_with("//")
        {
            found.push(start + colon + 1..at);
        }
    }
    found
}

/// Values of names that say that they are secret: `password=…`, `"token": "…"`, `PASSWORD '…'`.
fn assignments(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut at = 0;
    while at < text.len() {
        let Some(start) = text[at..].find(part).map(|offset| at + offset) else {
            break;
        };
        let end = text[start..]
            .find(|c| !part(c))
            .map_or(text.len(), |offset| start + offset);
        at = end;
        let name = text[start..end].trim_matches(['-', '.']);
        if looks_secret(name) {
            found.extend(value_of(text, start, end, name));
        }
    }
    found
}

fn value_of(text: &str, start: usize, end: usize, name: &str) -> Option<Range<usize>> {
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let first_on_line = text[line..start]
        .chars()
        .all(|c| c.is_whitespace() || matches!(c, '-' | '{' | '\'' | '"'))
        || text[line..start].trim_end().ends_with("export");
    // A URL's query has more behind it.
    let in_query = text[..start].ends_with(['?', '&']);
    let mut rest = &text[end..];
    let quoted = rest.starts_with(['"', '\'', ']', '`']);
    if quoted {
        rest = &rest[1..];
    }
    rest = rest.trim_start_matches([' ', '\t']);
    let behind = ["=>", ":=", "==", "="]
        .iter()
        .find_map(|sign| rest.strip_prefix(sign))
        .or_else(|| rest.strip_prefix(':').filter(|_| quoted || first_on_line));
    let value = match behind {
        Some(behind) => behind.trim_start_matches([' ', '\t']),
        // As SQL has it.
        None if !quoted
            && rest.len() < text.len() - end
            && (rest.starts_with('\'') || rest.starts_with("$$")) =>
        {
            rest
        }
        None => return None,
    };
    let from = text.len() - value.len();
    let whole_line = first_on_line
        && behind.is_some_and(|behind| behind.len() == value.len())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let prefix = usize::from(
        value.starts_with(['e', 'E', 'n', 'N', 'b']) && value[1..].starts_with(['\'', '"']),
    );
    let length = match value[prefix..].chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let inner = &value[prefix + 1..];
            return Some(from + prefix + 1..from + prefix + 1 + closing(inner, quote));
        }
        Some(_) if whole_line => value.find('\n').unwrap_or(value.len()),
        _ => value
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '\'' | '"' | '`') || in_query && c == '&'
            })
            .unwrap_or(value.len()),
    };
    Some(from..from + length)
}

/// The length of what stands before the closing quote, which is not doubled and has no backslash before it.
fn closing(text: &str, quote: char) -> usize {
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        match c {
            '\\' => drop(letters.next()),
            _ if c == quote => match letters.peek() {
                Some((_, next)) if *next == quote => drop(letters.next()),
                _ => return at,
            },
            _ => {}
        }
    }
    text.len()
}

/// `Bearer …`.
fn bearers(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for word in ["Bearer ", "bearer "] {
        for (at, _) in text.match_indices(word) {
            let start = at + word.len();
            let token = &text[start..];
            let length = token
                .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`'))
                .unwrap_or(token.len());
            if length >= 8 {
                found.push(start..start + length);
            }
        }
    }
    found
}

/// Whether a variable, an option or a key of this name holds a secret.
pub fn looks_secret(name: &str) -> bool {
    let lower = name.to_lowercase().replace(['-', '.'], "_");
    let compact = lower.replace('_', "");
    let public = [
        "file",
        "path",
        "encryption",
        "policy",
        "type",
        "length",
        "name",
        "id",
        "hint",
        "prompt",
    ];
    let segments: Vec<&str> = lower
        .split('_')
        .filter(|segment| !segment.is_empty())
        .collect();
    let Some(last) = segments.last() else {
        return false;
    };
    if matches!(compact.as_str(), "pwd" | "oldpwd" if name.chars().all(|c| c.is_ascii_uppercase()))
        || segments.len() > 1 && public.contains(last)
        || matches!(compact.as_str(), "pgpassfile" | "passfile")
    {
        return false;
    }
    let whole = [
        "pass",
        "pwd",
        "pw",
        "passwd",
        "secret",
        "secrets",
        "token",
        "dsn",
        "credential",
        "credentials",
        "passphrase",
        "passcode",
        "apikey",
        "jwt",
    ];
    let within = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "signingkey",
        "encryptionkey",
        "masterkey",
        "credential",
    ];
    segments.iter().any(|segment| whole.contains(segment))
        || within.iter().any(|word| compact.contains(word))
        || compact.ends_with("token")
        // `customer_key` is a column, `STRIPE_KEY` a variable.
        || segments.len() > 1
            && matches!(*last, "key" | "salt" | "auth")
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let mut shown = text.to_owned();
        for range in find(text).into_iter().rev() {
            shown.replace_range(range, "#");
        }
        shown
    }

    #[test]
    fn passwords_of_urls_are_found_however_they_are_mistyped() {
        for (text, shown) in [
            (
                "`postgres://u:s3@h:5432/db` is",
                "`postgres://u:#@h:5432/db` is",
            ),
            ("postgre://u:s3@h", "postgre://u:#@h"),
            ("postgres:/u:s3@h/db", "postgres:/u:#@h/db"),
            ("postgresql://u:a@b/c@h/db?x=1", "postgresql://u:#@h/db?x=1"),
            ("postgres://u:s3/db", "postgres://u:#/db"),
            ("u:s3@h/db", "u:#@h/db"),
            ("to 'app:s3@db.example' now", "to 'app:#@db.example' now"),
            ("mysql+pymysql://u:s3@h", "mysql+pymysql://u:#@h"),
            ("https://ghp_abc@github.com/x", "https://#@github.com/x"),
            (
                "postgres://h/db?user=u&password=s3",
                "postgres://h/db?user=u&password=#",
            ),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn values_of_secret_names_are_found() {
        for (text, shown) in [
            ("host=h password=s3 user=u", "host=h password=# user=u"),
            ("password='it''s' x", "password='#' x"),
            ("PGPASSWORD=two words\nnext", "PGPASSWORD=#\nnext"),
            ("export API_TOKEN=\"a b\"", "export API_TOKEN=\"#\""),
            (
                "{\"password\": \"s3\", \"a\": 1}",
                "{\"password\": \"#\", \"a\": 1}",
            ),
            ("ALTER USER x PASSWORD 's3'", "ALTER USER x PASSWORD '#'"),
            ("--db-password=s3 --x", "--db-password=# --x"),
            ("password: s3", "password: #"),
            ("app.secret_key => 's3'", "app.secret_key => '#'"),
            ("Authorization: Bearer abcdefgh1", "Authorization: Bearer #"),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "postgres://u@h:5432/db",
            "`postgres://USER@HOST:PORT/DATABASE`",
            "unix:///var/run/docker.sock",
            "tcp://10.0.0.1:2375",
            "postgres://[::1]:5432/db",
            "registry:5000/postgres@sha256:abc",
            "git@github.com:a/b",
            "password authentication failed for user \"x\"",
            "the server wants a password: set `PGPASSWORD`",
            "PASSWORD ?",
            "password=***",
            "password_encryption = 'md5'",
            "PWD=/home/u",
            "PGPASSFILE=/root/.pgpass",
            "at 12:30 mail a@b.c",
            "`token` is unknown",
            "postgres://reader:…@replica/shop",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn names_tell() {
        for name in [
            "PGPASSWORD",
            "DB_PASS",
            "SECRET_KEY",
            "STRIPE_KEY",
            "authToken",
            "api-key",
            "DSN",
            "app.jwt_secret",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in [
            "PATH",
            "customer_key",
            "PWD",
            "DJANGO_SETTINGS_MODULE",
            "primary_key",
            "compass",
            "tokenizer",
            "",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(password|PASSWORD|=|:|/|@|'|\"|\\\\|é|\n| |[a-z?$]){0,24}") {
            let _ = hidden(&text);
        }
    }
}
