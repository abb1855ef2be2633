//! The local provider on real server programs.
#![allow(clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "a test may read a clock")]

mod local_support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use local_support::*;
use lockproof::Result;
use lockproof::stage::local::{Kept, Local, list, remove_base, sweep};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{
    CloneMethod, Endpoint, Fill, Host, Request, RunningStage, Secret, Tools, Watch,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TABLE: &str = "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) AS n";

fn socket_folder(endpoint: &Endpoint) -> PathBuf {
    match &endpoint.host {
        Host::Unix(folder) => folder.clone(),
        Host::Tcp(host) => panic!("no socket: {host}"),
    }
}

#[tokio::test]
async fn a_base_is_restored_once_and_each_stage_is_a_copy_of_it() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    // Longer than the name of a socket may be.
    let cache = folder.path().join("c".repeat(120));
    let mut request = request(&cache, "run-1");
    request.settings = [
        ("log_statement".to_owned(), "all".to_owned()),
        ("work_mem".to_owned(), "7MB".to_owned()),
        (
            "application_name".to_owned(),
            "two words 'quoted'".to_owned(),
        ),
    ]
    .into();
    let fill = Sql::new(TABLE);
    let local = Local::default();
    let begun = Instant::now();
    let base = local
        .prepare(&request, &fill, &Unwatched)
        .await
        .expect("a base");
    let prepared = begun.elapsed();
    assert!(!base.reused() && base.bytes() > 1_000_000);
    let again = local
        .prepare(&request, &fill, &Unwatched)
        .await
        .expect("the base");
    assert!(again.reused());
    assert_eq!(fill.times(), 1);
    assert_eq!(names(&cache.join("bases")), [base.key()]);
    assert_eq!(
        names(&cache.join("bases").join(base.key())),
        ["base.json", "data", "files.list"]
    );

    let begun = Instant::now();
    let one = local.start(&base, &Unwatched).await.expect("a stage");
    eprintln!(
        "prepare {prepared:?}, start {:?}, base {} bytes",
        begun.elapsed(),
        base.bytes()
    );
    let two = local.start(&base, &Unwatched).await.expect("another stage");
    let (in_one, in_two) = (client(one.endpoint()).await, client(two.endpoint()).await);
    in_one
        .batch_execute("DROP TABLE t; CREATE TABLE u ()")
        .await
        .expect("dropped");
    assert_eq!(number(&in_two, "SELECT count(*) FROM t").await, 1000);
    for (setting, value) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("wal_level", "replica"),
        ("work_mem", "7MB"),
        ("listen_addresses", "127.0.0.1"),
        ("server_encoding", "UTF8"),
        ("is_superuser", "on"),
    ] {
        let shown = text(&in_two, &format!("SELECT current_setting('{setting}')")).await;
        assert_eq!(shown, value, "{setting}");
    }
    let ends = number(
        &in_two,
        "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
    )
    .await;
    assert!((3..=6).contains(&ends), "{ends} segments");

    // Only with the password, and it is nowhere to be read.
    let endpoint = two.endpoint().clone();
    let password = endpoint.password.clone().expect("a password");
    for wrong in [None, Some(Secret::new("guess"))] {
        let endpoint = Endpoint {
            password: wrong,
            ..endpoint.clone()
        };
        assert!(try_client(&endpoint).await.is_err());
    }
    let pid = two.pid().expect("a process");
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let log = std::fs::read_to_string(two.folder().join("server.log")).expect("a log");
    assert!(log.contains("SELECT count(*) FROM t"), "{log}");
    for text in [&command, &log] {
        assert!(!text.contains(password.reveal()) && !text.contains("SCRAM-SHA-256$"));
    }
    assert!(!two.log_tail().await.is_empty());
    if is_root() {
        let owner = std::fs::metadata(two.folder().join("data"))
            .expect("data")
            .uid();
        assert_ne!(owner, 0);
        assert_eq!(
            std::fs::metadata(format!("/proc/{pid}"))
                .expect("process")
                .uid(),
            owner
        );
    }
    let sockets = socket_folder(&two.socket_endpoint());
    assert!(sockets.as_os_str().len() < 90);
    let mode = std::fs::metadata(&sockets)
        .expect("sockets")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(try_client(&two.socket_endpoint()).await.is_ok());

    drop((in_one, in_two));
    stop(one).await;
    stop(two).await;
    assert!(!is_alive(pid) && !sockets.exists());
    assert!(names(&cache.join("runs")).is_empty());

    let listed = list(&cache);
    assert_eq!(listed.len(), 1);
    assert!(listed[0].place.ends_with(base.key()));
    assert_eq!(listed[0].database.as_deref(), Some("app"));
    let key = base.key().to_owned();
    let error = remove_base(&cache, &key).expect_err("in use");
    assert!(error.to_string().contains("in use"));
    drop((base, again));
    remove_base(&cache, &key).expect("removed");
    assert!(list(&cache).is_empty());
    assert!(remove_base(&cache, "../runs").is_err());
}

