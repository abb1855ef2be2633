//! "did you mean": the nearest of the names that would have been right.

/// The candidate most like `typed`; None when none is near enough to be meant.
pub fn nearest<'a, I>(typed: &str, candidates: I) -> Option<&'a str>
where
    I: IntoIterator<Item = &'a str>,
{
    let typed = typed.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = strsim::damerau_levenshtein(&typed, &candidate.to_lowercase());
        // A third of the letters may be wrong: more, and it is another word.
        let near = distance * 3 <= typed.chars().count().max(3);
        if near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The names in backticks, one after the other: `` `a`, `b` and `c` ``.
pub fn listed<'a, I>(names: I) -> String
where
    I: IntoIterator<Item = &'a str>,
{
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_meant_is_suggested() {
        let keys = ["lock_timeout", "timeout", "wrap", "sql"];
        assert_eq!(nearest("lock_timout", keys), Some("lock_timeout"));
        assert_eq!(nearest("LOCK_TIMEOUT", keys), Some("lock_timeout"));
        assert_eq!(nearest("sqk", keys), Some("sql"));
        assert_eq!(nearest("retries", keys), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn names_are_listed_as_a_sentence_has_them() {
        assert_eq!(listed([]), "");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
