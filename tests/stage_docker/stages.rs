//! A running stage: its server, its tools, and what is left when it ends.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_says_so_with_its_last_words() {
    let Some(room) = Room::open("dies").await else {
        return;
    };
    let base = room.prepare(&Sql::new("SELECT 1")).await.unwrap();
    let stage = room.start(&base).await;
    docker(&["kill", stage.name()], b"");
    assert!(
        stage
            .log_tail()
            .await
            .join("\n")
            .contains("ready to accept")
    );
    stage.stop().await.unwrap();

    // A setting that the server refuses: the error is the server's own, and nothing is left.
    let mut request = room.request();
    request
        .settings
        .insert("no_such_setting".to_owned(), "1".to_owned());
    let base = room
        .prepare_with(&room.image, &room.request(), &Sql::new(""))
        .await
        .unwrap();
    assert!(base.reused);
    let base = room
        .prepare_with(&room.image, &request, &Sql::new(""))
        .await
        .unwrap();
    let error = room.docker.start(&base, &Unwatched).await.err().unwrap();
    let story = error.story();
    assert!(story.contains("ended: exit status 1"), "{story}");
    assert!(
        story.contains("unrecognized configuration parameter"),
        "{story}"
    );
    assert!(story.contains("help: the scenario's settings"), "{story}");
    assert_eq!(room.mine().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_run_beside_the_server() {
    struct Restore<'a>(&'a Path);
    impl Fill for Restore<'_> {
        async fn fill<T: Tools>(
            &self,
            endpoint: &Endpoint,
            tools: &T,
            watch: &dyn Watch,
        ) -> Result<()> {
            let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
            // 50 MB through psql's standard input.
            let mut script = b"CREATE TABLE big (line text);\nCOPY big FROM stdin;\n".to_vec();
            let line = "x".repeat(99);
            for _ in 0..500_000 {
                script.extend_from_slice(line.as_bytes());
                script.push(b'\n');
            }
            script.extend_from_slice(b"\\.\n");
            let begun = Instant::now();
            let input: ToolInput = Box::new(std::io::Cursor::new(script));
            let psql = words(&["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
            let output = tools.run(endpoint, "psql", &psql, Some(input)).await?;
            println!("TIME 50 MB through psql: {:?}", begun.elapsed());
            assert_eq!(output.status, Some(0), "{output:?}");

            // An early end with input left over: the program's status, at once.
            let endless: ToolInput = Box::new(tokio::io::repeat(b' '));
            let failing = words(&["-X", "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0"]);
            let output = tools.run(endpoint, "psql", &failing, Some(endless)).await?;
            assert_eq!(output.status, Some(1));
            assert!(
                output.stderr.join("\n").contains("division by zero"),
                "{output:?}"
            );
            // Silent input that never ends.
            let (_silent, input) = tokio::io::duplex(1);
            let output = tools
                .run(endpoint, "psql", &failing, Some(Box::new(input)))
                .await?;
            assert_eq!(output.status, Some(1));

            // Much output: its last lines.
            let much = words(&["-XAt", "-c", "SELECT g FROM generate_series(1, 300000) g"]);
            let output = tools.run(endpoint, "psql", &much, None).await?;
            assert_eq!(output.stdout.len(), 40);
            assert_eq!(output.stdout[39], "300000");

            let missing = tools.run(endpoint, "pg_unheard_of", &[], None).await;
            let story = missing.err().unwrap().story();
            assert!(story.contains("has no `pg_unheard_of`"), "{story}");

            // Input that cannot be read is an error, not an end.
            struct Broken;
            impl tokio::io::AsyncRead for Broken {
                fn poll_read(
                    self: std::pin::Pin<&mut Self>,
                    _: &mut std::task::Context<'_>,
                    _: &mut tokio::io::ReadBuf<'_>,
                ) -> std::task::Poll<std::io::Result<()>> {
                    std::task::Poll::Ready(Err(std::io::Error::other("bad block")))
                }
            }
            let broken = tools
                .run(endpoint, "psql", &psql, Some(Box::new(Broken)))
                .await;
            assert!(broken.err().unwrap().story().contains("bad block"));

            let placed = tools.place(self.0, watch).await?;
            let load = words(&["-X", "-v", "ON_ERROR_STOP=1", "-f"]);
            let script = format!("{placed}/deep/make.sql");
            let output = tools
                .run(endpoint, "psql", &[load, vec![script]].concat(), None)
                .await?;
            assert_eq!(output.status, Some(0), "{output:?}");
            let file = tools.place(&self.0.join("deep/make.sql"), watch).await?;
            assert!(file.ends_with("/make.sql"), "{file}");
            let output = tools
                .run(endpoint, "psql", &words(&["-XAt", "-f", &file]), None)
                .await?;
            assert!(
                output.stderr.join("\n").contains("already exists"),
                "{output:?}"
            );
            let nothing = tools.place(Path::new("/nowhere/at/all"), watch).await;
            assert!(
                nothing
                    .err()
                    .unwrap()
                    .story()
                    .contains("cannot read `/nowhere/at/all`")
            );
            Ok(())
        }
    }
    let Some(room) = Room::open("tools").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    std::fs::write(folder.path().join("deep/make.sql"), "CREATE TABLE made ()").unwrap();
    let big = std::fs::File::create(folder.path().join("big")).unwrap();
    big.set_len(300 << 20).unwrap();
    let notes = Notes::default();
    let begun = Instant::now();
    let base = room
        .docker
        .prepare(
            &room.image,
            &room.request(),
            &Limits::default(),
            &Restore(folder.path()),
            &notes,
        )
        .await
        .unwrap();
    println!("TIME prepare with 300 MB placed: {:?}", begun.elapsed());
    let told = notes.0.into_inner().unwrap();
    let total = (300 << 20) + 20;
    assert!(told.contains(&format!("0/Some({total})")), "{told:?}");
    assert!(told.contains(&format!("{total}/Some({total})")), "{told:?}");

    let stage = room.start(&base).await;
    let client = connect(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM big").await, 500_000);
    let output = stage
        .run(
            stage.endpoint(),
            "psql",
            &["-XAtc".to_owned(), "SELECT current_user".to_owned()],
            None,
        )
        .await
        .unwrap();
    assert_eq!(output.stdout, ["postgres"]);
    // What was placed is not in the base.
    let files = docker(&["exec", stage.name(), "ls", "/lockproof/base"], b"");
    assert_eq!(files, "complete\ndata\nfiles.list\nused\n");
    stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_stage_stays_until_it_is_ended_as_told() {
    let Some(room) = Room::open("kept").await else {
        return;
    };
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    let stage = room.start(&base).await;
    let password = stage.endpoint().password.clone().unwrap();
    let text = stage.keep();
    assert!(!text.contains(password.reveal()));
    room.docker
        .clean(Sweep::Abandoned, room.cache.path())
        .await
        .unwrap();
    let left = room.mine().await;
    assert!(left.iter().any(|l| l.owner == Owner::Kept), "{left:?}");

    // As the text says, to the letter; only there is no terminal here.
    let line = |start: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(start));
        line.unwrap().trim().replace(" -it ", " -i ")
    };
    let connect = format!("{} -XAtc 'SELECT count(*) FROM t'", line("connect:"));
    let output = Command::new("sh").args(["-c", &connect]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1000\n",
        "{output:?}"
    );
    let end = line("end:");
    let end = end.split("   ").next().unwrap();
    assert!(
        Command::new("sh")
            .args(["-c", end])
            .status()
            .unwrap()
            .success()
    );
    let left = room.mine().await;
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tcp_does_the_same() {
    let Some(room) = Room::open("tcp").await else {
        return;
    };
    let engine = room.docker.describe().await.unwrap();
    println!("ENGINE {engine:?}");
    let Some(socket) = engine.host.strip_prefix("unix://").map(str::to_owned) else {
        skipped("tcp: the engine is behind tcp anyway");
        return;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut engine = tokio::net::UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut client, &mut engine).await
            });
        }
    });
    let docker = Docker::connect_to(&host).await.unwrap();
    assert_eq!(docker.describe().await.unwrap().host, host);
    let limits = Limits {
        cpus: Some(1.5),
        memory_bytes: Some(512 << 20),
        shm_bytes: Some(200 << 20),
    };
    let base = docker
        .prepare(
            &room.image,
            &room.request(),
            &limits,
            &Sql::new(ROWS),
            &Unwatched,
        )
        .await
        .unwrap();
    let stage = docker.start(&base, &Unwatched).await.unwrap();
    let client = connect(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_leave_no_file_no_container_and_no_volume() {
    let Some(room) = Room::open("rounds").await else {
        return;
    };
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = None;
    for _ in 0..6 {
        let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
        let stage = room.start(&base).await;
        connect(stage.endpoint()).await;
        stage.stop().await.unwrap();
        drop(base);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let left: Vec<String> = room.mine().await.into_iter().map(|l| l.name).collect();
        let now = (
            left,
            std::fs::read_dir(room.cache.path().join("locks"))
                .unwrap()
                .count(),
        );
        assert_eq!(*before.get_or_insert(now.clone()), now);
        // The engine's connections are kept for the next request: a handful, and not one more a round.
        assert!(open() < 40, "{} files are open", open());
    }
}
