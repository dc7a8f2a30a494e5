//! Log texts for TLS failures: the usual mistake and its remedy, where these are known.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::trust::is_webpki;
use crate::values::spoken::Spoken;

/// The error for a peer that does not start with a TLS record.
#[derive(Debug, thiserror::Error)]
#[error("the peer speaks another protocol than TLS: {spoken:?}")]
pub(super) struct NotTls {
    pub(super) spoken: Spoken,
}

/// The log text for a failed TLS handshake with a client.
#[must_use]
pub fn describe_failure(error: &io::Error) -> String {
    match spoken(error) {
        Some(Spoken::ProxyHeader) => {
            return PROXY_HEADER_UNASKED.to_owned();
        }
        Some(_) => return NO_TLS_CLIENT.to_owned(),
        None => {}
    }
    match tls_error(error) {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => NO_TLS_CLIENT.to_owned(),
        Some(Error::NoCertificatesPresented) => {
            "the client showed no certificate, and client_auth is \"required\"".to_owned()
        }
        Some(Error::InvalidCertificate(of_certificate)) if is_old(of_certificate) => {
            "the client's certificate is X.509 version 1, which cannot be verified: issue one of \
             version 3 (`openssl x509 -req` needs -extfile for that)"
                .to_owned()
        }
        Some(Error::AlertReceived(alert)) => {
            let why = match alert {
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown => {
                    ": it does not trust the gateway's certificate"
                }
                AlertDescription::CertificateExpired => {
                    ": it finds the gateway's certificate expired"
                }
                _ => "",
            };
            format!("the client ended the TLS handshake with the alert {alert:?}{why}")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the client closed the connection in the middle of the TLS handshake".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The log text for a connection that starts with an unexpected PROXY protocol header.
pub(crate) const PROXY_HEADER_UNASKED: &str = "the connection begins with a PROXY protocol header, \
    and server.proxy_protocol is \"off\": say \"required\", with the proxy in trusted_proxies, or let \
    the proxy send none";

const NO_TLS_CLIENT: &str =
    "the client does not speak TLS; does it use ws:// or http:// on a TLS port?";

/// The log text for a failed TLS handshake with an upstream; it follows the upstream's name.
#[must_use]
pub fn describe_upstream_failure(error: &io::Error) -> String {
    let text = match (spoken(error), tls_error(error)) {
        (Some(_), _) | (_, Some(Error::InvalidMessage(InvalidMessage::InvalidContentType))) => {
            "it does not speak TLS on this port: write ws:// instead of wss://, or another port"
        }
        (_, Some(Error::InvalidCertificate(of_certificate))) => {
            return of_upstream(of_certificate);
        }
        (_, Some(Error::AlertReceived(alert))) => {
            let why = match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA => {
                    ": does it ask for a client certificate? The gateway has none"
                }
                AlertDescription::ProtocolVersion => ": the gateway speaks TLS 1.2 and 1.3",
                AlertDescription::UnrecognisedName => {
                    ": give the name that it knows itself by as upstream_server_name"
                }
                _ => "",
            };
            return format!("it ended the TLS handshake with the alert {alert:?}{why}");
        }
        (_, Some(Error::PeerIncompatible(why))) => {
            return format!("it speaks no TLS that the gateway speaks, 1.2 or 1.3: {why:?}");
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection during the TLS handshake: does it speak TLS on this port?"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}

fn of_upstream(error: &CertificateError) -> String {
    let text = match error {
        CertificateError::UnknownIssuer => {
            "its certificate chains to no known root: give the certificate of its authority, or its \
             own, as upstream_ca"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for other names: give one of them as upstream_server_name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it, or check this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: check this machine's clock"
        }
        other if is_old(other) => {
            "its certificate is X.509 version 1, which names no hosts: make one of version 3 \
             (`openssl x509 -req` needs -extfile for that) with a subjectAltName"
        }
        other if is_webpki(other, &webpki::Error::CaUsedAsEndEntity) => {
            "its certificate is that of an authority, and not one that upstream_ca has for this name: \
             give that very certificate as upstream_ca, or let it show one that the authority issued"
        }
        other => return format!("its certificate is refused: {other:?}"),
    };
    text.to_owned()
}

/// Whether the error is an X.509 version 1 certificate, which has no extensions.
fn is_old(error: &CertificateError) -> bool {
    is_webpki(error, &webpki::Error::UnsupportedCertVersion)
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|source| source.downcast_ref())
}

fn spoken(error: &io::Error) -> Option<Spoken> {
    let inner: Option<&NotTls> = error.get_ref().and_then(|source| source.downcast_ref());
    inner.map(|inner| inner.spoken)
}
