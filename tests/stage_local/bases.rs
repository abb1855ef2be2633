//! A base: restored once, whole or not at all, and every run's clone of it.

use super::*;

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
