//! Renders events as lines. `docs/logging.md` documents the names of the fields and their order, which
//! must stay stable.

use std::fmt::Write;
use std::time::Duration;

use super::event::{
    AdminAction, ClientCaused, DrainRecord, Ended, Event, ObservationRecord, ProtocolError,
    Suppressed,
};
use super::line::{Line, Shown};
use super::subject::Subject;
use crate::config::LogFormat;
use crate::values::{Endpoint, Reason, RequestSummary, UserKey};

/// The longest header of a frame: 2 bytes, 8 of length, 4 of mask (RFC 6455 section 5.2).
const MAX_HEADER: usize = 14;

/// Renders the line of an event.
pub(super) fn line(event: &Event<'_>, format: LogFormat, time: &str) -> Line {
    let mut line = Line::new(format, event.level(), time);
    line.message(message(event));
    line.field("event", event.name());
    if let Some(subject) = event.subject() {
        of_subject(&mut line, subject);
    }
    fields(&mut line, event);
    line
}

/// The message of the line: the event in words.
fn message<'a>(event: &Event<'a>) -> &'a str {
    match event {
        Event::Listening { .. } => "listening",
        Event::Lint { message, .. } => message,
        Event::DefaultLimits { .. } => {
            "routes have the default limits of [websocket]: messages and frames of clients up to 1 MiB, pings every \
             30 s, no compression; docs/hardening.md lists what an application can notice"
        }
        Event::OpenFiles { .. } => {
            "the limit of open files is lower than max_connections asks for: raise it (ulimit -n, or \
             LimitNOFILE of systemd), or lower max_connections"
        }
        Event::AcceptFailed { .. } => {
            "no connection can be accepted; is the limit of open files too low?"
        }
        Event::SignalIgnored { .. } => {
            "the signal is ignored: SIGTERM stops the gateway, SIGHUP reloads it, SIGUSR1 opens its \
             log files again, SIGUSR2 replaces its process"
        }
        Event::Reloaded { .. } => "the configuration was loaded again",
        Event::ReloadFailed { .. } => {
            "the configuration was not loaded; the one before it is still in force"
        }
        Event::Upgraded { .. } => "a new process serves; this one ends its sessions",
        Event::UpgradeFailed { .. } => "no new process took over; this one goes on",
        Event::DrainBegun { .. } => "sessions are drained",
        Event::Drained(_) => "all sessions of a drain are over",
        Event::Undrained(_) => "a drain was stopped",
        Event::ObservationBegun { .. } => "the messages of a route are observed",
        Event::ObservationEnded { .. } => "the messages of a route are not observed any more",
        Event::Panic { .. } => "a fault of the gateway ended one connection",
        Event::Stopping { .. } => "the gateway stops",
        Event::Cut { .. } => "shutdown_grace is over",
        Event::Stopped => "the gateway stopped",
        Event::Counters(_) => "counters",
        Event::Connected { .. } => "a client connected",
        Event::Dropped { .. } => "connection dropped",
        Event::Silent { .. } => "connection without a request",
        Event::ConnectionError { .. } => "connection error",
        Event::Refused { .. } => "handshake refused",
        Event::RefusedAfterHandshake { .. } => "client refused after its handshake",
        Event::Answered { .. } => "the upstream refused the handshake",
        Event::Forwarded { .. } => "a plain request was answered",
        Event::MessageRefused { .. } => "a message was refused",
        Event::WouldRefuse { .. } => "let through in report mode",
        Event::SessionOpened { .. } => "session opened",
        Event::TokenRenewal { .. } => "a client handed in a new token",
        Event::ProtocolError { .. } => "protocol error",
        Event::Limited { .. } => "client above its rate",
        Event::SessionEnded { .. } => "session ended",
        Event::UpstreamDown { .. } => "an upstream failed, and is tried last for now",
        Event::UpstreamUp { .. } => "an upstream answers again",
        Event::NameUnresolved { .. } => "the name of an upstream cannot be resolved",
        Event::NameResolved { .. } => "the name of an upstream was resolved again",
        Event::UpstreamBusy { .. } => "an upstream is busy, and requests are refused",
        Event::JwksRefreshed { .. } => "the JWK Set was fetched",
        Event::JwksStale { .. } => "the JWK Set cannot be fetched; the last one is kept",
        Event::JwksFailed { .. } => {
            "the JWK Set cannot be fetched; until it is, no token of this issuer is accepted"
        }
        Event::Banned { .. } => "address banned",
        Event::BansFull { .. } => "an address has earned a ban, and there is no room for another",
        Event::BansUnsaved { .. } => {
            "bans are in force, but will be forgotten when the gateway stops"
        }
        Event::Admin(_) => "admin",
        Event::AdminTimeout => "an admin request took too long",
        Event::AdminFailed { .. } => "the admin socket does not work",
        Event::Suppressed(_) => "records were suppressed: clients caused too many",
        Event::LinesLost { .. } => "lines of this log were lost",
        Event::LogReopened => "the log file was opened again",
        Event::LogReopenFailed { .. } => {
            "the log file could not be opened again; the old one is written on"
        }
    }
}

