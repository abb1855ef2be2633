//! Whether a clone answers, and whether it is one.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::stage::Endpoint;
use crate::stage::connect::connect;
use crate::stage::external::{self, Names, Suspicion, examine, listed};
use crate::{Error, Result};

/// A session that looks and leaves.
const APPLICATION: &str = "lockproof door";

/// Waits until the server answers; what will not change by waiting is told at once.
pub(super) async fn answering(
    endpoint: &Endpoint,
    deadline: Instant,
    program: &str,
) -> Result<Client> {
    let mut pause = Duration::from_millis(100);
    loop {
        let attempt = async {
            let client = connect(endpoint, APPLICATION).await?;
            client
                .batch_execute("SELECT 1")
                .await
                .map_err(|error| Error::stage("its first query failed").because(error))?;
            Ok::<_, Error>(client)
        };
        let error = match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let final_word = error.as_ref().is_some_and(is_final);
        if final_word || Instant::now() + pause >= deadline {
            let told = Error::stage(format!(
                "the clone that `{program}` made does not answer at `{}`",
                endpoint.shown()
            ))
            .help(
                "see whether the URL that it prints is reached from here; `timeout` in `[source]` says how \
                 long is waited",
            );
            return Err(match error {
                Some(error) => told.because(error),
                None => told,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// True for what the server says of the role or the database: it is up. `stage::connect` has put the
/// cause into words by then, which end with the code.
fn is_final(error: &Error) -> bool {
    let story = error.story();
    [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ]
    .iter()
    .any(|state| story.contains(&format!("(SQLSTATE {})", state.code())))
}

/// Refuses an address on the list of production's, before anything is sent there.
pub(super) async fn refuse_listed(endpoint: &Endpoint, production: &Names) -> Result<()> {
    closed_to(&listed(endpoint, production).await, endpoint)
}

fn closed_to(suspicions: &[Suspicion], endpoint: &Endpoint) -> Result<()> {
    external::refuse_listed(suspicions, &endpoint.database).map_err(|error| {
        error.help(
            "have `provision` print the URL of a clone; where the list has a name that clones share with what \
             they are made of, name production's hosts in its place",
        )
    })
}

/// Refuses what is no fresh clone: others are at work there, or copy it. No marker is needed, and names that
/// are not on the list say nothing: a clone of production has production's.
pub(super) async fn refuse(
    client: &Client,
    endpoint: &Endpoint,
    confirmation: Option<&str>,
    production: &Names,
) -> Result<()> {
    let suspicions: Vec<Suspicion> =
        examine(client, endpoint, production, None, external::Looked::Clone)
            .await?
            .into_iter()
            .filter(|suspicion| !matches!(suspicion, Suspicion::Unmarked | Suspicion::Name { .. }))
            .collect();
    closed_to(&suspicions, endpoint)?;
    let database = &endpoint.database;
    let seen = suspicions.iter().map(Suspicion::to_string);
    if suspicions.contains(&Suspicion::Standby) {
        return Err(Error::stage(format!(
            "the clone `{database}` is a standby: no migration can run on it"
        ))
        .details(seen)
        .help("have `provision` promote it before it prints the URL"));
    }
    if suspicions.is_empty() || confirmation == Some(database) {
        return Ok(());
    }
    Err(Error::stage(format!(
        "the server of `{database}` is no clone of this run alone, and may be production"
    ))
    .details(seen)
    .help(format!(
        "have `provision` print the URL of a fresh clone; if this is one, write `confirm = \"{database}\"` \
         into `[source]` of the snapshot's description"
    )))
}
