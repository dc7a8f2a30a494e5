//! A session's second judgement: whether a later policy would still admit it.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Policy, Trace, origin};
use crate::config::{Auth, Origin, Route};
use crate::handshake::{ClientAddress, UpgradeRequest};
use crate::refusal::{Reason, Refusal};

/// What a session showed at its handshake, as far as a later policy judges it.
#[derive(Debug)]
pub struct Presented {
    /// As the client used them, the port only if it said one.
    scheme: &'static str,
    host: Box<str>,
    port: Option<u16>,
    path: Box<str>,
    origin: Option<Origin>,
}

/// Whose session is judged again.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// The route had no authentication.
    Anybody,
    /// The first message, which holds the token, has not come.
    Awaited,
    /// A token was verified.
    Identified {
        /// The NAME of the `[jwt.NAME]` that did.
        issuer: &'a str,
        /// What the token said.
        claims: &'a Claims,
    },
}

/// The claims of a token, as they are kept with a session: small, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims(Box<str>);

impl Claims {
    /// Keeps claims.
    #[must_use]
    pub fn new(claims: &Map<String, Value>) -> Self {
        // A map of JSON values is always JSON.
        Self(serde_json::to_string(claims).unwrap_or_default().into_boxed_str())
    }

    fn read(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(..)")
    }
}

impl Presented {
    pub(super) fn new(
        request: &UpgradeRequest,
        client: &ClientAddress,
        origin: Option<Origin>,
    ) -> Self {
        Self {
            scheme: client.scheme,
            host: request.host().into(),
            port: request.port(),
            path: request.path().into(),
            origin,
        }
    }

    fn own(&self) -> Origin {
        Origin::new(self.scheme, &self.host, self.port)
    }
}

#[cfg(test)]
impl Presented {
    /// Without an origin.
    pub(crate) fn of(host: &str, path: &str) -> Self {
        Self { scheme: "https", host: host.into(), port: None, path: path.into(), origin: None }
    }
}

impl Policy {
    /// Whether a session would be admitted now, and by which route. What is not decided by the
    /// policy alone (bans, revocations, how many there are) is not asked again, and neither are
    /// signatures.
    pub fn review(
        &self,
        presented: &Presented,
        address: IpAddr,
        holder: Holder<'_>,
    ) -> Result<&Arc<Route>, Refusal> {
        self.enforce_rules(address, &mut Trace::off())?;
        let found = self.routes.find(&presented.host, &presented.path);
        let route =
            found.ok_or_else(|| Refusal::new(Reason::RouteNone, "its route is gone"))?.route;
        origin::judge(route, presented.origin.clone(), || presented.own())?;
        match (&route.auth, holder) {
            (Auth::None, _) | (Auth::Jwt(_), Holder::Awaited) => {}
            (Auth::Jwt(issuer), Holder::Identified { issuer: name, claims })
                if issuer.name == name =>
            {
                let verifier = self.verifiers.get(name).ok_or_else(other_issuer)?;
                verifier.review(&claims.read())?;
            }
            (Auth::Jwt(_), Holder::Anybody | Holder::Identified { .. }) => {
                return Err(other_issuer());
            }
        }
        Ok(route)
    }
}

fn other_issuer() -> Refusal {
    Refusal::new(Reason::TokenInvalid, "its route asks for a token of another issuer now")
}
