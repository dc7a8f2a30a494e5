//! What the ends agree on (RFC 7692 section 7.1).

use super::Case;
use super::support::{Gateway, RawUpstream, Request, Session};

const FIELD: &str = "Sec-WebSocket-Extensions";

/// An offer, an answer that accepts it, and what the client is told of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) offer: String,
    pub(crate) answer: String,
    pub(crate) told: String,
}

impl Agreement {
    pub(crate) fn new(offer: &str, answer: &str, told: &str) -> Self {
        let of = |parameters| format!("permessage-deflate{parameters}");
        Self { offer: of(offer), answer: of(answer), told: of(told) }
    }

    /// Without parameters: windows of 32 KiB, and the server's is taken over.
    pub(crate) fn plain() -> Self {
        Self::new("", "", "; client_no_context_takeover")
    }

    /// The request of a client that offers this.
    pub(crate) fn request(&self) -> Request {
        Request::upgrade("/ws").and(FIELD, &self.offer)
    }
}

/// The session of a case.
pub(crate) fn open(case: &Case, gateway: &Gateway, upstream: &RawUpstream) -> Session {
    let Some(agreement) = &case.agreed else {
        return Session::open(gateway, upstream);
    };
    let fields = format!("{FIELD}: {}\r\n", agreement.answer);
    let session = Session::open_with(gateway, upstream, &agreement.request(), &fields);
    assert_eq!(session.response.all("sec-websocket-extensions"), [&agreement.told]);
    session
}
