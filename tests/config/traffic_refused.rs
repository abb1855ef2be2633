//! Traffic that cannot be, and why, to the letter.

use super::Site;

const ONE: &str = "[[operations]]\nname = \"a\"\nsql = \"SELECT 1\"";

fn with(traffic: &str) -> Site {
    let site = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    site.file("s/traffic.toml", traffic);
    site
}

#[test]
fn every_key_that_cannot_be_is_told_with_its_path_line_and_way_out() {
    for (keys, expected) in [
        (
            "rat = 1",
            "`s/traffic.toml`, line 1: unknown key `rat`\n  help: did you mean `rate`?",
        ),
        (
            "rate = 0",
            "`s/traffic.toml`, line 1: `rate` has to be more than 0 and at most 100000 requests a second, not 0\n  \
             help: write it like `200`, or `0.5` for one request in two seconds",
        ),
        (
            "rate = -1.5",
            "`s/traffic.toml`, line 1: `rate` has to be more than 0 and at most 100000 requests a second, not -1.5\n  \
             help: write it like `200`, or `0.5` for one request in two seconds",
        ),
        (
            "rate = 1_000_000",
            "`s/traffic.toml`, line 1: `rate` has to be more than 0 and at most 100000 requests a second, not 1000000\n  \
             help: write it like `200`, or `0.5` for one request in two seconds",
        ),
        (
            "rate = nan",
            "`s/traffic.toml`, line 1: `rate` has to be a number, not `NaN`\n  \
             help: write it without quotes, such as `200` or `0.5`",
        ),
        (
            "rate = \"many\"",
            "`s/traffic.toml`, line 1: `rate` has to be a number, not `many`\n  \
             help: write it without quotes, such as `200` or `0.5`",
        ),
        (
            "rate = 1\nclients = 1",
            "`s/traffic.toml`, line 2: `clients` stands beside `rate`\n  \
             help: leave one of them out: `rate` asks whether answers come or not, as users do, each of \
             `clients` waits for its answer",
        ),
        (
            "rate = 1\nthink = \"1s\"",
            "`s/traffic.toml`, line 2: `think` is for `clients`, and there is `rate`\n  \
             help: leave out `think` or `rate`",
        ),
        (
            "think = \"1s\"",
            "`s/traffic.toml`, line 1: `think` is for `clients`, and there are none\n  \
             help: leave out `think`, or say how many `clients` there are",
        ),
        (
            "clients = 1\narrivals = \"poisson\"",
            "`s/traffic.toml`, line 2: `arrivals` is for `rate`, and there is `clients`\n  \
             help: leave out `arrivals` or `clients`",
        ),
        (
            "clients = 0",
            "`s/traffic.toml`, line 1: `clients` has to be a whole number of at least 1, not `0`\n  \
             help: write it without quotes and without a fraction, such as `5000`",
        ),
        (
            "clients = 10_001",
            "`s/traffic.toml`, line 1: `clients` has to be from 1 to 10000, not 10001\n  \
             help: each of them is a session of the server",
        ),
        (
            "arrivals = \"poison\"",
            "`s/traffic.toml`, line 1: `arrivals` cannot be `poison`\n  help: did you mean `poisson`?",
        ),
        (
            "baseline = 5",
            "`s/traffic.toml`, line 1: `baseline` has no unit: `5`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "settle = \"2h\"",
            "`s/traffic.toml`, line 1: `settle` is longer than an hour\n  \
             help: a few seconds show what is usual",
        ),
        (
            "seed = -1",
            "`s/traffic.toml`, line 1: `seed` has to be a whole number that is not negative\n  \
             help: the same seed asks for the same keys, such as `42`",
        ),
        (
            "[front]\npool = 0",
            "`s/traffic.toml`, line 2: `front.pool` has to be a whole number of at least 1, not `0`\n  \
             help: write it without quotes and without a fraction, such as `5000`",
        ),
        (
            "[front]\nacquire_timeout = \"0s\"",
            "`s/traffic.toml`, line 2: `front.acquire_timeout` has to be longer than nothing, not `0s`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "[front]\nrequest_timeout = 30",
            "`s/traffic.toml`, line 2: `front.request_timeout` has no unit: `30`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "[front]\nslow = \"-1s\"",
            "`s/traffic.toml`, line 2: `front.slow` has to be longer than nothing, not `-1s`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "[front]\npools = 1",
            "`s/traffic.toml`, line 2: unknown key `front.pools`\n  help: did you mean `pool`?",
        ),
        (
            "baseline = \"${base}\"",
            "`s/traffic.toml`, line 1: `baseline` uses `${base}`, which is not defined\n  \
             help: add it to `[variables]`, or pass `--var base=VALUE`",
        ),
        (
            "[variables]\n1a = 1",
            "`s/traffic.toml`, line 2: `variables.1a` cannot stand in `${…}`\n  \
             help: a name is a letter or `_`, then letters, digits and `_`",
        ),
    ] {
        assert_eq!(
            with(&format!("{keys}\n{ONE}")).bad(&["s"]),
            expected,
            "{keys}"
        );
    }
    assert_eq!(
        with("rate = 5").bad(&["s"]),
        "`s/traffic.toml` has no operation\n  \
         help: add `[[operations]]` with a `sql = \"…\"` or a `script = \"….sql\"`"
    );
}

