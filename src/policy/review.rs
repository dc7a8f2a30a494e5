//! The facts that an open session keeps, so that a reload can check the session again.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Arrival;
use crate::handshake::RequestHead;
use crate::tls::ClientCertificate;
use crate::values::{Host, Origin};
use crate::values::{Reason, Refusal, RequestKind};

/// The facts of a session's handshake, or of a plain request that lasts, that a later policy checks again. They are kept as one text,
/// which takes a third of the memory of separate fields.
#[derive(Debug, Clone)]
pub struct HandshakeSnapshot {
    parts: Arc<str>,
    certificate: Option<Arc<ClientCertificate>>,
}

/// The fields of the text: the scheme that the client used, the host of the request, the host that the
/// client used if it differs (else empty), the port that the client named, the path, and the origin.
type Parts<'a> =
    (Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, Option<u16>, Cow<'a, str>, Option<String>);

/// A parsed snapshot.
pub(super) struct KeptHandshake<'a> {
    pub(super) kind: RequestKind,
    scheme: Cow<'a, str>,
    pub(super) host: Host,
    used_host: Option<Host>,
    port: Option<u16>,
    pub(super) path: Cow<'a, str>,
    pub(super) origin: Option<String>,
}

impl KeptHandshake<'_> {
    /// The origin of the URL that the client used.
    pub(super) fn own_origin(&self) -> Origin {
        Origin::new(&self.scheme, self.used_host.as_ref().unwrap_or(&self.host), self.port)
    }
}

/// The token of an open session that is checked again.
#[derive(Debug, Clone, Copy)]
pub enum SessionAuthentication<'a> {
    /// The route had no authentication.
    Anonymous,
    /// The first message, which carries the token, has not arrived.
    Awaited,
    /// A token was verified.
    Identified {
        /// The `NAME` in `[jwt.NAME]` of the issuer that verified the token.
        issuer: &'a str,
        /// The claims of the token.
        claims: &'a Claims,
    },
}

/// The claims of a token as a session keeps them: one text, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims(Box<str>);

impl Claims {
    /// Keeps claims.
    #[must_use]
    pub fn new(claims: &Map<String, Value>) -> Self {
        // Serializing a map of JSON values cannot fail.
        Self(serde_json::to_string(claims).unwrap_or_default().into_boxed_str())
    }

    /// The claims.
    #[must_use]
    pub fn read(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(..)")
    }
}

impl HandshakeSnapshot {
    pub(super) fn new(request: &RequestHead, arrival: Arrival<'_>, origin: Option<String>) -> Self {
        Self::of_request(request, arrival.client.scheme, arrival.certificate.cloned(), origin)
    }

    /// The facts of a plain request; `scheme` is that of the URL that the client used.
    pub(crate) fn of_plain(
        request: &RequestHead,
        scheme: &str,
        certificate: Option<ClientCertificate>,
    ) -> Self {
        Self::of_request(request, scheme, certificate, None)
    }

    fn of_request(
        request: &RequestHead,
        scheme: &str,
        certificate: Option<ClientCertificate>,
        origin: Option<String>,
    ) -> Self {
        let used = request.used_authority();
        let host = request.host();
        let used_host = if used.host == *host { "" } else { used.host.as_str() }.into();
        let (host, path) = (host.as_str().into(), request.path().into());
        let certificate = certificate.map(Arc::new);
        let parts = (scheme.into(), host, used_host, used.port, path, origin);
        Self { certificate, ..Self::keep(&parts) }
    }

    /// The client's certificate of the TLS handshake.
    #[must_use]
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_deref()
    }

    fn keep(parts: &Parts<'_>) -> Self {
        // Serializing strings and a number cannot fail.
        let parts = serde_json::to_string(parts).unwrap_or_default().into();
        Self { parts, certificate: None }
    }

    pub(super) fn read(&self, kind: RequestKind) -> Result<KeptHandshake<'_>, Refusal> {
        let (scheme, host, used_host, port, path, origin) = self.parts()?;
        let parse = |host: &str| Host::parse(host).map_err(|_| unreadable());
        let host = parse(&host)?;
        let used_host = match &*used_host {
            "" => None,
            used => Some(parse(used)?),
        };
        Ok(KeptHandshake { kind, scheme, host, used_host, port, path, origin })
    }

    fn parts(&self) -> Result<Parts<'_>, Refusal> {
        serde_json::from_str(&self.parts).map_err(|_| unreadable())
    }
}

#[cfg(test)]
impl HandshakeSnapshot {
    /// A snapshot without an origin.
    pub(crate) fn of(host: &str, path: &str) -> Self {
        Self::keep(&("https".into(), host.into(), "".into(), None, path.into(), None))
    }

    pub(crate) fn with_certificate_until(self, ends: std::time::SystemTime) -> Self {
        Self { certificate: Some(Arc::new(ClientCertificate::until(ends))), ..self }
    }
}

fn unreadable() -> Refusal {
    Refusal::new(Reason::Internal, "what it showed at its handshake cannot be read again")
}

#[cfg(test)]
mod tests {
    use super::{HandshakeSnapshot, Parts};

    #[test]
    fn a_snapshot_reads_back_unchanged() {
        let shown = |port, path: &'static str, origin: Option<&str>| -> Parts<'static> {
            let (host, used) = ("[2001:db8::1]".into(), "chat.example".into());
            ("https".into(), host, used, port, path.into(), origin.map(str::to_owned))
        };
        for parts in [
            shown(None, "/ws", None),
            shown(Some(8443), "/a\"b\\c\u{1}d/%22", Some("https://chat.example:443")),
        ] {
            assert_eq!(HandshakeSnapshot::keep(&parts).parts().unwrap(), parts);
        }
    }
}
