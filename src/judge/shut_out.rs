//! Whether a step failed because the network was closed to it: told by the words of the connections that failed. Pure.

use crate::analyse::{StepFacts, Timeline};
use crate::stage::Network;

/// Who could not connect to where it wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutOut {
    /// The stage's server, on behalf of a statement.
    Server,
    /// The program of a command step.
    Program,
}

/// What libpq, the C library, language runtimes and HTTP clients say when there is no way to a host.
const WORDS: [&str; 19] = [
    "connection refused",
    "econnrefused",
    "could not connect",
    "could not establish connection",
    "could not translate host name",
    "couldn't connect",
    "could not resolve",
    "couldn't resolve",
    "enetunreach",
    "enotfound",
    "eai_again",
    "failed to connect",
    "getaddrinfo",
    "name or service not known",
    "name resolution",
    "network is unreachable",
    "no such host",
    "nodename nor servname",
    "unknown host",
];

/// Who it was, where a closed network explains the failure.
pub(super) fn find(
    timeline: &Timeline,
    facts: &StepFacts,
    message: &str,
    details: &[String],
) -> Option<ShutOut> {
    let is_closed = |network: Option<Network>| network == Some(Network::Closed);
    let who = match &facts.command {
        Some(command) if is_closed(command.network.as_ref().map(|network| network.is)) => {
            ShutOut::Program
        }
        Some(_) => return None,
        None => {
            let stage = timeline.stage.as_ref()?;
            let network = stage.network.as_ref().map(|network| network.is);
            is_closed(network).then_some(ShutOut::Server)?
        }
    };
    let says = |text: &str| {
        let text = text.to_lowercase();
        WORDS.iter().any(|words| text.contains(words))
    };
    (says(message) || details.iter().any(|line| says(line))).then_some(who)
}
