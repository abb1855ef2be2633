//! libpq's files and variables say where and who.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::authority::{admit, private};
use crate::support::has_server;
use crate::{changed, marked, room, run};

#[test]
fn a_service_and_a_password_file_are_enough() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    admit(&server);
    let port = server.port().to_string();
    let service = format!("# ours\n[shop]\nhost=127.0.0.1\nport={port}\nuser=known\ndbname=app\n");
    let file = private(&room, "services.conf", &service);
    let passwords = private(
        &room,
        "passwords",
        &format!("# ours\n127.0.0.1:1:app:known:wrong\n127.0.0.1:{port}:*:known:s3cret\n"),
    );
    let files = [("PGSERVICEFILE", &*file), ("PGPASSFILE", &*passwords)];
    for stage in ["service=shop", "postgres://?service=shop"] {
        server.app("ALTER TABLE items DROP COLUMN IF EXISTS b");
        run(&room, stage, &files, &[]).expect(0, &["verdict: within"]);
        assert!(changed(&server));
    }
    let by_variable = [files[0], files[1], ("PGSERVICE", "shop")];
    run(&room, "postgres://", &by_variable, &[]).expect(0, &["verdict: within"]);
    let by_variables = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &*port),
        ("PGUSER", "known"),
        ("PGDATABASE", "app"),
        ("PGPASSWORD", "s3cret"),
        ("PGOPTIONS", "-c search_path=nowhere"),
    ];
    run(&room, "postgres://", &by_variables[..5], &[]).expect(0, &["verdict: within"]);
    run(&room, "postgres://", &by_variables, &[]).expect(4, &["\"items\" does not exist"]);

    // In the home folder, and the machine's.
    private(&room, "home/.pgpass", "*:*:*:known:s3cret\n");
    private(&room, "etc/pg_service.conf", &service);
    let etc = room.path("etc").display().to_string();
    run(&room, "service=shop", &[("PGSYSCONFDIR", &etc)], &[]).expect(0, &["verdict: within"]);
    private(&room, "home/.pg_service.conf", &service);
    run(&room, "service=shop", &[], &[]).expect(0, &["verdict: within"]);

    // Each is refused where libpq would, or would leave it aside with a warning.
    run(&room, "service=nowhere", &[], &[]).expect(
        2,
        &[
            "there is no service `nowhere`",
            "home/.pg_service.conf",
            "help:",
        ],
    );
    private(
        &room,
        "home/.pg_service.conf",
        &service.replace("user=", "usr="),
    );
    run(&room, "service=shop", &[], &[]).expect(
        2,
        &[
            "home/.pg_service.conf`, line 5: the parameter `usr` is not known",
            "known are",
        ],
    );
    private(&room, "home/.pg_service.conf", &service);
    let open = fs::Permissions::from_mode(0o640);
    fs::set_permissions(room.path("home/.pgpass"), open).expect("opened");
    run(&room, "service=shop", &[], &[]).expect(
        2,
        &[
            "home/.pgpass` can be read by others: its mode is 0640",
            "chmod 600",
        ],
    );
    // Nobody looks into it where the password is known.
    run(&room, "service=shop", &[("PGPASSWORD", "s3cret")], &[]).expect(0, &["within"]);
    fs::remove_file(room.path("home/.pgpass")).expect("removed");
    run(&room, "service=shop", &[], &[]).expect(
        3,
        &[
            "asks for a password, and there is none",
            "`PGPASSWORD`",
            "~/.pgpass",
        ],
    );
    let wrong = run(&room, "service=shop", &[("PGPASSWORD", "hunter2")], &[]);
    wrong.expect(3, &["password authentication failed", "28P01", "help:"]);
    assert!(!wrong.said().contains("hunter2"), "{wrong:?}");
    room.assert_clean();
}

#[test]
fn a_socket_is_never_encrypted_and_any_mode_will_do() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let stage = format!(
        "host={} port={} user=postgres dbname=app sslmode=verify-full",
        server.folder().display(),
        server.port()
    );
    run(&room, &stage, &[], &[]).expect(0, &["verdict: within"]);
    run(&room, &format!("{stage} sslmode=often"), &[], &[]).expect(2, &["`sslmode` is one of"]);
    room.assert_clean();
}
