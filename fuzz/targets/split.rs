//! Any text → its statements: in order, byte for byte the user's, each of them one by itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockproof::sql::{Kind, lex, normalise, split};

fuzz_target!(|file: &str| {
    let mut at = 0;
    for token in lex(file) {
        assert!(token.span.start == at && token.span.end > at);
        assert!(file.is_char_boundary(token.span.end));
        at = token.span.end;
    }
    assert_eq!(at, file.len(), "tokens cover the text");

    let normal = normalise(file);
    assert_eq!(normalise(&normal), normal);

    let statements = match split(file) {
        Ok(statements) => statements,
        Err(error) => {
            assert!(error.offset < file.len() && file.is_char_boundary(error.offset));
            let line = file[..error.offset].split('\n').count();
            assert_eq!(error.line, line, "{error}");
            return;
        }
    };
    let mut at = 0;
    for statement in &statements {
        assert!(statement.span.start >= at, "statements are in order");
        assert_eq!(statement.text, file[statement.span.clone()]);
        assert_eq!(statement.kind, Kind::of(&statement.text));
        at = statement.span.end;
        if let Some(data) = &statement.copy_data {
            assert!(data.start >= at && file.get(data.clone()).is_some());
            at = data.end;
            continue;
        }
        match split(&statement.text).as_deref() {
            Ok([alone]) => assert_eq!(alone.text, statement.text),
            other => panic!("`{}` by itself: {other:?}", statement.text),
        }
    }
    assert!(at <= file.len());
});
