//! A server: lost, refused, dropped, and fifty of them one after the other.

use super::*;

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
async fn a_server_tells_what_speaks_against_a_replay_on_it() {
    use lockproof::stage::external::{Looked, Names, Suspicion, examine, parse, refuse};
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
    // Whatever it calls itself.
    let _impostor = client(&endpoint).await;
    let named = |what, name: &str, word: &str| Suspicion::Name {
        what,
        name: name.into(),
        word: word.into(),
    };
    let names = [
        named("database", "shop_prod", "prod"),
        named("cluster", "live-1", "live"),
    ];
    let sessions = |count, active, names: &[&str]| Suspicion::Sessions {
        count,
        active,
        applications: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut expected = vec![Suspicion::Unmarked, sessions(1, 0, &["lockproof test"])];
    expected.extend(names.clone());
    assert_eq!(
        examine(&ours, &endpoint, &Names::default(), None, Looked::Server)
            .await
            .expect("seen"),
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
    let mut expected = vec![sessions(3, 1, &["lockproof test", "web shop"])];
    expected.extend(names.clone());
    let marked = client(&endpoint).await;
    assert_eq!(
        examine(&marked, &endpoint, &Names::default(), None, Looked::Server)
            .await
            .expect("seen"),
        expected
    );

    // Without rights it sees less, and still that somebody is there.
    let guest = Endpoint {
        user: "guest".into(),
        password: None,
        ..stage.socket_endpoint()
    };
    let seen = examine(
        &client(&guest).await,
        &guest,
        &Names::default(),
        None,
        Looked::Server,
    )
    .await
    .expect("seen");
    assert!(
        seen.iter()
            .any(|suspicion| matches!(suspicion, Suspicion::Sessions { count: 4, .. })),
        "{seen:?}"
    );
    running.abort();
    stop(stage).await;
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
