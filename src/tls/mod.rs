//! TLS: which certificate a client gets, which versions are spoken, and how an upstream's
//! certificate is verified. Takes a TCP stream, gives a TLS stream that holds no buffer while it
//! waits; never looks at a request.

mod buffers;
mod certificate_names;
mod client;
mod client_certificate;
mod handshake;
mod kept;
mod names;
mod pem;
mod records;
mod settings;
pub mod socket;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tickets;
mod tokio_io;
pub mod transport;
mod trust;
mod words;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::{
    NoServerSessionStorage, ServerSessionMemoryCache, UnbufferedServerConnection,
};
use rustls::time_provider::TimeProvider;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use buffers::AT_ONCE;
pub use certificate_names::CertificateNames;
pub use client::{Connector, TlsClient};
use client_certificate::unix_time;
pub use client_certificate::{ClientCertificate, ClientVerifier};
use handshake::Longest;
use names::Asked;
pub use names::ServerNames;
pub use pem::{Certificate, PemError, PrivateKey, PrivateKeyForm, public_key, public_keys};
pub use records::Records;
pub use settings::{
    ClientAuth, NotARoot, Roots, ServerCertificate, ServerKeyError, ServerSettings, ServerTrust,
    TlsVersion, is_server_name,
};
pub use stream::{ClientStream, ServerStream, Stream};
use tickets::Tickets;
pub(crate) use words::PROXY_HEADER_UNASKED;
pub use words::{describe_failure, describe_upstream_failure};

/// TLS 1.2 sessions remembered for resumption; TLS 1.3 resumes from tickets alone.
const SESSION_CACHE: usize = 1024;

static TLS13_ALONE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Why TLS could not be set up from a checked configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Versions, keys or tickets that rustls does not accept.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// The roots that upstreams are verified with.
    #[error("upstreams cannot be verified: {0}")]
    Roots(rustls::server::VerifierBuilderError),
    /// An upstream's host that no certificate can name.
    #[error(
        "no certificate can be for the upstream's host {0}: give a name as upstream_server_name"
    )]
    Name(String),
    /// The certificate authorities for client certificates.
    #[error("client certificates cannot be verified: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

/// Accepts TLS connections, and knows which names share a certificate.
#[derive(Clone)]
pub struct Terminator {
    config: Arc<ServerConfig>,
    /// Which certificate goes with which name.
    pub names: Arc<ServerNames>,
    /// How client certificates are verified.
    pub clients: ClientVerifier,
}

/// A connection behind its TLS handshake.
#[derive(Debug)]
pub struct Terminated<S> {
    /// The stream inside TLS.
    pub stream: Box<Stream<UnbufferedServerConnection, S>>,
    /// The server name that the client asked for, in lower case (RFC 6066 section 3).
    pub server_name: Option<String>,
    /// The certificate that the client showed.
    pub certificate: Option<ClientCertificate>,
}

impl Terminator {
    /// The server side of TLS as `[tls]` describes it: ALPN `http/1.1` alone, sessions resumed by
    /// ticket (TLS 1.3) or by ticket or id (TLS 1.2), no early data. Sessions of the one `before`
    /// can be resumed here too.
    ///
    /// With client certificates no session is resumed: a resumed one shows no certificate, and rustls
    /// takes over the chain of the first handshake without verifying it again, so that each ticket
    /// would extend a certificate that has expired.
    pub fn new(tls: &ServerSettings, before: Option<&Self>) -> Result<Self, TlsError> {
        let names = Arc::new(ServerNames::new(&tls.certificates));
        let clients = ClientVerifier::new(&tls.client_auth)?;
        let builder = ServerConfig::builder_with_details(provider(), Arc::new(WallClock))
            .with_protocol_versions(versions(tls.min_version))?;
        let verifier = clients.rustls();
        let resumable = verifier.is_none();
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&names) as Arc<_>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !resumable {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        } else if let Some(before) = before.filter(|before| before.clients.rustls().is_none()) {
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
    /// [`describe_failure`] says what they are. The client was sent the alert, if there is one.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> io::Result<Terminated<S>> {
        let asked = Arc::new(Asked::new(Arc::clone(&self.names)));
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::clone(&asked) as Arc<_>;
        let connection =
            UnbufferedServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        let longest = Longest::of_client(self.clients.rustls().is_some());
        let stream = Box::new(handshake::shake(socket, connection, longest).await?);
        let chain = stream.common().peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|one| Certificate(one.clone().into_owned())).collect();
        let certificate = self.clients.admit(chain).map_err(stream::invalid)?;
        Ok(Terminated { stream, server_name: asked.name(), certificate })
    }
}

/// The wall clock for rustls, which panics on one before 1970 otherwise.
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
