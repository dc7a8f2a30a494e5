//! Which pages may connect (RFC 6455 section 10.2): a browser sends cookies along with any page's
//! WebSocket, so the page's origin must be one that is meant.

use crate::config::{Origin, Origins, Route};
use crate::handshake::UpgradeRequest;
use crate::refusal::{Reason, Refusal};

/// Checks the Origin header against the route. A request without one passes, since it is no
/// browser's, unless the route demands it. `null` and two origins are refused on every route.
pub(super) fn check(route: &Route, request: &UpgradeRequest, scheme: &str) -> Result<(), Refusal> {
    let denied = |detail: String| Err(Refusal::new(Reason::OriginDenied, detail));
    let mut values = request.origins();
    let Some(value) = values.next() else {
        if route.require_origin {
            return denied("there is no Origin header, and the route requires one".to_owned());
        }
        return Ok(());
    };
    if values.next().is_some() {
        return denied("there is more than one Origin header".to_owned());
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let origin = match Origin::parse(&text) {
        Ok(origin) => origin,
        Err(error) => return denied(format!("the Origin header is refused: {error}")),
    };
    let allowed = match &route.origins {
        Origins::Any => true,
        Origins::Listed(origins) => origins.contains(&origin),
        Origins::Same => origin == Origin::new(scheme, request.host(), request.port()),
    };
    if allowed { Ok(()) } else { denied(format!("origin {origin} is not one of the route's")) }
}