fn of_subject(line: &mut Line, subject: &Subject) {
    line.field("request_id", subject.request_id.as_str())
        .field("peer", Shown(subject.peer))
        .field("route", subject.route.as_deref())
        .field("subprotocol", subject.subprotocol.as_deref())
        .field("unlisted", subject.unlisted.as_deref())
        .field("user", subject.user.as_ref().map(UserKey::user))
        .field("upstream", subject.upstream.as_deref());
}

/// Appends the fields of an event after those of its subject.
#[expect(clippy::too_many_lines, reason = "a table: one arm for each event")]
fn fields(line: &mut Line, event: &Event<'_>) {
    match *event {
        Event::Listening { address, tls } => {
            line.field("address", Shown(address)).field("tls", tls);
        }
        Event::Lint { name, line: number, .. } => {
            line.field("lint", name).field("line", number);
        }
        Event::DefaultLimits { routes } => {
            line.field("routes", routes);
        }
        Event::OpenFiles { limit, wanted } => {
            line.field("limit", limit).field("wanted", wanted);
        }
        Event::AcceptFailed { error, pause } => {
            line.field("error", Shown(error)).field("pause_ms", millis(pause));
        }
        Event::SignalIgnored { signal } => {
            line.field("signal", signal);
        }
        Event::Reloaded { generation, sessions, draining, warnings, after_restart } => {
            let keys = (!after_restart.is_empty()).then(|| after_restart.join(", "));
            line.field("generation", generation)
                .field("sessions", sessions)
                .field("draining", draining)
                .field("warnings", warnings)
                .field("after_restart", keys.as_deref());
        }
        Event::Upgraded { pid, sessions } => {
            line.field("pid", pid).field("sessions", sessions);
        }
        Event::ReloadFailed { error } | Event::UpgradeFailed { error } => {
            line.field("detail", Shown(error));
        }
        Event::DrainBegun { drain, over } => {
            of_drain(line, drain);
            line.field("over_s", over.as_secs());
        }
        Event::Drained(drain) | Event::Undrained(drain) => of_drain(line, drain),
        Event::ObservationBegun { observation, lasting } => {
            of_observation(line, observation);
            line.field("for_s", lasting.as_secs());
        }
        Event::ObservationEnded { observation, sessions, messages, ended } => {
            of_observation(line, observation);
            line.field("sessions", sessions).field("messages", messages).field("ended", ended);
        }
        Event::Panic { place } => {
            line.field("place", place);
        }
        Event::Stopping { sessions } | Event::Cut { sessions } => {
            line.field("sessions", sessions);
        }
        Event::Stopped | Event::Counters(_) | Event::SessionOpened { .. } | Event::LogReopened => {}
        Event::Connected { peer } => {
            line.field("peer", Shown(peer));
        }
        Event::Dropped { peer, reason, detail } => {
            line.field("peer", Shown(peer))
                .field("reason", reason.name())
                .field("detail", some(detail));
        }
        Event::Silent { detail, .. } => {
            line.field("detail", some(detail));
        }
        Event::MessageRefused { from, reason, outcome, detail, .. } => {
            line.field("from", from.name()).field("reason", reason.name());
            line.field("outcome", outcome);
            line.field("detail", some(detail));
        }
        Event::ConnectionError { reason, detail, .. }
        | Event::WouldRefuse { reason, detail, .. } => {
            line.field("reason", reason.name()).field("detail", some(detail));
        }
        Event::Refused { subject, reason, detail } => {
            line.field("reason", reason.name()).field("status", reason.codes().0);
            of_request(line, subject);
            line.field("detail", some(detail)).field("hint", hint(reason));
        }
        Event::RefusedAfterHandshake { subject, reason, detail } => {
            line.field("reason", reason.name()).field("code", reason.close_code());
            of_request(line, subject);
            line.field("detail", some(detail)).field("hint", hint(reason));
        }
        Event::Answered { subject, status, cut } => {
            line.field("status", status).field("body_cut", cut.then_some(true));
            of_request(line, subject);
        }
        Event::Forwarded { subject, status, bytes, is_whole, reason, duration } => {
            line.field("status", status)
                .field("bytes", bytes)
                .field("body_cut", (!is_whole).then_some(true))
                .field("reason", reason.map(Reason::name))
                .field("duration_ms", millis(duration));
            of_request(line, subject);
        }
        Event::TokenRenewal { request_id, result, .. } => {
            line.field("request_id", request_id).field("result", result);
        }
        Event::ProtocolError { error, .. } => of_frame(line, &error),
        Event::Limited { reason, detail, .. } => {
            line.field("reason", reason.name())
                .field("code", reason.close_code())
                .field("detail", some(detail));
        }
        Event::SessionEnded { ended, .. } => of_end(line, ended),
        Event::UpstreamDown { upstream, route, check, detail, rest, unlogged } => {
            line.field("upstream", upstream)
                .field("route", route)
                .field("check", check)
                .field("detail", detail)
                .field("retry_ms", rest.map(millis))
                .field("unlogged", (unlogged > 0).then_some(unlogged));
        }
        Event::UpstreamUp { upstream, check, after, failures } => {
            line.field("upstream", upstream)
                .field("check", check)
                .field("down_ms", millis(after))
                .field("failures", failures);
        }
        Event::NameUnresolved { host, addresses, error } => {
            line.field("host", host).field("addresses", addresses).field("error", error);
        }
        Event::NameResolved { host, addresses } => {
            line.field("host", host).field("addresses", addresses);
        }
        Event::UpstreamBusy { upstream, route, waiting, unlogged } => {
            line.field("upstream", upstream)
                .field("route", route)
                .field("waiting", waiting)
                .field("unlogged", (unlogged > 0).then_some(unlogged));
        }
        Event::JwksRefreshed { issuer, source, keys, names } => {
            line.field("issuer", issuer)
                .field("source", source)
                .field("keys", keys)
                .field("names", names);
        }
        Event::JwksStale { issuer, source, age, error } => {
            line.field("issuer", issuer)
                .field("source", source)
                .field("age_s", age.as_secs())
                .field("error", error);
        }
        Event::JwksFailed { issuer, source, error } => {
            line.field("issuer", issuer).field("source", source).field("error", error);
        }
        Event::Banned { address, network, reason, strikes, offences, until } => {
            line.field("address", Shown(address))
                .field("network", Shown(network))
                .field("reason", reason.name())
                .field("strikes", strikes)
                .field("offences", offences)
                .field("until", Shown(until));
        }
        Event::BansFull { address, reason } => {
            line.field("address", Shown(address)).field("reason", reason.name());
        }
        Event::BansUnsaved { error } | Event::AdminFailed { error } => {
            line.field("error", Shown(error));
        }
        Event::Admin(action) => of_admin(line, &action),
        Event::AdminTimeout => {
            line.field("result", "refused");
        }
        Event::Suppressed(suppressed) => of_suppressed(line, suppressed),
        Event::LinesLost { queue_full, write_failed, error } => {
            line.field("queue_full", queue_full)
                .field("write_failed", write_failed)
                .field("detail", error);
        }
        Event::LogReopenFailed { error } => {
            line.field("detail", error);
        }
    }
}

