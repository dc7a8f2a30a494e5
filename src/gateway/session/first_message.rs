//! The token in the first message: the gateway has sent the 101 itself, waits for one text message, and
//! dials an upstream only after it.

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
use crate::policy::{Authentication, ShownToken, UserAdmission};
use crate::tls::transport::Transport;
use crate::values::{Endpoint, Reason, Refusal, RequestContext, TokenPlace, json};
use crate::wire::{
    FirstMessage, FirstMessageEvent, FirstMessageReader, HoldPermit, Opcode, control_frame,
};

/// Bytes that the first message may have around the token.
const AROUND: usize = 1024;

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
    let reader = FirstMessageReader::new(
        relay::frame_limits(Endpoint::Client, &route.websocket),
        relay::control_frame_rate(&route.limits),
        issuers.max_token() + AROUND,
        starter.hold_pool.session(session.counted_address(), false),
        Instant::now(),
    );
    let reading = read(client, reader, context, issuer);
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
    let shown = ShownToken { token: &first.token, place: &TokenPlace::Message, context };
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
        Ok(upstream) => {
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

async fn read(
    client: &mut Client,
    mut reader: FirstMessageReader,
    context: RequestContext,
    issuer: &Issuer,
) -> Result<First, Refusal> {
    let lost = |detail: String| Refusal::new(Reason::ClientLost, detail);
    let stream = &mut client.stream;
    reader.push(&std::mem::take(&mut client.early), Instant::now());
    loop {
        match reader.next(Instant::now()) {
            Some(FirstMessageEvent::Ping(payload)) => {
                let pong = control_frame(Endpoint::Client, Opcode::Pong, &payload, [0; 4]);
                let sent = stream.write_all(pong.as_ref()).await;
                sent.map_err(|error| lost(error.to_string()))?;
            }
            Some(event) => return first(event, issuer, context),
            None => {
                let read = poll_fn(|cx| {
                    stream.poll_few(cx, |_, bytes| {
                        reader.push(bytes, Instant::now());
                    })
                });
                let read = read.await.map_err(|error| lost(error.to_string()))?;
                read.ok_or_else(|| lost("the client closed before it said who it is".to_owned()))?;
            }
        }
    }
}

fn first(
    event: FirstMessageEvent,
    issuer: &Issuer,
    context: RequestContext,
) -> Result<First, Refusal> {
    let refuse = |reason, detail: &str| Err(Refusal::new(reason, detail));
    match event {
        FirstMessageEvent::Message(FirstMessage { text, mut frames, rest, permit }) => {
            let early = if issuer.forward_token {
                frames.extend_from_slice(&rest);
                frames
            } else {
                rest
            };
            let token = token_in(&text, issuer.message_token.as_deref())?;
            Ok(First { token, early, _permit: permit })
        }
        FirstMessageEvent::Refused(reason) => {
            let detail = match reason {
                Reason::TokenInvalid => "the first message is binary, not text",
                Reason::MessageTooBig => "the first message is too long",
                Reason::Capacity => "there is no room to hold the first message",
                _ => "it sent more than its rate allows",
            };
            refuse(reason, detail)
        }
        FirstMessageEvent::Violation(violation) => {
            let refusal = Refusal::new(violation.rule.reason(), violation.to_string());
            Err(refusal.as_offence(violation.offence(context)))
        }
        FirstMessageEvent::Closed | FirstMessageEvent::Ping(_) => {
            refuse(Reason::ClientLost, "the client closed before it said who it is")
        }
    }
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