#[tokio::test]
async fn two_runs_at_once_restore_once() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let fill = Sql::new("SELECT pg_sleep(0.5)");
    let local = Local::default();
    let (a, b) = (request(folder.path(), "a"), request(folder.path(), "b"));
    let (heard_a, heard_b) = (Heard::default(), Heard::default());
    let (one, two) = tokio::join!(
        local.prepare(&a, &fill, &heard_a),
        local.prepare(&b, &fill, &heard_b),
    );
    let (one, two) = (one.expect("a base"), two.expect("a base"));
    assert_eq!(fill.times(), 1);
    assert_ne!(one.reused(), two.reused());
    assert_eq!(one.data(), two.data());
    let waited = |heard: &Heard| heard.has("waiting for it");
    assert_ne!(waited(&heard_a), waited(&heard_b));
}

#[tokio::test]
async fn a_lost_server_is_told_with_its_last_words() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let stage = stage(&request(folder.path(), "run"), &Sql::new(TABLE)).await;
    let pid = stage.pid().expect("a process");
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("killed");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let story = stage.stop().await.expect_err("lost").story();
    assert!(story.contains("ended by signal 9"), "{story}");
    assert!(story.contains("ready to accept connections"), "{story}");
    assert!(names(&folder.path().join("runs")).is_empty());
}

/// Kills its server in the middle.
struct KillsItsServer;

impl Fill for KillsItsServer {
    async fn fill<T: Tools>(&self, endpoint: &Endpoint, _: &T, _: &dyn Watch) -> Result<()> {
        let client = client(endpoint).await;
        let data = text(&client, "SELECT current_setting('data_directory')").await;
        let pid = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).expect("pid");
        let pid = pid
            .lines()
            .next()
            .and_then(|pid| pid.parse().ok())
            .expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGQUIT).expect("killed");
        tokio::time::sleep(Duration::from_millis(100)).await;
        client
            .batch_execute("SELECT 1")
            .await
            .map_err(|error| lockproof::Error::stage("the connection is lost").because(error))
    }
}

#[tokio::test]
async fn a_failed_restore_leaves_nothing_and_can_be_tried_again() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let request = request(folder.path(), "run");
    let local = Local::default();
    let story = local
        .prepare(&request, &Sql::new("SELECT 1/0"), &Unwatched)
        .await
        .expect_err("fails")
        .story();
    assert!(story.contains("division by zero"), "{story}");
    let story = local
        .prepare(&request, &KillsItsServer, &Unwatched)
        .await
        .expect_err("fails")
        .story();
    assert!(story.contains("the server was lost while"), "{story}");
    assert!(story.contains("immediate shutdown"), "{story}");
    assert!(names(&folder.path().join("bases")).is_empty());

    // A future that is dropped half-way, as by Ctrl-C.
    let slow = Sql::new("SELECT pg_sleep(60)");
    let prepare = local.prepare(&request, &slow, &Unwatched);
    let begun = async {
        while slow.times() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = prepare => panic!("it does not end by itself: {ended:?}"),
        () = begun => {}
    }
    assert_eq!(slow.times(), 1);
    assert!(names(&folder.path().join("bases")).is_empty());

    let fill = Sql::new(TABLE);
    local
        .prepare(&request, &fill, &Unwatched)
        .await
        .expect("a base");
    assert_eq!(fill.times(), 1);
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_shown_in_its_words() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let mut request = request(folder.path(), "run");
    request.settings = [("work_mem".to_owned(), "lots".to_owned())].into();
    let local = Local::default();
    let base = local
        .prepare(&request, &Sql::new(TABLE), &Unwatched)
        .await
        .expect("a base");
    let story = local
        .start(&base, &Unwatched)
        .await
        .expect_err("refused")
        .story();
    assert!(story.contains("did not start"), "{story}");
    assert!(
        story.contains("invalid value for parameter \"work_mem\""),
        "{story}"
    );
    assert!(names(&folder.path().join("runs")).is_empty());
}

