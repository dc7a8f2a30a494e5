//! The loaded configuration, from which all other layers take their settings. It is immutable.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::balance::Balance;
use super::health::{HealthCheck, Unhealthy};
use super::issuer::RouteIssuers;
use super::keys::{Admin, Issuer, Limits, Log, Route, Server};
use super::protection::Firewall;
use crate::tls::{ServerSettings, ServerTrust};
use crate::values::OriginPattern;

/// A checked configuration file; all files that it names were read.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[tls]`; `None`: the file sets `mode = "off"` explicitly.
    pub tls: Option<ServerSettings>,
    /// `[routes.*]`, at least one, in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// `[log]`
    pub log: Log,
    /// `[jwt.*]`, in the order of the file.
    pub issuers: Vec<Arc<Issuer>>,
    /// `[admin]`
    pub admin: Admin,
    /// `[firewall]`
    pub firewall: Firewall,
    /// `[limits]`, for the limits that count across routes.
    pub limits: Limits,
    /// All files that were read for this configuration, the configuration file first.
    pub files: Vec<PathBuf>,
}

/// `[server] unknown_clients`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownClients {
    /// The request is refused.
    Refuse,
    /// The client address is the proxy's address.
    Proxy,
}

/// `[server] proxy_protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Connections start with TLS or HTTP.
    Off,
    /// Every connection starts with a v1 or v2 header, from a trusted proxy.
    Required,
}

/// `routes.*.auth`
#[derive(Debug, Clone)]
pub enum Auth {
    /// No authentication; `"none"` in the file.
    None,
    /// Clients need a token of one of these issuers; the file gives their names.
    Jwt(RouteIssuers),
}

/// `routes.*.origins`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// The default: scheme, host and port must equal those of the client's request.
    Same,
    /// `["*"]`: any Origin.
    Any,
    /// These origins.
    Listed(Vec<OriginPattern>),
}

/// One address of `routes.*.upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// `ws://HOST:PORT`
    Ws {
        /// A name or an address, without brackets.
        host: String,
        /// The port; 80 by default.
        port: u16,
    },
    /// `wss://HOST:PORT`
    Wss {
        /// A name or an address, without brackets; the certificate must be valid for it.
        host: String,
        /// The port; 443 by default.
        port: u16,
    },
    /// `unix:PATH`
    Unix(PathBuf),
}

/// One of `upstreams.*.servers`, or an address of `routes.*.upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    /// Its address.
    pub address: UpstreamAddress,
    /// Its share of the load, from 1 to 1000; 1 by default.
    pub weight: u16,
    /// Whether it is tried only after all others.
    pub backup: bool,
}

/// The most load of one server; `None` is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerBounds {
    /// Sessions and plain requests.
    pub max_connections: Option<usize>,
    /// Handshakes in flight.
    pub max_handshakes: Option<usize>,
}

impl ServerBounds {
    /// The bounds under which both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = |one: Option<usize>, other: Option<usize>| one.into_iter().chain(other).min();
        Self {
            max_connections: least(self.max_connections, other.max_connections),
            max_handshakes: least(self.max_handshakes, other.max_handshakes),
        }
    }
}

/// The servers of an application: `[upstreams.NAME]`, or the list of a route.
#[derive(Debug)]
pub struct Cluster {
    /// The `NAME` in `[upstreams.NAME]`; `None`: a list.
    pub name: Option<String>,
    /// At least one, in the order of the file.
    pub servers: Vec<UpstreamServer>,
    /// How the servers share the load; those of a list are tried in their order.
    pub balance: Balance,
    /// How long a server may take to accept a connection before the next one is tried.
    pub dial_timeout: Duration,
    /// The most load of each server.
    pub bounds: ServerBounds,
    /// The trust anchors for wss:// servers: the certificates of `ca`, each also accepted as an exact server
    /// certificate, or the roots of the system. `None` if no server is wss://.
    pub trust: Option<ServerTrust>,
    /// The name that wss:// servers are verified by, in place of their host.
    pub server_name: Option<String>,
    /// The active check of the servers; `None`: only the attempts of clients say which of them are down.
    pub health: Option<HealthCheck>,
    /// The fate of open sessions of a server that the check marks as down.
    pub unhealthy: Unhealthy,
    /// How long the weight of a server that came up grows; `None`: it has its whole weight at once.
    pub slow_start: Option<Duration>,
}

/// `[websocket] compression`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The gateway removes the offer, so no extension is negotiated.
    Off,
    /// Client and upstream may negotiate it; the gateway inflates a copy of each message.
    Inspect,
}

/// `[log] format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for reading on a terminal.
    Pretty,
}
