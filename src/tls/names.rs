//! Certificates by DNS name (RFC 6066 section 3, RFC 9525).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::settings::ServerCertificate;
use crate::values::Host;

/// The certificates of a configuration, indexed by the names that they are valid for.
#[derive(Debug)]
pub struct ServerNames {
    keys: Vec<Arc<CertifiedKey>>,
    /// Names in lower case, wildcards with their `*.`; the values are indices into `keys`, in the
    /// file's order.
    by_name: HashMap<String, Vec<usize>>,
}

impl ServerNames {
    /// Reads the names from the certificates. A certificate with unreadable names serves only as the default.
    #[must_use]
    pub fn new(certificates: &[ServerCertificate]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, certificate) in certificates.iter().enumerate() {
            for name in certificate.dns_names() {
                let indices = by_name.entry(name).or_default();
                if !indices.contains(&index) {
                    indices.push(index);
                }
            }
        }
        let keys = certificates.iter().map(|certificate| Arc::clone(&certificate.key)).collect();
        Self { keys, by_name }
    }

    /// Whether two names in canonical form are served with the same certificates. A name without a valid certificate is
    /// served with the first one.
    #[must_use]
    pub fn same_policy(&self, one: &str, other: &str) -> bool {
        one == other || self.candidates(Some(one)) == self.candidates(Some(other))
    }

    /// The indices of the certificates for a name in canonical form.
    fn candidates(&self, name: Option<&str>) -> &[usize] {
        const DEFAULT: &[usize] = &[0];
        let Some(name) = name else {
            return DEFAULT;
        };
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(name).or_else(wildcard).map_or(DEFAULT, Vec::as_slice)
    }

    /// The first certificate of a name in canonical form with a key that the client can verify.
    fn certificate(
        &self,
        name: Option<&str>,
        hello: &ClientHello<'_>,
    ) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(name);
        let usable = |index: &&usize| {
            self.keys[**index].key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let index = candidates.iter().find(usable).or(candidates.first())?;
        self.keys.get(*index).cloned()
    }
}

/// Selects the certificate for one connection, and records the server name of the client, which the
/// unbuffered connections of rustls do not expose.
#[derive(Debug)]
pub(super) struct SniRecorder {
    names: Arc<ServerNames>,
    name: OnceLock<String>,
}

impl SniRecorder {
    pub(super) fn new(names: Arc<ServerNames>) -> Self {
        Self { names, name: OnceLock::new() }
    }

    /// The server name in the canonical form of hosts. rustls requests a certificate in every
    /// handshake, resumed or not, so that no name is missed.
    pub(super) fn name(&self) -> Option<String> {
        self.name.get().cloned()
    }
}

impl ResolvesServerCert for SniRecorder {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A HelloRetryRequest repeats the call: rustls verifies that the name is the same.
        let name =
            hello.server_name().map(|name| self.name.get_or_init(|| canonical(name)).as_str());
        self.names.certificate(name, &hello)
    }
}

/// The canonical form of a host, so that server names and hosts compare. A name without such a form,
/// such as `127.1`, is in no certificate.
fn canonical(name: &str) -> String {
    Host::parse(name).map_or_else(|_| name.to_ascii_lowercase(), |host| host.to_string())
}

#[cfg(test)]
mod tests {
    use super::{ServerNames, canonical};
    use crate::tls::tests::server_certificate;

    #[test]
    fn exact_before_wildcard_before_the_first() {
        let names = ServerNames::new(&[
            server_certificate(&["default.example"]),
            server_certificate(&["*.example.com"]),
            server_certificate(&["chat.example.com"]),
            server_certificate(&["chat.example.com", "other.example"]),
        ]);
        let candidates = |name| names.candidates(Some(&canonical(name)));
        assert_eq!(candidates("CHAT.example.com"), [2, 3]);
        assert_eq!(candidates("chat.example.com."), [2, 3]);
        assert_eq!(candidates("a.example.com"), [1]);
        assert_eq!(candidates("127.1"), [0]);
        assert_eq!(candidates("a.b.example.com"), [0]);
        assert_eq!(names.candidates(None), [0]);
        assert!(names.same_policy("a.example.com", "b.example.com"));
        assert!(names.same_policy("unknown.example", "default.example"));
        assert!(!names.same_policy("a.example.com", "chat.example.com"));
        assert!(!names.same_policy("other.example", "chat.example.com"));
    }
}
