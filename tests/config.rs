//! What is asked for → a plan, or the exact words of why not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use lockproof::cli::{Cli, Command};
use lockproof::config::{Output, Planned, Surroundings, plan_in};
use lockproof::pg::LockMode;
use lockproof::plan::{
    DEFAULT_BUDGET, Keep, Level, Literals, OnUnproven, OnWarning, Retry, SnapshotChoice,
    StageChoice, Work, Wrap,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// A folder with a snapshot `listings` and a scenario folder `s`, which is the working directory.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let site = Self { folder };
        site.file(
            "snapshots/listings/snapshot.toml",
            "name = \"listings\"\n[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n\
             [variables]\nrows = 1_000_000\n",
        );
        site.file("s/01.sql", "ALTER TABLE listings ADD note text;\n");
        site
    }

    /// With this scenario.toml.
    fn with(toml: &str) -> Self {
        let site = Self::new();
        site.file("s/scenario.toml", toml);
        site
    }

    /// With one step of these keys, `snapshot` given.
    fn with_step(keys: &str) -> Self {
        Self::with(&format!("snapshot = \"listings\"\n[[steps]]\n{keys}\n"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there")
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, content).expect("writable");
    }

    /// Plans `lockproof run` with these arguments; paths without `-` in front are within the site.
    fn plan(&self, arguments: &[&str]) -> Result<Planned, String> {
        let mut typed = vec!["lockproof".to_owned(), "run".to_owned()];
        let mut value = false;
        for argument in arguments {
            let option = argument.starts_with('-');
            typed.push(if option || value {
                (*argument).to_owned()
            } else {
                self.path(argument).display().to_string()
            });
            let flags = ["--strict", "--keep", "--allow-unproven", "--literals"];
            value = option && !argument.contains('=') && !flags.contains(argument);
        }
        let cli = Cli::try_parse_from(typed).unwrap_or_else(|error| panic!("{error}"));
        let Command::Run(run) = cli.command else {
            panic!("another command")
        };
        let surroundings = Surroundings {
            working_folder: self.path("s"),
            home: Some(PathBuf::from("/home/u")),
            cache_home: None,
            root: false,
        };
        let root = format!("{}/", self.root().display());
        plan_in(&run, &surroundings).map_err(|error| error.story().replace(&root, ""))
    }

    fn good(&self, arguments: &[&str]) -> Planned {
        self.plan(arguments)
            .unwrap_or_else(|story| panic!("{story}"))
    }

    fn bad(&self, arguments: &[&str]) -> String {
        match self.plan(arguments) {
            Ok(planned) => panic!("{planned:?}"),
            Err(story) => story,
        }
    }
}

