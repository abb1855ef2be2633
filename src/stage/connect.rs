//! The one place that opens connections, to stages of ours and to servers of others.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Socket};

use super::census;
use super::quiet;
use super::refusal::{self, Failure, Way};
use super::tls::{Connector, Mode, Negotiation};
use crate::Result;
use crate::stage::Endpoint;

pub(crate) use super::quiet::Triggers;
pub use super::refusal::{Told, said, tell, tell_about};

/// A server that is asked to cancel a statement does not answer; this long it may take to listen.
const CANCELLING: Duration = Duration::from_secs(5);

/// An open connection; it ends when the client is dropped.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The driver's client.
    pub(crate) client: Client,
    /// What the server said of its version in its greeting; None: nothing.
    pub(crate) server_version: Option<String>,
    /// Cancels what runs on it.
    pub(crate) canceller: Canceller,
    /// The version of TLS; None: it is not encrypted.
    pub(crate) encryption: Option<&'static str>,
    /// Ends with the connection.
    pub(crate) driver: JoinHandle<()>,
    /// Known as ours, as long as it lives.
    session: census::Session,
}

/// Asks the server to cancel what runs on a connection, over TLS where that has it.
#[derive(Debug)]
pub(crate) struct Canceller(Option<Connector>);

impl Canceller {
    /// Asks once. Whether it was heard is seen by what becomes of the statement.
    pub(crate) async fn cancel(&self, client: &Client) {
        let token = client.cancel_token();
        let request = async {
            match &self.0 {
                Some(connector) => token.cancel_query(connector.clone()).await,
                None => token.cancel_query(NoTls).await,
            }
        };
        let _ = timeout(CANCELLING, request).await;
    }
}

/// Connects under this `application_name`; the current runtime drives the connection. No event trigger
/// fires for the session, where the server and the role allow that.
///
/// # Errors
/// The server cannot be reached, does not answer in time, is not who it should be, or refuses.
pub(crate) async fn open(endpoint: &Endpoint, application_name: &str) -> Result<Opened> {
    open_with(endpoint, application_name, Triggers::Rest).await
}

/// The same, and says whether event triggers fire for the session.
pub(crate) async fn open_with(
    endpoint: &Endpoint,
    application_name: &str,
    triggers: Triggers,
) -> Result<Opened> {
    let config = endpoint.config(application_name);
    let quiet = &endpoint.link.quiet;
    let asks = triggers == Triggers::Rest && !quiet.is_refused();
    if asks {
        let mut config = config.clone();
        config.options(quiet::with_ours(endpoint.link.options.as_deref()));
        match try_all(endpoint, &config).await {
            Ok(opened) => {
                quiet.note_taken();
                return Ok(ours(opened, endpoint, triggers).await);
            }
            Err(failures) if may_be_quiet_s(&failures) => {}
            Err(failures) => return Err(refusal::error(endpoint, &failures)),
        }
    }
    match try_all(endpoint, &config).await {
        Ok(opened) => {
            if asks {
                quiet.note_refused();
            }
            Ok(ours(opened, endpoint, triggers).await)
        }
        Err(failures) => Err(refusal::error(endpoint, &failures)),
    }
}

/// Has the server end what it runs for us soon after we are gone: a statement alone would go on to its end. Since
/// PostgreSQL 14 it can, where its system can tell; elsewhere a session ends at its next reply. Also notes which process
/// of the server is ours.
async fn ours(opened: Opened, endpoint: &Endpoint, triggers: Triggers) -> Opened {
    const OLDEST: u32 = 12;
    const SINCE: u32 = 14;
    const CHECKS: &str = "SET client_connection_check_interval = '1s'";
    let version = opened.server_version.as_deref().unwrap_or_default();
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    let major: u32 = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    // One that is too old is asked nothing.
    if major < OLDEST {
        return opened;
    }
    let checks = async {
        if major >= SINCE {
            // Whether it was taken changes nothing else.
            let _ = opened.client.batch_execute(CHECKS).await;
        }
    };
    let asked = opened
        .client
        .simple_query("SELECT pg_catalog.pg_backend_pid()");
    // Our questions of the catalogue are large and asked seldom: compiling one takes longer than answering it.
    let interprets = async {
        if triggers == Triggers::Rest {
            let _ = opened.client.batch_execute("SET jit = off").await;
        }
    };
    // All are on their way before the first is answered. A server that does not answer is told of by who asks next.
    let all = async { tokio::join!(checks, interprets, asked).2 };
    let answer = timeout(endpoint.patience(), all).await;
    let process = answer.ok().and_then(Result::ok).and_then(|messages| {
        messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        })
    });
    if let Some(process) = process {
        opened.session.is(endpoint, process);
    }
    opened
}

