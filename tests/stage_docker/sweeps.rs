//! What a sweep removes, and what it spares.

use super::*;

/// Removes the bases of everybody on the engine: only where it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_everything_spares_only_what_is_at_work() {
    if std::env::var("LOCKPROOF_TEST_SWEEP").is_err() {
        skipped("sweep: LOCKPROOF_TEST_SWEEP is not set");
        return;
    }
    let Some(room) = Room::open("sweep").await else {
        return;
    };
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    let kept = room.start(&base).await;
    let live = room.start(&base).await;
    let kept_name = kept.name().to_owned();
    kept.keep();
    let removed = room
        .docker
        .clean(Sweep::Everything, room.cache.path())
        .await
        .unwrap();
    assert!(
        removed.contains(&format!("container {kept_name}")),
        "{removed:?}"
    );
    connect(live.endpoint()).await;
    // In use by the live one.
    assert_eq!(room.mine().await.len(), 2);
    live.stop().await.unwrap();
    let name = base.name().to_owned();
    drop(base);
    let removed = room
        .docker
        .clean(Sweep::Everything, room.cache.path())
        .await
        .unwrap();
    assert!(removed.contains(&format!("volume {name}")), "{removed:?}");
    assert!(room.mine().await.is_empty());
}
