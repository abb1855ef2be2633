//! The two ways to write a connection: a URL, and `key=value` pairs.

use crate::{Error, Result};

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// What stands where a URL was expected is no valid one.
pub(super) fn invalid(what: &str) -> Error {
    Error::usage(format!("the URL of the stage is not valid: {what}")).help(
        "write it as `postgres://user:password@host:5432/database`, with `%40` for a `@` in a part and so on",
    )
}

/// Whether it begins as a URL does.
pub(super) fn is_url(typed: &str) -> bool {
    SCHEMES.iter().any(|scheme| typed.starts_with(scheme))
}

/// Whether it begins with `key=`.
pub(super) fn is_pairs(typed: &str) -> bool {
    typed
        .split_once('=')
        .is_some_and(|(key, _)| super::parameters::find(key.trim()).is_some())
}

/// Key and value of everything that is said; of two values for one key the last one counts.
pub(super) fn read(typed: &str) -> Result<Vec<(String, String)>> {
    if is_pairs(typed) {
        return pairs(typed);
    }
    let rest = SCHEMES
        .iter()
        .find_map(|scheme| typed.strip_prefix(scheme))
        .ok_or_else(|| invalid("it does not begin with `postgres://`"))?;
    if rest.contains('#') {
        return Err(invalid("a `#` has to be written as `%23`"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The last one: libpq allows none in the password, people write some.
    let (credentials, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    if credentials.contains('@') {
        return Err(invalid(
            "a `@` in the user or password has to be written as `%40`",
        ));
    }
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    if address.contains(',') {
        return Err(invalid("it names several hosts")
            .help("name the one server that the migration is to be replayed on"));
    }
    let (host, port) = split_port(address).ok_or_else(|| invalid("the host is not readable"))?;

    let mut said = Vec::new();
    for (key, part, what) in [
        ("user", user, "user"),
        ("password", password, "password"),
        ("dbname", path, "database"),
        ("host", host, "host"),
        ("port", port, "port"),
    ] {
        if !part.is_empty() {
            said.push((key.to_owned(), decoded(part, what)?));
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| invalid("a parameter has no value"))?;
        said.push((key.to_owned(), decoded(value, "value of a parameter")?));
    }
    Ok(said)
}

/// `key=value key='a value'`, with `\` before what would end it.
fn pairs(typed: &str) -> Result<Vec<(String, String)>> {
    let unreadable = |what: &str| {
        Error::usage(format!("the stage is not readable: {what}")).help(
            "write it as `host=db user=me dbname=shop`, with `'…'` around a value with blanks",
        )
    };
    let mut said = Vec::new();
    let mut rest = typed.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest
            .split_once('=')
            .ok_or_else(|| unreadable("a key has no value"))?;
        let quoted = behind.trim_start().strip_prefix('\'');
        let mut characters = quoted.unwrap_or(behind.trim_start()).char_indices();
        let text = characters.as_str();
        let mut value = String::new();
        let mut end = quoted.is_none().then_some(text.len());
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                '\'' if quoted.is_some() => {
                    end = Some(at + 1);
                    break;
                }
                blank if quoted.is_none() && blank.is_whitespace() => {
                    end = Some(at);
                    break;
                }
                other => value.push(other),
            }
        }
        let end = end.ok_or_else(|| unreadable("a `'` is not closed"))?;
        // Not repeated: behind a blank that is not quoted it may be part of a password.
        if super::parameters::find(key.trim()).is_none() {
            return Err(unreadable("one of its keys is not known"));
        }
        said.push((key.trim().to_owned(), value));
        rest = text[end..].trim_start();
    }
    Ok(said)
}

fn decoded(part: &str, what: &str) -> Result<String> {
    decode(part).ok_or_else(|| invalid(&format!("the {what} is wrongly percent-encoded")))
}

/// `host`, `host:port`, `[::1]:port`; the port may be empty.
fn split_port(address: &str) -> Option<(&str, &str)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, port)),
            None => rest.is_empty().then_some((host, "")),
        };
    }
    let (host, port) = address.split_once(':').unwrap_or((address, ""));
    (!port.contains(':')).then_some((host, port))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(
                u8::try_from(high * 16 + low)
                    .ok()
                    .filter(|byte| *byte != 0)?,
            );
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