/// Ends this process at once, as SIGKILL would.
struct Dies;

impl Fill for Dies {
    async fn fill<T: Tools>(&self, _: &Endpoint, _: &T, _: &dyn Watch) -> Result<()> {
        std::process::abort()
    }
}

/// Not a test of its own: the process that the orphan tests let die. Without its variable it is done.
#[tokio::test]
async fn helper_that_dies() {
    let Some(cache) = std::env::var_os("LOCKPROOF_TEST_DIES_IN") else {
        return;
    };
    let request = request(Path::new(&cache), "orphan");
    if std::env::var_os("LOCKPROOF_TEST_DIES_BUILDING").is_some() {
        let _ = Local::default().prepare(&request, &Dies, &Unwatched).await;
    }
    let stage = stage(&request, &Sql::new(TABLE)).await;
    let (folder, pid) = (stage.folder().to_owned(), stage.pid().expect("a process"));
    std::fs::write(Path::new(&cache).join("pid"), pid.to_string()).expect("written");
    assert!(folder.is_dir());
    std::process::abort();
}

fn let_die(cache: &Path, building: bool) {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", "helper_that_dies"])
        .env("LOCKPROOF_TEST_DIES_IN", cache);
    if building {
        command.env("LOCKPROOF_TEST_DIES_BUILDING", "yes");
    }
    let status = command.output().expect("started").status;
    assert!(!status.success(), "it had to die");
}

/// The process ids of servers with something of this folder on their command line.
fn servers_in(folder: &Path) -> Vec<u32> {
    let folder = folder.display().to_string();
    names(Path::new("/proc"))
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&folder))
        })
        .collect()
}

#[tokio::test]
async fn an_orphaned_server_is_swept_and_a_live_one_is_not() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let cache = folder.path();
    let live = stage(&request(cache, "live"), &Sql::new(TABLE)).await;
    let_die(cache, false);
    let orphan: u32 = std::fs::read_to_string(cache.join("pid"))
        .ok()
        .and_then(|pid| pid.parse().ok())
        .expect("a pid");
    assert!(is_alive(orphan));
    let sockets: Vec<PathBuf> = std::fs::read_to_string(cache.join("runs/orphan/owner.json"))
        .ok()
        .and_then(|owner| serde_json::from_str::<serde_json::Value>(&owner).ok())
        .and_then(|owner| Some(vec![PathBuf::from(owner["sockets"].as_str()?)]))
        .expect("an owner");
    assert!(sockets[0].is_dir());

    let swept = sweep(cache, Kept::End, &Unwatched).await.expect("swept");
    assert_eq!(swept.ended, 1);
    assert_eq!(swept.removed.len(), 1);
    assert_eq!(swept.left.len(), 1);
    assert!(!is_alive(orphan) && !sockets[0].exists());
    assert_eq!(names(&cache.join("runs")), ["live"]);
    assert_eq!(
        number(&client(live.endpoint()).await, "SELECT count(*) FROM t").await,
        1000
    );
    stop(live).await;
    let swept = sweep(cache, Kept::End, &Unwatched).await.expect("swept");
    assert_eq!((swept.ended, swept.removed.len()), (0, 0));
}

