//! Which pages may connect (RFC 6455 section 10.2): a browser sends cookies along with any page's
//! WebSocket, so the page's origin must be one that is meant.

use std::fmt;

use crate::config::{Origin, Origins, Route};
use crate::handshake::UpgradeRequest;
use crate::refusal::{Reason, Refusal};

/// Why an origin may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// There is none, so it is no browser's.
    Absent,
    /// Any may.
    Any(Origin),
    /// It is this entry, counted from 1, of so many.
    Listed { origin: Origin, entry: usize, of: usize },
    /// It is the origin of the host that is asked.
    Same(Origin),
}

/// Checks the Origin header against the route. A request without one passes, since it is no
/// browser's, unless the route demands it. `null` and two origins are refused on every route.
pub(super) fn check(
    route: &Route,
    request: &UpgradeRequest,
    scheme: &str,
) -> Result<Match, Refusal> {
    judge(route, read(request)?, || Origin::new(scheme, request.host(), request.port()))
}

/// The one origin of a request, or none.
fn read(request: &UpgradeRequest) -> Result<Option<Origin>, Refusal> {
    let mut values = request.origins();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(denied("there is more than one Origin header"));
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let origin = Origin::parse(&text);
    origin.map(Some).map_err(|error| denied(format!("the Origin header is refused: {error}")))
}

/// Whether the route takes an origin; `own` is the one that the client itself used.
pub(super) fn judge(
    route: &Route,
    origin: Option<Origin>,
    own: impl FnOnce() -> Origin,
) -> Result<Match, Refusal> {
    match origin {
        Some(origin) => find(&route.origins, origin, own),
        None if route.require_origin => {
            let detail = "there is no Origin header, and the route requires one";
            Err(denied(detail).by("require_origin"))
        }
        None => Ok(Match::Absent),
    }
}

fn find(origins: &Origins, origin: Origin, own: impl FnOnce() -> Origin) -> Result<Match, Refusal> {
    match origins {
        Origins::Any => Ok(Match::Any(origin)),
        Origins::Listed(list) => match list.iter().position(|listed| *listed == origin) {
            Some(index) => Ok(Match::Listed { origin, entry: index + 1, of: list.len() }),
            None => Err(denied(format!("origin {origin} is not one of the route's"))),
        },
        Origins::Same => {
            let own = own();
            if origin == own {
                return Ok(Match::Same(origin));
            }
            Err(denied(format!("origin {origin} is not the same origin, {own}")))
        }
    }
}

fn denied(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::OriginDenied, detail).by("origins")
}

impl Match {
    /// The key of the route that decided.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Absent => "require_origin",
            _ => "origins",
        }
    }

    /// Whether the origin is one that was named, and not just any.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Listed { .. } | Self::Same(_))
    }

    /// The origin, if there is one.
    pub(super) fn into_origin(self) -> Option<Origin> {
        match self {
            Self::Absent => None,
            Self::Any(origin) | Self::Listed { origin, .. } | Self::Same(origin) => Some(origin),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none, as from a program"),
            Self::Any(origin) => write!(f, "{origin}, as any other"),
            Self::Listed { origin, entry, of } => write!(f, "{origin} is entry {entry} of {of}"),
            Self::Same(origin) => {
                write!(f, "{origin} is the same origin: scheme, host and port of the request")
            }
        }
    }
}