#[test]
fn a_scenario_becomes_a_plan() {
    let site = Site::with(
        r#"
        name = "published"
        description = "the recipe"
        snapshot = "listings"
        replays = 5
        interval = "1ms"
        [variables]
        sleep = "100ms"
        batch = 5_000
        rows = 20
        [budgets]
        AccessExclusiveLock = "30ms"
        "SHARE" = { limit = "1s", level = "fail" }
        [stage]
        image = "postgres:16"
        cpus = 1.5
        memory = "2GiB"
        shm = "256MB"
        pg = 16
        [stage.settings]
        shared_buffers = "1GB"
        jit = false
        [[steps]]
        file = "01.sql"
        lock_timeout = "2s"
        statement_timeout = "1m"
        timeout = "10m"
        retry = { attempts = 5, backoff = "200ms" }
        budgets = { AccessExclusiveLock = "200ms" }
        reason = "at night, with the application stopped"
        [[steps]]
        name = "backfill"
        sql = "UPDATE listings SET note = '${rows}' WHERE id > ${after} LIMIT ${batch_size}"
        batch_size = "${batch}"
        sleep = "${sleep}"
        after = 0
        max_batches = 10
        [[steps]]
        name = "orm"
        run = ["python", "manage.py", "migrate", "${sleep}"]
        env = { WORKERS = 2 }
        "#,
    );
    let planned = site.good(&["s"]);
    let plan = planned.plan;
    assert_eq!(planned.notes, Vec::<String>::new());
    assert_eq!(plan.scenario.name, "published");
    assert_eq!(plan.scenario.digest.len(), 64);
    assert_eq!(plan.replays, 5);
    assert_eq!(plan.interval, Duration::from_millis(1));
    assert_eq!(plan.literals, Literals::Hidden);
    assert_eq!(
        plan.snapshot,
        SnapshotChoice::Folder {
            folder: site.path("snapshots/listings"),
            variables: [("rows".to_owned(), "20".to_owned())].into(),
        }
    );

    assert_eq!(plan.stage.choice, StageChoice::Auto);
    assert_eq!(plan.stage.image.as_deref(), Some("postgres:16"));
    assert_eq!(plan.stage.pg_major, Some(16));
    assert_eq!(plan.stage.cpus, Some(1.5));
    assert_eq!(plan.stage.memory_bytes, Some(2 << 30));
    assert_eq!(plan.stage.shm_bytes, Some(256_000_000));
    assert_eq!(plan.stage.keep, Keep::Remove);
    assert_eq!(plan.stage.cache, Path::new("/home/u/.cache/lockproof"));
    let setting = |name: &str| plan.stage.settings.get(name).map(String::as_str);
    assert_eq!(setting("fsync"), Some("on"));
    assert_eq!(setting("shared_buffers"), Some("1GB"));
    assert_eq!(setting("jit"), Some("off"));

    let limit = |mode| {
        plan.policy
            .budget_for(mode, &[])
            .map(|b| (b.limit, b.level))
    };
    assert_eq!(
        limit(LockMode::AccessExclusiveLock),
        Some((Duration::from_millis(30), Level::Fail))
    );
    assert_eq!(
        limit(LockMode::ShareLock),
        Some((Duration::from_secs(1), Level::Fail))
    );
    assert_eq!(
        limit(LockMode::ExclusiveLock),
        Some((DEFAULT_BUDGET, Level::Warn))
    );

    let [first, second, third] = plan.steps.as_slice() else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(first.name, "01");
    assert_eq!(first.lock_timeout, Some(Duration::from_secs(2)));
    assert_eq!(first.statement_timeout, Some(Duration::from_secs(60)));
    assert_eq!(first.timeout, Some(Duration::from_secs(600)));
    assert_eq!(
        first.retry,
        Retry {
            attempts: 5,
            backoff: Duration::from_millis(200)
        }
    );
    assert_eq!(first.budgets[0].limit, Duration::from_millis(200));
    assert_eq!(
        first.budgets[0].reason.as_deref(),
        Some("at night, with the application stopped")
    );
    let Work::Sql(sql) = &first.work else {
        panic!("{:?}", first.work)
    };
    assert_eq!(sql.wrap, Wrap::Autocommit);
    assert_eq!(sql.file, Some(site.path("s/01.sql")));
    assert_eq!(sql.statements[0].text, "ALTER TABLE listings ADD note text");
    let Work::Batch(batch) = &second.work else {
        panic!("{:?}", second.work)
    };
    assert_eq!(
        batch.template,
        "UPDATE listings SET note = '20' WHERE id > ${after} LIMIT ${batch_size}"
    );
    assert_eq!(batch.batch_size, 5000);
    assert_eq!(batch.sleep, Duration::from_millis(100));
    assert_eq!(batch.after.as_deref(), Some("0"));
    assert_eq!(batch.max_batches, Some(10));
    let Work::Command(command) = &third.work else {
        panic!("{:?}", third.work)
    };
    assert_eq!(command.argv, ["python", "manage.py", "migrate", "100ms"]);
    assert_eq!(command.folder, site.path("s"));
    assert_eq!(
        command.environment.get("WORKERS").map(String::as_str),
        Some("2")
    );
}

#[test]
fn the_command_line_wins_over_the_scenario() {
    let site = Site::with(
        "snapshot = \"none\"\nreplays = 5\ninterval = \"1ms\"\n[variables]\nrows = 1\n\
         [budgets]\nAccessExclusiveLock = \"30ms\"\n[stage]\npg = 15\n[stage.settings]\nwork_mem = \"1MB\"\n\
         [[steps]]\nfile = \"01.sql\"\n",
    );
    let planned = site.good(&[
        "s/scenario.toml",
        "--snapshot=../snapshots/listings",
        "--replays=1",
        "--interval=500us",
        "--budget=20ms",
        "--var=rows=7",
        "--pg=17",
        "--set=work_mem=2MB",
        "--cache=cache",
        "--json=-",
        "--record=r.jsonl",
        "--strict",
        "--allow-unproven",
        "--literals",
        "--keep",
    ]);
    let plan = planned.plan;
    assert_eq!(plan.replays, 1);
    assert_eq!(plan.interval, Duration::from_micros(500));
    assert_eq!(plan.policy.budgets[0].limit, Duration::from_millis(20));
    assert_eq!(plan.policy.on_warning, OnWarning::Fail);
    assert_eq!(plan.policy.on_unproven, OnUnproven::Allow);
    assert_eq!(plan.literals, Literals::Shown);
    assert_eq!(plan.stage.keep, Keep::LeaveRunning);
    assert_eq!(plan.stage.pg_major, Some(17));
    assert_eq!(plan.stage.settings["work_mem"], "2MB");
    assert_eq!(plan.stage.cache, site.path("s/cache"));
    let SnapshotChoice::Folder { folder, variables } = plan.snapshot else {
        panic!("{:?}", plan.snapshot)
    };
    assert_eq!(
        folder.canonicalize().ok(),
        Some(site.path("snapshots/listings"))
    );
    assert_eq!(variables["rows"], "7");
    assert_eq!(planned.outputs.json, Some(Output::Stdout));
    assert_eq!(planned.outputs.record, Some(Output::File("r.jsonl".into())));
}

