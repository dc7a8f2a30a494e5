//! `[tls]` and its certificates.

use super::DefaultTo::Value;
use super::{DefaultTo, Key, Needed, Omittable, Row, Section};
use crate::config::kinds::{Choice, File};
use crate::config::lists::Tables;
use crate::tls::TlsVersion;

keys! {
    TLS_ROWS;

    TLS_MODE: Choice<bool>, DefaultTo<bool> = Tls "mode"
        Choice::of(&[("on", true), ("off", false)]), Value(true),
        "`\"off\"`: plain HTTP. No other key of [tls] may be given then.";
    CERTIFICATES: Tables, Omittable = Tls "certificates" Tables(Section::Certificate),
        Omittable("refused, unless `mode = \"off\"`"),
        "Certificates with their private keys. The server name that a client asks for (SNI) selects one; \
         the first is the default.";
    CERT: File, Needed = Certificate "cert" File,
        Needed("name the PEM file of the certificate chain"),
        "PEM file of the chain, the server's own certificate first. At most 1 MiB.";
    CERT_KEY: File, Needed = Certificate "key" File,
        Needed("name the PEM file of the private key"),
        "PEM file of its private key, not encrypted: PKCS#8, SEC1 or PKCS#1; RSA, ECDSA or \
         Ed25519. Readable by the gateway's user alone.";
    MIN_VERSION: Choice<TlsVersion>, DefaultTo<TlsVersion> = Tls "min_version"
        Choice::of(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]),
        Value(TlsVersion::Tls12),
        "The lowest TLS version.";
    CLIENT_AUTH: Choice<Demand>, DefaultTo<Demand> = Tls "client_auth"
        Choice::of(&[("off", Demand::Off), ("optional", Demand::Optional),
            ("required", Demand::Required)]),
        Value(Demand::Off),
        "Whether clients present a certificate. `\"optional\"`: a certificate that is presented must \
         verify.";
    CLIENT_CA: File, Omittable = Tls "client_ca" File,
        Omittable("needed, unless `client_auth` is `\"off\"`"),
        "PEM file of the roots that client certificates must chain to.";
}

/// The value of `[tls] client_auth`, before the roots are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Demand {
    Off,
    Optional,
    Required,
}