#[test]
fn every_operation_that_cannot_be_is_told() {
    // Its keys start on line 2.
    for (keys, expected) in [
        (
            "name = \"a\"",
            "`s/traffic.toml`, line 1: `operations[0]` has nothing to ask\n  \
             help: add `sql = \"…\"`, `file = \"….sql\"` or `script = \"….sql\"`",
        ),
        (
            "sql = \"SELECT 1\"",
            "`s/traffic.toml`, line 1: `operations[0]` lacks its `name`\n  \
             help: only an operation with a `file` or a `script` is named after it",
        ),
        (
            "name = \"\"\nsql = \"SELECT 1\"",
            "`s/traffic.toml`, line 2: `operations[0].name` makes no name\n  help: a name is one line of text",
        ),
        (
            "name = \"a\"\nsql = \"SELECT 1\"\nscript = \"a.sql\"",
            "`s/traffic.toml`, line 1: `operations[0]` has `sql` and `script`\n  help: leave one of them in",
        ),
        (
            "script = \"gone.sql\"",
            "`s/traffic.toml`, line 2: `operations[0].script` names no file: `s/gone.sql`\n  \
             help: paths start from the folder of the file that names them",
        ),
        (
            "file = \"../s\"",
            "`s/traffic.toml`, line 2: `operations[0].file` names no file: `s/../s`\n  \
             help: paths start from the folder of the file that names them",
        ),
        (
            "name = \"a\"\nsql = \"SELECT 1\"\nweight = 0",
            "`s/traffic.toml`, line 4: `operations[0].weight` has to be more than 0, not 0\n  \
             help: the larger, the more often beside the others; leave out what is never to come",
        ),
        (
            "name = \"a\"\nsql = \"SELECT 1\"\n[[operations]]\nname = \"a\"\nsql = \"SELECT 2\"",
            "`s/traffic.toml`, line 4: `operations[1]` is a second operation named `a`\n  \
             help: give it a `name` of its own",
        ),
        (
            "name = \"a\"\nsql = \"SELECT :id\"",
            "`operations[0].sql` of `s/traffic.toml`, line 1, column 8: `:id` has no value\n  \
             help: give it a value in `[operations.parameters]`, or with `\\set id …` before, or add it to \
             `[variables]`, such as `id = 10`",
        ),
        (
            "name = \"a\"\nsql = \"SELECT :idd\"\nparameters = { id = { value = 1 } }",
            "`operations[0].sql` of `s/traffic.toml`, line 1, column 8: `:idd` has no value\n  \
             help: did you mean `:id`?",
        ),
        (
            "name = \"a\"\nsql = \"BEGIN; SELECT 1\"",
            "`operations[0].sql` of `s/traffic.toml`, line 1: `BEGIN` opens a transaction that nothing ends\n  \
             help: add the `COMMIT`; until then its locks would be held",
        ),
    ] {
        let toml = format!("[[operations]]\n{keys}");
        assert_eq!(with(&toml).bad(&["s"]), expected, "{keys}");
    }
}

#[test]
fn every_parameter_that_cannot_be_is_told() {
    const SOURCES: &str = "\n  help: write `{ column = \"table.id\" }`, `{ random = [1, 100] }`, `{ value = 5 }` or \
                           `{ values = [\"a\", \"b\"] }`";
    const COLUMN: &str = "\n  help: write `table.column` or `schema.table.column`, as SQL has them";
    const RANGE: &str =
        "\n  help: write the lowest and the highest whole number, such as `[1, 100]`";
    for (parameter, expected) in [
        (
            "id = {}",
            format!("id` says not where its value comes from{SOURCES}"),
        ),
        (
            "id = { value = 1, values = [1] }",
            format!("id` has `value` and `values`, and can have one of them{SOURCES}"),
        ),
        (
            "id = 5",
            "id` has to be a table, not the integer `5`".to_owned(),
        ),
        (
            "\"1d\" = { value = 1 }",
            "1d` cannot be written `:name` in SQL\n  \
             help: a name is a letter or `_`, then letters, digits and `_`"
                .to_owned(),
        ),
        (
            "id = { column = \"id\" }",
            format!("id.column` names no column: `id`{COLUMN}"),
        ),
        (
            "id = { column = \"a..id\" }",
            format!("id.column` names no column: `a..id`{COLUMN}"),
        ),
        (
            "id = { column = \"a.id.\" }",
            format!("id.column` names no column: `a.id.`{COLUMN}"),
        ),
        (
            "id = { column = \"a.id; DROP TABLE a\" }",
            format!("id.column` names no column: `a.id; DROP TABLE a`{COLUMN}"),
        ),
        (
            "id = { column = \"t.id\", exponent = 1.1 }",
            "id.exponent` means nothing without `distribution = \"zipf\"`\n  \
             help: leave it out, or say `distribution = \"zipf\"`"
                .to_owned(),
        ),
        (
            "id = { column = \"t.id\", distribution = \"zipf\", exponent = 0 }",
            "id.exponent` has to be more than 0 and at most 10, not 0\n  \
             help: near 1 the most frequent tenth of the keys gets most of the requests"
                .to_owned(),
        ),
        (
            "id = { column = \"t.id\", distribution = \"zip\" }",
            "id.distribution` cannot be `zip`\n  help: did you mean `zipf`?".to_owned(),
        ),
        (
            "id = { random = [1, 2], distribution = \"zipf\" }",
            "id.distribution` is for a `column`\n  \
             help: leave it out; in a script there is `random_zipfian`"
                .to_owned(),
        ),
        (
            "id = { random = [1] }",
            format!("id.random` has to be two numbers, not 1{RANGE}"),
        ),
        (
            "id = { random = [1, 2.5] }",
            format!("id.random` has to be two whole numbers{RANGE}"),
        ),
        (
            "id = { random = [2, 1] }",
            format!("id.random` is an empty range: 2 to 1{RANGE}"),
        ),
        (
            "id = { values = [] }",
            "id.values` is empty\n  help: write the values, such as `[\"a\", \"b\"]`".to_owned(),
        ),
        (
            "id = { values = [\"a\", []] }",
            "id.values[1]` has to be text or a number, not an array\n  \
             help: write it in quotes, as it would be typed between SQL's own"
                .to_owned(),
        ),
        (
            "id = { value = 2026-01-01 }",
            "id.value` has to be text or a number, not a date\n  \
             help: write it in quotes, as it would be typed between SQL's own"
                .to_owned(),
        ),
    ] {
        let toml = format!(
            "[[operations]]\nname = \"a\"\nsql = \"SELECT :id\"\n[operations.parameters]\n{parameter}"
        );
        let expected = format!("`s/traffic.toml`, line 5: `operations[0].parameters.{expected}");
        assert_eq!(with(&toml).bad(&["s"]), expected, "{parameter}");
    }
}

