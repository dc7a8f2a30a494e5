//! The token in the first message: the gateway has answered the 101 itself, waits for one text
//! message, and only then is there an upstream to dial.

use std::future::poll_fn;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::Caller;
use crate::config::{Issuer, TokenPlace};
use crate::firewall::{Offence, RequestContext};
use crate::gateway::Gateway;
use crate::limits::UserPermit;
use crate::observe::Subject;
use crate::policy::{Admission, Shown, Standing, Trace};
use crate::refusal::{Reason, Refusal};
use crate::relay::{
    Endpoint, FirstMessage, HoldBudget, HoldPermit, Limits, Opened, Opening, control_frame,
};
use crate::token::json;
use crate::transport::Transport;
use crate::upstream::{Failure, Upstream};

/// One read while the token is waited for.
const READ: usize = 4 * 1024;

/// The first message, and what came behind it.
struct First {
    token: String,
    /// What the upstream is to get of it, and all that came behind it.
    early: Vec<u8>,
    /// The room of the budget that it takes; given back when the session begins.
    _permit: Option<HoldPermit>,
}

/// Waits for the token, verifies it and connects to the upstream.
pub(super) async fn introduce(
    gateway: &Gateway,
    client: &mut Transport,
    early: Bytes,
    admission: Admission,
    caller: &Caller,
    budget: HoldBudget,
    (subject, permit): (&mut Subject, &mut Option<UserPermit>),
) -> Result<(Admission, Upstream, Bytes), Refusal> {
    let Standing::Announced(issuer) = admission.standing().clone() else {
        return Err(Refusal::new(Reason::Internal, "the token was not announced"));
    };
    let issuer = issuer.as_ref();
    let opening = Opening::new(
        Limits::of(Endpoint::Client, &admission.route().websocket),
        &admission.route().limits,
        budget,
        Instant::now(),
    );
    let reading = read(client, early, opening, &admission, issuer);
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
    let mut trace = Trace::off();
    let context = admission.context();
    let shown = Shown { token: &first.token, place: &TokenPlace::Message, context };
    let identity = timeout_at(deadline, in_force.policy.identify(issuer, shown, &mut trace))
        .await
        .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))??;
    subject.user = Some(identity.user().to_owned());
    let (one, let_through) =
        in_force.policy.admit_user(&identity, &gateway.limiters, &mut trace)?;
    *permit = Some(one);
    if let Some(refusal) = let_through {
        gateway.let_through(subject, &refusal);
    }
    let admission = admission.identified(identity);
    match caller.connect(&admission, subject, deadline).await {
        Ok(upstream) => Ok((admission, upstream, Bytes::from(first.early))),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Answered(answer)) => {
            let detail = format!("the upstream answered {}", answer.status);
            Err(Refusal::new(Reason::UpstreamHandshake, detail))
        }
    }
}

async fn read(
    client: &mut Transport,
    early: Bytes,
    mut opening: Opening,
    admission: &Admission,
    issuer: &Issuer,
) -> Result<First, Refusal> {
    let lost = |detail: String| Refusal::new(Reason::ClientLost, detail);
    let full = || Refusal::new(Reason::Capacity, "there is no room to hold the first message");
    if !opening.push(&early) {
        return Err(full());
    }
    drop(early);
    let mut scratch = [0; READ];
    loop {
        match opening.next(Instant::now()) {
            Some(Opened::Ping(payload)) => {
                let pong = control_frame(Endpoint::Client, Control::Pong, &payload, [0; 4]);
                let sent = client.write_all(pong.as_ref()).await;
                sent.map_err(|error| lost(error.to_string()))?;
            }
            Some(opened) => return first(opened, issuer, admission.context()),
            None => {
                let read = poll_fn(|cx| {
                    client.poll_lend(cx, &mut scratch, |_, bytes| opening.push(bytes))
                });
                let held = read
                    .await
                    .map_err(|error| lost(error.to_string()))?
                    .ok_or_else(|| lost("the client closed before it said who it is".to_owned()))?;
                if !held {
                    return Err(full());
                }
            }
        }
    }
}

fn first(opened: Opened, issuer: &Issuer, context: RequestContext) -> Result<First, Refusal> {
    let refuse = |reason, detail: &str| Err(Refusal::new(reason, detail));
    match opened {
        Opened::Message(FirstMessage { text, mut frames, rest, permit }) => {
            let early = if issuer.forward_token {
                frames.extend_from_slice(&rest);
                frames
            } else {
                rest
            };
            Ok(First { token: token_in(&text), early, _permit: permit })
        }
        Opened::Binary => refuse(Reason::TokenInvalid, "the first message is binary, not text"),
        Opened::TooBig => refuse(Reason::MessageTooBig, "the first message is too long"),
        Opened::Exceeded(reason) => refuse(reason, "it sent more than its rate allows"),
        Opened::Violation(violation) => {
            let refusal = Refusal::new(violation.rule.reason(), violation.to_string());
            Err(refusal.as_offence(Offence::frame(&violation, context)))
        }
        Opened::Closed | Opened::Ping(_) => {
            refuse(Reason::ClientLost, "the client closed before it said who it is")
        }
    }
}

/// The token alone, or the member `token` of a JSON object, which may have more members but no name
/// twice. Any other text is given as it is, and is no token.
fn token_in(text: &str) -> String {
    let text = text.trim();
    let envelope = json::object(text.as_bytes()).ok();
    match envelope.and_then(|mut envelope| envelope.remove("token")) {
        Some(Value::String(token)) => token,
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::token_in;

    #[test]
    fn a_token_comes_alone_or_in_an_envelope() {
        assert_eq!(token_in(" a.b.c\n"), "a.b.c");
        assert_eq!(token_in(r#"{"type": "auth", "token": "a.b.c"}"#), "a.b.c");
        for other in [
            r#"{"tok": "a"}"#,
            r#"["a.b.c"]"#,
            r#"[["token", "a.b.c"]]"#,
            r#"{"token": ["a.b.c"]}"#,
            r#"{"token": "a.b.c", "token": "d.e.f"}"#,
            r#"{"token": "a.b.c"} x"#,
            r#""a.b.c""#,
        ] {
            assert_eq!(token_in(other), other, "refused as a token");
        }
    }
}
