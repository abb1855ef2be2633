//! Everything that is refused, to the letter.

use super::Site;

#[test]
fn every_scenario_key_that_cannot_be_is_told_with_its_path_line_and_way_out() {
    // The step's keys start on line 3.
    for (keys, expected) in [
        (
            "file = \"01.sql\"\nlock_timout = \"1s\"",
            "`s/scenario.toml`, line 4: unknown key `steps[0].lock_timout`\n  help: did you mean `lock_timeout`?",
        ),
        (
            "file = \"01.sql\"\nretry = { attempt = 2 }",
            "`s/scenario.toml`, line 4: unknown key `steps[0].retry.attempt`\n  help: did you mean `attempts`?",
        ),
        (
            "file = \"01.sql\"\nlock_timeout = 50",
            "`s/scenario.toml`, line 4: `steps[0].lock_timeout` has no unit: `50`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "file = \"01.sql\"\nlock_timeout = \"50\"",
            "`s/scenario.toml`, line 4: `steps[0].lock_timeout` has no unit: `50`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "file = \"01.sql\"\ntimeout = \"-1s\"",
            "`s/scenario.toml`, line 4: `steps[0].timeout` has to be longer than nothing, not `-1s`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "file = \"01.sql\"\nstatement_timeout = \"0s\"",
            "`s/scenario.toml`, line 4: `steps[0].statement_timeout` has to be longer than nothing, not `0s`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "file = \"01.sql\"\ntimeout = true",
            "`s/scenario.toml`, line 4: `steps[0].timeout` has to be text with a unit, not a boolean\n  \
             help: write it in quotes, such as `\"50ms\"` or `\"2GiB\"`",
        ),
        (
            "file = 1",
            "`s/scenario.toml`, line 3: `steps[0].file` has to be a string, not the integer `1`",
        ),
        (
            "file = \"02.sql\"",
            "`s/scenario.toml`, line 3: `steps[0].file` names a file that does not exist: `s/02.sql`\n  \
             help: paths start from the folder of the scenario file",
        ),
        (
            "file = \"../s\"",
            "`s/scenario.toml`, line 3: `steps[0].file` names no file: `s/../s`\n  \
             help: paths start from the folder of the scenario file",
        ),
        (
            "file = \"01.sql\"\nsql = \"SELECT 1\"",
            "`s/scenario.toml`, line 4: `steps[0].sql` stands beside `file`\n  help: leave one of them out",
        ),
        (
            "name = \"x\"",
            "`s/scenario.toml`, line 2: `steps[0]` has nothing to run\n  \
             help: add `file = \"….sql\"`, `sql = \"…\"` or `run = [\"program\", \"argument\"]`",
        ),
        (
            "sql = \"SELECT 1\"",
            "`s/scenario.toml`, line 2: `steps[0]` lacks its `name`\n  \
             help: only a step with a `file` is named after it",
        ),
        (
            "name = \" \"\nsql = \"SELECT 1\"",
            "`s/scenario.toml`, line 3: `steps[0].name` makes no name\n  help: a name is one line of text",
        ),
        (
            "file = \"01.sql\"\n[[steps]]\nfile = \"01.sql\"",
            "`s/scenario.toml`, line 4: `steps[1]` is a second step named `01`\n  \
             help: give it a `name` of its own",
        ),
        (
            "name = \"x\"\nsql = \"-- later\"",
            "`steps[0].sql` of `s/scenario.toml` has no statement\n  \
             help: leave it out, or write the SQL that the step is to run",
        ),
        (
            "name = \"x\"\nsql = \"SELECT (\"",
            "`steps[0].sql` of `s/scenario.toml`, line 1, column 8: unclosed parenthesis `(`",
        ),
        (
            "name = \"x\"\nsql = \"SELECT ${rosw}\"",
            "`steps[0].sql` of `s/scenario.toml`, line 1: `${rosw}` is not defined\n  help: did you mean `${rows}`?",
        ),
        (
            "name = \"${who}\"\nsql = \"SELECT 1\"",
            "`s/scenario.toml`, line 3: `steps[0].name` uses `${who}`, which is not defined\n  \
             help: add it to `[variables]`, or pass `--var who=VALUE`",
        ),
        (
            "file = \"01.sql\"\nkind = \"bach\"",
            "`s/scenario.toml`, line 4: `steps[0].kind` cannot be `bach`\n  help: did you mean `batch`?",
        ),
        (
            "file = \"01.sql\"\nwrap = \"none\"",
            "`s/scenario.toml`, line 4: `steps[0].wrap` cannot be `none`\n  \
             help: it is one of `transaction`, `autocommit` and `as-written`",
        ),
        (
            "file = \"01.sql\"\nsleep = \"1s\"",
            "`s/scenario.toml`, line 4: `steps[0].sleep` means nothing in a step of kind `sql`\n  \
             help: `sleep` is for kind `batch`; set `kind`, or leave it out",
        ),
        (
            "name = \"x\"\nrun = [\"true\"]\nstatement_timeout = \"1s\"",
            "`s/scenario.toml`, line 5: `steps[0].statement_timeout` means nothing in a step of kind `command`\n  \
             help: `statement_timeout` is for kind `sql` and `batch`; set `kind`, or leave it out",
        ),
        (
            "file = \"01.sql\"\nkind = \"batch\"",
            "`s/scenario.toml`, line 2: `steps[0]` lacks its `batch_size`\n  \
             help: add it, such as `batch_size = 5000`",
        ),
        (
            "file = \"01.sql\"\nbatch_size = 0",
            "`s/scenario.toml`, line 4: `steps[0].batch_size` has to be a whole number of at least 1, not `0`\n  \
             help: write it without quotes and without a fraction, such as `5000`",
        ),
        (
            "file = \"01.sql\"\nbatch_size = 10",
            "`s/01.sql`, line 1: `ALTER TABLE listings` does not use `${batch_size}`\n  \
             help: bound the rows of each batch, for example with `LIMIT ${batch_size}`",
        ),
        (
            "name = \"x\"\nrun = []",
            "`s/scenario.toml`, line 4: `steps[0].run` names no program\n  \
             help: write it like `run = [\"python\", \"manage.py\", \"migrate\"]`",
        ),
        (
            "name = \"x\"\nkind = \"command\"",
            "`s/scenario.toml`, line 2: `steps[0]` lacks its `run`\n  \
             help: write it like `run = [\"python\", \"manage.py\", \"migrate\"]`",
        ),
        (
            "name = \"x\"\nrun = [\"true\"]\ncwd = \"gone\"",
            "`s/scenario.toml`, line 5: `steps[0].cwd` names no folder: `s/gone`\n  \
             help: paths start from the folder of the scenario file",
        ),
        (
            "name = \"x\"\nrun = [\"true\"]\nenv = { PGHOST = \"prod\" }",
            "`s/scenario.toml`, line 5: `steps[0].env.PGHOST` would aim the command at another server\n  \
             help: leave it out: the stage sets `DATABASE_URL` and the `PG…` variables itself; \
             where another form is needed, build it from `${stage.host}`, `${stage.port}`, `${stage.user}`, \
             `${stage.password}` and `${stage.database}`",
        ),
        (
            "name = \"x\"\nrun = [\"true\"]\nenv = { DATABASE_URL = \"postgresql://prod/${stage.database}\" }",
            "`s/scenario.toml`, line 5: `steps[0].env.DATABASE_URL` would aim the command at another server\n  \
             help: leave it out: the stage sets `DATABASE_URL` and the `PG…` variables itself; \
             where another form is needed, build it from `${stage.host}`, `${stage.port}`, `${stage.user}`, \
             `${stage.password}` and `${stage.database}`",
        ),
        (
            "name = \"x\"\nrun = [\"true\", \"--host=${stage.hots}\"]",
            "`s/scenario.toml`, line 4: `steps[0].run[1]` uses `${stage.hots}`, which is nothing of the stage\n  \
             help: did you mean `${stage.host}`?",
        ),
        (
            "name = \"x\"\nrun = [\"true\"]\nenv = { HOST = \"${Stage.host}\" }",
            "`s/scenario.toml`, line 5: `steps[0].env.HOST` uses `${stage.}`, which is nothing of the stage\n  \
             help: there are `${stage.host}`, `${stage.port}`, `${stage.user}`, `${stage.password}`, \
             `${stage.database}` and `${stage.url}`",
        ),
        (
            "file = \"01.sql\"\nmay_do_nothing = true",
            "`s/scenario.toml`, line 4: `steps[0].may_do_nothing` means nothing in a step of kind `sql`\n  \
             help: `may_do_nothing` is for kind `command`; set `kind`, or leave it out",
        ),
        (
            "name = \"x\"\nrun = [\"true\"]\nretry = { attempts = 2 }",
            "`s/scenario.toml`, line 5: `steps[0].retry` means nothing in a step of kind `command`\n  \
             help: `retry` is for kind `sql` and `batch`; set `kind`, or leave it out",
        ),
        (
            "name = \"x\"\nrun = [\"no-such-program\"]",
            "`s/scenario.toml`, line 4: `steps[0].run` names a program that is not on `PATH`: `no-such-program` (step `x`)\n  \
             help: install it, activate the virtual environment that it belongs to, or write its path",
        ),
        (
            "name = \"x\"\nrun = [\"sh\"]\nenv = { PATH = \"/nowhere\" }",
            "`s/scenario.toml`, line 4: `steps[0].run` names a program that is not on `PATH`: `sh` (step `x`)\n  \
             help: install it, activate the virtual environment that it belongs to, or write its path",
        ),
        (
            "name = \"x\"\nrun = [\"./01.sql\"]",
            "`s/scenario.toml`, line 4: `steps[0].run` names a file that is not executable: `s/./01.sql` (step `x`)\n  \
             help: make it executable with `chmod +x`, or put its interpreter before it, such as `run = [\"sh\", \"./01.sql\"]`",
        ),
        (
            "file = \"01.sql\"\nretry = { backoff = \"1s\" }",
            "`s/scenario.toml`, line 4: `steps[0].retry` lacks its `attempts`\n  \
             help: write it like `retry = { attempts = 5, backoff = \"200ms\" }`",
        ),
        (
            "file = \"01.sql\"\nretry = { attempts = 101 }",
            "`s/scenario.toml`, line 4: `steps[0].retry.attempts` has to be from 1 to 100, not 101",
        ),
        (
            "file = \"01.sql\"\nretry = { attempts = 5, jitter = 2 }",
            "`s/scenario.toml`, line 4: `steps[0].retry.jitter` has to be a number from 0 to 1, not `2`\n  \
             help: write it without quotes, such as `0.5`",
        ),
        (
            "file = \"01.sql\"\nretry = { attempts = 5, backoff = \"2s\", max_backoff = \"1s\" }",
            "`s/scenario.toml`, line 4: `steps[0].retry.max_backoff` is shorter than the first rest: 1s, and `backoff` is 2s\n  \
             help: rests double from `backoff` up to `max_backoff`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { exclusion = 500 }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.exclusion` has no unit: `500`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { blocked_requests = -1 }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.blocked_requests` has to be a whole number of at least 0, not `-1`\n  \
             help: write it without quotes and without a fraction, such as `0`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { victim_wait = { limit = \"1s\", level = \"warn\" } }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.victim_wait` is a limit alone: breaking it always fails the step\n  \
             help: write it like `victim_wait = \"500ms\"`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { exclusoin = \"1s\" }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.exclusoin` is no lock mode\n  \
             help: did you mean `exclusion`?",
        ),
        (
            "file = \"01.sql\"\nbudgets = { p99_increase = \"50%\" }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.p99_increase` is a budget of requests, and no traffic is run\n  \
             help: add `traffic` to the scenario or `--traffic`, or leave the budget out",
        ),
        (
            "file = \"01.sql\"\nbudgets = { AccessExclusiveLok = \"1s\" }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.AccessExclusiveLok` is no lock mode\n  \
             help: did you mean `AccessExclusiveLock`?",
        ),
        (
            "file = \"01.sql\"\nbudgets = { RowExclusiveLock = \"1s\" }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.RowExclusiveLock` limits a mode that stops no application, and is not sampled\n  \
             help: a budget limits `AccessExclusiveLock`, `ExclusiveLock`, `ShareRowExclusiveLock` and `ShareLock`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { ShareLock = \"1ms\", SHARE = \"1ms\" }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.ShareLock` is a second budget for `ShareLock`\n  \
             help: leave one of them out",
        ),
        (
            "file = \"01.sql\"\nbudgets = { ShareLock = { level = \"warn\" } }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.ShareLock` lacks its `limit`\n  \
             help: add it, such as `limit = \"50ms\"`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { ShareLock = { limit = 5 } }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.ShareLock.limit` has no unit: `5`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "file = \"01.sql\"\nbudgets = { ShareLock = [] }",
            "`s/scenario.toml`, line 4: `steps[0].budgets.ShareLock` has to be a duration or a table with `limit` and `level`, not an array",
        ),
        (
            "file = \"01.sql\"\nbudgets = { AccessExclusiveLock = \"60ms\" }",
            "`s/scenario.toml`, line 4: `steps[0].budgets` allows `AccessExclusiveLock` 60ms where the scenario allows 50ms, without a reason\n  \
             help: add `reason = \"…\"` to the step: why it may take longer here",
        ),
        (
            "file = \"01.sql\"\nbudgets = { AccessExclusiveLock = { limit = \"50ms\", level = \"warn\" } }\nreason = \" \"",
            "`s/scenario.toml`, line 4: `steps[0].budgets` only warns of `AccessExclusiveLock` where the scenario fails, without a reason\n  \
             help: add `reason = \"…\"` to the step: why it may take longer here",
        ),
        (
            "file = \"01.sql\"\nreason = \"because\"",
            "`s/scenario.toml`, line 4: `steps[0].reason` explains a budget, and the step has none of its own\n  \
             help: add `budgets`, or leave `reason` out",
        ),
    ] {
        assert_eq!(Site::with_step(keys).bad(&["s"]), expected, "{keys}");
    }
}

