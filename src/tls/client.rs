//! The client side of TLS, for `wss://` upstreams and for issuers that publish JWK Sets.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::handshake::{self, MessageLimit};
use super::rustls_engine::RustlsEngine;
use super::settings::{ServerTrust, TlsVersion};
use super::stream::Stream;
use super::trust::UpstreamVerifier;
use super::{TlsError, provider, versions};

/// The client side of TLS with one set of trusted certificates. Its connectors share sessions for resumption.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    trust: ServerTrust,
}

/// Connects to one server.
#[derive(Clone)]
pub struct Connector {
    client: TlsClient,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Builds the client for TLS 1.2 and 1.3 with ALPN `http/1.1` only.
    pub fn new(trust: &ServerTrust) -> Result<Self, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(TlsVersion::Tls12))?
            .with_root_certificates(Arc::clone(&trust.roots.0))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !trust.exact.is_empty() {
            config.dangerous().set_certificate_verifier(Arc::new(UpstreamVerifier::new(trust)?));
        }
        Ok(Self { config: Arc::new(config), trust: trust.clone() })
    }

    /// A connector to the server `name`, a DNS name or an address without brackets.
    ///
    /// # Errors
    /// `name` is not valid in a certificate.
    pub fn connector(&self, name: &str) -> Result<Connector, TlsError> {
        let parsed = ServerName::try_from(name).map_err(|_| TlsError::Name(name.to_owned()))?;
        Ok(Connector { client: self.clone(), name: parsed.to_owned() })
    }
}

impl Connector {
    /// Performs the handshake with the server, which must present a certificate for its name; the
    /// caller sets the deadline.
    ///
    /// # Errors
    /// The connection closed, or TLS failed; [`super::describe_upstream_failure`] describes the error.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> io::Result<Box<Stream<S>>> {
        let config = Arc::clone(&self.client.config);
        let engine = RustlsEngine::client(config, self.name.clone()).map_err(io::Error::other)?;
        Ok(Box::new(handshake::perform(socket, engine, MessageLimit::FOR_SERVER).await?))
    }

    /// Whether both connectors accept the same servers.
    #[must_use]
    pub fn accepts_same(&self, other: &Self) -> bool {
        self.name == other.name && self.client.trust == other.client.trust
    }
}
