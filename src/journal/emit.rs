//! One function a record. The names of their fields are a contract, kept in `docs/logging.md`.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;

use tracing::Level;

use super::rate::{Caused, Suppressed};
use super::record::{Ended, ProtocolError, Subject};
use super::subscriber::{ACCESS_TARGET, ERROR_TARGET};
use crate::state::bans::NewBan;
use crate::values::Endpoint;
use crate::values::Reason;

/// The longest header of a frame: 2 bytes, 8 of length, 4 of mask (RFC 6455 section 5.2).
const MAX_HEADER: usize = 14;

// tracing wants target and level to be constants, so each combination is a call of its own.
macro_rules! record {
    ($subject:expr, $reason:expr, $message:literal, $($fields:tt)*) => {
        if is_error($reason) {
            record!(@level ERROR_TARGET, $subject, $reason, $message, $($fields)*);
        } else {
            record!(@level ACCESS_TARGET, $subject, $reason, $message, $($fields)*);
        }
    };
    (@level $target:ident, $subject:expr, $reason:expr, $($rest:tt)*) => {
        match $reason.level() {
            Level::ERROR => record!(@emit $target, Level::ERROR, $subject, $($rest)*),
            Level::WARN => record!(@emit $target, Level::WARN, $subject, $($rest)*),
            Level::INFO => record!(@emit $target, Level::INFO, $subject, $($rest)*),
            Level::DEBUG => record!(@emit $target, Level::DEBUG, $subject, $($rest)*),
            Level::TRACE => record!(@emit $target, Level::TRACE, $subject, $($rest)*),
        }
    };
    (@emit $target:ident, $level:expr, $subject:expr, $message:literal,
     event = $event:literal, $($fields:tt)*) => {
        tracing::event!(
            target: $target,
            $level,
            event = $event,
            request_id = $subject.request_id.as_str(),
            peer = %$subject.peer,
            route = $subject.route.as_deref(),
            subprotocol = $subject.subprotocol.as_deref(),
            unlisted = $subject.unlisted.as_deref(),
            user = $subject.user.as_deref(),
            upstream = $subject.upstream.as_deref(),
            $($fields)*
            $message
        )
    };
}

/// A handshake was refused, at the level of its reason. `detail` says more than the client may
/// know; it may quote the client, and never holds a credential or a query string.
pub fn refused(subject: &Subject, reason: Reason, detail: &str) {
    let asked = Request::of(subject);
    record!(
        subject,
        reason,
        "handshake refused",
        event = "refused",
        reason = reason.name(),
        status = reason.codes().0,
        method = asked.method,
        host = asked.host.as_deref(),
        path = asked.path,
        detail = some(detail),
        hint = hint(reason),
    );
}

/// A client that had its 101 already was refused, at the level of the reason: the token in its first
/// message, or what came of it.
pub fn turned_away(subject: &Subject, reason: Reason, detail: &str) {
    let asked = Request::of(subject);
    record!(
        subject,
        reason,
        "client refused after its handshake",
        event = "refused",
        reason = reason.name(),
        code = reason.close_code(),
        method = asked.method,
        host = asked.host.as_deref(),
        path = asked.path,
        detail = some(detail),
        hint = hint(reason),
    );
}

/// A connection was dropped before anything was read of it.
pub fn dropped(peer: SocketAddr, reason: Reason, detail: &str) {
    tracing::warn!(
        target: ACCESS_TARGET,
        event = "dropped",
        %peer,
        reason = reason.name(),
        detail = some(detail),
        "connection dropped"
    );
}

/// A connection ended and nothing had been sent on it: a probe of a load balancer, or a browser that
/// connected ahead of need.
pub fn silent(subject: &Subject, detail: &str) {
    record!(@emit ACCESS_TARGET, Level::DEBUG, subject, "connection without a request",
        event = "connection.silent",
        detail = some(detail),
    );
}