#[test]
fn every_part_of_a_scenario_is_checked() {
    let step = "[[steps]]\nfile = \"01.sql\"\n";
    for (toml, expected) in [
        (
            "snapshot = \"listings\"\nretry = { attempts = 3 }\n[[steps]]\nname = \"x\"\nrun = [\"true\"]\n".to_owned(),
            "`s/scenario.toml`, line 3: `steps[0]` is a program, which the scenario's `retry` cannot start again\n  \
             help: a program may have done half of its work when `lock_timeout` strikes: let it try again by itself and \
             write `retry = { attempts = 1 }` here, or set `retry` at the steps of kind `sql` and `batch` alone",
        ),
        (
            String::new(),
            "`s/scenario.toml` has no step\n  help: add `[[steps]]` with a `file = \"….sql\"`",
        ),
        (
            "name = ".to_owned(),
            "`s/scenario.toml`, line 1, column 8: not valid TOML: string values must be quoted, expected literal string",
        ),
        (
            format!("name = \"\"\nsnapshot = \"listings\"\n{step}"),
            "`s/scenario.toml`, line 1: `name` is empty",
        ),
        (
            format!("snapshots = \"listings\"\n{step}"),
            "`s/scenario.toml`, line 1: unknown key `snapshots`\n  help: did you mean `snapshot`?",
        ),
        (
            step.to_owned(),
            "no snapshot to start from\n  \
             help: name one with `--snapshot NAME` or `snapshot = \"NAME\"` in scenario.toml; \
             `--snapshot empty` starts from an empty database",
        ),
        (
            format!("\nsnapshot = \"listing\"\n{step}"),
            "`s/scenario.toml`, line 2: `snapshot` names no snapshot: `listing`\n  help: did you mean `listings`?",
        ),
        (
            format!("snapshot = \"./gone\"\n{step}"),
            "`s/scenario.toml`, line 1: `snapshot` names no snapshot: `s/./gone` is no folder\n  \
             help: name the folder that holds a snapshot.toml",
        ),
        (
            format!("snapshot = \".\"\n{step}"),
            "`s/scenario.toml`, line 1: `snapshot` names no snapshot: `s/.` has no snapshot.toml\n  \
             help: name the folder that holds a snapshot.toml",
        ),
        (
            format!("snapshot = \"${{base}}\"\n{step}"),
            "`s/scenario.toml`, line 1: `snapshot` uses `${base}`, which is not defined\n  \
             help: add it to `[variables]`, or pass `--var base=VALUE`",
        ),
        (
            format!("snapshot = \"listings\"\nreplays = 21\n{step}"),
            "`s/scenario.toml`, line 2: `replays` has to be from 1 to 20, not 21\n  \
             help: each one replays the scenario on a fresh copy of the snapshot",
        ),
        (
            format!("snapshot = \"listings\"\ninterval = \"2s\"\n{step}"),
            "`s/scenario.toml`, line 2: `interval` has to be from 0.5ms to 1s, not `2s`\n  \
             help: quicker, the sampler would burden the server; slower, it would see too little",
        ),
        (
            format!("variables = 1\n{step}"),
            "`s/scenario.toml`, line 1: `variables` has to be a table, not an integer",
        ),
        (
            format!("[variables]\n\"a b\" = 1\n{step}"),
            "`s/scenario.toml`, line 2: `variables.\"a b\"` cannot stand in `${…}`\n  \
             help: a name is a letter or `_`, then letters, digits and `_`",
        ),
        (
            format!("[variables]\na = 1.5\n{step}"),
            "`s/scenario.toml`, line 2: `variables.a` has to be a string, an integer or a boolean, not a float\n  \
             help: write it in quotes, as the SQL has it",
        ),
        (
            format!("[variables]\nafter = 1\n{step}"),
            "`s/scenario.toml`, line 2: `variables.after` is a name that every batch sets itself\n  \
             help: choose another name for the variable",
        ),
        (
            format!("snapshot = \"listings\"\n[budgets]\nExclusiveLock = \"5\"\n{step}"),
            "`s/scenario.toml`, line 3: `budgets.ExclusiveLock` has no unit: `5`\n  \
             help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            format!(
                "snapshot = \"listings\"\n[budgets]\nexclusion = \"1s\"\n{step}\nbudgets = {{ exclusion = \"2s\" }}\n"
            ),
            "`s/scenario.toml`, line 7: `steps[0].budgets.exclusion` allows 2s where the scenario allows 1s, without a reason\n  \
             help: add `reason = \"…\"` to the step: why it may be more here",
        ),
        (
            format!("snapshot = \"listings\"\n[budgets]\ntimeouts = 0\n{step}"),
            "`s/scenario.toml`, line 3: `budgets.timeouts` is a budget of requests, and no traffic is run\n  \
             help: add `traffic` to the scenario or `--traffic`, or leave the budget out",
        ),
        (
            format!("snapshot = \"listings\"\n[stage]\nmemory = 512\n{step}"),
            "`s/scenario.toml`, line 3: `stage.memory` has no unit: `512`\n  \
             help: write it with its unit, such as `512MB` or `2GiB`",
        ),
        (
            format!("snapshot = \"listings\"\n[stage]\npg = 9\n{step}"),
            "`s/scenario.toml`, line 3: `stage.pg` is no major of PostgreSQL that can be run on: 9\n  help: the oldest is 12",
        ),
        (
            format!("snapshot = \"listings\"\n[stage]\ncpus = -1\n{step}"),
            "`s/scenario.toml`, line 3: `stage.cpus` has to be a number of processors greater than 0\n  \
             help: write it without quotes, such as `2` or `1.5`",
        ),
        (
            format!("snapshot = \"listings\"\n[stage.settings]\nfsync = false\n{step}"),
            "`s/scenario.toml`, line 3: `stage.settings.fsync` cannot be off: a lock is held until its transaction's commit is flushed, so every hold would look shorter than it is\n  \
             help: leave it out; to make a stage quicker, put its cache folder on a faster disk",
        ),
    ] {
        assert_eq!(Site::with(&toml).bad(&["s"]), expected, "{toml}");
    }
}