#[tokio::test]
async fn a_base_that_was_half_made_is_removed_by_the_next_run_and_by_a_sweep() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let cache = folder.path();
    let_die(cache, true);
    assert_eq!(servers_in(cache).len(), 1);
    let fill = Sql::new(TABLE);
    let base = Local::default()
        .prepare(&request(cache, "next"), &fill, &Unwatched)
        .await
        .expect("a base");
    assert_eq!(fill.times(), 1);
    assert_eq!(names(&cache.join("bases")), [base.key()]);
    assert!(servers_in(cache).is_empty());

    let key = base.key().to_owned();
    drop(base);
    remove_base(cache, &key).expect("removed");
    let_die(cache, true);
    let swept = sweep(cache, Kept::Spare, &Unwatched).await.expect("swept");
    assert_eq!((swept.ended, swept.removed.len()), (1, 1));
    assert!(names(&cache.join("bases")).is_empty() && servers_in(cache).is_empty());
    assert!(
        sweep(&cache.join("absent"), Kept::End, &Unwatched)
            .await
            .is_ok()
    );
}

/// Large enough that a clone of it is kept for the next run.
const WIDE: &str = "CREATE TABLE t (n int, wide text);
    ALTER TABLE t ALTER wide SET STORAGE EXTERNAL;
    INSERT INTO t SELECT n, repeat(md5(n::text), 31250) FROM generate_series(1, 280) AS n";

#[tokio::test]
async fn a_clone_is_renewed_by_the_next_run_and_shows_nothing_of_the_last() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let cache = folder.path();
    let local = Local::default();
    let base = local
        .prepare(&request(cache, "run"), &Sql::new(WIDE), &Unwatched)
        .await
        .expect("a base");
    let (key, bytes) = (base.key().to_owned(), base.bytes());
    let has_spare = || names(&cache.join("bases").join(&key)).contains(&"spare".to_owned());
    let first = local.start(&base, &Unwatched).await.expect("a stage");
    assert_eq!(first.cloned().kept_bytes, 0);
    if first.cloned().method == CloneMethod::Reflink {
        stop(first).await;
        assert!(!has_spare(), "a clone that shares its blocks takes no time");
        return;
    }
    client(first.endpoint())
        .await
        .batch_execute("CREATE TABLE u AS SELECT * FROM t; UPDATE t SET n = 1007 WHERE n = 7")
        .await
        .expect("migrated");
    stop(first).await;
    assert!(has_spare());
    let listed = list(cache)[0].bytes.unwrap_or_default();
    assert!(
        listed > bytes + bytes / 2 && listed < bytes * 2 + bytes / 2,
        "{listed} of twice {bytes}: it counts, without what the run added"
    );

    let renewed = local.start(&base, &Unwatched).await.expect("a stage");
    let copied = local.start(&base, &Unwatched).await.expect("a stage");
    assert!(!has_spare(), "one of them has it");
    assert!(renewed.cloned().kept_bytes > bytes / 2 && copied.cloned().kept_bytes == 0);
    for stage in [&renewed, &copied] {
        let client = client(stage.endpoint()).await;
        assert_eq!(number(&client, "SELECT sum(n) FROM t").await, 280 * 281 / 2);
        assert_eq!(
            number(&client, "SELECT count(*) FROM pg_class WHERE relname = 'u'").await,
            0
        );
        let spoilt = "SELECT count(*) FROM t WHERE wide <> repeat(md5(n::text), 31250)";
        assert_eq!(number(&client, spoilt).await, 0);
    }
    stop(renewed).await;
    stop(copied).await;
    assert!(has_spare());

    let swept = sweep(cache, Kept::Spare, &Unwatched).await.expect("swept");
    assert!(
        swept.removed.is_empty() && has_spare(),
        "its base is in use"
    );
    drop(base);
    let swept = sweep(cache, Kept::Spare, &Unwatched).await.expect("swept");
    assert_eq!(swept.removed.len(), 1);
    assert!(!has_spare() && list(cache)[0].bytes == Some(bytes));
}

