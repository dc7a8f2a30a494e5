//! Connecting to an upstream: TCP, TLS or a unix socket, the next one where one cannot be reached.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::config::{Config, Route, Upstream};
use crate::listener::tune;
use crate::refusal::{Reason, Refusal};
use crate::tls::{self, TlsError};
use crate::transport::Transport;

/// How long one upstream may take to accept a connection, TLS included, before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens streams to the upstreams of a configuration.
#[derive(Clone, Default)]
pub struct Dialer {
    /// By route name, for the routes that have a `wss://` upstream.
    tls: HashMap<Arc<str>, Arc<ClientConfig>>,
}

impl Dialer {
    /// Prepares TLS for the routes that need it.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        let mut tls = HashMap::new();
        for route in &config.routes {
            if let Some(roots) = &route.upstream_roots {
                tls.insert(Arc::clone(&route.name), tls::client_config(Arc::clone(roots))?);
            }
        }
        Ok(Self { tls })
    }

    /// A stream to the first upstream of `route` that accepts, and its address for the log.
    pub(super) async fn dial(
        &self,
        route: &Route,
        deadline: Instant,
    ) -> Result<(Transport, String), Refusal> {
        let mut failures = Vec::new();
        let mut reason = Reason::UpstreamUnavailable;
        for upstream in &route.upstreams {
            let limit = deadline.min(Instant::now() + CONNECT_TIMEOUT);
            match tokio::time::timeout_at(limit, self.open(route, upstream)).await {
                Ok(Ok(stream)) => return Ok((stream, upstream.to_string())),
                Ok(Err(error)) => failures.push(format!("{upstream}: {error}")),
                Err(_elapsed) => {
                    reason = Reason::UpstreamTimeout;
                    failures.push(format!("{upstream}: no connection in time"));
                }
            }
        }
        Err(Refusal::new(reason, failures.join("; ")))
    }

    async fn open(&self, route: &Route, upstream: &Upstream) -> io::Result<Transport> {
        match upstream {
            Upstream::Ws { host, port } => tcp(host, *port).await.map(Transport::Tcp),
            Upstream::Unix(path) => UnixStream::connect(path).await.map(Transport::Unix),
            Upstream::Wss { host, port } => {
                let config = self.tls.get(&route.name).ok_or_else(|| {
                    io::Error::other("the route has no roots to verify the certificate with")
                })?;
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                tls::connect(config, name, tcp(host, *port).await?).await.map(Transport::Wss)
            }
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    tune(&stream);
    Ok(stream)
}
