//! The token in the first message: the gateway has sent the 101 itself, waits for one message, and dials an upstream
//! only after it. The message may be the one that opens a protocol; it is forwarded without its token.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::{Caller, Client, Session, SessionStarter};
use crate::config::Issuer;
use crate::gateway::relay;
use crate::gateway::upstream::{Failure, Upstream};
use crate::message::{self, Opening};
use crate::policy::{Authentication, ShownToken, UserAdmission};
use crate::tls::transport::Transport;
use crate::values::{Endpoint, OpeningPlace, Reason, Refusal, RequestContext, TokenPlace, json};
use crate::wire::{
    FirstMessage, FirstMessageEvent, FirstMessageReader, FrameLimits, HoldBudget, HoldPermit,
    Opcode, control_frame, message_frame,
};

/// Bytes that the first message may have around the token.
const AROUND: usize = 1024;

/// The most messages that an opening may be split over. With the bound on each message it bounds the memory that a client
/// without a token can take.
const MOST_PIECES: usize = 64;

/// How many bytes a client may send before it has an upstream, beyond those that came with its first message.
const AHEAD: usize = 4096;

/// The token of the first message, and the bytes that go to the upstream.
struct First {
    token: String,
    /// The message's frames, if they are forwarded, and all bytes that followed them.
    early: Vec<u8>,
    /// The budget permit for these bytes; released when the session begins.
    _permit: Option<HoldPermit>,
}

/// Waits for the token, verifies it and connects to the upstream. The session then has its principal and counts
/// for its user, and the client's early bytes are those for the upstream.
pub(super) async fn identify(
    starter: &SessionStarter,
    client: &mut Client,
    session: &mut Session,
    caller: &Caller,
) -> Result<Upstream, Refusal> {
    let Authentication::Awaited(issuers) = session.admission.authentication().clone() else {
        return Err(Refusal::new(Reason::Internal, "the token was not announced"));
    };
    let issuer = issuers.first().as_ref();
    let route = Arc::clone(session.admission.route());
    let context = session.admission.context();
    let place = issuer.token_from.first().unwrap_or(&TokenPlace::Message);
    let longest = issuers.max_token() + AROUND;
    let budget = starter.hold_pool.session(session.counted_address(), false);
    let new_reader = || {
        FirstMessageReader::new(
            Endpoint::Client,
            relay::frame_limits(Endpoint::Client, &route.websocket),
            relay::control_frame_rate(&route.limits),
            longest,
            accepted_kind(place),
            budget.clone(),
            Instant::now(),
        )
    };
    let reading = async {
        if let TokenPlace::Opening(OpeningPlace::SocketIo(_)) = place {
            send(&mut client.stream, Opcode::Text, engine_io_open().as_bytes()).await?;
        }
        let mut message = read(client, new_reader(), context, place).await?;
        for _ in 1..MOST_PIECES {
            if is_whole(place, &message) {
                break;
            }
            let mut reader = new_reader();
            reader.push(&std::mem::take(&mut message.rest), Instant::now());
            let more = read(client, reader, context, place).await?;
            message.append(more);
            if message.payload.len() > longest {
                return Err(Refusal::new(Reason::MessageTooBig, "the first message is too long"));
            }
        }
        if !is_whole(place, &message) {
            let detail = "the opening is split over too many messages";
            return Err(Refusal::new(Reason::TokenInvalid, detail));
        }
        first(message, issuer, place)
    };
    let first = match timeout_at(Instant::now() + issuer.message_deadline, reading).await {
        Ok(first) => first?,
        Err(_elapsed) => {
            let key = format!("jwt.{}.message_deadline", issuer.name);
            let detail = format!("{key}: no whole text message came in time");
            return Err(Refusal::new(Reason::AuthTimeout, detail));
        }
    };
    let in_force = &caller.in_force;
    let deadline = Instant::now() + in_force.server.handshake_timeout;
    let subject = &mut session.subject;
    let mut checks = in_force.policy.checks(subject.peer.ip());
    let shown = ShownToken { token: &first.token, place, context };
    let token = timeout_at(deadline, checks.identify(&route, shown))
        .await
        .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))??;
    let user = &token.principal().user;
    subject.user = Some(user.clone());
    let UserAdmission { permit, let_through } = checks.admit_user(user, &starter.state)?;
    session.user = Some(permit);
    for refusal in &let_through {
        starter.reporter.let_through(subject, refusal);
    }
    session.admission.identify(token);
    let admission = &session.admission;
    let mut early = first.early;
    let connected = tokio::select! {
        connected = caller.connect(starter.reporter.journal(), admission, subject, deadline) => connected,
        () = leaves(&mut client.stream, &mut early) => {
            return Err(Refusal::new(Reason::ClientLost, "the client left before it had an upstream"));
        }
    };
    match connected {
        Ok(mut upstream) => {
            if let TokenPlace::Opening(OpeningPlace::SocketIo(_)) = place {
                timeout_at(deadline, take_engine_io_open(&mut upstream, budget)).await.map_err(
                    |_| not_open("no packet OPEN of Engine.IO came within handshake_timeout"),
                )??;
            }
            client.early = Bytes::from(early);
            Ok(upstream)
        }
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Answered(answer)) => {
            let detail = format!("the upstream answered {}", answer.status);
            Err(Refusal::new(Reason::UpstreamHandshake, detail))
        }
    }
}

