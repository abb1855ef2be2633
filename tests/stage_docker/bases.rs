//! A base: made once, whole or not at all, cloned for each run.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_made_once_and_every_run_gets_a_clone_of_its_own() {
    let Some(room) = Room::open("clones").await else {
        return;
    };
    let fill = Sql::new(ROWS);
    let begun = Instant::now();
    let base = room.prepare(&fill).await.unwrap();
    println!("TIME prepare: {:?}", begun.elapsed());
    assert!(!base.reused);
    let begun = Instant::now();
    let again = room.prepare(&fill).await.unwrap();
    println!("TIME prepare, reused: {:?}", begun.elapsed());
    assert!(again.reused);
    assert_eq!(fill.calls.load(Ordering::SeqCst), 1);

    let begun = Instant::now();
    let first = room.start(&base).await;
    println!("TIME start: {:?}", begun.elapsed());
    assert!(room.mine().await.iter().any(|found| {
        found.role == "run" && found.owner == Owner::Alive && found.name == first.name()
    }));
    let client = connect(first.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    client.batch_execute("DELETE FROM t").await.unwrap();
    // As durable as production, with the settings asked for, and open to nobody without password.
    assert_eq!(word(&client, "SHOW fsync").await, "on");
    assert_eq!(word(&client, "SHOW shared_buffers").await, "16MB");
    assert_eq!(word(&client, "SHOW server_encoding").await, "UTF8");
    // Its socket lies where nobody else gets to, and it has no network.
    let lockproof::stage::Host::Unix(sockets) = &first.endpoint().host else {
        panic!("{:?}", first.endpoint());
    };
    let around = sockets.parent().unwrap().metadata().unwrap();
    assert_eq!(around.permissions().mode() & 0o777, 0o700);
    let mode = "{{.HostConfig.NetworkMode}}";
    assert_eq!(
        docker(&["inspect", "-f", mode, first.name()], b"").trim(),
        "none"
    );

    // With a network, its password keeps it.
    let open = lockproof::stage::Request {
        network: lockproof::stage::Network::Open,
        ..room.request()
    };
    let base = room.prepare_with(&room.image, &open, &fill).await.unwrap();
    assert!(base.reused);
    let second = room.start(&base).await;
    let mut stranger = second.endpoint().clone();
    stranger.password = Some(lockproof::stage::Secret::new("guess"));
    assert!(stranger.config("test").connect(NoTls).await.is_err());
    // No password for whoever may look at the container.
    let inspected = docker(&["inspect", second.name()], b"");
    let password = second.endpoint().password.clone().unwrap();
    assert!(!inspected.contains(password.reveal()));
    assert!(inspected.contains("127.0.0.1"));
    let client = connect(second.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    assert!(
        second
            .log_tail()
            .await
            .join("\n")
            .contains("ready to accept")
    );

    first.stop().await.unwrap();
    let begun = Instant::now();
    second.stop().await.unwrap();
    println!("TIME stop: {:?}", begun.elapsed());
    let left = room.mine().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].name, base.name());
    // A finished base is no rubbish, but can be removed.
    room.docker
        .clean(Sweep::Abandoned, room.cache.path())
        .await
        .unwrap();
    assert_eq!(room.mine().await.len(), 1);
    // Not while it is used; somebody from outside may all the same.
    assert!(!room.docker.remove_base(base.name()).await.unwrap());
    docker(&["volume", "rm", base.name()], b"");
    assert!(room.mine().await.is_empty());
    let error = room.docker.start(&base, &Unwatched).await.err().unwrap();
    assert!(error.story().contains("was removed in the meantime"));
    assert!(room.mine().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_or_killed_filling_leaves_nothing() {
    struct Killer<'a>(&'a str);
    impl Fill for Killer<'_> {
        async fn fill<T: Tools>(&self, endpoint: &Endpoint, _: &T, _: &dyn Watch) -> Result<()> {
            let client = connect(endpoint).await;
            let label = format!("label=lockproof.run={}", self.0);
            let id = docker(&["ps", "-q", "--filter", &label], b"");
            docker(&["kill", id.trim()], b"");
            client
                .batch_execute("SELECT 1")
                .await
                .map_err(|error| Error::stage("restoring failed").because(error))
        }
    }
    let Some(room) = Room::open("failed").await else {
        return;
    };
    let error = room.prepare(&Sql::new("SELECT 1/0")).await.err().unwrap();
    assert!(error.story().contains("division by zero"), "{error:?}");
    assert!(room.mine().await.is_empty());
    let error = room.prepare(&Killer(&room.run_id)).await.err().unwrap();
    let story = error.story();
    assert!(
        story.contains("ended: exit status 137, killed from outside"),
        "{story}"
    );
    assert!(story.contains("restoring failed"), "{story}");
    assert!(room.mine().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_one_base() {
    let Some(room) = Room::open("twice").await else {
        return;
    };
    let fill = Sql::new("SELECT pg_sleep(1)");
    let notes = Notes::default();
    let request = room.request();
    let limits = Limits::default();
    let one = room
        .docker
        .prepare(&room.image, &request, &limits, &fill, &notes);
    let other = room
        .docker
        .prepare(&room.image, &request, &limits, &fill, &notes);
    let (one, other) = tokio::join!(one, other);
    assert_ne!(one.unwrap().reused, other.unwrap().reused);
    assert_eq!(fill.calls.load(Ordering::SeqCst), 1);
    let notes = notes.0.into_inner().unwrap();
    assert!(
        notes.iter().any(|note| note.contains("waiting for it")),
        "{notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_build_is_swept_or_made_anew() {
    let Some(room) = Room::open("interrupted").await else {
        return;
    };
    let endless = Sql::new("SELECT pg_sleep(1000)");
    let interrupt = async || {
        let patience = Duration::from_secs(20);
        let calls = endless.calls.load(Ordering::SeqCst);
        let begun = async {
            while endless.calls.load(Ordering::SeqCst) == calls {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = room.prepare(&endless) => panic!("it cannot end"),
            () = begun => {}
            () = tokio::time::sleep(patience) => panic!("it never began"),
        }
    };
    interrupt().await;
    let left = room.mine().await;
    assert!(
        left.iter().any(|l| l.kind == LeftoverKind::Container),
        "{left:?}"
    );
    assert!(
        left.iter().any(|l| l.kind == LeftoverKind::Volume),
        "{left:?}"
    );
    assert!(left.iter().all(|l| l.owner == Owner::Gone), "{left:?}");
    let removed = room
        .docker
        .clean(Sweep::Abandoned, room.cache.path())
        .await
        .unwrap();
    assert!(removed.len() >= 2, "{removed:?}");
    assert!(room.mine().await.is_empty());

    interrupt().await;
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    assert!(!base.reused);
    let name = base.name().to_owned();
    drop(base);
    assert!(room.docker.remove_base(&name).await.unwrap());

    interrupt().await;
    assert_eq!(room.docker.remove_run(&room.run_id).await.unwrap().len(), 2);
    assert!(room.mine().await.is_empty());

    // A start that nobody waited for.
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    for wait in [5, 60, 200, 500] {
        let start = room.docker.start(&base, &Unwatched);
        tokio::time::timeout(Duration::from_millis(wait), start)
            .await
            .ok();
    }
    // The engine may still be at the last request.
    tokio::time::sleep(Duration::from_secs(1)).await;
    room.docker
        .clean(Sweep::Abandoned, room.cache.path())
        .await
        .unwrap();
    let left = room.mine().await;
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_with_caches_of_their_own_make_one_base() {
    let Some(room) = Room::open("caches").await else {
        return;
    };
    let fill = Sql::new("SELECT pg_sleep(1)");
    let notes = Notes::default();
    let limits = Limits::default();
    let request = room.request();
    let cache = tempfile::tempdir().unwrap();
    let mut elsewhere = room.request();
    elsewhere.cache = cache.path().to_owned();
    let one = room
        .docker
        .prepare(&room.image, &request, &limits, &fill, &notes);
    let other = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        room.docker
            .prepare(&room.image, &elsewhere, &limits, &fill, &notes)
            .await
    };
    let (one, other) = tokio::join!(one, other);
    assert!(!one.unwrap().reused);
    assert!(other.unwrap().reused);
    assert_eq!(fill.calls.load(Ordering::SeqCst), 1);
    let notes = notes.0.into_inner().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("on this engine makes the same base"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_says_what_it_is_and_when_it_was_used() {
    let Some(room) = Room::open("facts").await else {
        return;
    };
    let mine = async || {
        let mut found = room.docker.bases().await.unwrap();
        found.retain(|base| base.digest.as_deref() == Some(&room.run_id));
        found
    };
    let base = room
        .prepare(&Sql::new(
            "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g; ANALYZE",
        ))
        .await
        .unwrap();
    let found = mine().await;
    assert_eq!(found.len(), 1);
    let facts = &found[0];
    assert_eq!(facts.place, base.name());
    assert!(base.name().ends_with(&facts.id));
    assert_eq!(facts.rows, Some(1000));
    assert_eq!(facts.image.as_deref(), Some(&*room.image));
    assert_eq!(facts.database.as_deref(), Some("Größe \"app\""));
    assert!(facts.bytes.is_some_and(|bytes| bytes > 1_000_000));
    let (made, first) = (facts.made_at.unwrap(), facts.used_at.unwrap());
    assert!(facts.in_use && made <= first + jiff::SignedDuration::from_secs(2));
    // No container of the run is up, and it may still not be taken away.
    assert!(!room.docker.remove_base(base.name()).await.unwrap());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = room.prepare(&Sql::new("SELECT 1/0")).await.unwrap();
    assert!(again.reused);
    assert!(mine().await[0].used_at.unwrap() > first);
    drop((base, again));
    assert!(!mine().await[0].in_use);
    let name = mine().await[0].place.clone();
    assert!(room.docker.remove_base(&name).await.unwrap());
    assert!(mine().await.is_empty());
}
