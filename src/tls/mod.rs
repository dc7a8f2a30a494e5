//! TLS on both sides: certificates by server name, client certificates, verification of upstreams, and
//! streams that hold no buffer while they wait. Takes a TCP stream, and returns a TLS stream; never
//! parses a request. No code outside this module names an item of rustls, and only `rustls_engine.rs`
//! names its connections.

mod buffers;
mod certificate_names;
mod client;
mod client_certificate;
mod describe;
mod engine;
mod handshake;
mod names;
mod pem;
mod pending;
mod records;
mod rustls_engine;
mod settings;
pub mod socket;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tickets;
mod tokio_io;
pub mod transport;
mod trust;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::time_provider::TimeProvider;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use buffers::AT_ONCE;
pub use certificate_names::CertificateNames;
pub use client::{Connector, TlsClient};
use client_certificate::unix_time;
pub use client_certificate::{ClientCertificate, ClientVerifier};
pub(crate) use describe::PROXY_HEADER_UNASKED;
pub use describe::{describe_failure, describe_upstream_failure};
use handshake::MessageLimit;
pub use names::ServerNames;
use names::SniRecorder;
pub use pem::{Certificate, PemError, PrivateKey, PrivateKeyForm, public_key, public_keys};
use rustls_engine::RustlsEngine;
pub use settings::{
    ClientAuth, NotARoot, Roots, ServerCertificate, ServerKeyError, ServerSettings, ServerTrust,
    TlsVersion, is_server_name,
};
pub use stream::{Held, Stream};
use tickets::Tickets;

/// The number of TLS 1.2 sessions that are kept for resumption; TLS 1.3 resumes only from tickets.
const SESSION_CACHE: usize = 1024;

static TLS13_ALONE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The reason why TLS cannot be set up from a checked configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls does not accept the protocol versions, keys or tickets.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// The roots for upstreams cannot be used.
    #[error("upstreams cannot be verified: {0}")]
    Roots(rustls::server::VerifierBuilderError),
    /// No certificate can be valid for the upstream's host.
    #[error(
        "no certificate can be for the upstream's host {0}: give a name as upstream_server_name"
    )]
    Name(String),
    /// The authorities for client certificates cannot be used.
    #[error("client certificates cannot be verified: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

/// The server side of TLS: accepts connections of clients.
#[derive(Clone)]
pub struct Terminator {
    config: Arc<ServerConfig>,
    /// The certificates by name.
    pub names: Arc<ServerNames>,
    /// The verifier of client certificates.
    pub clients: ClientVerifier,
}

/// A client's connection after its TLS handshake.
#[derive(Debug)]
pub struct Terminated<S> {
    /// The stream inside TLS.
    pub stream: Box<Stream<S>>,
    /// The server name that the client sent (RFC 6066 section 3), in the canonical form of hosts.
    pub server_name: Option<String>,
    /// The certificate that the client presented.
    pub certificate: Option<ClientCertificate>,
}

impl Terminator {
    /// Builds the server side of TLS from `[tls]`: ALPN `http/1.1` only, session resumption by ticket
    /// (TLS 1.3) or by ticket or id (TLS 1.2), no early data. Sessions of the terminator `before` can
    /// be resumed, too.
    ///
    /// With client certificates no session is resumed: a resumed handshake sends no certificate, and
    /// rustls adopts the chain of the first handshake without verifying it again, so that each ticket
    /// would extend an expired certificate.
    pub fn new(tls: &ServerSettings, before: Option<&Self>) -> Result<Self, TlsError> {
        let names = Arc::new(ServerNames::new(&tls.certificates));
        let clients = ClientVerifier::new(&tls.client_auth)?;
        let builder = ServerConfig::builder_with_details(provider(), Arc::new(WallClock))
            .with_protocol_versions(versions(tls.min_version))?;
        let verifier = clients.for_handshakes();
        let resumable = verifier.is_none();
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        // Each connection gets a recorder of its own.
        let recorder = SniRecorder::new(Arc::clone(&names));
        let mut config = builder.with_cert_resolver(Arc::new(recorder));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !resumable {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        } else if let Some(before) =
            before.filter(|before| before.clients.for_handshakes().is_none())
        {
            config.ticketer = Arc::clone(&before.config.ticketer);
            config.session_storage = Arc::clone(&before.config.session_storage);
        } else {
            config.ticketer = Arc::new(Tickets::default());
            config.session_storage = ServerSessionMemoryCache::new(SESSION_CACHE);
        }
        Ok(Self { config: Arc::new(config), names, clients })
    }

    /// Performs the handshake with a client; the caller sets the deadline.
    ///
    /// # Errors
    /// [`describe_failure`] has the log texts. If the error has an alert, the alert was sent to the client.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> io::Result<Terminated<S>> {
        let recorder = Arc::new(SniRecorder::new(Arc::clone(&self.names)));
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::clone(&recorder) as Arc<_>;
        let engine = RustlsEngine::server(config).map_err(io::Error::other)?;
        let limit = MessageLimit::for_client(self.clients.for_handshakes().is_some());
        let stream = Box::new(handshake::perform(socket, engine, limit).await?);
        let chain = stream.engine().peer_certificates();
        let certificate = self.clients.admit(chain).map_err(stream::invalid)?;
        Ok(Terminated { stream, server_name: recorder.name(), certificate })
    }
}

/// The wall clock for rustls, which would otherwise panic at a time before 1970.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(SystemTime::now()))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => TLS13_ALONE,
    }
}
