//! The Origin check (RFC 6455 section 10.2): a browser sends cookies with a WebSocket that any page
//! opens, so the route lists the origins of the pages that may connect.

use std::fmt;

use http::HeaderValue;

use super::checks::{CheckOutcome, ConfigSection, StepText};
use super::context::{CheckContext, Handshake};
use crate::config::{Origins, Route};
use crate::handshake::{ClientAddress, RequestHead};
use crate::values::{Origin, RequestKind};
use crate::values::{Reason, Refusal};

/// The reason why an origin may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OriginMatch {
    /// The request has no Origin header; clients other than browsers send none.
    Absent,
    /// The route accepts any origin; the value is the text of the header.
    Any(String),
    /// The origin matches entry number `entry`, counted from 1, of the `of` entries of the route.
    Listed { origin: Origin, entry: usize, of: usize },
    /// The origin equals that of the requested host.
    Same(Origin),
}

/// Checks the Origin header of a handshake against the route; for plain requests, the application's answers say
/// which pages may read them (CORS). A request without the header passes, since browsers
/// always send it, unless the route requires it. Two headers are refused on every route.
pub(super) fn check(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let route = cx.route()?;
    let matched = match cx.handshake()? {
        Handshake::Live { request, arrival } => {
            if request.kind() == RequestKind::Http {
                cx.found.request = Some(arrival.context);
                return Ok(CheckOutcome::NotApplicable);
            }
            let used = request.used_authority();
            let own = || Origin::new(arrival.client.scheme, &used.host, used.port);
            let matched = check_text(route, read(request)?.as_deref(), own)?;
            // A browser verified the certificate of the host, or the route names the host: no other
            // site can have made this name resolve to the gateway.
            let host_named = !route.host.is_empty() || arrival.client.scheme == "https";
            cx.found.request = Some(match arrival.context {
                context if matched.is_named(host_named) => context.accepted(),
                context if host_named => context.host_named(),
                context => context,
            });
            matched
        }
        Handshake::Kept(kept) if kept.kind == RequestKind::Http => {
            return Ok(CheckOutcome::NotApplicable);
        }
        Handshake::Kept(kept) => check_text(route, kept.origin.as_deref(), || kept.own_origin())?,
    };
    cx.found.origin = Some(matched);
    Ok(CheckOutcome::Passed)
}

/// The Origin header of a plain request, if the route accepts that origin for handshakes.
pub(super) fn accepted(
    route: &Route,
    request: &RequestHead,
    client: &ClientAddress,
) -> Option<HeaderValue> {
    let used = request.used_authority();
    let own = || Origin::new(client.scheme, &used.host, used.port);
    let text = read(request).ok()??;
    find(&route.origins, &text, own).ok()?;
    HeaderValue::from_str(&text).ok()
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    let Some(matched) = &cx.found.origin else {
        return String::new().into();
    };
    StepText::by(matched.to_string(), cx.table(ConfigSection::Route).key(matched.key()))
}

/// The Origin header of a request, if present. An empty value counts as present.
fn read(request: &RequestHead) -> Result<Option<String>, Refusal> {
    let mut values = request.origins();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(denied("there is more than one Origin header"));
    }
    Ok(Some(String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

/// Checks the text of an Origin header; `own` returns the origin of the URL that the client used.
fn check_text(
    route: &Route,
    origin: Option<&str>,
    own: impl FnOnce() -> Origin,
) -> Result<OriginMatch, Refusal> {
    match origin {
        Some(origin) => find(&route.origins, origin, own),
        None if route.require_origin => {
            let detail = "there is no Origin header, and the route requires one";
            Err(denied(detail).by("require_origin"))
        }
        None => Ok(OriginMatch::Absent),
    }
}

fn find(
    origins: &Origins,
    text: &str,
    own: impl FnOnce() -> Origin,
) -> Result<OriginMatch, Refusal> {
    let read = || {
        let refused = |error| denied(format!("the Origin header is refused: {error}"));
        Origin::parse(text).map_err(refused)
    };
    match origins {
        Origins::Any => Ok(OriginMatch::Any(text.to_owned())),
        Origins::Listed(list) => {
            let origin = read()?;
            match list.iter().position(|listed| listed.matches(&origin)) {
                Some(index) => Ok(OriginMatch::Listed { origin, entry: index + 1, of: list.len() }),
                None => Err(denied(format!("origin {} is not one of the route's", shown(&origin)))),
            }
        }
        Origins::Same => {
            let (origin, own) = (read()?, own());
            if origin == own {
                return Ok(OriginMatch::Same(origin));
            }
            Err(denied(format!("origin {} is not the same origin, {own}", shown(&origin))))
        }
    }
}

/// The origin as the log shows it; an empty one appears as `""`.
fn shown(origin: &Origin) -> String {
    match origin {
        Origin::Empty => "\"\"".to_owned(),
        _ => origin.to_string(),
    }
}

fn denied(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::OriginDenied, detail).by("origins")
}

impl OriginMatch {
    /// The key of the route that decided.
    fn key(&self) -> &'static str {
        match self {
            Self::Absent => "require_origin",
            _ => "origins",
        }
    }

    /// Whether the configuration names this origin, and no page of another site can have it. A
    /// same-origin match counts as named if the host is named.
    fn is_named(&self, host_named: bool) -> bool {
        match self {
            Self::Absent | Self::Any(_) => false,
            Self::Listed { origin, .. } => !origin.is_shared(),
            Self::Same(origin) => host_named && !origin.is_shared(),
        }
    }

    /// The text of the origin, if the request has one, for the check after a reload.
    pub(super) fn into_origin(self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Any(text) => Some(text),
            Self::Listed { origin, .. } | Self::Same(origin) => Some(origin.to_string()),
        }
    }
}

impl fmt::Display for OriginMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none, as from a program"),
            Self::Any(text) if text.is_empty() => f.write_str("\"\", as any other"),
            Self::Any(text) => write!(f, "{text}, as any other"),
            Self::Listed { origin, entry, of } => {
                write!(f, "{} is entry {entry} of {of}", shown(origin))
            }
            Self::Same(origin) => {
                write!(f, "{origin} is the same origin: scheme, host and port of the request")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, OriginMatch};

    /// A forged token with a named origin is a strike; no foreign page may cause one for its visitors.
    #[test]
    fn a_shared_origin_names_no_page() {
        for (text, is_named) in [
            ("https://chat.example", true),
            ("capacitor://localhost", true),
            ("null", false),
            ("", false),
            ("file://", false),
        ] {
            let origin = Origin::parse(text).unwrap();
            let listed = OriginMatch::Listed { origin, entry: 1, of: 1 };
            assert_eq!(listed.is_named(false), is_named, "{text}");
        }
        let same = OriginMatch::Same(Origin::parse("https://chat.example").unwrap());
        assert!(same.is_named(true));
        assert!(!same.is_named(false), "the host may be anybody's name for the gateway's address");
        assert!(!OriginMatch::Any("https://chat.example".to_owned()).is_named(true));
        assert!(!OriginMatch::Absent.is_named(true));
    }
}
