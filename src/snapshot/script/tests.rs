//! What is refused, with its line, and what passes as it is.

use super::*;

pub(super) const SESSION: Session = Session {
    standard_strings: true,
    knows_bodies: true,
    closed_by: Closed::Restrict,
};

/// What goes to `psql`, without our own first words; read in pieces of this size.
fn read_by(size: usize, session: Session, text: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut reader = Reader::new(session);
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        reader.push(piece, &mut out)?;
    }
    reader.end(&mut out)?;
    if out.starts_with(b"\\restrict ") {
        let key = "\\restrict  \\\\ ".len() + 32;
        out.drain(..key);
    }
    Ok(out)
}

fn read(text: &str) -> Result<String, Refused> {
    let whole = read_by(usize::MAX, SESSION, text.as_bytes());
    assert_eq!(whole, read_by(1, SESSION, text.as_bytes()), "{text}");
    Ok(String::from_utf8(whole?).expect("text"))
}

fn passes(text: &str) {
    assert_eq!(read(text).as_deref(), Ok(text), "{text}");
}

/// The line and the words of what is refused.
fn refused(text: &str) -> (u64, String) {
    let refused = read(text).expect_err(text);
    (
        refused.line,
        refused.of(std::path::Path::new("d.sql")).story(),
    )
}

#[test]
fn a_command_is_refused_wherever_psql_would_take_one() {
    for (text, line, name) in [
        ("\\connect other\n", 1, "connects to another database"),
        (
            "select 1;\n \\connect other\n",
            2,
            "connects to another database",
        ),
        ("\\connect\tother\n", 1, "connects to another database"),
        ("\\c\n", 1, "connects to another database"),
        ("select 1; \\c other\n", 1, "connects to another database"),
        (
            "select 1; \\connect\\\\\n",
            1,
            "connects to another database",
        ),
        ("\n\n\\! id\n", 3, "`\\!`"),
        ("\\!id\n", 1, "`\\!id`"),
        ("select 1\n\\g |id\n", 2, "`\\g`"),
        ("select 1 \\gexec\n", 1, "`\\gexec`"),
        ("select 1 as a \\gset\n", 1, "`\\gset`"),
        ("\\o file\n", 1, "`\\o`"),
        ("\\copy t from program 'id'\n", 1, "`\\copy`"),
        ("\\i file\n", 1, "`\\i`"),
        ("\\ir file\n", 1, "`\\ir`"),
        ("\\include file\n", 1, "`\\include`"),
        ("\\set a b\n", 1, "`\\set`"),
        ("\\setenv PAGER id\n", 1, "`\\setenv`"),
        ("\\encoding SJIS\n", 1, "`\\encoding`"),
        ("\\if true\n", 1, "`\\if`"),
        ("select 1\\; select 2;\n", 1, "`\\;`"),
        ("\\\n", 1, "`\\`"),
        ("\\.\n", 1, "`\\.`"),
        ("\\q", 1, "`\\q`"),
        ("\\\u{1b}[2J\n", 1, "`\\?[2J`"),
        // Where something was closed before it.
        ("-- a comment\n\\! id\n", 2, "`\\!`"),
        ("/* a /* comment */ */ \\! id\n", 1, "`\\!`"),
        ("/* a\n comment **/\\! id\n", 2, "`\\!`"),
        ("select 1 -- it's\n\\! id\n", 2, "`\\!`"),
        ("select E'\\''; \\! id\n", 1, "`\\!`"),
        ("select E'\\\\'; \\! id\n", 1, "`\\!`"),
        ("select 'a\\'; \\! id '\n", 1, "`\\!`"),
        ("select 'it''s'; \\! id\n", 1, "`\\!`"),
        ("select b'\\'; \\! id '\n", 1, "`\\!`"),
        ("select U&'\\'; \\! id '\n", 1, "`\\!`"),
        ("select \"\\\"; \\! id \"\n", 1, "`\\!`"),
        ("select \"a\"\"b\" \\! id\n", 1, "`\\!`"),
        ("select $$ ' $$; \\! id\n", 1, "`\\!`"),
        ("select $a$ $b$ $$ $A$ $a$; \\! id $a$\n", 1, "`\\!`"),
        ("select $a$ $b$a$ \\! id $a$\n", 1, "`\\!`"),
        ("select a$$ \\! id $$\n", 1, "`\\!`"),
        ("select x$a$ \\! id $a$\n", 1, "`\\!`"),
        // The server goes on with an escaped string there, `psql` begins with another.
        ("select E'a'\n'\\' \\! id '\n", 2, "`\\!`"),
        ("select E'a\\\n' \\! id '\n", 2, "`\\!`"),
        // To `psql` no escaped string: its name ends before the quote.
        ("select :e'\\' \\! id '\n", 1, "`\\!`"),
        ("select ne'\\' \\! id '\n", 1, "`\\!`"),
        ("select (1; \\! id\n", 1, "`\\!`"),
        (
            "create function f() returns int begin atomic select 1; \\! id\n",
            1,
            "`\\!`",
        ),
    ] {
        let (at, story) = refused(text);
        assert_eq!(at, line, "{text}: {story}");
        assert!(story.contains(name), "{text}: {story}");
        assert!(
            story.contains(&format!("line {line} of `d.sql`")),
            "{story}"
        );
    }
}

