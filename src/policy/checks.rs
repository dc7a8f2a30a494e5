//! The list of checks: their order, their configuration keys, and whether a reload runs them again over
//! open sessions. To add a check, add one entry here and one function.

use std::future::Future;
use std::pin::Pin;

use super::context::CheckContext;
use super::{
    address, bearer, certificate, credential, exchange, origin, protocol, requests, route,
    server_name,
};
use super::{terms, user};
use crate::values::Refusal;

/// The point in a connection at which a check runs. Each phase runs as soon as the facts that its
/// checks read are known, and returns a type that the next phase takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The client's address: for a direct client before its first byte is read, for the client of a
    /// trusted proxy after the proxy named it.
    Address,
    /// The client certificate, for `explain` and reloads. The TLS handshake itself verifies it, in rustls.
    Certificate,
    /// The start of a request, which may come long after the connection was accepted.
    Exchange,
    /// The rate of plain requests of the address; handshakes have a rate of their own.
    Request,
    /// The route of a parsed request.
    Route,
    /// The rate of plain requests of the address on the route.
    RouteRequest,
    /// The head of the request, by the rules of its route.
    Head,
    /// The token of the request head, of the first message, or of a renewal.
    Token,
    /// The rate of plain requests of the user that the token names.
    UserRequest,
    /// The limits of the user that the token names.
    User,
    /// The session that is about to start.
    Session,
}