#[test]
fn every_option_that_cannot_be_is_told_by_its_name() {
    let site = Site::with(
        "snapshot = \"listings\"\n[variables]\nsleep = \"1s\"\n[[steps]]\nfile = \"01.sql\"\n",
    );
    for (argument, expected) in [
        (
            "--budget=50",
            "`--budget` has no unit: `50`\n  help: write it with its unit, such as `50ms`, `1.5s` or `2m`",
        ),
        (
            "--interval=0.1ms",
            "`--interval` has to be from 0.5ms to 1s, not `0.1ms`\n  help: quicker, the sampler would burden the server; slower, it would see too little",
        ),
        (
            "--repeat=0",
            "`--repeat` has to be from 1 to 1000, not 0\n  help: each time, the whole scenario runs on a fresh copy of the snapshot",
        ),
        (
            "--replays=0",
            "`--replays` has to be from 1 to 20, not 0\n  help: each one replays the scenario on a fresh copy of the snapshot",
        ),
        (
            "--pg=11",
            "`--pg` is no major of PostgreSQL that can be run on: 11\n  help: the oldest is 12",
        ),
        (
            "--var=rows",
            "`--var rows` is no `name=value`\n  help: write it like `--var rows=250000`",
        ),
        (
            "--var=a-b=1",
            "`--var a-b` cannot stand in `${…}`\n  help: a name is a letter or `_`, then letters, digits and `_`",
        ),
        (
            "--var=batch_size=1",
            "`--var batch_size` is a name that every batch sets itself\n  help: choose another name for the variable",
        ),
        (
            "--var=row=1",
            "`--var row` sets nothing: neither the scenario nor its snapshot declares it\n  help: did you mean `rows`? known are `rows` and `sleep`",
        ),
        (
            "--var=zebra=1",
            "`--var zebra` sets nothing: neither the scenario nor its snapshot declares it\n  help: known are `rows` and `sleep`",
        ),
        (
            "--set=work_mem",
            "`--set work_mem` is no `name=value`\n  help: write it like `--set work_mem=64MB`",
        ),
        (
            "--set=FSYNC=off",
            "`--set fsync` cannot be off: a lock is held until its transaction's commit is flushed, so every hold would look shorter than it is\n  help: leave it out; to make a stage quicker, put its cache folder on a faster disk",
        ),
        (
            "--set=port=1",
            "`--set port` is decided by the stage, which has to find and reach its own server\n  help: leave it out",
        ),
        (
            "--stage=dokcer",
            "`--stage` is none of `auto`, `docker`, `local` and a `postgres://` URL\n  help: did you mean `docker`?",
        ),
        (
            "--stage=postgre://u:s3cret@h/d",
            "`--stage` is none of `auto`, `docker`, `local` and a `postgres://` URL\n  help: a URL is written `postgres://USER@HOST:PORT/DATABASE`",
        ),
        (
            "--stage=postgres://u:s3cret@h:x/d",
            "the URL of the stage is not valid: the port is not a number from 1 to 65535\n  help: write it as `postgres://user:password@host:5432/database`, with `%40` for a `@` in a part and so on",
        ),
        (
            "--snapshot=",
            "`--snapshot` is empty\n  help: name a snapshot, or `empty`",
        ),
        (
            "--snapshot=other",
            "`--snapshot` names no snapshot: `other`\n  help: looked for `snapshots/other/snapshot.toml` in `s`, in the folders above it and in the working directory; a path has a `/` in it",
        ),
    ] {
        // The scenario's own folder is shown without what is before it.
        let story = site.bad(&["s", argument]);
        let root = format!("{}/", site.root().display());
        assert_eq!(story.replace(&root, ""), expected, "{argument}");
    }
    for (arguments, expected) in [
        (
            vec!["--json=-", "--record=-"],
            "`--json` and `--record` cannot both be standard output\n  help: write one of them to a file",
        ),
        (
            vec!["--json=f", "--record=f"],
            "`--json` and `--record` cannot both be `f`\n  help: write one of them to another file",
        ),
        (
            vec!["--var=rows=1", "--var=rows=2"],
            "`--var rows` is there twice\n  help: leave one of them out",
        ),
        (
            vec!["--stage=local", "--image=x"],
            "`--image` cannot be had with this `--stage`: `local` runs without containers\n  help: leave out `--image` or `--stage`",
        ),
        (
            vec!["--stage=docker", "--pg-bin=x"],
            "`--pg-bin` cannot be had with this `--stage`: a container has server binaries of its own\n  help: leave out `--pg-bin` or `--stage`",
        ),
        (
            vec!["--stage=postgres://u@h/d", "--set=a=b"],
            "`--set` cannot be had with this `--stage`: the server's settings are its owner's\n  help: leave out `--set` or `--stage`",
        ),
        (
            vec!["--stage=postgres://u@h/d", "--snapshot=listings"],
            "`--snapshot` cannot be had with a `postgres://` stage: nothing is restored into a server of somebody else\n  help: leave out `--snapshot` or `--stage`",
        ),
    ] {
        let all: Vec<&str> = [vec!["s"], arguments].concat();
        assert_eq!(site.bad(&all), expected);
    }
}

