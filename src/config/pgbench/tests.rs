use std::path::Path;

use proptest::prelude::*;

use super::super::script::VariablesFrom;
use super::*;

fn read(text: &str) -> Result<Program, String> {
    read_with(text, &[], &[])
}

fn read_with(
    text: &str,
    parameters: &[(String, Expression)],
    variables: &[(&str, &str)],
) -> Result<Program, String> {
    let origin = Origin::file(Path::new("s.sql"), VariablesFrom::CommandLine);
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let given = Given {
        parameters,
        variables: &variables,
        seed: 42,
        way_out: WayOut::CommandLine,
    };
    program(&origin, text, &given).map_err(|error| error.story())
}

fn good(text: &str) -> Program {
    read(text).unwrap_or_else(|story| panic!("{text}: {story}"))
}

fn printed(program: &Program) -> Vec<String> {
    program
        .instructions
        .iter()
        .map(print::instruction)
        .collect()
}

fn value(text: &str) -> Result<String, String> {
    expression::parse(text)
        .map(|value| print::expression(&value))
        .map_err(|problem| problem.message)
}

/// Where each statement is; what it says is the same for every place.
fn without_lines(program: &Program) -> Vec<Instruction> {
    let without = |instruction: &Instruction| match instruction {
        Instruction::Sql {
            text, parameters, ..
        } => Instruction::Sql {
            text: text.clone(),
            parameters: parameters.clone(),
            line: 0,
        },
        other => other.clone(),
    };
    program.instructions.iter().map(without).collect()
}

#[test]
fn the_script_that_everybody_knows() {
    let script = "\
\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
";
    let program = read_with(script, &[], &[("scale", "10")]).unwrap_or_else(|s| panic!("{s}"));
    assert_eq!(program.unused, Vec::<String>::new());
    let lines = printed(&program);
    assert_eq!(lines[0], "\\set scale 10");
    assert_eq!(lines[1], "\\set aid random(1, (100000 * :scale))");
    assert_eq!(lines[4], "\\set delta random(-5000, 5000)");
    assert_eq!(lines.len(), 12);
    assert_eq!(
        program.instructions[10],
        Instruction::Sql {
            text: "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)"
                .to_owned(),
            parameters: ["tid", "bid", "aid", "delta"].map(str::to_owned).to_vec(),
            line: 10,
        }
    );
    assert_eq!(
        read(script),
        Err(
            "`s.sql`, line 1, column 10: `:scale` has no value\n  \
             help: pgbench counts the rows of `pgbench_branches` for it, which are not known here; pass `--var scale=10`"
                .to_owned()
        )
    );
}

#[test]
fn statements_span_lines_and_commands_end_with_theirs() {
    let program = good(
        "-- a comment; with \\set in it\n\n\\set a 1 + \\\n  2\r\nSELECT 1,\n  /* :a */ :a::int AS \":a\", ':b', a.x[1:2]\nFROM t; SELECT :a\\sleep 5 ms\n\\SLEEP :a us\n\\sleep 2\n\\sleep 7ms\nSELECT $$;$$",
    );
    assert_eq!(
        program.instructions,
        [
            Instruction::Set {
                variable: "a".to_owned(),
                value: Expression::Call {
                    function: Function::Add,
                    arguments: vec![Expression::Integer(1), Expression::Integer(2)],
                },
            },
            Instruction::Sql {
                text: "SELECT 1,\n  /* :a */ $1::int AS \":a\", ':b', a.x[1:2]\nFROM t".to_owned(),
                parameters: vec!["a".to_owned()],
                line: 5,
            },
            Instruction::Sql {
                text: "SELECT $1".to_owned(),
                parameters: vec!["a".to_owned()],
                line: 7,
            },
            Instruction::Sleep(Expression::Integer(5_000)),
            Instruction::Sleep(Expression::Variable("a".to_owned())),
            Instruction::Sleep(Expression::Integer(2_000_000)),
            Instruction::Sleep(Expression::Integer(7_000)),
            Instruction::Sql {
                text: "SELECT $$;$$".to_owned(),
                parameters: Vec::new(),
                line: 11,
            },
        ]
    );
}

