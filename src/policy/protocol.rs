//! The protocol of the route's message rules, as far as a request says which version of it the client speaks.

use super::checks::{CheckOutcome, StepText};
use super::context::CheckContext;
use crate::handshake::{EngineQuery, EngineQueryError, EngineTransport};
use crate::values::{Reason, Refusal, RequestKind};

/// Checks the query of Engine.IO on a route with `protocol = "socketio"`: the message rules read protocol 4 alone. A plain
/// request with another query is no polling, and is not for the protocol.
pub(super) fn check(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.route()?.engine_io().is_none() {
        return Ok(CheckOutcome::NotApplicable);
    }
    let (request, _) = cx.live()?;
    let malformed = |what: &str| Refusal::new(Reason::HandshakeMalformed, what);
    let query = EngineQuery::read(request.target()).map_err(|error| match error {
        EngineQueryError::Version => version(error.to_string()),
        EngineQueryError::Malformed(what) => malformed(what),
    })?;
    match (request.kind(), query.map(|query| query.transport)) {
        (RequestKind::Http, None) => Ok(CheckOutcome::NotApplicable),
        (RequestKind::WebSocket, None) => Err(version(EngineQueryError::Version.to_string())),
        (RequestKind::WebSocket, Some(EngineTransport::WebSocket))
        | (RequestKind::Http, Some(EngineTransport::Polling)) => Ok(CheckOutcome::Passed),
        _ => Err(malformed("the transport of the query is not that of the request")),
    }
}

pub(super) fn passed(_: &CheckContext<'_>) -> StepText {
    "the client speaks Engine.IO 4".to_owned().into()
}

fn version(detail: String) -> Refusal {
    Refusal::new(Reason::ProtocolVersion, detail)
}