/// Records were suppressed because clients caused too many. The error file gets it too: it may lack
/// some of them.
pub(super) fn suppressed(suppressed: &Suppressed) {
    let count =
        |caused: Caused| Some(suppressed.counts[caused as usize]).filter(|count| *count > 0);
    tracing::warn!(
        target: ERROR_TARGET,
        event = "suppressed",
        mostly = suppressed.mostly.map(tracing::field::display),
        dropped = count(Caused::Dropped),
        refused = count(Caused::Refused),
        connection_error = count(Caused::ConnectionError),
        protocol_error = count(Caused::ProtocolError),
        token_renewal = count(Caused::TokenRenewal),
        would_refuse = count(Caused::WouldRefuse),
        "records were suppressed: clients caused too many"
    );
}

/// A client handed in a new token; `result` says `renewed`, or why it was not taken.
pub fn token_renewal(request_id: &str, result: &str) {
    tracing::info!(
        target: ACCESS_TARGET,
        event = "token.renewal",
        request_id,
        result,
        "a client handed in a new token"
    );
}

/// A session is closed because the client is above one of its rates.
pub fn limited(subject: &Subject, reason: Reason, detail: &str) {
    record!(
        subject,
        reason,
        "client above its rate",
        event = "limited",
        reason = reason.name(),
        code = reason.close_code(),
        detail = some(detail),
    );
}

/// What a section in report mode would have refused, and let through.
pub fn would_refuse(subject: &Subject, reason: Reason, detail: &str) {
    record!(
        subject,
        reason,
        "let through in report mode",
        event = "would_refuse",
        reason = reason.name(),
        detail = some(detail),
    );
}

/// The upstream refused a handshake by itself, and the client was passed its answer, with a body that
/// was `cut` where it is longer than the gateway passes on.
pub fn answered(subject: &Subject, status: u16, cut: bool) {
    let asked = Request::of(subject);
    record!(@emit ACCESS_TARGET, Level::INFO, subject, "the upstream refused the handshake",
        event = "answered",
        status = status,
        body_cut = cut.then_some(true),
        method = asked.method,
        host = asked.host.as_deref(),
        path = asked.path,
    );
}

/// The 101 was sent.
pub fn session_opened(subject: &Subject) {
    record!(@emit ACCESS_TARGET, Level::INFO, subject, "session opened",
        event = "session.opened",
    );
}

/// Both directions are over.
pub fn session_ended(subject: &Subject, ended: &Ended) {
    record!(@emit ACCESS_TARGET, Level::INFO, subject, "session ended",
        event = "session.ended",
        by = ended.by.map_or("gateway", Endpoint::name),
        reason = ended.reason.name(),
        code = ended.code,
        detail = ended.detail.as_deref().and_then(some),
        duration_ms = u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX),
        client_frames = ended.client.frames,
        client_messages = ended.client.messages,
        client_bytes = ended.client.bytes,
        upstream_frames = ended.upstream.frames,
        upstream_messages = ended.upstream.messages,
        upstream_bytes = ended.upstream.bytes,
        would_refuse = (ended.let_through > 0).then_some(ended.let_through),
    );
}

/// An end broke RFC 6455 or a limit of `[websocket]`. The session's own end is a record apart.
pub fn protocol_error(subject: &Subject, error: &ProtocolError<'_>) {
    record!(
        subject,
        error.reason,
        "protocol error",
        event = "protocol.error",
        reason = error.reason.name(),
        direction = error.direction(),
        frame_offset = error.frame_offset,
        offset = error.offset,
        header_hex = hex(error.header).as_str(),
        header = error.decoded,
        section = error.section,
        rule = error.rule,
    );
}

/// A connection failed: a peer was lost, TLS failed, an upstream did not answer, a time was over.
/// `detail` as in [`refused`]. A handshake that was answered with a status is [`refused`] alone.
pub fn connection_error(subject: &Subject, reason: Reason, detail: &str) {
    record!(
        subject,
        reason,
        "connection error",
        event = "connection.error",
        reason = reason.name(),
        detail = some(detail),
    );
}