#[test]
fn operators_bind_as_in_sql() {
    for (text, expected) in [
        ("1", "1"),
        (" +1 ", "1"),
        ("-1", "-1"),
        ("- -1", "1"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("1e3", "1000.0"),
        ("2.5E-1", "0.25"),
        ("-:a", "-(:a)"),
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("(1 + 2) * 3", "((1 + 2) * 3)"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("1 - -2", "(1 - -2)"),
        ("8 / 4 / 2", "((8 / 4) / 2)"),
        ("-:a * 2", "(-(:a) * 2)"),
        ("7 % :a + 1", "(mod(7, :a) + 1)"),
        ("MOD(7, 2)", "mod(7, 2)"),
        ("Random(1, 10)", "random(1, 10)"),
        ("random_zipfian(1, :n, 1.07)", "random_zipfian(1, :n, 1.07)"),
        ("random_gaussian(1, 10, 2.5)", "random_gaussian(1, 10, 2.5)"),
        (
            "random_exponential(-5, 5, 0.1)",
            "random_exponential(-5, 5, 0.1)",
        ),
        (
            "greatest(1, least(:a, 2, 3))",
            "greatest(1, least(:a, 2, 3))",
        ),
        ("abs(hash(:a)) % 100", "mod(abs(hash(:a)), 100)"),
        ("hash_fnv1a(1)", "hash(1)"),
        ("int(5.4 + 3.8)", "int((5.4 + 3.8))"),
        ("double(5432)", "double(5432)"),
    ] {
        assert_eq!(value(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn an_expression_that_cannot_be_is_told() {
    for (text, expected) in [
        ("", "a value is missing"),
        ("1 +", "a value is missing"),
        ("1 2", "`2` stands where the end of the line is expected"),
        ("(1", "`)` is missing"),
        ("1)", "`)` stands where the end of the line is expected"),
        ("* 1", "`*` stands where a value is expected"),
        ("9223372036854775808", "`9223372036854775808` is too large"),
        (
            "99999999999999999999",
            "`99999999999999999999` is too large",
        ),
        ("1e999", "`1e999` is too large"),
        (":", "`:` without a variable's name behind it"),
        (":1", "`:` without a variable's name behind it"),
        ("'a'", "`'` is in no expression"),
        ("1 · 2", "`·` stands where the end of the line is expected"),
        ("1 € 2", "`€` stands where the end of the line is expected"),
        ("5 -- five", "there is no function `five`"),
        ("1 < 2", "`<`: conditions are not supported"),
        ("1 <> 2", "`<>`: conditions are not supported"),
        ("1 != 2", "`!=`: conditions are not supported"),
        (
            "CASE WHEN 1 THEN 2 END",
            "`CASE`: conditions are not supported",
        ),
        (":a IS NULL", "`IS`: conditions are not supported"),
        ("not :a", "`not`: conditions are not supported"),
        ("1 | 2", "`|` is not supported"),
        ("~1", "`~` is not supported"),
        ("1 << 2", "`<<` is not supported"),
        ("sqrt(2)", "the function `sqrt` is not supported"),
        ("permute(1, 2)", "the function `permute` is not supported"),
        ("randon(1, 2)", "there is no function `randon`"),
        ("random(1)", "`random` takes 2 arguments, not 1"),
        ("random()", "`random` takes 2 arguments, not 0"),
        ("random 1", "`1` stands where `(` is expected"),
        ("random(1, 2", "`,` or `)` is missing"),
        ("random(1,, 2)", "`,` stands where a value is expected"),
        ("random(2, 1)", "`random` has an empty range: 2 to 1"),
        (
            "greatest()",
            "`greatest` takes at least one argument, not 0",
        ),
        ("hash(1, 2)", "`hash` takes one argument, not 2"),
        (
            "random_zipfian(1, 2, 1)",
            "the parameter of `random_zipfian` has to be from 1.001 to 1000, not 1",
        ),
        (
            "random_gaussian(1, 2, 1.9)",
            "the parameter of `random_gaussian` has to be at least 2, not 1.9",
        ),
        (
            "random_exponential(1, 2, 0)",
            "the parameter of `random_exponential` has to be greater than 0, not 0",
        ),
        ("1 / 0", "a division by 0"),
        (":a % 0", "a division by 0"),
    ] {
        assert_eq!(value(text), Err(expected.to_owned()), "{text}");
    }
    let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(value(&deep).is_err_and(|message| message.ends_with("is too long")));
    let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
    assert!(value(&deep).is_err_and(|message| message.ends_with("is too deep")));
    let long = format!("1{}", " + 1".repeat(10_000));
    assert!(value(&long).is_err_and(|message| message.ends_with("is too long")));
}

#[test]
fn what_a_request_cannot_do_is_told_to_the_letter() {
    for (text, expected) in [
        (
            "SELECT 1 AS one \\gset\nSELECT :one;",
            "`s.sql`, line 1, column 17: `\\gset` is not supported\n  \
             help: a request keeps no results: write the statements that need them as one, with `WITH … AS (…)`",
        ),
        (
            "\\if 1\nSELECT 1;\n\\endif",
            "`s.sql`, line 1, column 1: `\\if` is not supported\n  \
             help: write each branch as a script of its own, with its weight",
        ),
        (
            "\\setshell a echo 1\nSELECT :a;",
            "`s.sql`, line 1, column 1: `\\setshell` is not supported\n  \
             help: requests run nothing but SQL: give the variable its value with `\\set`",
        ),
        (
            "\\startpipeline\nSELECT 1;",
            "`s.sql`, line 1, column 1: `\\startpipeline` is not supported\n  \
             help: leave it out: the statements of a request are sent one after the other",
        ),
        (
            "\\setrandom a 1 10\nSELECT :a;",
            "`s.sql`, line 1, column 1: `\\setrandom` is not supported\n  \
             help: write `\\set name random(lowest, highest)`",
        ),
        (
            "SELECT 1 \\; SELECT 2;",
            "`s.sql`, line 1, column 10: `\\;` is not supported\n  \
             help: write `;`: each statement is sent by itself",
        ),
        (
            "\\slep 1",
            "`s.sql`, line 1, column 1: `\\slep` is no command of a script\n  \
             help: did you mean `\\sleep`?",
        ),
        (
            "\\timing on",
            "`s.sql`, line 1, column 1: `\\timing` is no command of a script\n  \
             help: there are `\\set` and `\\sleep`; psql's commands are psql's own",
        ),
        (
            "\\",
            "`s.sql`, line 1, column 1: `\\` is no command of a script\n  \
             help: there are `\\set` and `\\sleep`; psql's commands are psql's own",
        ),
        (
            "\\set",
            "`s.sql`, line 1, column 1: `\\set` lacks its variable\n  \
             help: write it like `\\set id random(1, 100)`",
        ),
        (
            "\\set a",
            "`s.sql`, line 1, column 1: `\\set a` lacks its value\n  \
             help: write it like `\\set id random(1, 100)`",
        ),
        (
            "\\set 1a 2",
            "`s.sql`, line 1, column 6: `1a` cannot be a variable's name\n  \
             help: a name is a letter or `_`, then letters, digits and `_`",
        ),
        (
            "SELECT 1;\n\\set a 1 + \\\n  sqrt(4)",
            "`s.sql`, line 3, column 3: the function `sqrt` is not supported\n  \
             help: compute it in the SQL",
        ),
        (
            "\\set a  :b",
            "`s.sql`, line 1, column 9: `:b` has no value\n  \
             help: set it before, with `\\set b …`, or pass `--var b=10`",
        ),
        (
            "\\set seller 1\nSELECT :selller",
            "`s.sql`, line 2, column 8: `:selller` has no value\n  help: did you mean `:seller`?",
        ),
        (
            "SELECT :client_id;",
            "`s.sql`, line 1, column 8: `:client_id` has no value\n  \
             help: pgbench numbers its clients, and requests here have none; pass `--var client_id=10`",
        ),
        (
            "SELECT :a;\n\\set a 1",
            "`s.sql`, line 1, column 8: `:a` has no value\n  \
             help: set it before, with `\\set a …`, or pass `--var a=10`",
        ),
        (
            "SELECT $1;",
            "`s.sql`, line 1, column 8: `$1` has no value: parameters have names here\n  \
             help: write it `:name`, and give `name` a value",
        ),
        (
            "\\set a 1\nSELECT ':a';",
            "`s.sql`, line 2, column 9: `:a` stands in a string, where nothing is put in\n  \
             help: put it beside the string, such as `'…' || :a`, or give the variable another name",
        ),
        (
            "SELECT :'a';",
            "`s.sql`, line 1, column 8: `:'a'` is unclear: that is psql's way to quote a variable\n  \
             help: write `:name`, which needs no quotes; in a slice, put a space behind the colon",
        ),
        (
            "\\set a 1\nSELECT :a$b;",
            "`s.sql`, line 2, column 8: `:a$b` is unclear\n  \
             help: a variable's name is letters, digits and `_`; put a space behind it",
        ),
        (
            "\\set n 1\nSELECT 1 LIMIT:n",
            "`s.sql`, line 2, column 15: `:n` is unclear: it touches what is before it\n  \
             help: put a space in front of it; in a slice, behind the colon",
        ),
        (
            "\\sleep",
            "`s.sql`, line 1, column 1: `\\sleep` lacks its time\n  \
             help: write it like `\\sleep 10 ms` or `\\sleep :pause us`; without a unit it is seconds",
        ),
        (
            "\\sleep 10 min",
            "`s.sql`, line 1, column 11: `min` is no unit of a time\n  \
             help: write it like `\\sleep 10 ms` or `\\sleep :pause us`; without a unit it is seconds",
        ),
        (
            "\\sleep 10 ms please",
            "`s.sql`, line 1, column 14: `please` is one too many\n  \
             help: write it like `\\sleep 10 ms` or `\\sleep :pause us`; without a unit it is seconds",
        ),
        (
            "\\sleep -1",
            "`s.sql`, line 1, column 8: `-1` is no whole number\n  \
             help: write it like `\\sleep 10 ms` or `\\sleep :pause us`; without a unit it is seconds",
        ),
        (
            "\\sleep 3601",
            "`s.sql`, line 1, column 8: a request cannot sleep so long\n  help: the longest is an hour",
        ),
        (
            "COPY t FROM STDIN;\n1\n\\.\n",
            "`s.sql`, line 1, column 1: a request cannot send the data of a `COPY … FROM STDIN`\n  \
             help: write it as an INSERT",
        ),
        (
            "SELECT 1;\nBEGIN;\nSELECT 2;",
            "`s.sql`, line 2: `BEGIN` opens a transaction that nothing ends\n  \
             help: add the `COMMIT`; until then its locks would be held",
        ),
        (
            "\\set a 1\n-- nothing",
            "`s.sql` has no statement\n  \
             help: leave it out, or write the SQL that a request is to run",
        ),
        (
            "\\set a 1\n\nSELECT :a, 'x",
            "`s.sql`, line 3, column 12: unterminated string `'`",
        ),
    ] {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn variables_of_the_scenario_are_set_where_they_are_used() {
    let variables = [
        ("rows", "1000"),
        ("share", "0.5"),
        ("what", "nan"),
        ("other", "1"),
    ];
    let program = read_with(
        "\\set id random(1, :rows)\nSELECT :id, :share, :what, :random_seed",
        &[],
        &variables,
    )
    .unwrap_or_else(|story| panic!("{story}"));
    assert_eq!(
        printed(&program),
        [
            "\\set rows 1000",
            "\\set share 0.5",
            "\\set what \"nan\"",
            "\\set random_seed 42",
            "\\set id random(1, :rows)",
            "SELECT :id, :share, :what, :random_seed;",
        ]
    );
}

#[test]
fn what_nothing_uses_is_told() {
    let parameters = [
        ("a".to_owned(), Expression::Integer(1)),
        ("b".to_owned(), Expression::Integer(1)),
    ];
    let program = read_with("\\set c :b\n\\set d 1\nSELECT :c", &parameters, &[])
        .unwrap_or_else(|story| panic!("{story}"));
    assert_eq!(program.unused, ["a", "d"]);
}

#[test]
fn variables_that_a_script_uses_are_seen_from_outside() {
    let names = used("\\set a random(1, :rows)\nSELECT :a, b::text, ':c', x[1:2], :é; -- :d");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["a", "rows", "é"]);
}

/// Expressions as the parser makes them: a number with a minus before it is that number.
fn expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Expression::Integer),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Expression::Double),
        "[a-c]".prop_map(Expression::Variable),
    ];
    let call = |function, arguments| Expression::Call {
        function,
        arguments,
    };
    leaf.prop_recursive(5, 30, 3, move |inner| {
        use Function::*;
        let infix = prop::sample::select(vec![Add, Subtract, Multiply, Divide, Mod]);
        let one = prop::sample::select(vec![Abs, Int, Double, Hash, Subtract]);
        prop_oneof![
            (infix, inner.clone(), inner.clone()).prop_map(move |(f, a, b)| call(f, vec![a, b])),
            (one, inner.clone()).prop_map(move |(f, a)| call(f, vec![a])),
            prop::collection::vec(inner.clone(), 1..4).prop_map(move |all| call(Greatest, all)),
            (inner.clone(), inner.clone()).prop_map(move |(a, b)| call(Random, vec![a, b])),
            (inner.clone(), inner).prop_map(move |(a, b)| call(
                RandomZipfian,
                vec![a, b, Expression::Variable("a".to_owned())]
            )),
        ]
    })
    .prop_filter("what the parser would fold or refuse", is_parsed)
}

fn is_parsed(expression: &Expression) -> bool {
    let Expression::Call {
        function,
        arguments,
    } = expression
    else {
        return true;
    };
    let folded = *function == Function::Subtract
        && matches!(
            arguments.as_slice(),
            [Expression::Integer(_) | Expression::Double(_)]
        );
    !folded && functions::check(*function, arguments).is_ok() && arguments.iter().all(is_parsed)
}

/// Lines of scripts, most of them good.
fn line() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        "SELECT :a;",
        "SELECT :b::int, ':x' || :a",
        "  FROM t WHERE id = :a;",
        "BEGIN;",
        "END;",
        "UPDATE t SET x = $$:y$$, z = \":q\" WHERE i = :c; -- :d \\set",
        "\\sleep 10 ms",
        "\\sleep :a s",
        "\\sleep :b us",
        "\\set a 1 \\",
        "  + :b",
        "/* open",
        "*/",
        "'",
        "\\gset",
        "SELECT e'\\'' \\; SELECT",
        "SELECT (1",
        "x[:a:b] :'c' :1 ::: : é:é $1",
    ]);
    prop_oneof![
        3 => text.prop_map(str::to_owned),
        2 => ("[a-c]", expression())
            .prop_map(|(name, value)| format!("\\set {name} {}", print::expression(&value))),
        1 => "[ :;\\\\$'\"a-c()/*+-]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_expression_prints_back(value in expression()) {
        let text = print::expression(&value);
        prop_assert_eq!(expression::parse(&text), Ok(value), "{}", text);
    }

    #[test]
    fn a_script_prints_back(lines in prop::collection::vec(line(), 0..8)) {
        let variables = [("a", "1"), ("b", "2.5"), ("c", "3")];
        if let Ok(program) = read_with(&lines.join("\n"), &[], &variables) {
            let printed = printed(&program).join("\n");
            let again = read_with(&printed, &[], &variables);
            let again = again.unwrap_or_else(|story| panic!("{printed}: {story}"));
            prop_assert_eq!(without_lines(&again), without_lines(&program), "{}", printed);
        }
    }

    #[test]
    fn any_text_is_a_script_or_an_error(text in any::<String>()) {
        let _ = read(&text);
        let _ = used(&text);
        let _ = value(&text);
    }

    #[test]
    fn any_command_is_read_or_an_error(text in "\\\\(set|sleep|if)[ \\\\\r\n:a-c0-9.e+*/%(),'-]{0,30}") {
        let _ = read(&text);
    }
}
