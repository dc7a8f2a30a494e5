//! Which pages may connect (RFC 6455 section 10.2): a browser sends cookies along with any page's
//! WebSocket, so the page's origin must be one that is meant.

use crate::config::{Origin, Origins, Route};
use crate::handshake::UpgradeRequest;
use crate::refusal::{Reason, Refusal};

/// Checks the Origin header against the route, and gives the origin. A request without one passes,
/// since it is no browser's, unless the route demands it. `null` and two origins are refused on
/// every route.
pub(super) fn check(
    route: &Route,
    request: &UpgradeRequest,
    scheme: &str,
) -> Result<Option<Origin>, Refusal> {
    let origin = read(request)?;
    judge(route, origin.as_ref(), || Origin::new(scheme, request.host(), request.port()))?;
    Ok(origin)
}

/// The one origin of a request, or none.
fn read(request: &UpgradeRequest) -> Result<Option<Origin>, Refusal> {
    let denied = |detail: String| Err(Refusal::new(Reason::OriginDenied, detail));
    let mut values = request.origins();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return denied("there is more than one Origin header".to_owned());
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    match Origin::parse(&text) {
        Ok(origin) => Ok(Some(origin)),
        Err(error) => denied(format!("the Origin header is refused: {error}")),
    }
}

/// Whether the route takes an origin; `own` is the one that the client itself used.
pub(super) fn judge(
    route: &Route,
    origin: Option<&Origin>,
    own: impl FnOnce() -> Origin,
) -> Result<(), Refusal> {
    let denied = |detail: String| Err(Refusal::new(Reason::OriginDenied, detail));
    let Some(origin) = origin else {
        if route.require_origin {
            return denied("there is no Origin header, and the route requires one".to_owned());
        }
        return Ok(());
    };
    let allowed = match &route.origins {
        Origins::Any => true,
        Origins::Listed(origins) => origins.contains(origin),
        Origins::Same => *origin == own(),
    };
    if allowed { Ok(()) } else { denied(format!("origin {origin} is not one of the route's")) }
}
