//! Folders that cannot be entered, disks that are full, majors that are not there.

use super::*;

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
