//! `[server]`

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{DAY, HOUR, MIB, NETWORK, SHORTEST, Texts, secs};
use crate::config::address::parse_listen;
use crate::config::fields::{self, parse_field};
use crate::config::kinds::{Choice, Integer, Size, Text, Time};
use crate::config::lists::ListOf;
use crate::config::model::{ProxyProtocol, UnknownClients};
use crate::config::server::parse_health;
use crate::values::{FieldPattern, FieldRules};

const FIELD: Text<FieldPattern> = Text::new(
    "the name of a header field, or the beginning of names such as \"X-Azure-*\"",
    r"^[^\s*]+\*?$",
    parse_field,
);

section! {
    /// `[server]`
    #[derive(Debug, Clone)]
    pub struct Server {
        /// `drop_headers` and `keep_headers`.
        fields: FieldRules = fields::check,
    } Server server_rows;

    LISTEN listen: Vec<SocketAddr> = Texts<SocketAddr>,
        ListOf::never_empty(Text::new("an address and port such as \"0.0.0.0:8443\"",
            r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):[0-9]+$", parse_listen),
            "name at least one address to listen on"),
        Needed("write listen = [\"0.0.0.0:8443\"] under [server]"),
        "Addresses to listen on. Port 0 picks a free port. `[::]` accepts IPv4 too, unless an IPv4 \
         address with the same port is listed.";
    REDIRECT_HTTP redirect_http: Vec<SocketAddr> = Texts<SocketAddr>,
        ListOf::never_empty(Text::new("an address and port such as \"0.0.0.0:80\"",
            r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):[0-9]+$", parse_listen),
            "leave `redirect_http` out to redirect nothing"),
        Omittable("nothing is redirected"),
        "Addresses to listen on without TLS, where every request is redirected to https:// (308) at the port \
         of the first address of `listen`; `health_path` is answered there, too. Only with TLS.";
    MAX_CONNECTIONS max_connections: usize = Integer<usize>,
        Integer::new(1, 10_000_000), Value(100_000),
        "The most connections open at once. A connection counts from accept to the end of its session.";
    MAX_HEAD max_head: usize = Size<usize>,
        Size::new(4 * 1024, MIB), Value(64 * 1024),
        "The largest request head in bytes, cookies and tokens included. Each connection has 16 KiB of \
         its own; larger heads use 64 MiB that all connections share, of which one address may use 8 MiB. \
         When these are used up, the response is 503 `capacity`.";
    MAX_FIELDS max_fields: usize = Integer<usize>,
        Integer::new(16, 1000), Value(200),
        "The most header fields of a request.";
    HANDSHAKE_TIMEOUT handshake_timeout: Duration = Time,
        Time { min: SHORTEST, max: secs(600) }, Value(secs(10)),
        "One deadline from accept to the 101: TLS, request, policy and upstream.";
    SHUTDOWN_GRACE shutdown_grace: Duration = Time,
        Time { min: SHORTEST, max: HOUR }, Value(secs(30)),
        "How long sessions may take to end after the last one was told to. Without `shutdown_spread`, all of \
         them have this time after the first shutdown signal.";
    SHUTDOWN_SPREAD shutdown_spread: Option<Duration> = Time,
        Time { min: Duration::ZERO, max: DAY },
        Omittable("`shutdown_grace` less 10 s, half of it at least"),
        "Over how long a shutdown tells sessions to end, one after the other. Given, a shutdown takes up to \
         `shutdown_spread` and `shutdown_grace` together. See \
         [rolling-updates.md](rolling-updates.md#shut-down-at-a-pace).";
    TRUSTED_PROXIES trusted_proxies: Vec<IpNet> = Texts<IpNet>,
        ListOf::new(NETWORK), Value(Vec::new()),
        "Proxies whose X-Forwarded-* and PROXY protocol headers are trusted, read from right to left. \
         Empty: none.";
    PROXY_PROTOCOL proxy_protocol: ProxyProtocol = Choice<ProxyProtocol>,
        Choice::of(&[("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required)]),
        Value(ProxyProtocol::Off),
        "Whether each connection starts with a PROXY protocol header (v1 or v2). It is accepted from \
         `trusted_proxies` only.";
    HEALTH_PATH health_path: Option<String> = Text<String>,
        Text::new("a path such as \"/healthz\"", "^/[^*?#]*$", parse_health),
        Omittable("no health check"),
        "The health check: the gateway answers GET and HEAD for this path on every host, before routes \
         and tokens, with 200, or with 503 while it shuts down.";
    UNKNOWN_CLIENTS unknown_clients: UnknownClients = Choice<UnknownClients>,
        Choice::of(&[("refuse", UnknownClients::Refuse), ("proxy", UnknownClients::Proxy)]),
        Value(UnknownClients::Refuse),
        "What happens to a request from a trusted proxy without X-Forwarded-For, or with `unknown` in it. \
         `\"refuse\"`: 400 `forwarded.malformed`. `\"proxy\"`: the proxy counts as the client, so only \
         rules about its own address apply. A value that is not an address is always refused.";
    DROP_HEADERS drop_headers = Texts<FieldPattern>, ListOf::new(FIELD), Value(Vec::new()),
        "Request header fields to remove, in addition to those in [fields.md](fields.md), unless a \
         trusted proxy sent them. Case, `-`, `_` and `.` make no difference.";
    KEEP_HEADERS keep_headers = Texts<FieldPattern>, ListOf::new(FIELD), Value(Vec::new()),
        "Header fields of [fields.md](fields.md), or of `drop_headers`, that reach the application from \
         every client. Fields that the gateway writes itself cannot be kept.";
}
