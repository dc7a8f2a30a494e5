//! The loaded configuration, which all layers above this one take their settings from. It is immutable.

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

/// A whole configuration file, checked. Every file it names was read.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[tls]`; `None` is `mode = "off"`, said in so many words.
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
    /// `[limits]`, for the limits that routes do not have.
    pub limits: Limits,
    /// Every file that was read for it, its own first.
    pub files: Vec<PathBuf>,
}

/// `[admin]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    /// The unix socket of the admin client; `None`: there is none.
    pub socket: Option<PathBuf>,
    /// Where revocations are kept over a restart; `None`: in memory alone.
    pub revocations: Option<PathBuf>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Addresses to listen on, at least one.
    pub listen: Vec<SocketAddr>,
    /// How many connections may be open at once, from accept to the end of the session.
    pub max_connections: usize,
    /// The largest request head, in bytes.
    pub max_head: usize,
    /// The most header fields of a request.
    pub max_fields: usize,
    /// The one deadline from accept to the 101.
    pub handshake_timeout: Duration,
    /// How long sessions may take to end after the first signal.
    pub shutdown_grace: Duration,
    /// Peers whose X-Forwarded-* and PROXY protocol headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether each connection starts with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// The path where the gateway says that it is there; `None`: there is none.
    pub health_path: Option<String>,
    /// What a trusted proxy's request is that names no client.
    pub unknown_clients: UnknownClients,
    /// `drop_headers` and `keep_headers`.
    pub fields: FieldRules,
}

/// `[server] unknown_clients`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownClients {
    /// Refused.
    Refuse,
    /// The proxy's own.
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
    /// The NAME.
    pub name: Arc<str>,
    /// Empty: any host.
    pub hosts: Vec<HostPattern>,
    /// The path that a request must have.
    pub path: PathPattern,
    /// In the order they are tried; at least one.
    pub upstreams: Vec<Upstream>,
    /// What a wss:// upstream is verified with: the certificates of `upstream_ca`, which are trusted as
    /// they are, too, or the system's roots. `None` when no upstream is wss://.
    pub upstream_trust: Option<ServerTrust>,
    /// The name that a wss:// upstream is asked for and verified by; `None`: its host.
    pub upstream_server_name: Option<String>,
    /// The Host that upstreams get; `None`: the client's.
    pub upstream_host: Option<String>,
    /// How long an upstream may take to accept a connection before the next is tried.
    pub dial_timeout: Duration,
    /// Which origins may connect.
    pub origins: Origins,
    /// Whether a request without an Origin header is refused.
    pub require_origin: bool,
    /// Empty: whatever client and upstream agree on.
    pub subprotocols: Vec<String>,
    /// Who may connect.
    pub auth: Auth,
    /// `[websocket]` with the route's overrides.
    pub websocket: WebSocket,
    /// `[limits]` with the route's overrides.
    pub limits: Limits,
    /// The member of a JSON text message by which a client hands in a new token:
    /// `{"MEMBER": {"token": "..."}}`; `None`: no such message is looked for.
    pub refresh: Option<String>,
}

/// `routes.*.auth`
#[derive(Debug, Clone)]
pub enum Auth {
    /// Anybody; said as "none".
    None,
    /// Whoever has a token of one of these issuers; said as their names.
    Jwt(RouteIssuers),
}

/// `routes.*.origins`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Not configured: scheme, host and port equal what the client used.
    Same,
    /// `["*"]`
    Any,
    /// These.
    Listed(Vec<OriginPattern>),
}

/// One address of `routes.*.upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// `ws://HOST:PORT`
    Ws {
        /// A name or an address, without brackets.
        host: String,
        /// 80 if not said.
        port: u16,
    },
    /// `wss://HOST:PORT`
    Wss {
        /// A name or an address, without brackets; the certificate must be valid for it.
        host: String,
        /// 443 if not said.
        port: u16,
    },
    /// `unix:PATH`
    Unix(PathBuf),
}

/// `[websocket] compression`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The offer is stripped, so no extension is ever negotiated.
    Off,
    /// Client and upstream may agree on it, and a copy of what they send is inflated.
    Inspect,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is written.
    pub level: tracing::Level,
    /// `None`: pretty on a terminal, JSON elsewhere.
    pub format: Option<LogFormat>,
    /// `None`: standard error.
    pub file: Option<PathBuf>,
    /// Protocol and connection errors alone.
    pub error_file: Option<PathBuf>,
}

/// `[log] format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}