/// Resolves when the client ends its connection, which must not keep its position in a queue. What it sends meanwhile is
/// appended to `early`; after [`AHEAD`] bytes nothing more is read, and its end goes unnoticed.
async fn leaves(stream: &mut Transport, early: &mut Vec<u8>) {
    let most = early.len() + AHEAD;
    while early.len() < most {
        let read = poll_fn(|cx| stream.poll_few(cx, |_, bytes| early.extend_from_slice(bytes)));
        if !matches!(read.await, Ok(Some(()))) {
            return;
        }
    }
    pending::<()>().await;
}

/// The kind that the first message must have; `None`: either.
fn accepted_kind(place: &TokenPlace) -> Option<Opcode> {
    match place {
        TokenPlace::Opening(OpeningPlace::Mqtt) => Some(Opcode::Binary),
        TokenPlace::Opening(OpeningPlace::Stomp(_)) => None,
        _ => Some(Opcode::Text),
    }
}

/// Whether the messages so far hold the whole opening.
fn is_whole(place: &TokenPlace, message: &FirstMessage) -> bool {
    match place {
        TokenPlace::Opening(place) => message::is_whole(place, &message.payload),
        _ => true,
    }
}

/// Reads up to the end of one message; answers pings.
async fn read(
    client: &mut Client,
    mut reader: FirstMessageReader,
    context: RequestContext,
    place: &TokenPlace,
) -> Result<FirstMessage, Refusal> {
    let stream = &mut client.stream;
    reader.push(&std::mem::take(&mut client.early), Instant::now());
    loop {
        match reader.next(Instant::now()) {
            Some(FirstMessageEvent::Message(message)) => return Ok(message),
            Some(FirstMessageEvent::Ping(payload)) => {
                let pong = control_frame(Endpoint::Client, Opcode::Pong, &payload, [0; 4]);
                let sent = stream.write_all(pong.as_ref()).await;
                sent.map_err(|error| lost(error.to_string()))?;
            }
            Some(event) => return Err(refusal(event, context, place)),
            None => {
                let read = read_some(stream, &mut reader).await;
                read.map_err(|error| lost(error.to_string()))?
                    .ok_or_else(|| lost("the client closed before it said who it is"))?;
            }
        }
    }
}

/// Reads what the stream has; `None` at its end.
async fn read_some(
    stream: &mut Transport,
    reader: &mut FirstMessageReader,
) -> std::io::Result<Option<()>> {
    poll_fn(|cx| stream.poll_few(cx, |_, bytes| reader.push(bytes, Instant::now()))).await
}

