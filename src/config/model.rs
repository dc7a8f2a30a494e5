//! The loaded configuration, from which all other layers take their settings. It is immutable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::host::HostPattern;
use super::issuer::{Issuer, RouteIssuers};
use super::keys::{Limits, WebSocket};
use super::path::PathPattern;
use super::protection::Firewall;
use crate::tls::{ServerSettings, ServerTrust};
use crate::values::FieldRules;
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

/// `[admin]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    /// The unix socket of the admin client; `None`: no socket is opened.
    pub socket: Option<PathBuf>,
    /// The file that keeps revocations across restarts; `None`: they are in memory only.
    pub revocations: Option<PathBuf>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// The listen addresses, at least one.
    pub listen: Vec<SocketAddr>,
    /// The largest number of open connections, counted from accept to the end of the session.
    pub max_connections: usize,
    /// The largest request head, in bytes.
    pub max_head: usize,
    /// The largest number of header fields in a request.
    pub max_fields: usize,
    /// The deadline for the whole handshake, from accept to the 101.
    pub handshake_timeout: Duration,
    /// The time that sessions have to close after the first shutdown signal.
    pub shutdown_grace: Duration,
    /// Peers whose X-Forwarded-* fields and PROXY protocol headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether each connection starts with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// The path of the health check; `None`: there is no health check.
    pub health_path: Option<String>,
    /// The handling of a trusted proxy's request that names no client.
    pub unknown_clients: UnknownClients,
    /// `drop_headers` and `keep_headers`.
    pub fields: FieldRules,
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

/// `[routes.NAME]`
#[derive(Debug)]
pub struct Route {
    /// The `NAME` in `[routes.NAME]`.
    pub name: Arc<str>,
    /// The hosts that the route matches; empty: any host.
    pub hosts: Vec<HostPattern>,
    /// The path that the route matches.
    pub path: PathPattern,
    /// The upstreams in the order of connection attempts; at least one.
    pub upstreams: Vec<Upstream>,
    /// The trust anchors for a wss:// upstream: the certificates of `upstream_ca`, each also accepted
    /// as an exact server certificate, or the roots of the system. `None` if no upstream is wss://.
    pub upstream_trust: Option<ServerTrust>,
    /// The server name that the gateway sends to a wss:// upstream and verifies in its certificate;
    /// `None`: the host of the upstream.
    pub upstream_server_name: Option<String>,
    /// The Host field in upstream requests; `None`: the client's Host.
    pub upstream_host: Option<String>,
    /// The timeout of a connection attempt, after which the next upstream is tried.
    pub dial_timeout: Duration,
    /// The allowed origins.
    pub origins: Origins,
    /// Whether a request without an Origin header is refused.
    pub require_origin: bool,
    /// The allowed subprotocols; empty: any that client and upstream agree on.
    pub subprotocols: Vec<String>,
    /// The authentication that clients need.
    pub auth: Auth,
    /// `[websocket]` with the route's overrides.
    pub websocket: WebSocket,
    /// `[limits]` with the route's overrides.
    pub limits: Limits,
    /// The member of a JSON text message in which a client sends a new token:
    /// `{"MEMBER": {"token": "..."}}`; `None`: token renewal is off.
    pub refresh: Option<String>,
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
pub enum Upstream {
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

/// `[websocket] compression`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The gateway removes the offer, so no extension is negotiated.
    Off,
    /// Client and upstream may negotiate it; the gateway inflates a copy of each message.
    Inspect,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is written.
    pub level: tracing::Level,
    /// The log format; `None`: pretty on a terminal, JSON elsewhere.
    pub format: Option<LogFormat>,
    /// The log file; `None`: standard error.
    pub file: Option<PathBuf>,
    /// The file for protocol and connection errors only.
    pub error_file: Option<PathBuf>,
}

/// `[log] format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for reading on a terminal.
    Pretty,
}