#[test]
fn every_option_that_cannot_be_is_told() {
    let site = with(ONE);
    site.file("reads.sql", "SELECT 1;\n");
    site.file("bad.sql", "\\set a random(1, 5)\n\\if :a\nSELECT 1;\n");
    site.file("more.toml", ONE);
    let traffic = |name: &str| format!("--traffic={}", site.path(name).display());
    for (options, expected) in [
        (vec![traffic("gone.sql")], "`gone.sql` does not exist"),
        (vec![traffic("gone.toml")], "`gone.toml` does not exist"),
        (
            vec![traffic("reads.sql@0")],
            "`--traffic` `reads.sql@0`: the weight has to be more than 0, not 0\n  \
             help: the larger, the more often beside the others; leave out what is never to come",
        ),
        (
            vec![traffic("reads.sql@often")],
            "`--traffic` `reads.sql@often` has no weight behind its `@`\n  \
             help: write it like `reads.sql@9`",
        ),
        (
            vec![traffic("reads.sql"), traffic("reads.sql@2")],
            "`--traffic` names `reads.sql` twice\n  \
             help: give it a weight instead, as in `reads.sql@2`",
        ),
        (
            vec![traffic("reads.sql"), traffic("more.toml")],
            "`--traffic` names `more.toml` beside others\n  \
             help: name one .toml, or scripts; a .toml names its scripts in `[[operations]]`",
        ),
        (
            vec![traffic("more.toml@2")],
            "`--traffic` `more.toml@2`: a .toml has no weight\n  \
             help: leave it out: each of its `[[operations]]` has a `weight`",
        ),
        (
            vec![traffic("bad.sql")],
            "`bad.sql`, line 2, column 1: `\\if` is not supported\n  \
             help: write each branch as a script of its own, with its weight",
        ),
        (
            vec![traffic("s/01.sql")],
            "`s/01.sql` is a step of the migration and a part of its traffic\n  \
             help: keep the traffic's files in a folder of their own, such as `traffic/`",
        ),
        (
            vec!["--rate=0".to_owned()],
            "`--rate` has to be more than 0 and at most 100000 requests a second, not 0\n  \
             help: write it like `200`, or `0.5` for one request in two seconds",
        ),
        (
            vec!["--rate=inf".to_owned()],
            "`--rate` has to be more than 0 and at most 100000 requests a second, not inf\n  \
             help: write it like `200`, or `0.5` for one request in two seconds",
        ),
    ] {
        let mut arguments = vec!["s"];
        arguments.extend(options.iter().map(String::as_str));
        assert_eq!(site.bad(&arguments), expected, "{options:?}");
    }
}

#[test]
fn a_scenario_that_names_no_traffic_file_is_told() {
    let site = Site::with(
        "snapshot = \"listings\"\ntraffic = \"gone.toml\"\n[[steps]]\nfile = \"01.sql\"\n",
    );
    assert_eq!(
        site.bad(&["s"]),
        "`s/scenario.toml`, line 2: `traffic` names no file: `s/gone.toml`\n  \
         help: paths start from the folder of the scenario file"
    );
    // Nobody reads it then.
    assert!(site.good(&["s", "--no-traffic"]).plan.traffic.is_none());
}