fn lost(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::ClientLost, detail.into())
}

/// Sends the client a message.
async fn send(stream: &mut Transport, opcode: Opcode, payload: &[u8]) -> Result<(), Refusal> {
    let frame = message_frame(Endpoint::Client, opcode, payload, [0; 4]);
    stream.write_all(&frame).await.map_err(|error| lost(error.to_string()))
}

/// The packet OPEN of Engine.IO 4, which a client of Socket.IO awaits before it sends CONNECT. The application's own is
/// discarded later. The client takes the heartbeat of this one: the pings come from the application, and may be up to five
/// minutes late.
fn engine_io_open() -> String {
    let sid = getrandom::u64().unwrap_or_default();
    format!(
        "0{{\"sid\":\"{sid:016x}\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":300000,\
         \"maxPayload\":1000000}}"
    )
}

/// The longest packet OPEN, in bytes.
const LONGEST_OPEN: usize = 4096;

/// Takes the packet OPEN of Engine.IO out of the stream of the application.
async fn take_engine_io_open(upstream: &mut Upstream, budget: HoldBudget) -> Result<(), Refusal> {
    let limits = FrameLimits {
        max_frame_size: LONGEST_OPEN as u64,
        max_message_size: LONGEST_OPEN as u64,
        max_fragments: 16,
        max_inflation_ratio: None,
    };
    let (sender, accepted) = (Endpoint::Upstream, Some(Opcode::Text));
    let now = Instant::now();
    let mut reader =
        FirstMessageReader::new(sender, limits, None, LONGEST_OPEN, accepted, budget, now);
    reader.push(&std::mem::take(&mut upstream.early), now);
    loop {
        match reader.next(Instant::now()) {
            Some(FirstMessageEvent::Message(FirstMessage { payload, rest, .. })) => {
                if payload.first() != Some(&b'0') {
                    return Err(not_open("the first message is no packet OPEN of Engine.IO"));
                }
                upstream.early = Bytes::from(rest);
                return Ok(());
            }
            // Its pong is not worth the wait.
            Some(FirstMessageEvent::Ping(_)) => {}
            Some(_) => return Err(not_open("the first message is no packet OPEN of Engine.IO")),
            None => {
                let read = read_some(&mut upstream.stream, &mut reader).await;
                if !matches!(read, Ok(Some(()))) {
                    return Err(not_open("it ended before a packet OPEN of Engine.IO"));
                }
            }
        }
    }
}

fn not_open(detail: &str) -> Refusal {
    Refusal::new(Reason::UpstreamProtocol, detail)
}

/// The refusal of a client whose first message does not come.
fn refusal(event: FirstMessageEvent, context: RequestContext, place: &TokenPlace) -> Refusal {
    match event {
        FirstMessageEvent::Refused(reason) => {
            let detail = match (reason, accepted_kind(place)) {
                (Reason::TokenInvalid, Some(Opcode::Binary)) => {
                    "the first message is text, not binary"
                }
                (Reason::TokenInvalid, _) => "the first message is binary, not text",
                (Reason::MessageTooBig, _) => "the first message is too long",
                (Reason::Capacity, _) => "there is no room to hold the first message",
                _ => "it sent more than its rate allows",
            };
            Refusal::new(reason, detail)
        }
        FirstMessageEvent::Violation(violation) => {
            let refusal = Refusal::new(violation.rule.reason(), violation.to_string());
            refusal.as_offence(violation.offence(context))
        }
        FirstMessageEvent::Closed | FirstMessageEvent::Ping(_) | FirstMessageEvent::Message(_) => {
            lost("the client closed before it said who it is")
        }
    }
}

