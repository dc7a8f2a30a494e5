//! The request that is described.

use std::fmt::Write as _;

use http::Request;

use super::ExplainArgs;
use crate::handshake::{PlainRequest, RequestHead, UpgradeRequest};
use crate::values::TokenPlace;
use crate::values::{Reason, Refusal};

/// Any key: RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request that is explained.
pub(super) enum Described {
    Upgrade(UpgradeRequest),
    Plain(PlainRequest),
}

impl Described {
    pub(super) fn head(&self) -> &RequestHead {
        match self {
            Self::Upgrade(request) => request.head(),
            Self::Plain(request) => request.head(),
        }
    }
}

/// The request, with the token in its place.
pub(super) fn request(
    args: &ExplainArgs,
    token: Option<&(TokenPlace, String)>,
) -> Result<Described, Refusal> {
    let mut target = args.path.clone();
    let mut request = Request::builder().header("host", &args.host);
    if !args.plain {
        request = request
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", KEY);
    }
    if let Some(origin) = &args.origin {
        request = request.header("origin", origin);
    }
    request = match token {
        Some((TokenPlace::Header, token)) => {
            request.header("authorization", format!("Bearer {token}"))
        }
        Some((TokenPlace::Field(name), token)) => request.header(name, token),
        Some((TokenPlace::Subprotocol, token)) => {
            request.header("sec-websocket-protocol", format!("explained, bearer.{token}"))
        }
        Some((TokenPlace::Cookie(name), token)) => {
            request.header("cookie", format!("{name}={token}"))
        }
        Some((TokenPlace::Query(name), token)) => {
            let mark = if target.contains('?') { '&' } else { '?' };
            // Writing to a String does not fail.
            let _ = write!(target, "{mark}{name}={token}");
            request
        }
        Some((TokenPlace::Message | TokenPlace::Opening(_), _)) | None => request,
    };
    let (head, ()) = request
        .body(())
        .map_err(|error| Refusal::new(Reason::HandshakeMalformed, error.to_string()))?
        .into_parts();
    if args.plain {
        return PlainRequest::parse(target, head).map(Described::Plain);
    }
    UpgradeRequest::parse(target, head).map(Described::Upgrade)
}