/// Appends the method, host and path of the request, as far as they are known.
fn of_request(line: &mut Line, subject: &Subject) {
    let request = subject.request.as_deref();
    line.field("method", request.and_then(RequestSummary::method))
        .field("host", request.and_then(RequestSummary::host).as_deref())
        .field("path", request.and_then(RequestSummary::path));
}

fn of_drain(line: &mut Line, drain: DrainRecord<'_>) {
    line.field("server", drain.server)
        .field("route", drain.route)
        .field("generation", drain.generation)
        .field("sessions", drain.sessions);
}

fn of_observation(line: &mut Line, observation: ObservationRecord<'_>) {
    line.field("route", observation.route)
        .field("direction", observation.direction)
        .field("uid", observation.uid);
}

fn of_frame(line: &mut Line, error: &ProtocolError<'_>) {
    line.field("reason", error.reason.name())
        .field("direction", error.direction())
        .field("frame_offset", error.frame_offset)
        .field("offset", error.offset)
        .field("header_hex", hex(error.header).as_str())
        .field("header", error.decoded)
        .field("section", error.section)
        .field("rule", error.rule);
}

fn of_end(line: &mut Line, ended: &Ended) {
    line.field("by", ended.by.map_or("gateway", Endpoint::name))
        .field("reason", ended.reason.name())
        .field("code", ended.code)
        .field("detail", ended.detail.as_deref().and_then(some))
        .field("duration_ms", millis(ended.duration))
        .field("client_frames", ended.client.frames)
        .field("client_messages", ended.client.messages)
        .field("client_bytes", ended.client.bytes)
        .field("upstream_frames", ended.upstream.frames)
        .field("upstream_messages", ended.upstream.messages)
        .field("upstream_bytes", ended.upstream.bytes)
        .field("would_refuse", (ended.let_through > 0).then_some(ended.let_through));
}

fn of_admin(line: &mut Line, action: &AdminAction<'_>) {
    line.field("action", action.action)
        .field("result", action.result)
        .field("uid", action.uid)
        .field("sessions", action.sessions)
        .field("request", action.request)
        .field("detail", action.detail);
}

fn of_suppressed(line: &mut Line, suppressed: &Suppressed) {
    let count =
        |kind: ClientCaused| Some(suppressed.counts[kind as usize]).filter(|count| *count > 0);
    line.field("mostly", suppressed.mostly.map(Shown))
        .field("dropped", count(ClientCaused::Dropped))
        .field("refused", count(ClientCaused::Refused))
        .field("connection_error", count(ClientCaused::ConnectionError))
        .field("protocol_error", count(ClientCaused::ProtocolError))
        .field("token_renewal", count(ClientCaused::TokenRenewal))
        .field("would_refuse", count(ClientCaused::WouldRefuse));
}

/// The next step for an operator who investigates a refusal with this reason.
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

/// Turns an empty detail into `None`.
fn some(detail: &str) -> Option<&str> {
    (!detail.is_empty()).then_some(detail)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
