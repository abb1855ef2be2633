//! What a user's program prints may hold passwords: they are taken out before anything is shown.

/// The text with the passwords of its URLs and of `password=…` replaced.
pub(super) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        shown.push_str(&without_pairs(before));
        let end = behind
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'))
            .unwrap_or(behind.len());
        let (url, after) = behind.split_at(end);
        // The last `@`, and no matter how many slashes before it: people write them into passwords.
        match url.rsplit_once('@') {
            Some((credentials, place)) => {
                let user = credentials
                    .split([':', '/', '?'])
                    .next()
                    .unwrap_or_default();
                shown.push_str(user);
                shown.push_str(":***@");
                shown.push_str(&without_pairs(place));
            }
            None => shown.push_str(&without_pairs(url)),
        }
        rest = after;
    }
    shown.push_str(&without_pairs(rest));
    shown
}

/// `password=x`, `PGPASSWORD=x`, `password: x`: the value ends at a blank, a quote or an ampersand.
fn without_pairs(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let lower = text.to_ascii_lowercase();
    while let Some(found) = lower[lower.len() - rest.len()..].find("password") {
        let end = found + "password".len();
        shown.push_str(&rest[..end]);
        rest = &rest[end..];
        let sign = rest
            .find(|c: char| !matches!(c, '=' | ':' | ' ' | '"' | '\''))
            .unwrap_or(rest.len());
        let (signs, value) = rest.split_at(sign);
        if !signs.contains(['=', ':']) {
            continue;
        }
        shown.push_str(signs);
        let end = value
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ','))
            .unwrap_or(value.len());
        if end > 0 {
            shown.push_str("***");
        }
        rest = &value[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (text, shown) in [
            ("postgres://u:s3cret@h:5/d", "postgres://u:***@h:5/d"),
            (
                "is postgres://u:s3/c@ret@h/d here",
                "is postgres://u:***@h/d here",
            ),
            ("http://u@h and x", "http://u:***@h and x"),
            (
                "postgres:///d?host=/s&password=s3cret&x=1",
                "postgres:///d?host=/s&password=***&x=1",
            ),
            ("PGPASSWORD=s3cret psql", "PGPASSWORD=*** psql"),
            ("{\"password\": \"s3cret\"}", "{\"password\": \"***\"}"),
            ("the password is wrong", "the password is wrong"),
            ("done", "done"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = masked(&text);
            let _ = masked(&format!("Password={text}://{text}@"));
        }
    }
}