#[test]
fn a_plain_folder_is_run_in_natural_order_without_its_undo_files() {
    let site = Site::new();
    for name in [
        "10_c.sql",
        "2_b.sql",
        "R__views.sql",
        "2_b.down.sql",
        "U2__b.sql",
        "README.md",
    ] {
        site.file(&format!("m/{name}"), "SELECT ${rows};");
    }
    site.file("m/sub/99.sql", "SELECT 1;");
    let planned = site.good(&["m", "--snapshot=listings"]);
    let names: Vec<&str> = planned
        .plan
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(names, ["2_b", "10_c", "R__views"]);
    assert_eq!(planned.plan.scenario.name, "m");
    assert_eq!(
        planned.notes,
        [
            "undo files are left out: `2_b.down.sql` and `U2__b.sql`",
            "folders with .sql files are not looked at: `sub`",
        ]
    );
    let Work::Sql(sql) = &planned.plan.steps[0].work else {
        panic!("{:?}", planned.plan.steps[0])
    };
    // The snapshot's own value, since nothing else was said.
    assert_eq!(sql.text, "SELECT 1000000;");
}

#[test]
fn files_run_in_the_order_in_which_they_are_named() {
    let site = Site::new();
    site.file("m/2/up.sql", "SELECT 2;");
    site.file("m/1/up.sql", "SELECT 1;\nSELECT ${x};");
    let planned = site.good(&[
        "m/2/up.sql",
        "m/1/up.sql",
        "s/01.sql",
        "--snapshot=empty",
        "--var=x=1",
    ]);
    let names: Vec<&str> = planned
        .plan
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(names, ["2/up", "1/up", "01"]);
    assert_eq!(planned.plan.snapshot, SnapshotChoice::Empty);
    let Work::Sql(sql) = &planned.plan.steps[1].work else {
        panic!("{:?}", planned.plan.steps[1])
    };
    assert_eq!(sql.wrap, Wrap::Transaction);
    assert_eq!(
        planned.notes,
        ["the database is empty: its holds prove nothing about real rows"]
    );
    assert_eq!(
        site.good(&["s/01.sql", "--snapshot=empty"])
            .plan
            .scenario
            .name,
        "01"
    );
}

#[test]
fn an_external_server_is_taken_as_it_is_found() {
    let site = Site::with(
        "snapshot = \"gone\"\n[stage.settings]\nwork_mem = \"1MB\"\n[[steps]]\nfile = \"01.sql\"\n",
    );
    let url = "--stage=postgres://app:s3cret@db.example/shop";
    let planned = site.good(&["s", url, "--confirm-external=shop"]);
    assert_eq!(planned.plan.snapshot, SnapshotChoice::AsFound);
    assert!(planned.plan.stage.settings.is_empty());
    let StageChoice::External {
        endpoint,
        confirmation,
    } = &planned.plan.stage.choice
    else {
        panic!("{:?}", planned.plan.stage.choice)
    };
    assert_eq!(endpoint.shown(), "postgres://app@db.example:5432/shop");
    assert_eq!(confirmation.as_deref(), Some("shop"));
    assert_eq!(
        planned.notes,
        [
            "nothing is restored: the server is taken as it is found",
            "the server's settings are its owner's: `[stage.settings]` has no effect",
        ]
    );
    assert!(!format!("{planned:?}").contains("s3cret"));
}

