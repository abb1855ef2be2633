//! Images that differ in who makes their data folder, and those that are of no use.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_entrypoint_gets_its_data_folder_from_us() {
    let Some(room) = Room::open("bare").await else {
        return;
    };
    // Nor does it say its version, put its server on the path, or know the user.
    let image = room.derive(
        "rm -f /usr/local/bin/docker-entrypoint.sh && sed -i /^postgres:/d /etc/passwd /etc/group",
        &[
            "ENTRYPOINT []",
            "ENV PG_MAJOR=",
            "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "USER 1234",
        ],
    );
    let info = room.docker.ensure_image(&image, &Unwatched).await.unwrap();
    let original = room
        .docker
        .ensure_image(&room.image, &Unwatched)
        .await
        .unwrap();
    assert_eq!(info.postgres_major, original.postgres_major);
    let base = room
        .prepare_with(&image, &room.request(), &Sql::new(ROWS))
        .await
        .unwrap();
    let stage = room.start(&base).await;
    let client = connect(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    assert_eq!(word(&client, "SHOW server_encoding").await, "UTF8");
    stage.stop().await.unwrap();
}

/// What the official entrypoint does, in short: a temporary server on the socket only runs the
/// image's own scripts, then the real one starts.
const ENTRYPOINT: &str = r#"#!/usr/bin/env bash
set -Eeo pipefail
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -z "$POSTGRES_INITDB_WALDIR" ]
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
    postgres -C password_encryption "${@:2}"
    echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
    set -- "${@:2}" -c listen_addresses='' -p "${PGPORT:-5432}"
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
    set -- postgres "${@:1:$#-4}"
    [ "$POSTGRES_DB" = postgres ] || createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do . "$script"; done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_entrypoint_runs_its_own_scripts_before_the_filling() {
    let Some(room) = Room::open("entrypoint").await else {
        return;
    };
    let script = format!(
        "cat >/usr/local/bin/docker-entrypoint.sh <<'END'\n{ENTRYPOINT}END\n\
         cat >/docker-entrypoint-initdb.d/10-slow.sh <<'END'\n\
         psql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'CREATE ROLE from_image' -c 'CREATE TABLE early ()'\n\
         sleep 2\n\
         psql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'CREATE TABLE late ()'\n\
         END\n\
         chmod 755 /usr/local/bin/docker-entrypoint.sh"
    );
    let image = room.derive(&script, &["ENTRYPOINT [\"docker-entrypoint.sh\"]"]);
    // Fails unless both tables are there: the temporary server had only one of them for two seconds.
    let fill = Sql::new("CREATE TABLE seen AS SELECT 'early'::regclass e, 'late'::regclass l");
    let mut request = room.request();
    request
        .settings
        .insert("log_line_prefix".to_owned(), "%m 'a' \"b\" ".to_owned());
    let base = room.prepare_with(&image, &request, &fill).await.unwrap();
    let stage = room.start(&base).await;
    let client = connect(stage.endpoint()).await;
    assert_eq!(word(&client, "SHOW log_line_prefix").await, "%m 'a' \"b\" ");
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname = 'from_image'";
    assert_eq!(number(&client, roles).await, 1);
    stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_of_no_use_are_named() {
    let Some(room) = Room::open("images").await else {
        return;
    };
    // Not even a shell.
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_cksum();
    archive
        .append_data(&mut header, "nothing", std::io::empty())
        .unwrap();
    let name = format!("lockproof-test/empty:{:08x}", rand::random::<u32>());
    room.images.lock().unwrap().push(name.clone());
    docker(&["import", "-", &name], &archive.into_inner().unwrap());
    let expected = format!("the image `{name}` has no PostgreSQL server");
    let error = room.docker.ensure_image(&name, &Unwatched).await.err();
    assert!(error.unwrap().story().starts_with(&expected));
    let error = room
        .prepare_with(&name, &room.request(), &Sql::new(""))
        .await
        .err();
    assert!(error.unwrap().story().starts_with(&expected));

    // A shell, and a promise that is not kept.
    let name = room.derive("rm -rf /usr/lib/postgresql", &["ENV PG_MAJOR=17"]);
    let error = room
        .prepare_with(&name, &room.request(), &Sql::new(""))
        .await
        .err()
        .unwrap();
    assert!(
        error
            .story()
            .starts_with(&format!("the image `{name}` has no PostgreSQL server")),
        "{error:?}"
    );
    assert!(room.mine().await.is_empty());

    let name = "127.0.0.1:9/lockproof/unheard-of:17";
    let notes = Notes::default();
    let story = room
        .docker
        .ensure_image(name, &notes)
        .await
        .err()
        .unwrap()
        .story();
    assert!(
        story.starts_with(&format!(
            "the image `{name}` is not on this machine and cannot be pulled: "
        )),
        "{story}"
    );
    assert!(story.contains("refused"), "{story}");
    assert!(story.contains("or use --stage local"), "{story}");
}