#[tokio::test]
async fn a_folder_with_another_s_pid_is_swept_without_a_signal() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let cache = folder.path();
    for name in ["runs/old/data", "locks", "bases"] {
        std::fs::create_dir_all(cache.join(name)).expect("created");
    }
    let mut bystander = Command::new("sleep").arg("60").spawn().expect("started");
    let process = format!(r#"{{"pid":{},"started":"1@long ago"}}"#, bystander.id());
    std::fs::write(
        cache.join("runs/old/owner.json"),
        format!(
            r#"{{"process":{process},"server":{process},"sockets":"/nonexistent","kept":false}}"#
        ),
    )
    .expect("written");
    let swept = sweep(cache, Kept::End, &Unwatched).await.expect("swept");
    assert_eq!((swept.ended, swept.removed.len()), (0, 1));
    assert!(bystander.try_wait().expect("looked at").is_none());
    bystander.kill().expect("ended");
    bystander.wait().expect("ended");
}

#[tokio::test]
async fn a_kept_stage_runs_on_until_it_is_swept_with_the_kept_ones() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let cache = folder.path();
    let stage = stage(&request(cache, "kept"), &Sql::new(TABLE)).await;
    let (endpoint, pid) = (stage.endpoint().clone(), stage.pid().expect("a process"));
    let text = stage.keep();
    assert!(
        text.contains("psql 'host=") && text.contains("lockproof clean"),
        "{text}"
    );
    let password = endpoint.password.as_ref().expect("a password");
    assert!(!text.contains(password.reveal()));
    let swept = sweep(cache, Kept::Spare, &Unwatched).await.expect("swept");
    assert_eq!((swept.ended, swept.left.len()), (0, 1));
    assert!(try_client(&endpoint).await.is_ok());
    let swept = sweep(cache, Kept::End, &Unwatched).await.expect("swept");
    assert_eq!((swept.ended, swept.removed.len()), (1, 1));
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_stage_that_is_dropped_ends_too() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let stage = stage(&request(folder.path(), "run"), &Sql::new(TABLE)).await;
    let pid = stage.pid().expect("a process");
    drop(stage);
    assert!(!is_alive(pid));
    assert!(names(&folder.path().join("runs")).is_empty());
}

#[tokio::test]
async fn a_cache_that_the_account_cannot_enter_is_named() {
    if !has_server() || !is_root() {
        eprintln!("SKIPPED: only root drops to another account");
        return;
    }
    let folder = open_folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))
        .expect("closed");
    let cache = folder.path().join("inside");
    let story = Local::default()
        .prepare(&request(&cache, "run"), &Sql::new(""), &Unwatched)
        .await
        .expect_err("closed")
        .story();
    let closed = format!("`{}` is closed to it", folder.path().display());
    assert!(
        story.contains(&closed) && story.contains("--cache"),
        "{story}"
    );
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted(megabytes: u32) -> Option<Self> {
        let folder = open_folder();
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={megabytes}m,mode=755"),
                "tmpfs",
            ])
            .arg(folder.path())
            .status();
        status
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_with_its_path_and_what_is_free() {
    if !has_server() {
        return;
    }
    let Some(disk) = is_root().then(|| SmallDisk::mounted(210)).flatten() else {
        eprintln!("SKIPPED: no small disk can be mounted here");
        return;
    };
    let cache = disk.0.path();
    let full = |story: &str| {
        let told = format!("the disk of `{}` is full", cache.display());
        assert!(
            story.contains(&told) && story.contains("bytes are free"),
            "{story}"
        );
    };
    let local = Local::default();
    let request = request(cache, "run");
    let huge =
        Sql::new("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 400000)");
    let error = local
        .prepare(&request, &huge, &Unwatched)
        .await
        .expect_err("full");
    full(&error.story());
    assert!(names(&cache.join("bases")).is_empty());

    // The base has room, its copy has not.
    let base = local
        .prepare(&request, &Sql::new(TABLE), &Unwatched)
        .await
        .expect("a base");
    let error = local.start(&base, &Unwatched).await.expect_err("full");
    full(&error.story());
    assert!(names(&cache.join("runs")).is_empty());
}

