//! What a good command line and a good scenario come to.

use std::path::Path;
use std::time::Duration;

use lockproof::config::Output;
use lockproof::config::outputs::Face;
use lockproof::pg::LockMode;
use lockproof::plan::{
    DEFAULT_BUDGET, Keep, Level, Literals, OnUnproven, OnWarning, Retry, SnapshotChoice,
    StageChoice, Work, Wrap,
};

use super::Site;

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
            backoff: Duration::from_millis(200),
            ..Retry::default()
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
    assert_eq!(sql.wrap, Wrap::Transaction);
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
    assert_eq!(
        planned.outputs.faces.get(&Face::Json),
        Some(&Output::Stdout)
    );
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
    let confirmed = "--confirm-external=shop";
    let planned = site.good(&["s", url, confirmed, "--production=db.prod,*.live"]);
    assert_eq!(planned.plan.snapshot, SnapshotChoice::AsFound);
    assert!(planned.plan.stage.settings.is_empty());
    let StageChoice::External {
        endpoint,
        confirmation,
        production,
        ..
    } = &planned.plan.stage.choice
    else {
        panic!("{:?}", planned.plan.stage.choice)
    };
    assert_eq!(endpoint.shown(), "postgres://app@db.example:5432/shop");
    assert_eq!(confirmation.as_deref(), Some("shop"));
    assert_eq!(production, &["db.prod", "*.live"]);
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
fn a_byte_order_mark_is_no_part_of_the_sql() {
    let site = Site::new();
    site.file("s/bom.sql", "\u{feff}SELECT 1;");
    let planned = site.good(&["s/bom.sql", "--snapshot=empty"]);
    let Work::Sql(sql) = &planned.plan.steps[0].work else {
        panic!("{:?}", planned.plan.steps[0])
    };
    assert_eq!(sql.text, "SELECT 1;");
}

#[test]
fn a_scenario_s_lock_timeout_and_budgets_are_for_every_step_that_has_none_of_its_own() {
    let site = Site::with(
        "snapshot = \"listings\"\nlock_timeout = \"500ms\"\n\
         retry = { attempts = 10, backoff = \"500ms\", jitter = 0.5, max_backoff = \"10s\" }\n\
         [budgets]\nexclusion = \"700ms\"\nblocked_requests = 0\n\
         [[steps]]\nfile = \"01.sql\"\n\
         [[steps]]\nname = \"own\"\nsql = \"SELECT 1\"\nlock_timeout = \"2s\"\n\
         retry = { attempts = 2 }\nbudgets = { exclusion = \"3s\" }\nreason = \"at night\"\n\
         [[steps]]\nname = \"program\"\nrun = [\"true\"]\nretry = { attempts = 1 }\n",
    );
    let plan = site.good(&["s", "--profile=strict"]).plan;
    let [first, own, program] = plan.steps.as_slice() else {
        panic!("{:?}", plan.steps)
    };
    let ms = Duration::from_millis;
    assert_eq!(first.lock_timeout, Some(ms(500)));
    assert_eq!(
        first.retry,
        Retry {
            attempts: 10,
            backoff: ms(500),
            max_backoff: ms(10_000),
            jitter: 0.5
        }
    );
    assert_eq!(own.lock_timeout, Some(ms(2_000)));
    assert_eq!(own.retry.attempts, 2);
    assert_eq!(own.impact.exclusion, Some(ms(3_000)));
    assert_eq!(program.lock_timeout, Some(ms(500)));
    assert_eq!(program.retry, Retry::default(), "its retries are its own");
    let felt = plan.policy.impact;
    assert_eq!(
        felt.exclusion,
        Some(ms(700)),
        "the scenario's own wins over the profile"
    );
    assert_eq!(felt.blocked_requests, Some(0));
    assert_eq!(felt.victim_wait, Some(ms(500)), "the profile's");
    assert_eq!(felt.timeouts, None, "no traffic is run");
}

#[test]
fn a_program_may_be_given_the_stage_in_other_words() {
    let site = Site::with_step(
        "name = \"orm\"\nrun = [\"python\", \"--db=${stage.url}\"]\nmay_do_nothing = true\n\
         env = { DATABASE_URL = \"postgresql+psycopg://${stage.user}@${stage.host}/x\", PGPORT = \"${stage.port}\" }",
    );
    let plan = site.good(&["s"]).plan;
    let Work::Command(command) = &plan.steps[0].work else {
        panic!("{:?}", plan.steps)
    };
    // As typed: what the stage has is put in when the program is started.
    assert_eq!(command.argv[1], "--db=${stage.url}");
    assert_eq!(command.environment["PGPORT"], "${stage.port}");
    assert!(command.may_do_nothing);
}