/// One check of admission.
#[derive(Debug)]
pub struct Check {
    /// The phase of the check. Within a phase, the order of the list decides.
    pub phase: Phase,
    /// The name of its step in `framewall explain`.
    pub name: &'static str,
    /// The configuration key of the check. A check may name a more precise key for its outcome.
    pub key: CheckKey,
    /// The function that checks a connecting client.
    pub(super) run: Run,
    /// The function that checks an open session on a reload; `None`: a reload skips the check.
    pub(super) rerun: Option<CheckFn>,
    /// The text for a passed check in `framewall explain`, which is built only there; `None`: no step
    /// is shown.
    pub(super) passed: Option<fn(&CheckContext<'_>) -> StepText>,
}

/// The function of a check: it reads facts from the context, and stores its finding there.
pub(super) type CheckFn = fn(&mut CheckContext<'_>) -> Result<CheckOutcome, Refusal>;

/// The future of a check that waits.
pub(super) type Waiting<'c> =
    Pin<Box<dyn Future<Output = Result<CheckOutcome, Refusal>> + Send + 'c>>;

/// How a check runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// Synchronously.
    Now(CheckFn),
    /// Asynchronously: the check may wait, for a JWK Set for example. Only in [`Phase::Token`].
    Waits(for<'c> fn(&'c mut CheckContext<'_>) -> Waiting<'c>),
}

/// The outcome of a check that did not refuse.
#[derive(Debug)]
pub(super) enum CheckOutcome {
    Passed,
    /// The configuration or the request has nothing to check: `explain` shows no step.
    NotApplicable,
    /// The check refused, but its section is in report mode: the client passes.
    Reported(Refusal),
}

/// The text of a step, and its key if it differs from the key in the list.
pub(super) struct StepText {
    pub(super) text: String,
    pub(super) key: Option<String>,
}

/// A configuration key, in a table that may depend on the context.
#[derive(Debug, Clone, Copy)]
pub struct CheckKey {
    pub(super) section: ConfigSection,
    /// The name of the key; empty: the table as a whole.
    pub(super) name: &'static str,
}

/// A kind of table of the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConfigSection {
    /// A table that exists once.
    Only(&'static str),
    /// `[routes.NAME]` of the client's route.
    Route,
    /// `[jwt.NAME]` of the token's issuer, or of the first issuer of the route.
    Issuer,
}

const SERVER: ConfigSection = ConfigSection::Only("server");
const TLS: ConfigSection = ConfigSection::Only("tls");
const FIREWALL: ConfigSection = ConfigSection::Only("firewall");
const LIMITS: ConfigSection = ConfigSection::Only("limits");

/// All checks, in order.
pub const CHECKS: &[Check] = &[
    Check {
        phase: Phase::Address,
        name: "address",
        key: key(SERVER, "trusted_proxies"),
        run: Run::Now(address::classify),
        rerun: None,
        passed: Some(address::classified),
    },
    Check {
        phase: Phase::Address,
        name: "firewall",
        key: key(FIREWALL, ""),
        run: Run::Now(address::check_rules),
        rerun: Some(address::check_rules),
        passed: Some(address::rules_passed),
    },
    Check {
        phase: Phase::Address,
        name: "ban",
        key: key(FIREWALL, "ban"),
        run: Run::Now(address::check_ban),
        rerun: None,
        passed: Some(address::ban_passed),
    },
    Check {
        phase: Phase::Address,
        name: "handshakes",
        key: key(LIMITS, "handshakes_per_ip"),
        run: Run::Now(address::check_handshakes),
        rerun: None,
        passed: Some(address::handshakes_passed),
    },
    Check {
        phase: Phase::Address,
        name: "connections",
        key: key(LIMITS, "connections_per_ip"),
        run: Run::Now(address::take_connection),
        rerun: None,
        passed: Some(address::connection_passed),
    },
    Check {
        phase: Phase::Address,
        name: "limits",
        key: key(LIMITS, "mode"),
        run: Run::Now(address::note_report_mode),
        rerun: None,
        passed: Some(address::report_mode_noted),
    },
    Check {
        phase: Phase::Certificate,
        name: "certificate",
        key: key(TLS, "client_ca"),
        run: Run::Now(certificate::check),
        rerun: Some(certificate::recheck),
        passed: Some(certificate::passed),
    },
    // A direct client may have been banned between its connection and its request.
    Check {
        phase: Phase::Exchange,
        name: "ban",
        key: key(FIREWALL, "ban"),
        run: Run::Now(address::check_ban),
        rerun: None,
        passed: None,
    },
    Check {
        phase: Phase::Exchange,
        name: "capacity",
        key: key(SERVER, "max_connections"),
        run: Run::Now(exchange::check_capacity),
        rerun: None,
        passed: None,
    },
    Check {
        phase: Phase::Exchange,
        name: "shutdown",
        key: key(SERVER, ""),
        run: Run::Now(exchange::check_shutdown),
        rerun: None,
        passed: None,
    },
    Check {
        phase: Phase::Request,
        name: "requests",
        key: key(LIMITS, "requests"),
        run: Run::Now(requests::check_address),
        rerun: None,
        passed: Some(requests::passed),
    },
    Check {
        phase: Phase::Route,
        name: "server name",
        key: key(TLS, "certificates"),
        run: Run::Now(server_name::check),
        rerun: None,
        passed: Some(server_name::passed),
    },
    Check {
        phase: Phase::Route,
        name: "route",
        key: key(ConfigSection::Only("routes"), ""),
        run: Run::Now(route::check),
        rerun: Some(route::check),
        passed: Some(route::passed),
    },
    Check {
        phase: Phase::RouteRequest,
        name: "requests",
        key: key(ConfigSection::Route, "requests"),
        run: Run::Now(requests::check_address_on_route),
        rerun: None,
        passed: Some(requests::passed_on_route),
    },
    Check {
        phase: Phase::Head,
        name: "protocol",
        key: key(ConfigSection::Route, "messages.protocol"),
        run: Run::Now(protocol::check),
        rerun: None,
        passed: Some(protocol::passed),
    },
    Check {
        phase: Phase::Head,
        name: "credential",
        key: key(ConfigSection::Issuer, "token_from"),
        run: Run::Now(credential::check),
        rerun: None,
        passed: Some(credential::passed),
    },
    Check {
        phase: Phase::Head,
        name: "origin",
        key: key(ConfigSection::Route, "origins"),
        run: Run::Now(origin::check),
        rerun: Some(origin::check),
        passed: Some(origin::passed),
    },
    // If the token comes in the first message, admission pauses here until the message arrives.
    Check {
        phase: Phase::Head,
        name: "token",
        key: key(ConfigSection::Issuer, "token_from"),
        run: Run::Now(bearer::await_message),
        rerun: None,
        passed: Some(bearer::message_awaited),
    },
    Check {
        phase: Phase::Token,
        name: "token",
        key: key(ConfigSection::Issuer, ""),
        run: Run::Waits(bearer::authenticate),
        rerun: Some(bearer::recheck_issuer),
        passed: Some(bearer::authenticated),
    },
    Check {
        phase: Phase::Token,
        name: "claims",
        key: key(ConfigSection::Issuer, "require"),
        run: Run::Now(bearer::authorize),
        rerun: Some(bearer::recheck_claims),
        passed: Some(bearer::authorized),
    },
    Check {
        phase: Phase::Token,
        name: "revocation",
        key: key(ConfigSection::Only("admin"), "revocations"),
        run: Run::Now(bearer::check_revocation),
        rerun: None,
        passed: Some(bearer::revocation_passed),
    },
    #[cfg(test)]
    super::tests::PROBE,
    Check {
        phase: Phase::UserRequest,
        name: "requests",
        key: key(LIMITS, "requests"),
        run: Run::Now(requests::check_user),
        rerun: None,
        passed: None,
    },
    Check {
        phase: Phase::UserRequest,
        name: "requests",
        key: key(ConfigSection::Route, "requests"),
        run: Run::Now(requests::check_user_on_route),
        rerun: None,
        passed: None,
    },
    Check {
        phase: Phase::User,
        name: "user",
        key: key(LIMITS, "connections_per_user"),
        run: Run::Now(user::take_session),
        rerun: None,
        passed: Some(user::passed),
    },
    Check {
        phase: Phase::Session,
        name: "compression",
        key: key(ConfigSection::Route, "websocket.compression"),
        run: Run::Now(exchange::read_offers),
        rerun: None,
        passed: None,
    },
    Check {
        phase: Phase::Session,
        name: "rates",
        key: key(LIMITS, ""),
        run: Run::Now(|_| Ok(CheckOutcome::Passed)),
        rerun: None,
        passed: Some(terms::rates),
    },
    Check {
        phase: Phase::Session,
        name: "upstream",
        key: key(ConfigSection::Route, "upstream"),
        run: Run::Now(|_| Ok(CheckOutcome::Passed)),
        rerun: None,
        passed: Some(terms::upstream),
    },
];

pub(super) const fn key(section: ConfigSection, name: &'static str) -> CheckKey {
    CheckKey { section, name }
}

impl From<String> for StepText {
    /// A text with the key in the list.
    fn from(text: String) -> Self {
        Self { text, key: None }
    }
}

impl StepText {
    pub(super) fn by(text: impl Into<String>, key: String) -> Self {
        Self { text: text.into(), key: Some(key) }
    }
}