#[test]
fn a_command_within_quotes_comments_and_rows_is_none() {
    for text in [
        "select 'c:\\';\n",
        "select 'c:\\', 'd:\\! id';\n",
        "select E'\\'\\! id';\n",
        "select '\n\\connect x\n';\n",
        "-- \\connect x\n",
        "--\\! id\r\nselect 1;\r\n",
        "/* \\! id\n\\connect x */ select 1;\n",
        "/* /* */ \\! id */\n",
        "select \"\\! id\" from \"a\n\\b\";\n",
        "select U&\"\\0041\", U&'\\0041', u&'d\\!0061' uescape '!';\n",
        "create function f() returns text as $_$ select '\\d'; \\! id\n\\connect x\n$_$ language sql;\n",
        "do $$ begin raise 'a\\b'; end $$;\n",
        "select x'\\', b'\\';\n",
        "select N'\\! id';\n",
        "select $1 + 1e-5, 1.5e3, .5, 0x1F, 1_000, a[1:2], b[1:n], 'a'::text, c := 1, 1..2;\n",
        "COPY t (a) FROM stdin;\n\\N\tc:\\\\\n\\! id\n\\connect x\n \\.\n\\. \n\\.x\n\\.\nselect 1;\n",
        "copy t from STDIN with (format csv);\n\\! id\n\"\n\\.\n",
        "COPY t FROM stdin; select 1;\n\\! id\n\\.\nselect 2;\n",
        "COPY t FROM stdin; COPY u FROM stdin;\n\\! one\n\\.\n\\! two\n\\.\nselect 2;\n",
        "select 1; COPY t FROM stdin;\n\\! id\n\\.\n",
        "COPY /* from */ t (\"from\") -- from\n FROM /* \n */ stdin\n;\n\\! id\n\\.\n",
        "COPY t FROM STDOUT;\n\\! id\n\\.\n",
        "COPY t FROM stdin;\r\n\\! id\r\n\\.\r\nselect 1;\r\n",
        "COPY t FROM stdin;\n\\.\n",
        "COPY t FROM stdin;\n\\N\n\\.",
        "COPY t FROM stdin WHERE a IS DISTINCT FROM b;\n\\! id\n\\.\n",
        "SET standard_conforming_strings = off;\nselect '\\'\\! id';\n",
        "SET standard_conforming_strings = off;\nSET standard_conforming_strings = on;\nselect '\\';\n",
        "SET client_encoding = 'LATIN1';\nSET NAMES 'UTF8';\nselect 1;\n",
        "insert into t values ('client_encoding', 'SJIS', 'standard_conforming_strings');\n",
        "create function f() returns int language sql begin atomic select case when true then 1 end; end;\n",
        "create rule r as on insert to t do also (insert into u values (1); insert into v values (2));\n",
        "BEGIN;\nROLLBACK;\nSAVEPOINT a;\nRESET ALL;\n",
        "\n\n\nselect 1",
        "",
    ] {
        passes(text);
    }
}

