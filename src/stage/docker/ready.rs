//! Waits until a server answers a query from here, and gives it its password.

use std::time::Duration;

use tokio::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::base::Base;
use super::container::Container;
use super::engine::Engine;
use super::entrance::Entrance;
use super::exec::ContainerTools;
use crate::stage::connect::{open, quoted};
use crate::stage::{Endpoint, Host, Link, Network, Quiet, Secret, Tools};
use crate::{Error, Result, redact};

const PAUSE: Duration = Duration::from_millis(25);

/// Waits for the server, gives its superuser a new random password, and asks a query.
///
/// The container's own server is the only one that listens on its network: the temporary server of
/// an image's entrypoint has nothing but a socket.
pub(super) async fn ready(
    engine: &Engine,
    container: &Container,
    patience: Duration,
    base: &Base,
    entrance: &mut Entrance,
) -> Result<Endpoint> {
    let begun = Instant::now();
    let mut endpoint = 'up: loop {
        let addresses = match base.request.network {
            Network::Closed => entrance.addresses(engine, container).await?,
            Network::Open => container.addresses(engine).await?,
        };
        for (host, port) in &addresses {
            let endpoint = superuser(base, host, *port);
            if listens(host, *port).await && entrance.is_final(&endpoint).await {
                break 'up endpoint;
            }
        }
        alive(engine, container).await?;
        if begun.elapsed() > patience {
            let tried = addresses
                .iter()
                .map(|(host, port)| match host {
                    Host::Tcp(host) => format!("`{host}:{port}`"),
                    Host::Unix(folder) => format!("`{}`", folder.display()),
                })
                .collect::<Vec<_>>()
                .join(" and ");
            let tried = if tried.is_empty() {
                "its socket"
            } else {
                &tried
            };
            return Err(Error::stage(format!(
                "the server of the image `{}` does not answer at {tried} after {} s",
                container.image,
                patience.as_secs()
            ))
            .details(redact::foreign::log(container.log(engine, 20).await))
            .help("if its log says that it is ready, a firewall or a proxy stands between"));
        }
        tokio::time::sleep(PAUSE).await;
    };

    let password = password();
    set_password(engine, container, &endpoint, &password, begun + patience).await?;
    endpoint.password = Some(password);
    loop {
        let error = match query(&endpoint).await {
            Ok(()) => return Ok(endpoint),
            Err(error) => error,
        };
        alive(engine, container).await?;
        if begun.elapsed() > patience {
            return Err(Error::stage(format!(
                "the server at `{}` does not answer a query",
                endpoint.shown()
            ))
            .because(error)
            .details(redact::foreign::log(container.log(engine, 20).await)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The superuser there, before it has a password.
fn superuser(base: &Base, host: &Host, port: u16) -> Endpoint {
    Endpoint {
        host: host.clone(),
        port,
        user: base.admin.superuser.clone(),
        password: None,
        database: base.admin.database.clone(),
        link: Link {
            quiet: Quiet::of_major(base.image.postgres_major),
            ..Link::default()
        },
    }
}

/// An error when the container ended.
pub(super) async fn alive(engine: &Engine, container: &Container) -> Result<()> {
    let state = container.state(engine).await?;
    if state.running == Some(true) {
        return Ok(());
    }
    let who = format!("the server of the image `{}`", container.image);
    Err(container.ended(engine, &who).await)
}

/// Whether a PostgreSQL server is behind the port: it answers a question for TLS before it looks at
/// anything else, and logs nothing about it. The engine's own proxy accepts connections too early.
async fn listens(host: &Host, port: u16) -> bool {
    /// Length 8, code 80877103: an `SSLRequest`.
    const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<u8> {
        stream.write_all(&REQUEST).await?;
        stream.read_u8().await
    }
    let ask = async {
        match host {
            Host::Tcp(host) => answer(TcpStream::connect((host.as_str(), port)).await?).await,
            Host::Unix(folder) => {
                let socket = folder.join(format!(".s.PGSQL.{port}"));
                answer(UnixStream::connect(socket).await?).await
            }
        }
    };
    // With TLS or without it. Anything else is no such server: from inside a container the address
    // on the engine's network may lead to somebody's web proxy.
    tokio::time::timeout(Duration::from_secs(2), ask)
        .await
        .is_ok_and(|answer| matches!(answer, Ok(b'S' | b'N')))
}

fn password() -> Secret {
    let bytes: [u8; 24] = rand::random();
    Secret::new(
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    )
}

/// Through the socket inside the container. Only what proves the password goes there, not the
/// password: a server that logs every statement does not log it either.
async fn set_password(
    engine: &Engine,
    container: &Container,
    endpoint: &Endpoint,
    password: &Secret,
    deadline: Instant,
) -> Result<()> {
    let tools = ContainerTools { engine, container };
    let verifier = postgres_protocol::password::scram_sha_256(password.reveal().as_bytes());
    let role = quoted(&endpoint.user);
    let sql = format!("ALTER ROLE {role} PASSWORD '{verifier}'");
    // As an argument: Podman's interface may lose what a program is to read, and `psql` takes an
    // empty input for success. Nobody gets the password from its verifier: it is 192 random bits.
    let quiet = "SET log_statement = 'none'";
    let arguments =
        ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", quiet, "-c", &sql].map(str::to_owned);
    loop {
        let output = tools.run(endpoint, "psql", &arguments, None).await;
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                // More to the point than "the container is not running".
                alive(engine, container).await?;
                return Err(error);
            }
        };
        if output.status == Some(0) {
            return Ok(());
        }
        alive(engine, container).await?;
        // 2: no connection, since the server is still starting up.
        if output.status != Some(2) || Instant::now() > deadline {
            return Err(Error::stage(format!(
                "the server did not take a password for the role `{}`",
                endpoint.user
            ))
            .details(output.stderr));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn query(endpoint: &Endpoint) -> Result<()> {
    let opened = open(endpoint, "lockproof").await?;
    let answer = opened.client.simple_query("SELECT 1").await.map(drop);
    drop(opened.client);
    opened.driver.await.ok();
    answer.map_err(|error| Error::stage("the first query failed").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_need_no_quoting() {
        assert_ne!(password(), password());
        assert!(
            password()
                .reveal()
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
        );
    }

    #[tokio::test]
    async fn a_proxy_with_nothing_behind_it_is_no_server() -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let accept = tokio::spawn(async move { listener.accept().await.map(drop) });
        assert!(!listens(&Host::Tcp("127.0.0.1".to_owned()), port).await);
        accept.await??;
        Ok(())
    }

    #[tokio::test]
    async fn only_the_answer_of_a_postgresql_server_counts() -> std::io::Result<()> {
        for (said, is_one) in [
            ("N", true),
            ("S", true),
            ("HTTP/1.1 400 Bad Request\r\n", false),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let port = listener.local_addr()?.port();
            let answer = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await?;
                stream.write_all(said.as_bytes()).await
            });
            let host = Host::Tcp("127.0.0.1".to_owned());
            assert_eq!(listens(&host, port).await, is_one, "{said}");
            answer.await??;
        }
        Ok(())
    }
}
