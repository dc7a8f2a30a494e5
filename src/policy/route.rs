//! The selection of the route.

use std::fmt;
use std::sync::Arc;

use super::Table;
use super::checks::{CheckOutcome, StepText};
use super::context::CheckContext;
use crate::config::{HostPattern, PathPattern, Route};
use crate::values::{Host, RequestKind};
use crate::values::{Reason, Refusal};

/// The routes in descending order of specificity: exact host, wildcard, any host; for equal hosts the
/// exact path, then the longest prefix.
#[derive(Debug)]
pub struct Routes(Vec<RouteEntry>);

/// The most specific route that matches a request.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The route.
    pub route: &'a Arc<Route>,
    /// The host pattern of the route that matched; `None`: the route accepts any host.
    pub host: Option<&'a HostPattern>,
}

#[derive(Debug)]
struct RouteEntry {
    host: Option<HostPattern>,
    route: Arc<Route>,
}

/// Finds the route of a handshake.
pub(super) fn check(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let handshake = cx.handshake()?;
    let (kind, host, path) = (handshake.kind(), handshake.host(), handshake.path());
    let routes = &cx.policy.routes;
    let found = routes.find(kind, host, path);
    if let Some(ambiguous) = handshake.ambiguous_path() {
        let same = |reading: &String| {
            let other = routes.find(kind, host, reading);
            let routes = found.as_ref().zip(other.as_ref());
            routes.is_some_and(|(one, other)| Arc::ptr_eq(one.route, other.route))
        };
        if !found.is_some_and(|found| found.route.ambiguous_paths)
            || !ambiguous.readings.iter().all(same)
        {
            let detail = ambiguous.fault.to_string();
            return Err(Refusal::new(Reason::HandshakeMalformed, detail).by("ambiguous_paths"));
        }
    }
    cx.found.route = Some(found.ok_or_else(|| {
        let is_for_sockets =
            kind == RequestKind::Http && routes.find(RequestKind::WebSocket, host, path).is_some();
        if is_for_sockets {
            return Refusal::new(Reason::UpgradeRequired, "its route serves no plain HTTP")
                .by("serve");
        }
        let detail = match kind {
            RequestKind::WebSocket => format!("no route has host {host} and this path"),
            RequestKind::Http => format!("no route for plain HTTP has host {host} and this path"),
        };
        Refusal::new(Reason::RouteNone, detail)
    })?);
    Ok(CheckOutcome::Passed)
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    cx.found.route.map_or_else(
        || String::new().into(),
        |found| StepText::by(found.to_string(), Table::Route(&found.route.name).to_string()),
    )
}

impl Routes {
    /// Sorts the routes once, so that the first match is the most specific.
    #[must_use]
    pub fn new(routes: &[Arc<Route>]) -> Self {
        let mut entries: Vec<RouteEntry> = routes.iter().flat_map(entries_of).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.specificity()));
        Self(entries)
    }

    /// Finds the route for a kind of request, a host and a canonical path.
    #[must_use]
    pub fn find(&self, kind: RequestKind, host: &Host, path: &str) -> Option<Found<'_>> {
        let matches = |entry: &&RouteEntry| {
            entry.route.serve.contains(&kind)
                && entry.host.as_ref().is_none_or(|pattern| pattern.matches(host))
                && entry.route.path.matches(path)
        };
        let found = self.0.iter().find(matches)?;
        Some(Found { route: &found.route, host: found.host.as_ref() })
    }

    /// Whether any route serves requests of this kind.
    #[must_use]
    pub fn serve(&self, kind: RequestKind) -> bool {
        self.0.iter().any(|entry| entry.route.serve.contains(&kind))
    }
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => write!(f, "host {host}")?,
            None => f.write_str("any host")?,
        }
        write!(f, ", path {}", self.route.path)
    }
}

impl RouteEntry {
    fn specificity(&self) -> (u8, usize) {
        let host = match self.host {
            Some(HostPattern::Exact(_)) => 2,
            Some(HostPattern::Wildcard(_)) => 1,
            None => 0,
        };
        (host, PathPattern::specificity(&self.route.path))
    }
}

fn entries_of(route: &Arc<Route>) -> Vec<RouteEntry> {
    let entry = |host| RouteEntry { host, route: Arc::clone(route) };
    if route.host.is_empty() {
        return vec![entry(None)];
    }
    route.host.iter().map(|host| entry(Some(host.clone()))).collect()
}
