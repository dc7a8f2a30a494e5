//! The check that the Host of a request matches the server name of the TLS handshake.

use std::fmt;

use super::checks::{CheckOutcome, StepText};
use super::context::CheckContext;
use super::{Arrival, Table};
use crate::tls::ServerNames;
use crate::values::Host;
use crate::values::{Reason, Refusal};

/// Checks that the server name of the TLS handshake matches the host of the request.
pub(super) fn check(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let (request, arrival) = cx.live()?;
    let matched = matched(cx.policy.names.as_deref(), arrival, request.host())?;
    cx.found.server_name = Some(matched);
    Ok(CheckOutcome::Passed)
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    let matched = cx.found.server_name.unwrap_or(NameMatch::Plain);
    StepText::by(matched.to_string(), matched.key())
}

/// The reason why a server name matches a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameMatch<'a> {
    /// The connection has no TLS.
    Plain,
    /// A trusted proxy opened the TLS connection and chose the server name.
    Proxy,
    /// The client sent no server name.
    NotAsked,
    /// The host is an address.
    Address(&'a Host),
    /// The gateway serves both names with the same certificates.
    SamePolicy { server_name: &'a str, host: &'a Host },
}

/// Matches the server name against the host. By RFC 9110 section 7.4 a request is misdirected if the
/// two have different TLS policies. A client that sent no server name, or uses an address as host,
/// never mismatches. `names` are the names of the certificates; the server name is in the canonical
/// form of hosts. A trusted proxy that opens a TLS connection of its own sends its configured server
/// name for all hosts.
fn matched<'a>(
    names: Option<&ServerNames>,
    arrival: Arrival<'a>,
    host: &'a Host,
) -> Result<NameMatch<'a>, Refusal> {
    let Some(names) = names else {
        return Ok(NameMatch::Plain);
    };
    if arrival.by_proxy {
        return Ok(NameMatch::Proxy);
    }
    let Some(server_name) = arrival.server_name else {
        return Ok(NameMatch::NotAsked);
    };
    if host.is_address() {
        return Ok(NameMatch::Address(host));
    }
    if names.same_policy(server_name, host.as_str()) {
        return Ok(NameMatch::SamePolicy { server_name, host });
    }
    let detail = format!("TLS was asked for {server_name}, the Host header names {host}");
    Err(Refusal::new(Reason::SniMismatch, detail).by("certificates"))
}

impl NameMatch<'_> {
    /// The configuration key that decided.
    fn key(&self) -> String {
        match self {
            Self::Plain => Table::Only("tls").key("mode"),
            Self::Proxy => Table::Only("server").key("trusted_proxies"),
            _ => Table::Only("tls").key("certificates"),
        }
    }
}

impl fmt::Display for NameMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("none, without TLS"),
            Self::Proxy => f.write_str("any, as a trusted proxy asks for its own"),
            Self::NotAsked => f.write_str("none, which goes with every host"),
            Self::Address(host) => write!(f, "any goes with {host}, which is an address"),
            Self::SamePolicy { server_name, host } if *server_name == host.as_str() => {
                write!(f, "{server_name}, the host")
            }
            Self::SamePolicy { server_name, host } => {
                write!(f, "{server_name} has the same certificates as the host {host}")
            }
        }
    }
}
