//! Certificates and keys in PEM and DER, without rustls types in the interface.

use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::server::ParsedCertificate;

/// The reason why PEM could not be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PemError(#[from] pem::Error);

impl PemError {
    /// Whether the PEM is well-formed, but has no section of the requested kind.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self.0, pem::Error::NoItemsFound)
    }

    /// The error, as the end of a sentence.
    #[must_use]
    pub fn mistake(&self) -> &'static str {
        match self.0 {
            pem::Error::MissingSectionEnd { .. } => "an END line is missing",
            pem::Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
            pem::Error::Base64Decode(_) => "its Base64 is broken",
            _ => "it cannot be read as such",
        }
    }
}

/// One X.509 certificate, in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(pub(super) CertificateDer<'static>);

impl Certificate {
    /// Reads all certificates of a PEM file; there may be none.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, PemError> {
        CertificateDer::pem_slice_iter(pem).map(|one| Ok(Self(one?))).collect()
    }

    /// Reads all certificates of the PEM file at `path`; there may be none.
    pub fn from_pem_file(path: &Path) -> Result<Vec<Self>, PemError> {
        CertificateDer::pem_file_iter(path)?.map(|one| Ok(Self(one?))).collect()
    }

    /// The bytes of the certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn borrowed(&self) -> CertificateDer<'_> {
        CertificateDer::from(self.der())
    }

    /// Whether TLS can use the certificate: it is X.509 version 3 and well-formed.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        ParsedCertificate::try_from(&self.0).is_ok()
    }

    /// The `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7); `None` if the certificate is not
    /// well-formed.
    #[must_use]
    pub fn public_key(&self) -> Option<Vec<u8>> {
        let parsed = ParsedCertificate::try_from(&self.0).ok()?;
        Some(parsed.subject_public_key_info().as_ref().to_vec())
    }
}

impl From<Vec<u8>> for Certificate {
    fn from(der: Vec<u8>) -> Self {
        Self(der.into())
    }
}

/// Reads all public keys (`BEGIN PUBLIC KEY`) of a PEM file as `SubjectPublicKeyInfo`; there may be
/// none.
pub fn public_keys(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    SubjectPublicKeyInfoDer::pem_slice_iter(pem).map(|one| Ok(one?.as_ref().to_vec())).collect()
}

/// Reads the first public key of a PEM file, or else the public key of its first certificate, as
/// `SubjectPublicKeyInfo`.
#[must_use]
pub fn public_key(pem: &[u8]) -> Option<Vec<u8>> {
    if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
        return Some(key.as_ref().to_vec());
    }
    Certificate(CertificateDer::from_pem_slice(pem).ok()?).public_key()
}

/// A private key.
#[derive(Debug)]
pub struct PrivateKey(pub(super) PrivateKeyDer<'static>);

/// The encoding of a private key, with its bytes. It has no `Debug`, which would print them.
pub enum PrivateKeyForm<'a> {
    /// PKCS #1, only for RSA keys.
    Pkcs1(&'a [u8]),
    /// PKCS #8.
    Pkcs8(&'a [u8]),
    /// SEC 1, only for EC keys.
    Sec1,
}

impl PrivateKey {
    /// Reads the first private key of a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        Ok(Self(PrivateKeyDer::from_pem_slice(pem)?))
    }

    /// The bytes of the key, by encoding.
    #[must_use]
    pub fn form(&self) -> PrivateKeyForm<'_> {
        match &self.0 {
            PrivateKeyDer::Pkcs1(key) => PrivateKeyForm::Pkcs1(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => PrivateKeyForm::Pkcs8(key.secret_pkcs8_der()),
            _ => PrivateKeyForm::Sec1,
        }
    }
}
