//! The settings of both sides of TLS: certificates with their keys, protocol versions, and the roots
//! for verifying peers. The configuration builds them; rustls types stay private.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;

use super::pem::{Certificate, PrivateKey};

/// The settings of the server side.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The certificates, at least one; the first is the default for a client without a matching server name.
    pub certificates: Vec<ServerCertificate>,
    /// The lowest protocol version.
    pub min_version: TlsVersion,
    /// Whether clients present a certificate.
    pub client_auth: ClientAuth,
}

/// The lowest accepted version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3 (RFC 5246, RFC 8446).
    Tls12,
    /// TLS 1.3 only (RFC 8446).
    Tls13,
}

/// Whether clients present certificates, and the roots that verify them.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientAuth {
    /// The gateway requests no certificate.
    Off,
    /// The gateway requests a certificate; a client may have none, but a presented one must verify.
    Optional(Roots),
    /// The gateway requires a verified certificate; without one the connection fails.
    Required(Roots),
}

/// A certificate chain of the gateway with its matching private key.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// The file of the chain.
    pub file: PathBuf,
    pub(super) key: Arc<CertifiedKey>,
}

/// The reason why a private key cannot be used with a certificate chain.
#[derive(Debug, thiserror::Error)]
pub enum ServerKeyError {
    /// The key belongs to another certificate.
    #[error("the key is not the certificate's")]
    Mismatch,
    /// TLS does not support the kind or size of the key.
    #[error(transparent)]
    Unusable(rustls::Error),
}

impl ServerCertificate {
    /// Combines a chain, the server's own certificate first, with its key.
    ///
    /// # Errors
    /// The key does not match, or cannot be used.
    pub fn new(
        file: PathBuf,
        chain: Vec<Certificate>,
        key: PrivateKey,
    ) -> Result<Self, ServerKeyError> {
        let chain = chain.into_iter().map(|one| one.0).collect();
        let key = CertifiedKey::from_der(chain, key.0, &super::provider());
        let key = key.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ServerKeyError::Mismatch,
            other => ServerKeyError::Unusable(other),
        })?;
        Ok(Self { file, key: Arc::new(key) })
    }

    /// The chain in DER, the server's own certificate first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.key.cert.iter().map(AsRef::as_ref)
    }

    /// Whether the certificate is valid for `host` (RFC 9525): a name, an address (IPv6 in brackets),
    /// or `*.` and a name.
    #[must_use]
    pub fn is_valid_for(&self, host: &str) -> bool {
        let Some(end_entity) = self.key.cert.first() else {
            return false;
        };
        let Ok(parsed) = webpki::EndEntityCert::try_from(end_entity) else {
            return false;
        };
        if host.starts_with("*.") {
            return parsed.valid_dns_names().any(|name| name.eq_ignore_ascii_case(host));
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(bare)
            .is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// The DNS names of the certificate in lower case; none if they cannot be read.
    pub(super) fn dns_names(&self) -> Vec<String> {
        let parsed = self.key.cert.first().map(webpki::EndEntityCert::try_from);
        let Some(Ok(parsed)) = parsed else {
            return Vec::new();
        };
        parsed.valid_dns_names().map(str::to_ascii_lowercase).collect()
    }
}

/// The roots that certificates of peers must chain to.
#[derive(Debug, Clone)]
pub struct Roots(pub(super) Arc<RootCertStore>);

/// A certificate that cannot be a root, by its index in the list.
#[derive(Debug)]
pub struct NotARoot(pub usize);

impl Roots {
    /// No roots: every verification fails.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// Uses these certificates as roots.
    ///
    /// # Errors
    /// The index of the first certificate that is not a valid X.509 certificate.
    pub fn new(certificates: &[Certificate]) -> Result<Self, NotARoot> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            roots.add(certificate.0.clone()).map_err(|_| NotARoot(index))?;
        }
        Ok(Self(Arc::new(roots)))
    }

    /// The roots of the operating system.
    ///
    /// # Errors
    /// The system has no roots. The text is empty, or a colon and the reason.
    pub fn system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = found.errors.first().map(|error| format!(": {error}"));
            return Err(reason.unwrap_or_default());
        }
        Ok(Self(Arc::new(roots)))
    }

    /// The number of roots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no roots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Roots {
    /// Whether both trust the same certificates.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.roots == other.0.roots
    }
}

/// The certificates that verify servers.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerTrust {
    /// The authorities that may issue the server's certificate.
    pub roots: Roots,
    /// Certificates that are trusted as they are, including CA certificates, if they name the server.
    pub exact: Arc<[Certificate]>,
}

impl From<Roots> for ServerTrust {
    fn from(roots: Roots) -> Self {
        Self { roots, exact: Arc::default() }
    }
}

/// Whether `name` can be the name of a TLS server: a DNS name, or an address without brackets.
#[must_use]
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}