#[test]
fn the_digest_is_of_the_work_and_not_of_the_place() {
    let toml = "snapshot = \"listings\"\nname = \"x\"\n[variables]\nv = 1\n[[steps]]\nfile = \"01.sql\"\n\
                [[steps]]\nname = \"c\"\nrun = [\"true\"]\n";
    let digest = |site: &Site, more: &[&str]| {
        let arguments: Vec<&str> = [&["s"], more].concat();
        site.good(&arguments).plan.scenario.digest
    };
    let site = Site::with(toml);
    let same = digest(&site, &[]);
    assert_eq!(digest(&Site::with(toml), &[]), same);
    assert_eq!(
        digest(&site, &["--budget=1ms", "--stage=local", "--replays=9"]),
        same
    );
    assert_ne!(digest(&site, &["--var=v=2"]), same);
    assert_ne!(
        digest(&Site::with(&toml.replace("true", "false")), &[]),
        same
    );
    site.file("s/01.sql", "ALTER TABLE listings ADD other text;\n");
    assert_ne!(digest(&site, &[]), same);
}

#[test]
fn notes_tell_what_has_no_effect() {
    let site = Site::with_step(
        "file = \"01.sql\"\nretry = { attempts = 3 }\n[stage.settings]\nsynchronous_commit = \"off\"",
    );
    assert_eq!(
        site.good(&["s", "--image=postgres:16"]).notes,
        [
            "the stage is a container, because `--image` was given",
            "step `01` never retries: it has `retry` and no `lock_timeout`",
            "`synchronous_commit=off` makes commits or rewrites cheaper: holds prove something only about servers that run with it",
        ]
    );
}

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
            "name = \"x\"\nrun = [\"true\"]\nlock_timeout = \"1s\"",
            "`s/scenario.toml`, line 5: `steps[0].lock_timeout` means nothing in a step of kind `command`\n  \
             help: `lock_timeout` is for kind `sql` and `batch`; set `kind`, or leave it out",
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
             help: leave it out: the stage sets `DATABASE_URL` and the `PG…` variables itself",
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
            "`deep` cannot be one of 2 paths\n  help: name one scenario, one folder, or .sql files in the order in which they run",
        ),
        (
            vec!["t/scenario.toml", "s/01.sql"],
            "`t/scenario.toml` cannot be one of 2 paths\n  help: name one scenario, one folder, or .sql files in the order in which they run",
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

#[test]
fn a_byte_order_mark_is_no_part_of_the_sql() {
    let site = Site::new();
    site.file("s/bom.sql", "\u{feff}SELECT 1;");
    let planned = site.good(&["s/bom.sql", "--snapshot=empty"]);
    let Work::Sql(sql) = &planned.plan.steps[0].work else {
        panic!("{:?}", planned.plan.steps[0])
    };
    assert_eq!(sql.text, "SELECT 1;");
}

/// Text that looks like a scenario more often than random bytes do.
fn scenario_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "name",
        "snapshot",
        "replays",
        "interval",
        "variables",
        "budgets",
        "stage",
        "settings",
        "steps",
        "file",
        "sql",
        "wrap",
        "kind",
        "timeout",
        "batch_size",
        "sleep",
        "after",
        "run",
        "cwd",
        "env",
        "retry",
        "attempts",
        "backoff",
        "reason",
        "ShareLock",
        "limit",
        "level",
        "cpus",
        "memory",
        "é",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1.5",
        "inf",
        "true",
        "\"\"",
        "\"listings\"",
        "\"50ms\"",
        "\"${rows}\"",
        "\"${\"",
        "\"01.sql\"",
        "\"SELECT 1\"",
        "\"batch\"",
        "\"\\u0000\"",
        "[]",
        "[\"true\"]",
        "{}",
        "{ limit = \"1s\" }",
        "{ attempts = 2 }",
        "1979-05-27",
        "{ a.b.c = [[1]] }",
        "99999999999999999999",
    ]);
    let line = prop_oneof![
        4 => (key.clone(), value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => key.clone().prop_map(|key| format!("[{key}]")),
        2 => Just("[[steps]]".to_owned()),
        1 => (key.clone(), key).prop_map(|(a, b)| format!("[{a}.{b}]")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_scenario_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let site = Site::new();
        site.file("s/scenario.toml", bytes);
        let _ = site.plan(&["s"]);
    }

    #[test]
    fn any_keys_are_a_scenario_or_an_error(text in scenario_like()) {
        let site = Site::with(&text);
        if let Err(story) = site.plan(&["s"]) {
            prop_assert!(!story.is_empty());
        }
    }
}

#[test]
fn nesting_without_end_is_an_error() {
    for deep in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        "a.".repeat(100_000),
    ] {
        assert!(Site::with(&deep).bad(&["s"]).contains("not valid TOML"));
    }
}
