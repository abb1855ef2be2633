//! Which PostgreSQL a dump is of, beside the one that it is restored on: locks are those of the latter.

use std::cmp::Ordering;

/// How the server that was dumped stands to the one here; None: the dump does not say which it was.
pub(super) fn beside(dumped: Option<&str>, here: u32) -> Option<Ordering> {
    Some(major(dumped?)?.cmp(&here))
}

/// A note where they are of two majors.
pub(super) fn note(dumped: Option<&str>, here: u32) -> Option<String> {
    let version = dumped?.split_whitespace().next()?;
    (beside(dumped, here)? != Ordering::Equal).then(|| {
        format!(
            "the dump is of PostgreSQL {version} and the stage has {here}: locks, rewrites and plans may differ"
        )
    })
}

/// Of `15.18 (Debian 15.18-0+deb12u1)`, `18beta1`.
fn major(version: &str) -> Option<u32> {
    let digits = version
        .find(|letter: char| !letter.is_ascii_digit())
        .map_or(version, |end| &version[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_major_is_worth_a_word() {
        let debian = Some("15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!(note(debian, 15), None);
        assert_eq!(note(None, 15), None);
        assert_eq!(note(Some("nobody knows"), 15), None);
        assert_eq!(
            note(debian, 13).as_deref(),
            Some(
                "the dump is of PostgreSQL 15.18 and the stage has 13: locks, rewrites and plans may differ"
            )
        );
        assert!(note(Some("18beta1"), 17).is_some());
        assert_eq!(beside(Some("9.6.24"), 13), Some(Ordering::Less));
        assert_eq!(beside(Some("18beta1"), 17), Some(Ordering::Greater));
        assert_eq!(beside(Some("17"), 17), Some(Ordering::Equal));
    }
}