/// Strikes made a ban. One line an address and a ban, for people and for `fail2ban`; the refusals that
/// follow from it are records of their own.
pub fn banned(new: &NewBan) {
    tracing::warn!(
        target: ACCESS_TARGET,
        event = "banned",
        address = %new.address,
        network = %new.ban.network,
        reason = new.reason.name(),
        strikes = new.strikes,
        offences = new.ban.offences,
        until = %new.ban.until,
        "address banned"
    );
}

/// Whether a reason is a protocol or connection error, whose records the error file gets too: an
/// end, or the way to it, did not work as the protocols ask. That the gateway's rules said no, or
/// that a session ended as somebody chose, is not.
#[must_use]
pub fn is_error(reason: Reason) -> bool {
    match reason {
        Reason::HandshakeMalformed
        | Reason::HandshakeTimeout
        | Reason::HeadTooLarge
        | Reason::Version
        | Reason::UpstreamHandshake
        | Reason::UpstreamUnavailable
        | Reason::UpstreamTimeout
        | Reason::UpstreamLost
        | Reason::UpstreamProtocol
        | Reason::FrameProtocol
        | Reason::FrameUtf8
        | Reason::FrameTooBig
        | Reason::MessageTooBig
        | Reason::MessageFragments
        | Reason::MessageTimeout
        | Reason::PingTimeout
        | Reason::IdleTimeout
        | Reason::TlsFailed
        | Reason::ProxyMalformed
        | Reason::ForwardedMalformed
        | Reason::ClientLost
        | Reason::TokenUnverifiable
        | Reason::Internal => true,
        Reason::TokenMultiple
        | Reason::TokenMissing
        | Reason::TokenInvalid
        | Reason::TokenExpired
        | Reason::TokenRevoked
        | Reason::CertificateExpired
        | Reason::CertificateInvalid
        | Reason::ClaimsDenied
        | Reason::AuthTimeout
        | Reason::SessionKicked
        | Reason::OriginDenied
        | Reason::FirewallDenied
        | Reason::BanActive
        | Reason::LimitHandshakes
        | Reason::LimitConnections
        | Reason::LimitUser
        | Reason::LimitMessages
        | Reason::LimitBytes
        | Reason::LimitControl
        | Reason::RouteNone
        | Reason::Method
        | Reason::SniMismatch
        | Reason::UpgradeRequired
        | Reason::Capacity
        | Reason::LifetimeOver
        | Reason::Shutdown
        | Reason::Closed => false,
    }
}

/// The fields of a record that say what was asked for, as far as it is known.
#[derive(Default)]
struct Request<'a> {
    method: Option<&'a str>,
    host: Option<Cow<'a, str>>,
    path: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn of(subject: &'a Subject) -> Self {
        subject.request.as_deref().map_or_else(Self::default, |request| Self {
            method: request.method(),
            host: request.host(),
            path: request.path(),
        })
    }
}

/// What an operator can do to find out more.
fn hint(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::RouteNone => Some(
            "`framewall explain` with --ip, --host and --path of this record says which route a \
             request takes",
        ),
        Reason::UpgradeRequired => Some(
            "no WebSocket was asked for: a proxy in between may have dropped Upgrade and Connection; \
             `framewall explain` with --ip, --host and --path of this record says what a WebSocket \
             would get",
        ),
        _ => None,
    }
}

/// An empty detail is none.
fn some(detail: &str) -> Option<&str> {
    (!detail.is_empty()).then_some(detail)
}

fn hex(header: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in header.iter().take(MAX_HEADER).enumerate() {
        let space = if index == 0 { "" } else { " " };
        // Writing to a String does not fail.
        let _ = write!(text, "{space}{byte:02x}");
    }
    text
}