#[tokio::test]
async fn a_server_tells_what_speaks_against_a_replay_on_it() {
    use lockproof::stage::external::{Suspicion, examine, parse, refuse};
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let mut request = request(folder.path(), "run");
    request.database = "shop_prod".into();
    request.settings = [("cluster_name".to_owned(), "live-1".to_owned())].into();
    let stage = stage(&request, &Sql::new(TABLE)).await;
    let endpoint = parse(stage.endpoint().url().reveal()).expect("its own URL");
    assert_eq!(endpoint.shown(), stage.endpoint().shown());
    assert_eq!(endpoint.password, stage.endpoint().password);
    let ours = client(&endpoint).await;
    let _other_of_ours = client(&endpoint).await;
    let named = |what, name: &str, word: &str| Suspicion::Name {
        what,
        name: name.into(),
        word: word.into(),
    };
    let names = [
        named("database", "shop_prod", "prod"),
        named("cluster", "live-1", "live"),
    ];
    let mut expected = vec![Suspicion::Unmarked];
    expected.extend(names.clone());
    assert_eq!(
        examine(&ours, &endpoint, &[]).await.expect("seen"),
        expected
    );
    assert!(refuse(&expected, "shop_prod", None).is_err());

    ours.batch_execute(
        "ALTER DATABASE shop_prod SET lockproof.staging = 'on'; CREATE ROLE guest LOGIN",
    )
    .await
    .expect("marked");
    let (web, connection) = endpoint
        .config("web shop")
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a session");
    tokio::spawn(connection);
    let running = tokio::spawn(async move { web.batch_execute("SELECT pg_sleep(30)").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut expected = vec![Suspicion::Sessions {
        count: 1,
        active: 1,
        applications: vec!["web shop".into()],
    }];
    expected.extend(names.clone());
    let marked = client(&endpoint).await;
    assert_eq!(
        examine(&marked, &endpoint, &[]).await.expect("seen"),
        expected
    );

    // Without rights it sees less, and still that somebody is there.
    let guest = Endpoint {
        user: "guest".into(),
        password: None,
        ..stage.socket_endpoint()
    };
    let seen = examine(&client(&guest).await, &guest, &[])
        .await
        .expect("seen");
    assert!(
        seen.iter()
            .any(|suspicion| matches!(suspicion, Suspicion::Sessions { count: 1, .. })),
        "{seen:?}"
    );
    running.abort();
    stop(stage).await;
}

#[tokio::test]
async fn an_absent_major_is_an_error_with_both_ways_out() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let request = Request {
        server_major: Some(99),
        ..request(folder.path(), "run")
    };
    let story = Local::default()
        .prepare(&request, &Sql::new(""), &Unwatched)
        .await
        .expect_err("absent")
        .story();
    for part in ["PostgreSQL 99", "looked in", "--pg-bin", "--stage docker"] {
        assert!(story.contains(part), "{part} in {story}");
    }
}

/// Open files of this process, and processes with this folder on their command line.
fn open_and_running(folder: &Path) -> (usize, usize) {
    (
        names(Path::new("/proc/self/fd")).len(),
        servers_in(folder).len(),
    )
}

#[tokio::test]
async fn fifty_rounds_leave_no_file_no_process_and_no_folder() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let cache = folder.path();
    let local = Local::default();
    let round = async || {
        let base = local
            .prepare(&request(cache, "round"), &Sql::new(TABLE), &Unwatched)
            .await
            .expect("a base");
        let stage = local.start(&base, &Unwatched).await.expect("a stage");
        let sockets = socket_folder(&stage.socket_endpoint());
        let client = client(stage.endpoint()).await;
        assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
        drop(client);
        stop(stage).await;
        assert!(!sockets.exists());
    };
    round().await;
    let before = (open_and_running(cache), all_below(cache));
    for _ in 1..50 {
        round().await;
    }
    // The driver of the last connection ends on its own time.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((open_and_running(cache), all_below(cache)), before);
}

/// How many files and folders there are, and how many bytes.
fn all_below(folder: &Path) -> (usize, u64) {
    let mut sum = (0, 0);
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let facts = entry.metadata().expect("there");
        sum.0 += 1;
        if facts.is_dir() {
            let below = all_below(&entry.path());
            sum = (sum.0 + below.0, sum.1 + below.1);
        } else {
            sum.1 += facts.len();
        }
    }
    sum
}
