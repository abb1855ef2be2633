//! What a statement looks like once everything that may be secret or different each time is gone.
//!
//! For people to read and for equal statements to be found equal; never to be run. Must not fail:
//! `pg_stat_activity` cuts query text at `track_activity_query_size` bytes, often within a literal.

use super::lex::{TokenKind, lex};

/// `sql` with each literal replaced by `?`, comments removed and white space folded to one blank.
///
/// Identifiers, keywords and parameters stay as they are. What is opened and never closed is
/// replaced by `?` to the end, so a literal that was cut shows nothing of itself either. Normalising
/// twice changes nothing. Strings are read with `standard_conforming_strings = on`.
///
/// ```
/// let sql = "ALTER ROLE app\n  PASSWORD 'hunter2' -- new";
/// assert_eq!(lockproof::sql::normalise(sql), "ALTER ROLE app PASSWORD ?");
/// ```
pub fn normalise(sql: &str) -> String {
    let mut normal = String::with_capacity(sql.len());
    let mut blank = false;
    for token in lex(sql) {
        if token.kind.is_trivia() {
            blank = true;
            continue;
        }
        if blank && !normal.is_empty() {
            normal.push(' ');
        }
        blank = false;
        match token.kind {
            TokenKind::String
            | TokenKind::DollarString
            | TokenKind::BitString
            | TokenKind::Number
            | TokenKind::Unterminated(_) => normal.push('?'),
            _ => normal.push_str(&sql[token.span]),
        }
    }
    normal
}

/// The longest text that is told of a statement, in bytes.
const LONGEST: usize = 256 * 1024;

/// What stands at the end of one that was longer.
const CUT: &str = " …";

/// A statement's text as it is told, without the end of one that nobody could read: an `INSERT` of a million rows.
pub fn told(mut text: String) -> String {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.shrink_to_fit();
        text.push_str(CUT);
    }
    text
}

/// True where there may be more of it than was told.
pub fn is_cut(text: &str) -> bool {
    text.ends_with(CUT)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, is_cut, normalise, told};

    #[test]
    fn a_text_that_nobody_could_read_is_cut() {
        let short = "SELECT 1".to_owned();
        assert_eq!(told(short.clone()), short);
        assert!(!is_cut(&short));
        let long = told("ß".repeat(LONGEST));
        assert!(is_cut(&long) && long.len() < LONGEST + 10, "{}", long.len());
        assert_eq!(told(long.clone()).len(), long.len().min(LONGEST + 4));
    }

    #[test]
    fn literals_of_every_sort_become_a_question_mark() {
        for (sql, normal) in [
            (
                "SELECT 'a', E'b\\'c', U&'d', N'e', B'01', X'1F'",
                "SELECT ?, ?, ?, ?, ?, ?",
            ),
            ("DO $$ begin perform 1; end $$", "DO ?"),
            (
                "DO LANGUAGE plpgsql $x$ select $$a$$ $x$;",
                "DO LANGUAGE plpgsql ?;",
            ),
            ("limit -1.5e3 offset 0x1F", "limit -? offset ?"),
            ("where a = $1 and b$2 = 'x'", "where a = $1 and b$2 = ?"),
            ("CREATE ROLE a PASSWORD 'x''y'", "CREATE ROLE a PASSWORD ?"),
            ("select 'a'\n  'b'", "select ?"),
            ("select interval'1 day'", "select interval?"),
        ] {
            assert_eq!(normalise(sql), normal);
        }
    }

    #[test]
    fn comments_go_and_white_space_folds_but_not_within_names() {
        assert_eq!(normalise("  a -- 'x'\n\t/* 1 */ b  "), "a b");
        assert_eq!(normalise("a/**/b"), "a b");
        assert_eq!(normalise("-/**/-1"), "- -?");
        assert_eq!(normalise("\"a  -- 1 'b'\""), "\"a  -- 1 'b'\"");
        assert_eq!(normalise("-- only"), "");
    }

    #[test]
    fn what_was_cut_shows_nothing_of_itself() {
        assert_eq!(normalise("set x = 'hunter"), "set x = ?");
        assert_eq!(normalise("set x = 'it''"), "set x = ?");
        assert_eq!(normalise("select e'a\\'hunter"), "select ?");
        assert_eq!(normalise("do $a$ hunter $a"), "do ?");
        assert_eq!(normalise("select /* hunter"), "select ?");
        assert_eq!(normalise("select \"hunter"), "select ?");
    }
}