#[test]
fn what_is_no_copy_has_no_rows() {
    for (text, line) in [
        // In quotes and comments.
        ("select '\nCOPY t FROM stdin;\n';\n\\! id\n\\.\n", 4),
        ("/*\nCOPY t FROM stdin;\n*/\n\\! id\n\\.\n", 4),
        ("-- COPY t FROM stdin;\n\\! id\n\\.\n", 2),
        ("select $$\nCOPY t FROM stdin;\n$$;\n\\! id\n", 4),
        ("select 'a\nCOPY t FROM stdin;\nit's\n\\! id\n\\.\n", 4),
        // Other sorts of it.
        ("COPY t TO stdout;\n\\! id\n\\.\n", 2),
        ("COPY t FROM 'stdin';\n\\! id\n", 2),
        ("COPY t FROM PROGRAM 'id';\n\\! id\n", 2),
        ("COPY (select a from stdin) TO stdout;\n\\! id\n", 2),
        (
            "COPY t FROM 'f' WHERE a IS DISTINCT FROM stdin;\n\\! id\n",
            2,
        ),
        ("COPY t FROM \"stdin\";\n\\! id\n", 2),
        ("\"copy\" t FROM stdin;\n\\! id\n", 2),
        ("select 1 COPY t FROM stdin;\n\\! id\n", 2),
        // Not yet sent.
        ("COPY t FROM stdin\n\\! id\n\\.\n", 2),
        // Ended sooner or later than its look says.
        ("COPY t FROM stdin;\n\\.\n\\! id\n\\.\n", 3),
        ("COPY t FROM stdin;\n\\.\r\n\\! id\n\\.\n", 3),
        ("COPY t FROM stdin;\n\\. \n\\.\t\n \\.\n\\.\n\\! id\n", 6),
        ("COPY t FROM stdin;\n\\.\r\r\n\\.\n\\! id\n", 4),
        (
            "COPY t FROM stdin; COPY u FROM stdin;\n\\.\n\\.\n\\! id\n",
            4,
        ),
    ] {
        let (at, story) = refused(text);
        assert_eq!(at, line, "{text}: {story}");
    }
}

#[test]
fn what_versions_of_psql_read_differently_is_refused() {
    for (text, cause) in [
        ("select 1e'\\' \\! id '';\n", "number"),
        ("select 1e--\\! id\n;\n", "number"),
        ("select 1a$$ \\! id $$;\n", "number"),
        ("select $1a$$ \\! id $$;\n", "number"),
        ("select $1$$ \\! id $$;\n", "number"),
        ("select 1begin;\n", "number"),
        ("select 1x'a';\n", "number"),
        ("-- a\r\\! id\n", "carriage return"),
        ("select E'a'\r'\\' \\! id '\n", "carriage return"),
        ("select 1;\rselect 2;\n", "carriage return"),
        ("select 'a\0b';\n", "zero byte"),
        ("COPY t FROM stdin;\na\0b\n\\.\n", "zero byte"),
        ("(; COPY t FROM stdin;\n\\! id\n\\.\n", "within parentheses"),
        (
            "create function f() returns begin language sql as ''; copy t from stdin; end;\n",
            "within",
        ),
        (
            "create or replace procedure f() begin; copy t from stdin;\n",
            "within",
        ),
        ("select :LAST_ERROR_MESSAGE;\n", "`:LAST_ERROR_MESSAGE`"),
        ("select :'USER';\n", "`:'USER'`"),
        ("select :\"DBNAME\";\n", "`:\"DBNAME\"`"),
        ("select :{?end};\n", "`:{`"),
        ("SET client_encoding = 'SJIS';\n", "`sjis`"),
        ("set session client_encoding to Big5;\n", "`big5`"),
        ("SET NAMES 'Shift_JIS_2004';\n", "`shift_jis_2004`"),
        (
            "select pg_catalog.set_config('client_encoding', 'gb-18030', false);\n",
            "encoding",
        ),
        (
            "select set_config('standard_conforming_strings', 'off', false);\n",
            "standard_conforming",
        ),
        (
            "SET LOCAL standard_conforming_strings = off;\n",
            "standard_conforming",
        ),
        (
            "SET standard_conforming_strings = off;\nROLLBACK;\n",
            "standard_conforming",
        ),
        (
            "SET standard_conforming_strings TO DEFAULT;\n",
            "standard_conforming",
        ),
    ] {
        let (_, story) = refused(text);
        assert!(story.contains(cause), "{text}: {story}");
    }
}

#[test]
fn the_strings_setting_counts_from_the_next_line_on() {
    let off = "SET standard_conforming_strings = off;";
    let (line, _) = refused(&format!("{off} select '\\'; \\! id ';\n"));
    assert_eq!(line, 1);
    let (line, _) = refused(&format!("{off}\nselect '\\', '\\! id';\n"));
    assert_eq!(line, 2);
    // An escaped quote: all of it is one string, on this line and the next.
    passes(&format!("{off}\nselect '\\'\\! \n\\! id';\n"));
    let session = Session {
        standard_strings: false,
        ..SESSION
    };
    assert!(read_by(9, session, b"select '\\'; \\! id';\n").is_ok());
    assert!(read_by(9, SESSION, b"select '\\'; \\! id';\n").is_err());
}

