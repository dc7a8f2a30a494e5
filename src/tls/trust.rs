//! Verifies the certificates of upstreams: by roots, or because the operator configured exactly the
//! certificate that the upstream presents.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use webpki::EndEntityCert;
use x509_parser::parse_x509_certificate;

use super::pem::Certificate;
use super::settings::ServerTrust;
use super::{TlsError, provider};

/// Verifies as rustls does. If no chain can be built, it trusts a certificate that equals a configured
/// one byte for byte: `openssl req -x509` creates certificates that are their own authority, which is
/// not an end-entity certificate by RFC 5280 section 4.2.1.9.
#[derive(Debug)]
pub(super) struct UpstreamVerifier {
    roots: Arc<WebPkiServerVerifier>,
    exact: Arc<[Certificate]>,
}

impl UpstreamVerifier {
    pub(super) fn new(trust: &ServerTrust) -> Result<Self, TlsError> {
        let roots = Arc::clone(&trust.roots.0);
        let roots = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        Ok(Self { roots: roots.map_err(TlsError::Roots)?, exact: Arc::clone(&trust.exact) })
    }

    /// Whether `shown` is one of the configured certificates, and `error` says only that no root has
    /// signed it. webpki checks the validity dates before it reports one of these errors.
    fn is_exact(&self, shown: &CertificateDer<'_>, name: &ServerName<'_>, error: &Error) -> bool {
        let Error::InvalidCertificate(error) = error else {
            return false;
        };
        let excused = match error {
            CertificateError::UnknownIssuer => true,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                false
            }
            other => is_webpki(other, &webpki::Error::CaUsedAsEndEntity),
        };
        excused && self.is_given(shown) && is_for(shown, name)
    }

    fn is_given(&self, shown: &CertificateDer<'_>) -> bool {
        self.exact.iter().any(|given| given.der() == shown.as_ref())
    }
}

/// Whether the certificate names the server. A certificate without any name, which `openssl req -x509`
/// creates unless a subjectAltName is requested, can only be meant for the server that presents it.
fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let names_none = parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| matches!(parsed.subject_alternative_name(), Ok(None)));
    let valid = |parsed: EndEntityCert<'_>| parsed.verify_is_valid_for_subject_name(name).is_ok();
    names_none || EndEntityCert::try_from(certificate).is_ok_and(valid)
}

/// Whether `error` is this webpki error, for which rustls has no variant.
pub(super) fn is_webpki(error: &CertificateError, wanted: &webpki::Error) -> bool {
    let CertificateError::Other(OtherError(inner)) = error else {
        return false;
    };
    inner.downcast_ref::<webpki::Error>() == Some(wanted)
}

impl ServerCertVerifier for UpstreamVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.roots.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(error) if self.is_exact(end_entity, server_name, &error) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::{Certificate, ServerTrust, UpstreamVerifier};
    use crate::tls::Roots;

    /// A self-signed certificate that is its own authority; without `names` it has no subjectAltName.
    fn own_authority(names: &[&str]) -> CertificateDer<'static> {
        made(names, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn made(
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verify(
        given: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &str,
        now: UnixTime,
    ) -> Result<(), String> {
        let given = [Certificate(given.clone())];
        let roots = Roots::new(&given).unwrap();
        let trust = UpstreamVerifier::new(&ServerTrust { roots, exact: Arc::from(given) }).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let verified = trust.verify_server_cert(shown, &[], &name, &[], now);
        verified.map(|_| ()).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_pinned_certificate_is_trusted() {
        let now = UnixTime::now();
        for names in [&["localhost"][..], &[]] {
            let given = own_authority(names);
            assert_eq!(verify(&given, &given, "localhost", now), Ok(()), "{names:?}");
        }
        let plain = made(&["localhost"], |_| ());
        assert_eq!(verify(&plain, &plain, "localhost", now), Ok(()));
    }

    #[test]
    fn an_unpinned_certificate_is_not_trusted() {
        let (given, other) = (own_authority(&["localhost"]), own_authority(&["localhost"]));
        let error = verify(&given, &other, "localhost", UnixTime::now()).unwrap_err();
        assert!(error.contains("CaUsedAsEndEntity"), "{error}");
    }

    #[test]
    fn the_names_of_a_pinned_certificate_are_checked() {
        let given = own_authority(&["app.example"]);
        let error = verify(&given, &given, "localhost", UnixTime::now()).unwrap_err();
        assert!(error.contains("CaUsedAsEndEntity"), "{error}");
    }

    #[test]
    fn the_dates_of_a_pinned_certificate_are_checked() {
        let year = 365 * 24 * 3600;
        let given = made(&["localhost"], |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        let at = |years: u64| {
            UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800 + years * year))
        };
        for (years, error) in [(2, "Expired"), (50, "Expired")] {
            let refused = verify(&given, &given, "localhost", at(years)).unwrap_err();
            assert!(refused.contains(error), "{refused}");
        }
        let early = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000_000));
        assert!(verify(&given, &given, "localhost", early).unwrap_err().contains("NotValidYet"));
        assert_eq!(verify(&given, &given, "localhost", at(0)), Ok(()));
    }
}
