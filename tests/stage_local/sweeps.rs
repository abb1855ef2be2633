//! What a process that died leaves behind, and who removes it.

use super::*;

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
        .args(["--exact", "sweeps::helper_that_dies"])
        .env("LOCKPROOF_TEST_DIES_IN", cache);
    if building {
        command.env("LOCKPROOF_TEST_DIES_BUILDING", "yes");
    }
    let status = command.output().expect("started").status;
    assert!(!status.success(), "it had to die");
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
