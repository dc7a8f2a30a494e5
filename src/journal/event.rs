//! The event type: one variant for each thing that can happen.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use super::subject::Subject;
use crate::values::Endpoint;
use crate::values::Flow;
use crate::values::Network;
use crate::values::Reason;
use crate::values::UnixTime;

/// An event of the gateway. All data is borrowed, so that an event that no sink wants costs no
/// allocation. A `detail` may quote a peer, must not be sent to peers, and never holds a credential or
/// a query string.
#[derive(Clone, Copy)]
#[expect(
    missing_docs,
    reason = "a variant names its fields, and docs/logging.md says what they mean"
)]
pub enum Event<'a> {
    /// A listening socket was opened at `address`.
    Listening { address: SocketAddr, tls: bool },
    /// The configuration in use has a lint that `framewall check` reports.
    Lint { name: &'a str, line: Option<usize>, message: &'a str },
    /// These routes have all defaults of `[websocket]`, of which an application and its clients can notice some.
    DefaultLimits { routes: &'a str },
    /// The system allows fewer open files than `max_connections` needs.
    OpenFiles { limit: u64, wanted: u64 },
    /// A listener could not accept; it tries again after `pause`.
    AcceptFailed { error: &'a dyn Display, pause: Duration },
    /// The gateway received a signal that it ignores.
    SignalIgnored { signal: &'a str },
    /// A configuration was loaded and is in force.
    Reloaded {
        generation: u64,
        sessions: usize,
        draining: usize,
        warnings: usize,
        after_restart: &'a [&'a str],
    },
    /// A configuration could not be loaded; the one before it stays in force.
    ReloadFailed { error: &'a dyn Display },
    /// The process `pid` serves in place of this one, which ends its sessions.
    Upgraded { pid: u32, sessions: usize },
    /// There was no upgrade; this process goes on.
    UpgradeFailed { error: &'a dyn Display },
    /// A drain begins; its sessions are told to end over the time `over`.
    DrainBegun { drain: DrainRecord<'a>, over: Duration },
    /// All sessions of a drain are over; `sessions` is the number of those that it ended.
    Drained(DrainRecord<'a>),
    /// An operator stopped a drain; `sessions` stay.
    Undrained(DrainRecord<'a>),
    /// An operator observes the messages of a route, for this time at most.
    ObservationBegun { observation: ObservationRecord<'a>, lasting: Duration },
    /// An observation ended: its time is over (`time`), or its `client`, an `upgrade` or a `shutdown` ended it.
    ObservationEnded {
        observation: ObservationRecord<'a>,
        sessions: u64,
        messages: u64,
        ended: &'static str,
    },
    /// A task panicked at `place` in the source.
    Panic { place: &'a str },
    /// Shutdown began while this many sessions were open.
    Stopping { sessions: usize },
    /// `shutdown_grace` has passed, and this many sessions are cut.
    Cut { sessions: usize },
    /// The gateway stopped.
    Stopped,
    /// The counters of the gateway, every ten seconds. The log omits them.
    Counters(&'a Counters),

    /// A client connected to a listener.
    Connected { peer: SocketAddr },
    /// A connection was dropped before anything was read from it.
    Dropped { peer: SocketAddr, reason: Reason, detail: &'a str },
    /// A connection ended before its client sent a byte: a probe of a load balancer, or a browser that
    /// connected in advance.
    Silent { subject: &'a Subject, detail: &'a str },
    /// A connection failed, and its handshake was not answered with a status: a peer was lost, TLS
    /// failed or a timeout expired.
    ConnectionError { subject: &'a Subject, reason: Reason, detail: &'a str },

    /// A handshake was refused with an HTTP status.
    Refused { subject: &'a Subject, reason: Reason, detail: &'a str },
    /// A client was refused after its 101: its first message brought no valid token, or the handshake
    /// with the upstream failed.
    RefusedAfterHandshake { subject: &'a Subject, reason: Reason, detail: &'a str },
    /// The upstream refused a handshake, and its response was forwarded; `cut`: the body is incomplete.
    Answered { subject: &'a Subject, status: u16, cut: bool },
    /// An upstream answered a plain request, and the answer has ended; `bytes`: those of its body that went to the
    /// client; `reason`: why the gateway ended it.
    Forwarded {
        subject: &'a Subject,
        status: u16,
        bytes: u64,
        is_whole: bool,
        reason: Option<Reason>,
        duration: Duration,
    },
    /// A section in report mode let something through that enforcement would refuse.
    WouldRefuse { subject: &'a Subject, reason: Reason, detail: &'a str },

    /// A message breaks a rule of its route, and was not forwarded. Recorded once for each session, sender and reason.
    MessageRefused {
        subject: &'a Subject,
        from: Endpoint,
        reason: Reason,
        outcome: &'static str,
        detail: &'a str,
    },

    /// The client got its 101, and frames are relayed.
    SessionOpened { subject: &'a Subject },
    /// A client sent a new token; `result` is `renewed` or the name of a reason.
    TokenRenewal { request_id: &'a str, peer: IpAddr, result: &'a str },
    /// A frame violated RFC 6455 or a limit of `[websocket]`. The end of the session follows.
    ProtocolError { subject: &'a Subject, error: ProtocolError<'a> },
    /// A client exceeded a rate limit, and its session is being closed.
    Limited { subject: &'a Subject, reason: Reason, detail: &'a str },
    /// Both directions of a session have ended.
    SessionEnded { subject: &'a Subject, ended: &'a Ended },

    /// An attempt for a client of this `route` failed, or this active `check`, and marked the upstream. It is
    /// tried last for `rest`, or until its check passes; it went down `unlogged` times before without an event.
    UpstreamDown {
        upstream: &'a str,
        route: Option<&'a str>,
        check: Option<&'a str>,
        detail: &'a str,
        rest: Option<Duration>,
        unlogged: u32,
    },
    /// An upstream answered again, a client or this `check`, after this time and number of failures.
    UpstreamUp { upstream: &'a str, check: Option<&'a str>, after: Duration, failures: u32 },
    /// The name of upstreams could not be resolved; this many addresses of the last resolution stay in use.
    NameUnresolved { host: &'a str, addresses: usize, error: &'a str },
    /// A name was resolved again, to this many addresses.
    NameResolved { host: &'a str, addresses: usize },
    /// A request was refused because the servers that it may use are busy, `upstream` first among them; before it
    /// `unlogged` others were refused without an event. `waiting` requests wait for that server.
    UpstreamBusy { upstream: &'a str, route: &'a str, waiting: usize, unlogged: u32 },
    /// A JWK Set was fetched.
    JwksRefreshed { issuer: &'a str, source: &'a str, keys: usize, names: &'a str },
    /// A JWK Set could not be fetched, and the last one, of this `age`, stays in use.
    JwksStale { issuer: &'a str, source: &'a str, age: Duration, error: &'a str },
    /// A JWK Set could not be fetched, and no earlier one exists.
    JwksFailed { issuer: &'a str, source: &'a str, error: &'a str },

    /// Strikes led to a ban.
    Banned {
        address: IpAddr,
        network: Network,
        reason: Reason,
        strikes: u32,
        offences: u32,
        until: UnixTime,
    },
    /// Strikes would have led to a ban, but the table of bans is full.
    BansFull { address: IpAddr, reason: Reason },
    /// Bans could not be saved to their file.
    BansUnsaved { error: &'a dyn Display },
    /// The admin client sent a request.
    Admin(AdminAction<'a>),
    /// A request of the admin client was not received in time, or its answer was not sent in time.
    AdminTimeout,
    /// The admin socket cannot accept connections.
    AdminFailed { error: &'a dyn Display },

    /// The log omitted records because clients caused too many.
    Suppressed(&'a Suppressed),
    /// A log file lacks lines: the queue was full, or writing failed with `error`.
    LinesLost { queue_full: u64, write_failed: u64, error: Option<&'a str> },
    /// A log file was opened again under its name.
    LogReopened,
    /// A log file could not be opened again.
    LogReopenFailed { error: &'a str },
}

/// How a session ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The peer that closed or caused the close; `None` is the gateway itself.
    pub by: Option<Endpoint>,
    /// The reason, from the table of reasons.
    pub reason: Reason,
    /// The close code that was sent, if one was.
    pub code: Option<u16>,
    /// Details beyond the reason, for the log alone.
    pub detail: Option<String>,
    /// The time from the 101 to the end.
    pub duration: Duration,
    /// The frames that were forwarded from the client.
    pub client: Flow,
    /// The frames that were forwarded from the upstream.
    pub upstream: Flow,
    /// The number of times that limits in report mode let something through.
    pub let_through: u64,
}

/// The open connections and sessions of a running gateway. The events of ends have the counters of sessions that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Open TCP connections that count towards `max_connections`; each session has one.
    pub connections: usize,
    /// Open sessions, including those that are ending.
    pub sessions: usize,
    /// The counters of each route with an open session, by its NAME.
    pub routes: BTreeMap<Arc<str>, RouteCounters>,
}

/// The counters of a route's open sessions, without those that were told to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteCounters {
    /// The number of sessions.
    pub sessions: usize,
    /// The frames that were forwarded from their clients.
    pub client: Flow,
    /// The frames that were forwarded from their upstreams.
    pub upstream: Flow,
}

/// A frame that violates a rule, described without its payload.
#[derive(Debug, Clone, Copy)]
pub struct ProtocolError<'a> {
    /// The reason, from the table of reasons.
    pub reason: Reason,
    /// The peer that sent the frame.
    pub from: Endpoint,
    /// The offset of the frame: bytes of this direction before it, counted from the 101.
    pub frame_offset: u64,
    /// The offset of the byte that violates the rule, counted in the same way.
    pub offset: u64,
    /// The frame's header as far as it was received. The log writes at most 14 bytes of it, the longest
    /// header (RFC 6455 section 5.2).
    pub header: &'a [u8],
    /// The decoded header: `FIN=1 RSV=000 opcode=text MASK=1 length=5`.
    pub decoded: &'a str,
    /// The section of RFC 6455, or the key of the configuration, that contains the rule.
    pub section: &'a str,
    /// The violation, in one sentence.
    pub rule: &'a str,
}

/// A request of the admin client and its result.
#[derive(Debug, Clone, Copy)]
pub struct AdminAction<'a> {
    /// The command; `None`: the request could not be parsed.
    pub action: Option<&'a str>,
    /// `done`, `refused` or `not_found`.
    pub result: &'a str,
    /// Whether the request was refused.
    pub refused: bool,
    /// The user id of the caller, if the operating system reports it.
    pub uid: Option<u32>,
    /// The number of sessions that the request affected.
    pub sessions: Option<usize>,
    /// The parsed request, which names users and token ids and never holds a token.
    pub request: Option<&'a str>,
    /// The error, if there was one.
    pub detail: Option<&'a str>,
}

/// A drain: of a server, of a route, or of the sessions whose server left their route with a reload.
#[derive(Debug, Clone, Copy)]
pub struct DrainRecord<'a> {
    /// The server, as the configuration names it.
    pub server: Option<&'a str>,
    /// The NAME of `[routes.NAME]`.
    pub route: Option<&'a str>,
    /// The generation of the configuration that does not have the servers.
    pub generation: Option<u64>,
    /// The number of sessions.
    pub sessions: usize,
}

/// An observation of the messages of a route.
#[derive(Debug, Clone, Copy)]
pub struct ObservationRecord<'a> {
    /// The NAME of `[routes.NAME]`.
    pub route: &'a str,
    /// `messages` or `replies`.
    pub direction: &'static str,
    /// The user id of the operator, if the operating system reports it.
    pub uid: Option<u32>,
}

/// A kind of event that a client can cause at will, so that the log limits its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCaused {
    /// [`Event::Dropped`]
    Dropped,
    /// [`Event::Refused`], [`Event::RefusedAfterHandshake`] and [`Event::Answered`]
    Refused,
    /// [`Event::ConnectionError`]
    ConnectionError,
    /// [`Event::ProtocolError`], [`Event::Limited`] and [`Event::MessageRefused`]
    ProtocolError,
    /// [`Event::TokenRenewal`]
    TokenRenewal,
    /// [`Event::WouldRefuse`]
    WouldRefuse,
}

impl ClientCaused {
    /// The number of kinds.
    pub const COUNT: usize = 6;
}

/// The numbers of records that the log omitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suppressed {
    /// The number for each [`ClientCaused`], in its order.
    pub counts: [u64; ClientCaused::COUNT],
    /// The address that caused more than half of the omitted records, if there is one.
    pub mostly: Option<IpAddr>,
}

impl ProtocolError<'_> {
    /// The direction of the frame.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        match self.from {
            Endpoint::Client => "client to upstream",
            Endpoint::Upstream => "upstream to client",
        }
    }
}

impl Event<'_> {
    /// The name of the event, the same in the log and in its documentation. Events that differ only in
    /// their point in time share a name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Listening { .. } => "listening",
            Self::Lint { .. } => "lint",
            Self::DefaultLimits { .. } => "default_limits",
            Self::OpenFiles { .. } => "open_files",
            Self::AcceptFailed { .. } => "accept.failed",
            Self::SignalIgnored { .. } => "signal.ignored",
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadFailed { .. } => "reload.failed",
            Self::Upgraded { .. } => "upgraded",
            Self::UpgradeFailed { .. } => "upgrade.failed",
            Self::DrainBegun { .. } => "drain.begun",
            Self::Drained(_) => "drained",
            Self::Undrained(_) => "undrained",
            Self::ObservationBegun { .. } => "observe.begun",
            Self::ObservationEnded { .. } => "observe.ended",
            Self::Panic { .. } => "panic",
            Self::Stopping { .. } => "stopping",
            Self::Cut { .. } => "cut",
            Self::Stopped => "stopped",
            Self::Counters(_) => "counters",
            Self::Connected { .. } => "connected",
            Self::Dropped { .. } => "dropped",
            Self::Silent { .. } => "connection.silent",
            Self::ConnectionError { .. } => "connection.error",
            Self::Refused { .. } | Self::RefusedAfterHandshake { .. } => "refused",
            Self::Answered { .. } => "answered",
            Self::Forwarded { .. } => "forwarded",
            Self::WouldRefuse { .. } => "would_refuse",
            Self::MessageRefused { .. } => "message.refused",
            Self::SessionOpened { .. } => "session.opened",
            Self::TokenRenewal { .. } => "token.renewal",
            Self::ProtocolError { .. } => "protocol.error",
            Self::Limited { .. } => "limited",
            Self::SessionEnded { .. } => "session.ended",
            Self::UpstreamDown { .. } => "upstream.down",
            Self::UpstreamUp { .. } => "upstream.up",
            Self::NameUnresolved { .. } => "upstream.unresolved",
            Self::NameResolved { .. } => "upstream.resolved",
            Self::UpstreamBusy { .. } => "upstream.busy",
            Self::JwksRefreshed { .. } => "jwks.refreshed",
            Self::JwksStale { .. } => "jwks.stale",
            Self::JwksFailed { .. } => "jwks.failed",
            Self::Banned { .. } => "banned",
            Self::BansFull { .. } => "bans.full",
            Self::BansUnsaved { .. } => "bans.unsaved",
            Self::Admin(_) | Self::AdminTimeout => "admin",
            Self::AdminFailed { .. } => "admin.failed",
            Self::Suppressed(_) => "suppressed",
            Self::LinesLost { .. } => "log.lost",
            Self::LogReopened => "log.reopened",
            Self::LogReopenFailed { .. } => "log.reopen_failed",
        }
    }

    /// The level of the event. A refusal or failed connection has the level of its reason.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::AcceptFailed { .. }
            | Self::ReloadFailed { .. }
            | Self::UpgradeFailed { .. }
            | Self::Panic { .. }
            | Self::UpstreamDown { .. }
            | Self::JwksFailed { .. }
            | Self::BansFull { .. }
            | Self::BansUnsaved { .. }
            | Self::AdminFailed { .. }
            | Self::LogReopenFailed { .. } => Level::ERROR,
            Self::Lint { .. }
            | Self::OpenFiles { .. }
            | Self::SignalIgnored { .. }
            | Self::Cut { .. }
            | Self::Dropped { .. }
            | Self::NameUnresolved { .. }
            | Self::UpstreamBusy { .. }
            | Self::JwksStale { .. }
            | Self::Banned { .. }
            | Self::AdminTimeout
            | Self::Suppressed(_)
            | Self::LinesLost { .. } => Level::WARN,
            Self::Admin(action) if action.refused => Level::WARN,
            Self::Listening { .. }
            | Self::DefaultLimits { .. }
            | Self::Reloaded { .. }
            | Self::Upgraded { .. }
            | Self::DrainBegun { .. }
            | Self::Drained(_)
            | Self::Undrained(_)
            | Self::ObservationBegun { .. }
            | Self::ObservationEnded { .. }
            | Self::Stopping { .. }
            | Self::Stopped
            | Self::Answered { .. }
            | Self::Forwarded { .. }
            | Self::SessionOpened { .. }
            | Self::TokenRenewal { .. }
            | Self::SessionEnded { .. }
            | Self::UpstreamUp { .. }
            | Self::NameResolved { .. }
            | Self::JwksRefreshed { .. }
            | Self::Admin(_)
            | Self::LogReopened => Level::INFO,
            Self::Silent { .. } => Level::DEBUG,
            Self::Counters(_) | Self::Connected { .. } => Level::TRACE,
            Self::ConnectionError { reason, .. }
            | Self::Refused { reason, .. }
            | Self::RefusedAfterHandshake { reason, .. }
            | Self::WouldRefuse { reason, .. }
            | Self::MessageRefused { reason, .. }
            | Self::Limited { reason, .. } => reason.level(),
            Self::ProtocolError { error, .. } => error.reason.level(),
        }
    }

    /// The reason of the event, if it has one from the table of reasons.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Dropped { reason, .. }
            | Self::ConnectionError { reason, .. }
            | Self::Refused { reason, .. }
            | Self::RefusedAfterHandshake { reason, .. }
            | Self::WouldRefuse { reason, .. }
            | Self::MessageRefused { reason, .. }
            | Self::Limited { reason, .. }
            | Self::Banned { reason, .. }
            | Self::BansFull { reason, .. } => Some(*reason),
            Self::ProtocolError { error, .. } => Some(error.reason),
            Self::SessionEnded { ended, .. } => Some(ended.reason),
            Self::Forwarded { reason, .. } => *reason,
            _ => None,
        }
    }

    /// The connection of the event, if it concerns one.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Silent { subject, .. }
            | Self::ConnectionError { subject, .. }
            | Self::Refused { subject, .. }
            | Self::RefusedAfterHandshake { subject, .. }
            | Self::Answered { subject, .. }
            | Self::Forwarded { subject, .. }
            | Self::WouldRefuse { subject, .. }
            | Self::MessageRefused { subject, .. }
            | Self::SessionOpened { subject }
            | Self::ProtocolError { subject, .. }
            | Self::Limited { subject, .. }
            | Self::SessionEnded { subject, .. } => Some(subject),
            _ => None,
        }
    }

    /// The kind of an event that a client can cause at will, and the address of that client.
    #[must_use]
    pub fn client_caused(&self) -> Option<(ClientCaused, IpAddr)> {
        let (kind, peer) = match self {
            Self::Dropped { peer, .. } => (ClientCaused::Dropped, peer.ip()),
            Self::TokenRenewal { peer, .. } => (ClientCaused::TokenRenewal, *peer),
            Self::Refused { subject, .. }
            | Self::RefusedAfterHandshake { subject, .. }
            | Self::Answered { subject, .. } => (ClientCaused::Refused, subject.peer.ip()),
            Self::ConnectionError { subject, .. } => {
                (ClientCaused::ConnectionError, subject.peer.ip())
            }
            Self::ProtocolError { subject, .. }
            | Self::Limited { subject, .. }
            | Self::MessageRefused { subject, .. } => {
                (ClientCaused::ProtocolError, subject.peer.ip())
            }
            Self::WouldRefuse { subject, .. } => (ClientCaused::WouldRefuse, subject.peer.ip()),
            _ => return None,
        };
        Some((kind, peer))
    }
}
