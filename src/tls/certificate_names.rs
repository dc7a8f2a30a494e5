//! The names in a client certificate as text, for `sessions`, `explain` and the log. The application
//! gets the certificate itself (RFC 9440).

use std::fmt::Write as _;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pem::Certificate;

/// The longest text of a subject or of alternative names, in characters.
const LONGEST: usize = 256;

/// The names of the holder of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateNames {
    /// The subject (RFC 5280 section 4.1.2.6), such as `CN=charger-7, O=Example`. At most 256
    /// characters.
    pub subject: String,
    /// The subject alternative names (section 4.2.1.6), such as `DNS:charger-7.example`, separated by
    /// commas. At most 256 characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alternative: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
}

impl CertificateNames {
    /// Reads the names of a verified certificate.
    #[must_use]
    pub fn read(certificate: &Certificate) -> Self {
        let (subject, alternative) = match X509Certificate::from_der(certificate.der()) {
            Ok((_, parsed)) => (parsed.subject().to_string(), alternative(&parsed)),
            Err(_) => Default::default(),
        };
        let mut fingerprint = String::with_capacity(64);
        for byte in digest(&SHA256, certificate.der()).as_ref() {
            // Writing to a `String` cannot fail.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Self { subject: short(&subject), alternative: short(&alternative), fingerprint }
    }
}

impl std::fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.subject)?;
        if !self.alternative.is_empty() {
            write!(f, ", {}", self.alternative)?;
        }
        write!(f, ", SHA-256 {}", self.fingerprint)
    }
}

fn alternative(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return String::new();
    };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| format!("IP:{address}")),
        _ => None,
    });
    names.collect::<Vec<_>>().join(", ")
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::CertificateNames;

    fn names(common: &str, alternative: Vec<SanType>) -> CertificateNames {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.subject_alt_names = alternative;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        CertificateNames::read(&certificate.der().to_vec().into())
    }

    #[test]
    fn subject_names_and_fingerprint_are_read() {
        let found = names(
            "charger-7",
            vec![
                SanType::DnsName("charger-7.example".try_into().unwrap()),
                SanType::URI("spiffe://example/charger-7".try_into().unwrap()),
                SanType::Rfc822Name("ops@example.com".try_into().unwrap()),
                SanType::IpAddress("192.0.2.7".parse().unwrap()),
                SanType::IpAddress("2001:db8::7".parse().unwrap()),
            ],
        );
        assert_eq!(found.subject, "CN=charger-7, O=Example");
        assert_eq!(
            found.alternative,
            "DNS:charger-7.example, URI:spiffe://example/charger-7, email:ops@example.com, \
             IP:192.0.2.7, IP:2001:db8::7"
        );
        assert_eq!(found.fingerprint.len(), 64);
    }

    #[test]
    fn long_names_are_cut() {
        let found = names(&"x".repeat(1000), Vec::new());
        assert_eq!(found.subject.chars().count(), 259);
        assert_eq!(found.alternative, "");
    }

    /// A certificate that cannot be parsed still has the digest of its bytes.
    #[test]
    fn the_fingerprint_is_the_sha_256_of_the_certificate() {
        let found = CertificateNames::read(&b"abc".to_vec().into());
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((found.subject.as_str(), found.fingerprint.as_str()), ("", expected));
    }
}
