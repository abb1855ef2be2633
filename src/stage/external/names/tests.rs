use super::*;
use crate::stage::Link;

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint {
        host: match host.strip_prefix('/') {
            Some(_) => Host::Unix(host.into()),
            None => Host::Tcp(host.into()),
        },
        port,
        user: "u".into(),
        password: None,
        database: "shop".into(),
        link: Link::default(),
    }
}

async fn is_listed(entry: &str, host: &str, port: u16) -> bool {
    let names = Names::read(&[entry.to_owned()]).expect(entry);
    let (names, _) = names.resolved().await;
    let server = Server::typed(&endpoint(host, port)).await;
    !names.matches(&server).is_empty()
}

#[tokio::test]
async fn this_machine_is_known_by_every_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join(".s.PGSQL.5432"));
    let socket = folder.path().display().to_string();
    let spellings = [
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.0.0.9",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        socket.as_str(),
    ];
    for entry in spellings {
        for host in spellings {
            assert!(is_listed(entry, host, 5432).await, "{entry} {host}");
            let with_port = match entry {
                entry if entry.contains("::") => format!("[{entry}]:5433"),
                entry if entry.starts_with('/') => format!("{entry}/.s.PGSQL.5433"),
                entry => format!("{entry}:5433"),
            };
            assert!(
                is_listed(&with_port, host, 5433).await,
                "{with_port} {host}"
            );
            assert!(
                !is_listed(&with_port, host, 5432).await,
                "{with_port} {host}"
            );
        }
        assert!(!is_listed(entry, "192.0.2.1", 5432).await, "{entry}");
    }
    assert!(is_listed("127.0.0.0/8", &socket, 5432).await);
    assert!(is_listed("postgres://u:s3cret@localhost/shop", "127.1", 5432).await);
    assert!(!is_listed("postgres://localhost:6432/shop", "127.1", 5432).await);
}

#[tokio::test]
async fn names_networks_and_patterns_mean_what_they_say() {
    for (entry, host, is) in [
        ("db.example.org", "DB.Example.org.", true),
        ("db.example.org", "db2.example.org", false),
        ("*.example.org", "db.example.org", true),
        ("*.example.org", "example.org", false),
        ("192.0.2.*", "192.0.2.7", true),
        ("192.0.2.0/24", "192.0.2.7", true),
        ("192.0.2.0/24", "192.0.3.7", false),
        ("2001:db8::/32", "2001:db8:1::2", true),
        ("shop", "192.0.2.1", true),
        ("shop:5432", "192.0.2.1", false),
        ("ab*ba", "aba", false),
        ("postgres://192.0.2.1,192.0.2.2/x", "192.0.2.2", true),
    ] {
        assert_eq!(is_listed(entry, host, 5432).await, is, "{entry} {host}");
    }
    let mut server = Server::typed(&endpoint("192.0.2.1", 5432)).await;
    let name = |entry: &str| Names::read(&[entry.to_owned()]).expect(entry);
    assert!(name("7300000000000000001").matches(&server).is_empty());
    let address = "198.51.100.3".parse().ok();
    server.says("blue", address, Some(6000), Some(7_300_000_000_000_000_001));
    for entry in [
        "7300000000000000001",
        "blue",
        "198.51.100.3:6000",
        "198.51.100.3",
    ] {
        let (names, _) = name(entry).resolved().await;
        assert_eq!(names.matches(&server).len(), 1, "{entry}");
    }
}

#[test]
fn what_can_never_be_a_server_s_name_is_refused() {
    for entry in [
        "",
        "a;b",
        "a b",
        "http://db/",
        "db:port",
        "db:0",
        "db:70000",
        "10.0.0.0/33",
        "10.0.0/8",
        "[::1",
        "[::1]x",
        "::1:x:y",
        "a/b",
        "postgres:///",
        ":5432",
        "99999999999999999999999",
    ] {
        let error = Names::read(&[entry.to_owned()]).expect_err(entry).story();
        assert!(
            error.contains("--production") && error.contains("help: an entry is"),
            "{error}"
        );
    }
    let url = "mysql://u:s3cret@db/".to_owned();
    let error = Names::read(&[url]).expect_err("no postgres").story();
    assert!(!error.contains("s3cret"), "{error}");
}
