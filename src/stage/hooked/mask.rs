//! What a user's program prints may hold passwords: they are taken out before anything is shown.

use crate::redact;

/// The text without passwords, and without what a server says of rows.
pub(super) fn masked(text: &str) -> String {
    redact::hide(&redact::foreign::text(text))
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
            // A token may stand where the user does.
            ("http://u@h and x", "http://***@h and x"),
            (
                "postgres:///d?host=/s&password=s3cret&x=1",
                "postgres:///d?host=/s&password=***&x=1",
            ),
            // As `env` prints it, where a value may have blanks: all of the line.
            ("PGPASSWORD=s3cret psql", "PGPASSWORD=***"),
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
