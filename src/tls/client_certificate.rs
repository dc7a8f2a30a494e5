//! Client certificates: how long a verified chain stays valid, and whether a later configuration still
//! accepts it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::TlsError;
use super::pem::Certificate;
use super::settings::ClientAuth;
use crate::values::UnixTime;
use crate::values::{Reason, Refusal};

/// The largest number of expiry times of a chain that are tried as its end. A chain with more of them
/// ends at the last one that is tried.
const MOST_ENDS: usize = 8;

/// The certificate chain of a client, verified in its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    chain: Vec<Certificate>,
    ends: SystemTime,
}

impl ClientCertificate {
    /// The chain as the client sent it, the client's own certificate first; at least one certificate.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The first second at which the chain no longer verifies: after the `notAfter` (which is included,
    /// RFC 5280 section 4.1.2.5) of the client's certificate, or of a required intermediate certificate
    /// that expires earlier.
    #[must_use]
    pub fn ends(&self) -> SystemTime {
        self.ends
    }
}

#[cfg(test)]
impl ClientCertificate {
    pub(crate) fn until(ends: SystemTime) -> Self {
        Self { chain: Vec::new(), ends }
    }
}

/// Verifies client certificates as `tls.client_auth` and `tls.client_ca` require. The default requests
/// no certificate.
#[derive(Debug, Clone, Default)]
pub struct ClientVerifier(Option<ChainVerifier>);

#[derive(Debug, Clone)]
struct ChainVerifier {
    handshake: Arc<dyn ClientCertVerifier>,
    required: bool,
}

impl ClientVerifier {
    /// The verifier for a checked configuration.
    pub(super) fn new(auth: &ClientAuth) -> Result<Self, TlsError> {
        let (roots, required) = match auth {
            ClientAuth::Off => return Ok(Self(None)),
            ClientAuth::Optional(roots) => (roots, false),
            ClientAuth::Required(roots) => (roots, true),
        };
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.0), super::provider());
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        Ok(Self(Some(ChainVerifier { handshake: builder.build()?, required })))
    }

    /// Whether a client without a certificate is refused.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.0.as_ref().is_some_and(|verifier| verifier.required)
    }

    /// The verifier for handshakes; `None` if the gateway requests no certificate.
    pub(super) fn for_handshakes(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.0.as_ref().map(|verifier| Arc::clone(&verifier.handshake))
    }

    /// Computes how long a chain that was verified in a handshake stays valid.
    ///
    /// # Errors
    /// The validity of a certificate cannot be read; without it, the session would never expire.
    pub(super) fn admit(
        &self,
        chain: Vec<Certificate>,
    ) -> Result<Option<ClientCertificate>, rustls::Error> {
        let (Some(verifier), false) = (&self.0, chain.is_empty()) else {
            return Ok(None);
        };
        let mut ends = chain.iter().map(end).collect::<Result<Vec<_>, _>>()?;
        ends.sort_unstable();
        ends.dedup();
        let last = ends.len().min(MOST_ENDS) - 1;
        let broken = |end: &&SystemTime| verifier.verify(&chain, **end).is_err();
        // A certificate that the path does not need may expire without invalidating the path.
        let first = ends[..last].iter().find(broken).unwrap_or(&ends[last]);
        let ends = *first;
        Ok(Some(ClientCertificate { chain, ends }))
    }

    /// Verifies a chain as a handshake at `now` would; `None` if the gateway requests no certificate.
    ///
    /// # Errors
    /// `tls.failed`: the chain leads to none of the authorities, or has expired.
    pub fn examine(
        &self,
        chain: &[Certificate],
        now: SystemTime,
    ) -> Result<Option<ClientCertificate>, Refusal> {
        let failed = |error: rustls::Error| {
            let detail = format!("the client certificate is not accepted: {error}");
            Refusal::new(Reason::TlsFailed, detail).by("client_ca")
        };
        if let Some(verifier) = &self.0 {
            verifier.verify(chain, now).map_err(failed)?;
        }
        self.admit(chain.to_vec()).map_err(failed)
    }

    /// Checks an open session again with the certificate of its handshake, if it had one.
    ///
    /// # Errors
    /// `certificate.expired`; `certificate.invalid` if the chain leads to none of the authorities, or
    /// if a certificate is required now and the session has none.
    pub fn review(
        &self,
        certificate: Option<&ClientCertificate>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let Some(verifier) = &self.0 else {
            return Ok(());
        };
        let invalid = |detail: String| Refusal::new(Reason::CertificateInvalid, detail);
        match certificate {
            Some(certificate) if certificate.ends <= now => Err(expired(certificate)),
            Some(certificate) => verifier.verify(&certificate.chain, now).map_err(|error| {
                invalid(format!("the certificate is not accepted any more: {error}"))
            }),
            None if verifier.required => {
                Err(invalid("a client certificate is required now, and none was shown".to_owned()))
            }
            None => Ok(()),
        }
    }
}

impl ChainVerifier {
    fn verify(&self, chain: &[Certificate], now: SystemTime) -> Result<(), rustls::Error> {
        let Some((own, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let intermediates: Vec<_> = intermediates.iter().map(Certificate::borrowed).collect();
        self.handshake.verify_client_cert(&own.0, &intermediates, unix_time(now)).map(drop)
    }
}

fn expired(certificate: &ClientCertificate) -> Refusal {
    let end = UnixTime::from(certificate.ends);
    Refusal::new(Reason::CertificateExpired, format!("the certificate was valid before {end}"))
}

/// The first second at which a certificate is no longer valid.
fn end(certificate: &Certificate) -> Result<SystemTime, rustls::Error> {
    let unreadable =
        || rustls::Error::General("a client certificate's validity is unreadable".into());
    let (_, parsed) = X509Certificate::from_der(certificate.der()).map_err(|_| unreadable())?;
    let seconds = parsed.validity().not_after.timestamp();
    // A certificate that expired before 1970 does not verify at any time.
    let seconds = u64::try_from(seconds).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.saturating_add(1))).ok_or_else(unreadable)
}

/// Converts a time for rustls and webpki. A time before 1970 becomes 1970, so that a machine with a
/// wrong clock refuses certificates and does not panic.
pub(super) fn unix_time(time: SystemTime) -> pki_types::UnixTime {
    pki_types::UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}
