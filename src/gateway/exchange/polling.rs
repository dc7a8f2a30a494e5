//! Long polling of Engine.IO on a route whose messages have rules: collects the body of a POST and has it judged before
//! anything of it is forwarded.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, request};
use hyper::body::{Body as _, Incoming};

use super::Exchanges;
use crate::config::Route;
use crate::gateway::session::{ForwardedPackets, PolledBody, SessionTokens, UnfinishedPacket};
use crate::gateway::upstream::{HeldBody, RequestContent};
use crate::handshake::{EngineQuery, EngineTransport, RequestHead};
use crate::journal::Subject;
use crate::values::{AddressKey, Reason, Refusal, RequestContext};

/// The largest body, in bytes: what servers of Socket.IO accept if they are not told otherwise.
const MAX_BODY: u64 = 1 << 20;

/// A polling request.
pub(super) struct Poll {
    method: Method,
    sid: Option<String>,
    /// The origin that may read the gateway's own answers.
    pub(super) origin: Option<HeaderValue>,
}

/// The client of a polling request.
pub(super) struct Poller<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) tokens: Option<SessionTokens>,
    pub(super) subject: &'a Subject,
    /// `None`: a trusted proxy that names no client.
    pub(super) address: Option<AddressKey>,
    pub(super) context: RequestContext,
}

/// The next step of a polling request.
pub(super) enum Polled {
    /// It is forwarded with this body; then the packet is kept, if the application accepts it.
    Forward(RequestContent, Option<UnfinishedPacket>),
    /// The gateway answers with this text.
    Answer(String),
}

impl Poll {
    /// `None`: the request is none of long polling, or its route has no such rules.
    pub(super) fn read(route: &Route, method: &Method, head: &RequestHead) -> Option<Self> {
        route.engine_io()?;
        // The policy has refused a query that is not well-formed.
        let query = EngineQuery::read(head.target()).ok().flatten()?;
        let is_polling = query.transport == EngineTransport::Polling;
        let (method, sid) = (method.clone(), query.sid);
        is_polling.then_some(Self { method, sid, origin: None })
    }

    /// Judges the request. `head` is the one that the upstream gets.
    pub(super) async fn judge(
        &self,
        exchanges: &Exchanges,
        poller: &Poller<'_>,
        head: &mut request::Parts,
        body: Incoming,
    ) -> Result<Polled, Refusal> {
        let Some(sid) = self.sid.as_deref().filter(|_| self.method == Method::POST) else {
            return self.without_packets(exchanges, poller, body);
        };
        check_content(&head.headers)?;
        let Poller { route, ref tokens, subject, address, context } = *poller;
        let most = route.max_body.unwrap_or(MAX_BODY).min(MAX_BODY);
        let room = usize::try_from(most).unwrap_or(usize::MAX);
        let budget = exchanges.sessions.hold_body(address, tokens.is_some(), room);
        let mut content = HeldBody::collect(body, most, route.body_timeout, &budget).await?;
        let _copy = content.room_for_copy(&budget)?;
        let text = content.text().ok_or_else(|| malformed("its body is not UTF-8"))?;
        let tokens = tokens.as_ref();
        let body = PolledBody { route, sid, text, tokens, subject, address, context };
        let ForwardedPackets { text, unfinished } = exchanges.sessions.judge_polled(&body)?;
        if let Some(text) = text {
            if text.is_empty() {
                if let Some(packet) = unfinished {
                    exchanges.sessions.keep_unfinished(packet);
                }
                return Ok(Polled::Answer("ok".to_owned()));
            }
            content.replace(text);
        }
        for name in [TRANSFER_ENCODING, TRAILER] {
            head.headers.remove(name);
        }
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
        Ok(Polled::Forward(RequestContent::Held(content), unfinished))
    }

    /// A request that brings no packets.
    fn without_packets(
        &self,
        exchanges: &Exchanges,
        poller: &Poller<'_>,
        body: Incoming,
    ) -> Result<Polled, Refusal> {
        let reads = matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !reads || !body.is_end_stream() {
            return Err(malformed("packets that come in no POST of a session"));
        }
        let sid = self.sid.as_deref().filter(|_| self.method == Method::GET);
        let answers = |sid| exchanges.sessions.polling_answers(&poller.route.name, sid);
        Ok(match sid.and_then(answers) {
            Some(text) => Polled::Answer(text),
            None => Polled::Forward(RequestContent::Streamed(body), None),
        })
    }
}

/// Checks that an application reads the body as the gateway does.
fn check_content(fields: &HeaderMap) -> Result<(), Refusal> {
    if fields.contains_key(CONTENT_ENCODING) {
        return Err(malformed("its body has a Content-Encoding"));
    }
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    let Some(given) = first else {
        return Ok(());
    };
    let text = given.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let is_text = parts.next() == Some("text/plain");
    let charset = parts.all(|part| matches!(part, "" | "charset=utf-8" | "charset=\"utf-8\""));
    if second.is_some() || !is_text || !charset {
        return Err(malformed("its Content-Type is not text/plain in UTF-8"));
    }
    Ok(())
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::MessageStructure, detail).by("messages")
}
