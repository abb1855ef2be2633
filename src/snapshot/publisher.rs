//! Where a connection string leads. Who connects, and with what password, is never told.
//!
//! Read by libpq's rules, as far as the place needs them: pairs and URLs. What cannot be read is not
//! repeated.

/// The folder of a socket that does not exist: a subscription that was detached leads there.
const NOWHERE: &str = "/lockproof/detached";

/// What is told of a connection string that cannot be read.
const UNREADABLE: &str = "an address that cannot be read";

/// The connection string of a subscription that leads nowhere; it keeps the place that `conninfo` names.
///
/// With a password in it: the server wants one where the owner is no superuser.
pub(super) fn detached(conninfo: &str) -> String {
    let place = place(conninfo).replace('\\', "\\\\").replace('\'', "\\'");
    format!("host='{NOWHERE}' password='none' fallback_application_name='{place}'")
}

/// `host:port/database`, of several hosts all.
pub(super) fn place(conninfo: &str) -> String {
    let read = ["postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| conninfo.strip_prefix(scheme))
        .map_or_else(|| pairs(conninfo), url);
    let Some(said) = read else {
        return UNREADABLE.to_owned();
    };
    // Of two values for one key the last one counts.
    let get = |key: &str| {
        let found = said.iter().rev().find(|(name, _)| name == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    if get("host") == Some(NOWHERE) {
        return get("fallback_application_name")
            .unwrap_or(UNREADABLE)
            .to_owned();
    }
    let hosts = match (get("host"), get("hostaddr")) {
        (Some(host), Some(address)) if host != address => format!("{host} ({address})"),
        (Some(host), _) | (None, Some(host)) => host.to_owned(),
        (None, None) => match get("service") {
            Some(service) => format!("service {service}"),
            None => "the local socket".to_owned(),
        },
    };
    let port = get("port")
        .filter(|port| {
            port.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b',')
        })
        .map_or_else(String::new, |port| format!(":{port}"));
    // A database's name may be a connection string of its own.
    let database = get("dbname")
        .filter(|name| !name.contains(['=', '@', ':']))
        .map_or_else(String::new, |name| format!("/{name}"));
    format!("{hosts}{port}{database}")
}

/// `key = value`, the value in quotes or with backslashes.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut said = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => value(quoted, |c| c == '\'').filter(|(_, rest)| rest.is_some())?,
            None => value(after, char::is_whitespace)?,
        };
        said.push((key.to_owned(), value));
        rest = after.unwrap_or_default().trim_start();
    }
    Some(said)
}

/// A value up to its end, and what is behind; None behind: it was the last.
fn value(text: &str, ends: impl Fn(char) -> bool) -> Option<(String, Option<&str>)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            c if ends(c) => return Some((value, Some(&text[at + c.len_utf8()..]))),
            c => value.push(c),
        }
    }
    Some((value, None))
}

/// What stands behind the scheme of a URL.
fn url(rest: &str) -> Option<Vec<(String, String)>> {
    // A password with one of these in it: what looks like the host may be a part of it.
    let credentials = rest.rfind('@').map_or("", |at| &rest[..at]);
    let is_in_query = credentials.find('/').is_some_and(|slash| {
        credentials[slash..].contains('?') && !credentials[..slash].contains('?')
    });
    if credentials.contains(['/', '?']) && !is_in_query {
        return None;
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = authority.rsplit_once('@').map_or(authority, |(_, at)| at);
    if !address.split(',').all(is_address) {
        return None;
    }
    let mut said = vec![
        ("host".to_owned(), percent_decoded(address)),
        ("dbname".to_owned(), percent_decoded(path)),
    ];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        said.push((key.to_owned(), percent_decoded(value)));
    }
    Some(said)
}

/// A host, and behind a colon nothing but a port's digits; in brackets colons are the host's.
fn is_address(text: &str) -> bool {
    let behind = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, behind)) => behind
            .strip_prefix(':')
            .or(Some("").filter(|_| behind.is_empty())),
        None => Some(text.split_once(':').map_or("", |(_, port)| port)),
    };
    behind.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                decoded.push(code);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_told_and_no_secret() {
        for (conninfo, told) in [
            (
                "host=db1 port=5433 dbname=shop user=u password=hunter2",
                "db1:5433/shop",
            ),
            (
                "  dbname = 'my shop'  host='a,b' port=1,2 password='hun\\'ter2'",
                "a,b:1,2/my shop",
            ),
            ("host=h hostaddr=192.0.2.7", "h (192.0.2.7)"),
            ("hostaddr=192.0.2.7 host=''", "192.0.2.7"),
            ("host=h host=i", "i"),
            ("user=u password=hunter2", "the local socket"),
            ("service=prod password=hunter2", "service prod"),
            ("", "the local socket"),
            (
                "postgres://u:hunter2@db1:5433/shop?sslmode=require&password=hunter2",
                "db1:5433/shop",
            ),
            ("postgresql://u:hunt@er2@[::1],b:2/d", "[::1],b:2/d"),
            (
                "postgresql:///d?host=%2Frun%2Fpg&port=99&password=hunter2",
                "/run/pg:99/d",
            ),
            // No valid ones: none of it is repeated.
            ("postgres://u:hun/ter2@h/d", UNREADABLE),
            ("postgres://u:hunter2?=@h/d", UNREADABLE),
            ("postgres://u:hun/ter2?@h/d", UNREADABLE),
            ("postgres://u:hun/ter2?a=@h/d", UNREADABLE),
            ("postgres://[::1]:5:hunter2/d", UNREADABLE),
            ("postgres://h?password=hun@ter2", UNREADABLE),
            ("postgres://h/d?password=hun@ter2", "h/d"),
            ("host=h password='hunter2", UNREADABLE),
            ("host=h hunter2", UNREADABLE),
            ("hunter2", UNREADABLE),
            ("host=h port=hunter2", "h"),
            ("host=h dbname='user=u password=hunter2'", "h"),
        ] {
            assert_eq!(place(conninfo), told, "{conninfo}");
            let detached = detached(conninfo);
            assert!(
                detached.starts_with("host='/lockproof/detached'"),
                "{detached}"
            );
            assert!(!detached.contains("hunt"), "{detached}");
            // A second detaching keeps what is known.
            assert_eq!(place(&detached), told, "{conninfo}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_password_is_told(
            host in "[a-z]{1,8}",
            password in "SECRET[ -~]{0,12}",
        ) {
            let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
            for conninfo in [
                format!("host={host} password='{quoted}'"),
                format!("password='{quoted}' host={host}"),
                format!("host={host} password={password}"),
                format!("postgres://u:{password}@{host}/d"),
                format!("postgres://{host}/d?password={password}"),
            ] {
                proptest::prop_assert!(!place(&conninfo).contains("SECRET"), "{}", conninfo);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = detached(&text);
            let _ = place(&format!("postgres://{text}"));
        }
    }
}
