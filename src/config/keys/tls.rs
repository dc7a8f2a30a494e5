//! `[tls]` and its certificates.

use std::path::PathBuf;

use crate::config::kinds::{Choice, File};
use crate::config::lists::Subtables;
use crate::tls::TlsVersion;

section! {
    /// `[tls]`, before its files are read.
    pub(in crate::config) struct TlsKeys {} Tls tls_rows;

    TLS_MODE mode = Choice<bool>,
        Choice::of(&[("on", true), ("off", false)]), Value(true),
        "`\"off\"`: plain HTTP. No other key of [tls] may be given then.";
    CERTIFICATES certificates = Subtables, Subtables(super::Section::Certificate),
        Omittable("refused, unless `mode = \"off\"`"),
        "Certificates with their private keys. The server name that a client asks for (SNI) selects one; \
         the first is the default.";
    MIN_VERSION min_version: TlsVersion = Choice<TlsVersion>,
        Choice::of(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]),
        Value(TlsVersion::Tls12),
        "The lowest TLS version.";
    CLIENT_AUTH client_auth: Demand = Choice<Demand>,
        Choice::of(&[("off", Demand::Off), ("optional", Demand::Optional),
            ("required", Demand::Required)]),
        Value(Demand::Off),
        "Whether clients present a certificate. `\"optional\"`: a certificate that is presented must \
         verify.";
    CLIENT_CA client_ca: Option<PathBuf> = File, File,
        Omittable("needed, unless `client_auth` is `\"off\"`"),
        "PEM file of the roots that client certificates must chain to.";
}

section! {
    /// An entry of `certificates`, before its files are read.
    pub(in crate::config) struct CertificateKeys {} Certificate certificate_rows;

    CERT cert: Option<PathBuf> = File, File, Needed("name the PEM file of the certificate chain"),
        "PEM file of the chain, the server's own certificate first. At most 1 MiB.";
    CERT_KEY key: Option<PathBuf> = File, File, Needed("name the PEM file of the private key"),
        "PEM file of its private key, not encrypted: PKCS#8, SEC1 or PKCS#1; RSA, ECDSA or \
         Ed25519. Readable by the gateway's user alone.";
}

/// The value of `[tls] client_auth`, before the roots are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Demand {
    Off,
    Optional,
    Required,
}