#[test]
fn every_path_that_cannot_be_run_is_told_with_a_way_out() {
    let site = Site::new();
    site.file("empty/README.md", "");
    site.file("deep/0001/up.sql", "SELECT 1;");
    site.file("undo/1.down.sql", "SELECT 1;");
    site.file("s/notes.txt", "");
    site.file("s/latin.sql", b"SELECT 1;\n-- Gr\xf6\xdfe\n");
    site.file("s/nul.sql", "SELECT 1;\n\0");
    site.file("s/nothing.sql", "-- later\n");
    site.file("s/variable.sql", "SELECT 1;\nSELECT ${size};");
    site.file("s/psql.sql", "\\i other.sql\n");
    site.file("t/scenario.toml", b"name = \"Gr\xf6\xdfe\"");
    for (paths, expected) in [
        (vec!["gone"], "`gone` does not exist"),
        (
            vec!["empty"],
            "`empty` holds neither a scenario.toml nor a .sql file to run\n  help: name a folder, a scenario.toml, or .sql files",
        ),
        (
            vec!["deep"],
            "`deep` holds neither a scenario.toml nor a .sql file to run\n  help: folders below it are not looked at; name the files, such as `deep/0001/*.sql`",
        ),
        (
            vec!["undo"],
            "`undo` holds neither a scenario.toml nor a .sql file to run\n  help: undo files are left out: `1.down.sql`",
        ),
        (
            vec!["s/notes.txt"],
            "`s/notes.txt` is neither a scenario nor a .sql file\n  help: name a folder, a scenario.toml, or .sql files",
        ),
        (
            vec!["s/01.sql", "deep"],
            "`deep` cannot stand beside .sql files\n  help: name scenarios and folders, or the .sql files of one scenario in their order",
        ),
        (
            vec!["t/scenario.toml", "s/01.sql"],
            "`t/scenario.toml` cannot stand beside .sql files\n  help: name scenarios and folders, or the .sql files of one scenario in their order",
        ),
        (
            vec!["s/01.sql", "s/01.sql"],
            "`s/01.sql` is there twice\n  help: each file is one step; name it once",
        ),
        (
            vec!["s/latin.sql"],
            "`s/latin.sql` is not UTF-8: byte 15, on line 2\n  help: convert it, for example with `iconv -f LATIN1 -t UTF-8 s/latin.sql`",
        ),
        (
            vec!["t"],
            "`t/scenario.toml` is not UTF-8: byte 10, on line 1\n  help: convert it, for example with `iconv -f LATIN1 -t UTF-8 t/scenario.toml`",
        ),
        (
            vec!["s/nul.sql"],
            "`s/nul.sql`, line 2: a NUL byte\n  help: PostgreSQL takes none in its text; take it out",
        ),
        (
            vec!["s/nothing.sql"],
            "`s/nothing.sql` has no statement\n  help: leave it out, or write the SQL that the step is to run",
        ),
        (
            vec!["s/variable.sql"],
            "`s/variable.sql`, line 2: `${size}` is not defined\n  help: pass `--var size=VALUE`",
        ),
        (
            vec!["s/variable.sql", "--var=sise=1"],
            "`--var sise` sets nothing: no file uses it and no snapshot declares it\n  help: did you mean `size`? known are `rows` and `size`",
        ),
        (
            vec!["s/psql.sql"],
            "`s/psql.sql`, line 1, column 1: `\\i` is a psql command, not SQL\n  help: make the included file a step of its own",
        ),
    ] {
        let arguments: Vec<&str> = [paths, vec!["--snapshot=listings"]].concat();
        assert_eq!(site.bad(&arguments), expected);
    }
    assert_eq!(
        site.bad(&["s/01.sql"]),
        "no snapshot to start from\n  \
         help: name one with `--snapshot NAME` or `snapshot = \"NAME\"` in scenario.toml; \
         `--snapshot empty` starts from an empty database"
    );
}