#[test]
fn restrictions_of_the_dump_are_left_out_where_pg_dump_writes_them_and_nowhere_else() {
    let read = |text: &str| read(text).expect(text);
    assert_eq!(
        read("\u{feff}--\n\\restrict aB1\nselect 1;\n\\unrestrict aB1\n"),
        "--\n\nselect 1;\n\n"
    );
    assert_eq!(read("\\restrict aB1\r\n\\unrestrict aB1"), "\n");
    for text in [
        "\\restrict\n",
        "\\restrict \n",
        "\\restrict a \\! id\n",
        "\\restrict a\\! id\n",
        "\\restrict `id`\n",
        " \\restrict a\n",
        "\\restrict\ta\n",
        "select 1\n\\restrict a\n",
        "(\n\\unrestrict a\n",
        "select 1; \\unrestrict a\n",
    ] {
        let (_, story) = refused(text);
        assert!(story.contains("restrict"), "{text}: {story}");
    }
    // Not in a string.
    passes("select '\n\\restrict a\n';\n");
}

#[test]
fn every_start_has_a_key_of_its_own() {
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let mut out = Vec::new();
        let mut reader = Reader::new(SESSION);
        reader.push(b"select 1;\n", &mut out).expect("read");
        assert!(out.ends_with(b" \\\\ select 1;\n"));
        firsts.insert(out);
    }
    assert_eq!(firsts.len(), 10);
}

#[test]
fn a_psql_that_cannot_be_closed_is_asked_before_each_statement() {
    let session = Session {
        closed_by: Closed::Asking,
        ..SESSION
    };
    let read = |text: &str| {
        let whole = read_by(usize::MAX, session, text.as_bytes()).expect(text);
        assert_eq!(Ok(&whole), read_by(1, session, text.as_bytes()).as_ref());
        String::from_utf8(whole).expect("text")
    };
    let asked = |text: &str, standard: bool| text.replace('?', &settings::question(standard));
    for text in [
        "-- c\n?select 1;\n",
        "?select f(\n1); ?insert into t values ('a;\n');\n",
        "?begin; set transaction read only; select 1; ?commit;\n",
        "?COPY t FROM stdin;\nselect 1;\n\\.\n?select 2;\n",
        "?/* a; */ select 1;\n",
        "?create rule r as on insert to t do also (select 1; select 2); ?select 3",
        ";;\n",
    ] {
        assert_eq!(read(&text.replace('?', "")), asked(text, true));
    }
    let off = "SET standard_conforming_strings = off;\n";
    assert_eq!(
        read(&format!("{off}set a = b;\nselect 1;\n?").replace('?', "")),
        format!("{}{off}set a = b;\nselect 1;\n", settings::question(true))
    );
    assert_eq!(
        read(&format!("{off}select 1; select 2;\n")),
        format!(
            "{}{off}select 1; {}select 2;\n",
            settings::question(true),
            settings::question(false)
        )
    );
}

#[test]
fn long_lines_are_read_in_parts() {
    let long = "x \\ ".repeat(300_000);
    for text in [
        format!(
            "insert into t values ('{long}', E'{}');\n",
            long.replace("\\ ", "\\'")
        ),
        format!("-- {long}\nselect $a${long}$a$, \"{long}\" /* {long} */;\n"),
        format!("insert into t values {};\n", "(1, 'a'), ".repeat(200_000)),
        format!("COPY t FROM stdin;\n{long}\n\\.\n"),
    ] {
        for size in [7, 65_536, 1_000_003] {
            let read = read_by(size, SESSION, text.as_bytes()).expect("read");
            assert!(read == text.as_bytes());
        }
        let command = format!("{text}{};\n\\! id\n", "select 1, ".repeat(100_000));
        let refused = read_by(8191, SESSION, command.as_bytes()).expect_err("a command");
        let lines = command.matches('\n').count() as u64;
        assert_eq!(refused.line, lines);
    }
    let endless = "a".repeat(3 * 1024 * 1024);
    let refused = read_by(65_536, SESSION, endless.as_bytes()).expect_err("endless");
    assert_eq!(refused.cause, Cause::TooLong);
}