/// Tries each way.
async fn try_all(endpoint: &Endpoint, config: &Config) -> Result<Opened, Vec<(Way, Failure)>> {
    let mut failures = Vec::new();
    for way in ways(endpoint) {
        let counted = census::begin(endpoint);
        match attempt(endpoint, config.clone(), *way).await {
            Ok(opened) => {
                counted.opened();
                return Ok(opened);
            }
            Err(failure) => {
                let ends = !failure.lets_try_otherwise(*way);
                failures.push((*way, failure));
                if ends {
                    break;
                }
            }
        }
    }
    Err(failures)
}

/// Whether a server that was reached may have refused what a quiet session asks for.
fn may_be_quiet_s(failures: &[(Way, Failure)]) -> bool {
    failures.iter().any(|(_, failure)| match failure {
        Failure::Driver { error, .. } => quiet::may_be_the_reason(error.code()),
        Failure::Silent(_) => false,
    })
}

/// The same, for whoever needs no more than the client.
pub(crate) async fn connect(endpoint: &Endpoint, application_name: &str) -> Result<Client> {
    Ok(open(endpoint, application_name).await?.client)
}

/// What is tried, one after the other.
fn ways(endpoint: &Endpoint) -> &'static [Way] {
    match endpoint.link.tls.as_ref().map(|tls| tls.wanted().mode) {
        None | Some(Mode::Disable) => &[Way::Plain],
        Some(Mode::Allow) => &[Way::Plain, Way::Encrypted],
        Some(Mode::Prefer) => &[Way::EncryptedIfOffered, Way::Plain],
        Some(Mode::Require | Mode::VerifyCa | Mode::VerifyFull) => &[Way::Encrypted],
    }
}

async fn attempt(endpoint: &Endpoint, mut config: Config, way: Way) -> Result<Opened, Failure> {
    // An address that is silent takes the first half at most, so that the next one has its turn.
    let patience = endpoint.patience() * 2;
    let silent = |_| Failure::Silent(patience);
    let (Some(tls), false) = (&endpoint.link.tls, way == Way::Plain) else {
        config.ssl_mode(SslMode::Disable);
        let opened = timeout(patience, drive(&config, NoTls))
            .await
            .map_err(silent)?;
        return opened.map_err(|error| Failure::Driver {
            error,
            encryption: None,
        });
    };
    config
        .ssl_mode(match way {
            Way::Encrypted => SslMode::Require,
            _ => SslMode::Prefer,
        })
        .ssl_negotiation(match tls.wanted().negotiation {
            Negotiation::Postgres => SslNegotiation::Postgres,
            Negotiation::Direct => SslNegotiation::Direct,
        });
    let connector = tls.connector();
    let opened = timeout(patience, drive(&config, connector.clone()))
        .await
        .map_err(silent)?;
    let mut opened = opened.map_err(|error| Failure::Driver {
        error,
        encryption: connector.version(),
    })?;
    opened.encryption = connector.version();
    opened.canceller = Canceller(Some(connector));
    Ok(opened)
}

async fn drive<T>(config: &Config, tls: T) -> Result<Opened, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    let server_version = connection.parameter("server_version").map(str::to_owned);
    // Its error reaches whoever uses the client next.
    let session = census::Session::default();
    let known = session.clone();
    let driver = tokio::spawn(async move {
        let _ = connection.await;
        drop(known);
    });
    Ok(Opened {
        client,
        server_version,
        canceller: Canceller(None),
        encryption: None,
        driver,
        session,
    })
}

/// An SQL identifier in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