/// The token of the first message, and the bytes that are forwarded.
fn first(message: FirstMessage, issuer: &Issuer, place: &TokenPlace) -> Result<First, Refusal> {
    let FirstMessage { opcode, payload, mut frames, rest, permit } = message;
    let (token, left) = if let TokenPlace::Opening(place) = place {
        let invalid = |detail| Refusal::new(Reason::TokenInvalid, detail).by("token_from");
        let Opening { token, rest } = message::take_token(place, &payload).map_err(invalid)?;
        (token, Some(rest))
    } else {
        // The rules of frames have checked that it is UTF-8.
        let text = String::from_utf8_lossy(&payload);
        (token_in(&text, issuer.message_token.as_deref())?, None)
    };
    let early = match left {
        _ if issuer.forward_token => {
            frames.extend_from_slice(&rest);
            frames
        }
        Some(left) => {
            // No intermediary between the gateway and its upstream can be confused by a key of zeros (RFC 6455 section 10.3).
            let mut frame = message_frame(Endpoint::Upstream, opcode, &left, [0; 4]);
            frame.extend_from_slice(&rest);
            frame
        }
        None => rest,
    };
    Ok(First { token, early, _permit: permit })
}

/// Extracts the token from the first message. With a `path` the message is a JSON object with the token at
/// that path; without one it is the token alone, or an object with a member `token`. A leading `Bearer ` is
/// removed.
fn token_in(text: &str, path: Option<&str>) -> Result<String, Refusal> {
    let text = text.trim();
    let token = match (json::object(text.as_bytes()), path) {
        (Ok(message), path) => {
            let path = path.unwrap_or("/token");
            let token =
                Value::Object(message).pointer(path).and_then(Value::as_str).map(str::to_owned);
            token.ok_or_else(|| missing(path))?
        }
        (Err(_), Some(path)) => return Err(missing(path)),
        (Err(_), None) => text.to_owned(),
    };
    let bearer = token.split_at_checked(7).filter(|(head, _)| head.eq_ignore_ascii_case("bearer "));
    Ok(bearer.map_or(token.as_str(), |(_, token)| token).trim().to_owned())
}

fn missing(path: &str) -> Refusal {
    let detail = format!("the first message is no JSON object with a text at {path}");
    Refusal::new(Reason::TokenInvalid, detail).by("message_token")
}

#[cfg(test)]
mod tests {
    use super::token_in;

    #[test]
    fn a_token_comes_alone_or_in_an_envelope() {
        let token = |text: &str| token_in(text, None).ok();
        for text in [" a.b.c\n", r#"{"type": "auth", "token": "a.b.c"}"#, "Bearer a.b.c"] {
            assert_eq!(token(text).as_deref(), Some("a.b.c"), "{text}");
        }
        for text in [r#"{"tok": "a"}"#, r#"{"token": 1}"#, r#"{"token": ["a.b.c"]}"#, "{}"] {
            assert_eq!(token(text), None, "{text}");
        }
        // No object: refused as a token.
        for text in [
            r#"["a.b.c"]"#,
            r#"[["token", "a.b.c"]]"#,
            r#"{"token": "a.b.c", "token": "d.e.f"}"#,
            r#"{"token": "a.b.c"} x"#,
            r#""a.b.c""#,
        ] {
            assert_eq!(token(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_token_is_read_at_the_configured_path() {
        let token = |path, text: &str| token_in(text, Some(path)).ok();
        let init = r#"{"type": "connection_init", "payload": {"token": "a.b.c", "Authorization": "bearer d.e.f"}}"#;
        assert_eq!(token("/payload/token", init).as_deref(), Some("a.b.c"));
        assert_eq!(token("/payload/Authorization", init).as_deref(), Some("d.e.f"));
        for (path, text) in [
            ("/payload", init),
            ("/payload/jwt", init),
            ("/0", r#"["a.b.c"]"#),
            ("/token", "a.b.c"),
            ("/payload/token", r#"{"token": "a.b.c"}"#),
            ("/a", r#"{"a": "b", "a": "c"}"#),
        ] {
            assert_eq!(token(path, text), None, "{path} in {text}");
        }
    }
}
