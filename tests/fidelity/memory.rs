//! Cold is cold and warm is warm: by the kernel's own word on the table's file, and by the server's
//! on its buffers.

use lockproof::snapshot::warm;
use lockproof::stage::docker::{Docker, Limits};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{RunningStage, Tools};
use tokio_postgres::Client;

use crate::local_support::{
    Sql, client, has_server, number, open_folder, request, stage, stop, text,
};
use crate::support::{has_engine, has_image, image, skipped};

/// 20 MB, vacuumed: a scan writes nothing.
const TABLE: &str =
    "CREATE TABLE t AS SELECT n, repeat('x', 400) AS filler FROM generate_series(1, 45000) AS n;";
const FILE: &str = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('t')";

/// Bytes of the table that a scan found in the server's buffers, and bytes that it asked the kernel for.
async fn scanned(client: &Client) -> (i64, i64) {
    let plan: Vec<String> = client
        .query(
            "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) SELECT count(*) FROM t",
            &[],
        )
        .await
        .expect("a plan")
        .iter()
        .map(|row| row.get(0))
        .collect();
    let line = plan
        .iter()
        .find(|line| line.contains("Buffers: shared"))
        .unwrap_or_else(|| panic!("no buffers: {plan:?}"));
    let pages = |what: &str| {
        line.split(what)
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<i64>().ok())
            .unwrap_or(0)
            * 8192
    };
    (pages("hit="), pages("read="))
}

/// Bytes of a file that the kernel has in memory; None where nobody tells.
fn in_memory(fincore: &str) -> Option<u64> {
    fincore.trim().parse().ok()
}

fn fincore(file: &str) -> Option<u64> {
    let output = std::process::Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES", file])
        .output()
        .ok()?;
    in_memory(&String::from_utf8_lossy(&output.stdout))
}

#[tokio::test]
async fn a_local_stage_is_as_it_was_asked_for() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let request = request(&folder.path().join("cache"), "memory");
    let fill = Sql::new(TABLE);

    let as_is = stage(&request, &fill).await;
    let observer = client(as_is.endpoint()).await;
    let file = text(&observer, FILE).await;
    let size = number(&observer, "SELECT pg_relation_size('t')").await;
    let copied = fincore(&file);
    as_is.chill().await.expect("cold");
    match (copied, fincore(&file)) {
        (Some(before), Some(after)) => {
            // A copy that shares its blocks is not in memory in the first place.
            eprintln!("of {size} bytes {before} in memory after the copy, {after} when cold");
            assert_eq!(after, 0, "the kernel still has {after} of {size} bytes");
        }
        _ => skipped("no `fincore` to ask the kernel with"),
    }
    // The server has nothing either, and what it reads comes into the kernel's memory again.
    assert_eq!(scanned(&observer).await, (0, size));
    if let Some(again) = fincore(&file) {
        assert!(again.cast_signed() >= size, "{again} of {size}");
    }
    stop(as_is).await;

    let warmed = stage(&request, &fill).await;
    let observer = client(warmed.endpoint()).await;
    warm(&observer, &Unwatched).await.expect("warm");
    assert_eq!(scanned(&observer).await, (size, 0));
    stop(warmed).await;
}

#[tokio::test]
async fn a_container_s_data_can_be_cold_too() {
    let image = image();
    if !has_engine() || !has_image(&image) {
        return;
    }
    let folder = open_folder();
    let mut request = request(&folder.path().join("cache"), "memory");
    request.run_id = format!("memory-{:08x}", rand::random::<u32>());
    request.base_digest = request.run_id.clone();
    let docker = Docker::connect().await.expect("an engine");
    let base = docker
        .prepare(
            &image,
            &request,
            &Limits::default(),
            &Sql::new(TABLE),
            &Unwatched,
        )
        .await
        .expect("a base");
    let stage = docker.start(&base, &Unwatched).await.expect("a stage");
    let observer = client(stage.endpoint()).await;
    let file = text(&observer, FILE).await;
    let size = number(&observer, "SELECT pg_relation_size('t')").await;
    let chilled = stage.chill().await;
    let arguments = ["--bytes", "--noheadings", "--output", "RES", &file].map(str::to_owned);
    let told = stage
        .run(stage.endpoint(), "fincore", &arguments, None)
        .await;
    let scanned = scanned(&observer).await;
    stage.stop().await.expect("stopped");
    docker.remove_base(base.name()).await.expect("removed");

    chilled.expect("cold");
    assert_eq!(scanned, (0, size));
    match told.ok().and_then(|told| in_memory(&told.stdout.concat())) {
        Some(left) => assert_eq!(left, 0, "the kernel still has {left} of {size} bytes"),
        None => skipped("the image has no `fincore`"),
    }
}
