//! A session's second judgement: whether a later policy would still admit it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::{Arrival, Policy, Trace, origin};
use crate::config::{Auth, Route};
use crate::handshake::UpgradeRequest;
use crate::tls::ClientCertificate;
use crate::values::{Host, Origin};
use crate::values::{Reason, Refusal};

/// What a session showed at its handshake, as far as a later policy judges it: kept as one text, which
/// is a third of its parts.
#[derive(Debug, Clone)]
pub struct Presented {
    parts: Arc<str>,
    certificate: Option<Arc<ClientCertificate>>,
}

/// What is in the text: the scheme that the client used, the host of the request, the host that the
/// client used where that is another one (else empty), the port that it used if it said one, the path,
/// and its origin.
type Parts<'a> =
    (Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, Option<u16>, Cow<'a, str>, Option<String>);

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
        arrival: Arrival<'_>,
        origin: Option<String>,
    ) -> Self {
        let used = request.used_authority();
        let host = request.host();
        let used_host = if used.host == *host { "" } else { used.host.as_str() }.into();
        let (host, path) = (host.as_str().into(), request.path().into());
        let scheme = arrival.client.scheme.into();
        let certificate = arrival.certificate.cloned().map(Arc::new);
        let parts = (scheme, host, used_host, used.port, path, origin);
        Self { certificate, ..Self::keep(&parts) }
    }

    /// The certificate that the client showed in its TLS handshake.
    #[must_use]
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_deref()
    }

    fn keep(parts: &Parts<'_>) -> Self {
        // Texts and a number are always JSON.
        let parts = serde_json::to_string(parts).unwrap_or_default().into();
        Self { parts, certificate: None }
    }

    fn read(&self) -> Result<Parts<'_>, Refusal> {
        serde_json::from_str(&self.parts).map_err(|_| unreadable())
    }
}

#[cfg(test)]
impl Presented {
    /// Without an origin.
    pub(crate) fn of(host: &str, path: &str) -> Self {
        Self::keep(&("https".into(), host.into(), "".into(), None, path.into(), None))
    }

    pub(crate) fn with_certificate_until(self, ends: SystemTime) -> Self {
        Self { certificate: Some(Arc::new(ClientCertificate::until(ends))), ..self }
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
        self.certificates.review(presented.certificate(), SystemTime::now())?;
        let (scheme, host, used_host, port, path, origin) = presented.read()?;
        let host = Host::parse(&host).map_err(|_| unreadable())?;
        let used_host = match &*used_host {
            "" => host.clone(),
            used => Host::parse(used).map_err(|_| unreadable())?,
        };
        let found = self.routes.find(&host, &path);
        let route =
            found.ok_or_else(|| Refusal::new(Reason::RouteNone, "its route is gone"))?.route;
        origin::judge(route, origin.as_deref(), || Origin::new(&scheme, &used_host, port))?;
        match (&route.auth, holder) {
            (Auth::None, _) | (Auth::Jwt(_), Holder::Awaited) => {}
            (Auth::Jwt(issuers), Holder::Identified { issuer: name, claims })
                if issuers.named(name).is_some() =>
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

fn unreadable() -> Refusal {
    Refusal::new(Reason::Internal, "what it showed at its handshake cannot be read again")
}

fn other_issuer() -> Refusal {
    Refusal::new(Reason::TokenInvalid, "its route asks for a token of another issuer now")
}

#[cfg(test)]
mod tests {
    use super::{Parts, Presented};

    #[test]
    fn what_was_shown_is_read_again_as_it_was() {
        let shown = |port, path: &'static str, origin: Option<&str>| -> Parts<'static> {
            let (host, used) = ("[2001:db8::1]".into(), "chat.example".into());
            ("https".into(), host, used, port, path.into(), origin.map(str::to_owned))
        };
        for parts in [
            shown(None, "/ws", None),
            shown(Some(8443), "/a\"b\\c\u{1}d/%22", Some("https://chat.example:443")),
        ] {
            assert_eq!(Presented::keep(&parts).read().unwrap(), parts);
        }
    }
}
