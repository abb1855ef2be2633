//! Splitting and normalising hold for any text, and splitting agrees with a real parser.

use lockproof::sql::{Kind, lex, normalise, split};
use proptest::prelude::*;
use squawk_syntax::ast::AstNode;
use squawk_syntax::{SourceFile, SyntaxKind};

const CORPUS: &str = include_str!("corpus/ddl.sql");

/// The statements that squawk's parser finds: their bytes from the first token to the last, without
/// trivia and the semicolon.
fn parsed(file: &str) -> Vec<std::ops::Range<usize>> {
    let parse = SourceFile::parse(file);
    assert_eq!(parse.errors(), [], "the corpus is valid SQL");
    let mut spans = Vec::new();
    for statement in parse.tree().stmts() {
        let mut span: Option<std::ops::Range<usize>> = None;
        for token in statement
            .syntax()
            .descendants_with_tokens()
            .filter_map(|element| element.into_token())
        {
            if matches!(
                token.kind(),
                SyntaxKind::WHITESPACE | SyntaxKind::COMMENT | SyntaxKind::SEMICOLON
            ) {
                continue;
            }
            let range = std::ops::Range::<usize>::from(token.text_range());
            span = Some(span.map_or(range.start, |span| span.start)..range.end);
        }
        spans.extend(span);
    }
    spans
}

#[test]
fn agrees_with_a_parser_on_every_statement_of_the_corpus() {
    let ours = split(CORPUS).expect("the corpus splits");
    let theirs = parsed(CORPUS);
    assert!(theirs.len() >= 47, "{} statements", theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.text, CORPUS[theirs.clone()]);
        assert_eq!(ours.span, *theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn each_statement_of_the_corpus_stands_alone() {
    for statement in split(CORPUS).expect("the corpus splits") {
        let alone = split(&statement.text).expect("a statement splits");
        assert_eq!(alone.len(), 1);
        assert_eq!(alone[0].text, statement.text);
        assert_eq!(alone[0].kind, statement.kind);
        assert_eq!(statement.kind, Kind::of(&statement.text));
        let normal = normalise(&statement.text);
        assert_eq!(normalise(&normal), normal);
        assert!(!normal.contains("hunter") && !normal.contains("--"));
    }
}

/// Pieces that mean something to a lexer, so that they meet more often than in any text.
fn nasty() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "'",
        "''",
        "\"",
        "$$",
        "$a$",
        "$1",
        "$",
        "--",
        "\n",
        "\r\n",
        "/*",
        "*/",
        "*",
        "/",
        "-",
        "+",
        "e'",
        "E'",
        "u&'",
        "U&\"",
        "n'",
        "x'1f'",
        "\\",
        "\\.\n",
        "(",
        ")",
        ";",
        " ",
        "\t",
        "a",
        "é",
        "e",
        "1",
        ".5",
        "1e",
        "0x",
        "_",
        "?",
        "@",
        ".",
        "..",
        ":",
        "\u{feff}",
        "\u{0}",
        "begin",
        " atomic ",
        "case ",
        "end ",
        "create ",
        "function ",
        "or ",
        "replace ",
        "copy t from stdin",
        ";\n",
        "from ",
        "stdin",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

fn anything() -> impl Strategy<Value = String> {
    prop_oneof![nasty(), any::<String>(), "[ -~\n]{0,60}"]
}

/// A string literal of any sort with a content that is found nowhere else.
fn literal() -> impl Strategy<Value = String> {
    let content = "([ ;a-z()$\n-]|--|/\\*|\\*/){0,6}SECRET([ ;a-z()\n-]|--|/\\*|\\*/){0,6}";
    (content, 0..8).prop_map(|(content, sort)| match sort {
        0 => format!("'{content}'"),
        1 => format!("'{content}''{content}'"),
        2 => format!("E'{content}\\'{content}'"),
        3 => format!("U&'{content}'"),
        4 => format!("N'{content}\\'"),
        5 => format!("$tag${}$tag$", content.replace('$', "")),
        6 => format!("$${}$$", content.replace('$', "")),
        _ => format!("e'{content}'\n  '\\'{content}'"),
    })
}

/// A statement that is well-formed as far as quotes go, with secrets in its literals.
fn statement() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "select",
        "\"na''me\"",
        "a$1",
        "$1",
        "(1)",
        "=",
        "-- it's\n",
        "/* don't $$ */",
        "||",
        "-1.5",
        ",",
        "été",
    ]);
    let piece = prop_oneof![words.prop_map(str::to_owned), literal()];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("select {}", pieces.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn tokens_cover_the_text(text in anything()) {
        let mut at = 0;
        for token in lex(&text) {
            prop_assert_eq!(token.span.start, at);
            prop_assert!(token.span.end > at);
            prop_assert!(text.is_char_boundary(token.span.end));
            at = token.span.end;
        }
        prop_assert_eq!(at, text.len());
    }

    #[test]
    fn spans_are_ordered_within_the_file_and_hold_the_text(file in anything()) {
        match split(&file) {
            Ok(statements) => {
                let mut at = 0;
                for statement in statements {
                    prop_assert!(statement.span.start >= at);
                    prop_assert!(!statement.text.is_empty());
                    prop_assert_eq!(&statement.text, &file[statement.span.clone()]);
                    at = statement.span.end;
                    if let Some(data) = statement.copy_data {
                        prop_assert!(data.start >= at);
                        prop_assert!(file.is_char_boundary(data.start) && file.is_char_boundary(data.end));
                        at = data.end;
                    }
                }
                prop_assert!(at <= file.len());
            }
            Err(error) => {
                prop_assert!(file.is_char_boundary(error.offset) && error.offset < file.len());
                let before: Vec<&str> = file[..error.offset].split('\n').collect();
                prop_assert_eq!(error.line, before.len());
                prop_assert_eq!(error.column, before[before.len() - 1].chars().count() + 1);
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn joined_statements_split_into_the_same(file in anything()) {
        let Ok(statements) = split(&file) else { return Ok(()) };
        // Data follows a COPY where the next statement would.
        prop_assume!(statements.iter().all(|statement| statement.copy_data.is_none()));
        let texts: Vec<String> = statements.into_iter().map(|statement| statement.text).collect();
        let again: Vec<String> = split(&texts.join(";\n"))
            .map_err(|error| TestCaseError::fail(error.to_string()))?
            .into_iter()
            .map(|statement| statement.text)
            .collect();
        prop_assert_eq!(texts, again);
    }

    #[test]
    fn well_formed_statements_are_found_one_by_one(statements in prop::collection::vec(statement(), 0..5)) {
        let found = split(&statements.join("\n;")).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(found.len(), statements.len());
        for (found, statement) in found.iter().zip(&statements) {
            prop_assert!(statement.starts_with(&found.text));
        }
    }

    #[test]
    fn normalising_twice_changes_nothing(text in anything()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn normalising_leaves_nothing_of_a_literal(statement in statement(), cut in any::<prop::sample::Index>()) {
        prop_assert!(!normalise(&statement).contains("SECRET"));
        // Wherever the server cuts the text, the part that is left shows no more.
        let mut end = cut.index(statement.len() + 1);
        while !statement.is_char_boundary(end) {
            end -= 1;
        }
        prop_assert!(!normalise(&statement[..end]).contains("SECRET"));
    }

    #[test]
    fn any_text_has_a_kind(text in anything()) {
        let kind = Kind::of(&text);
        prop_assert!(!kind.summary().is_empty());
        prop_assert!(kind.summary().chars().count() <= 80);
    }
}
