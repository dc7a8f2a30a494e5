//! `[server]`

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::DefaultTo::Value;
use super::{
    DefaultTo, Entries, HOUR, Key, ListOf, MIB, NETWORK, Needed, Omittable, Row, SHORTEST, Section,
    secs,
};
use crate::config::address::parse_listen;
use crate::config::fields::parse_field;
use crate::config::kinds::{Choice, Integer, Size, Text, Time};
use crate::config::lists::List;
use crate::config::model::{ProxyProtocol, UnknownClients};
use crate::config::server::parse_health;
use crate::values::FieldPattern;

const FIELD: Text<FieldPattern> = Text::new(
    "the name of a header field, or the beginning of names such as \"X-Azure-*\"",
    r"^[^\s*]+\*?$",
    parse_field,
);

keys! {
    SERVER_ROWS;

    LISTEN: ListOf<SocketAddr>, Needed = Server "listen"
        List::never_empty(Text::new("an address and port such as \"0.0.0.0:8443\"",
            r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):[0-9]+$", parse_listen),
            "name at least one address to listen on"),
        Needed("write listen = [\"0.0.0.0:8443\"] under [server]"),
        "Addresses to listen on. Port 0 picks a free port. `[::]` accepts IPv4 too, unless an IPv4 \
         address with the same port is listed.";
    MAX_CONNECTIONS: Integer, DefaultTo<u32> = Server "max_connections"
        Integer { min: 1, max: 10_000_000 }, Value(100_000),
        "The most connections open at once. A connection counts from accept to the end of its session.";
    MAX_HEAD: Size, DefaultTo<u64> = Server "max_head"
        Size { min: 4 * 1024, max: MIB }, Value(64 * 1024),
        "The largest request head in bytes, cookies and tokens included. Each connection has 16 KiB of \
         its own; larger heads use 64 MiB that all connections share, of which one address may use 8 MiB. \
         When these are used up, the response is 503 `capacity`.";
    MAX_FIELDS: Integer, DefaultTo<u32> = Server "max_fields"
        Integer { min: 16, max: 1000 }, Value(200),
        "The most header fields of a request.";
    HANDSHAKE_TIMEOUT: Time, DefaultTo<Duration> = Server "handshake_timeout"
        Time { min: SHORTEST, max: secs(600) },
        Value(secs(10)),
        "One deadline from accept to the 101: TLS, request, policy and upstream.";
    SHUTDOWN_GRACE: Time, DefaultTo<Duration> = Server "shutdown_grace"
        Time { min: SHORTEST, max: HOUR }, Value(secs(30)),
        "How long sessions may take to end after the first shutdown signal.";
    TRUSTED_PROXIES: ListOf<IpNet>, DefaultTo<Entries<IpNet>> = Server "trusted_proxies"
        List { of: NETWORK, never_empty: None },
        Value(Vec::new()),
        "Proxies whose X-Forwarded-* and PROXY protocol headers are trusted, read from right to left. \
         Empty: none.";
    PROXY_PROTOCOL: Choice<ProxyProtocol>, DefaultTo<ProxyProtocol> = Server "proxy_protocol"
        Choice::of(&[("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required)]),
        Value(ProxyProtocol::Off),
        "Whether each connection starts with a PROXY protocol header (v1 or v2). It is accepted from \
         `trusted_proxies` only.";
    HEALTH_PATH: Text<String>, Omittable = Server "health_path"
        Text::new("a path such as \"/healthz\"", "^/[^*?#]*$", parse_health),
        Omittable("no health check"),
        "The health check: the gateway answers GET and HEAD for this path on every host, before routes \
         and tokens, with 200, or with 503 while it shuts down.";
    UNKNOWN_CLIENTS: Choice<UnknownClients>, DefaultTo<UnknownClients> = Server "unknown_clients"
        Choice::of(&[("refuse", UnknownClients::Refuse), ("proxy", UnknownClients::Proxy)]),
        Value(UnknownClients::Refuse),
        "What happens to a request from a trusted proxy without X-Forwarded-For, or with `unknown` in it. \
         `\"refuse\"`: 400 `forwarded.malformed`. `\"proxy\"`: the proxy counts as the client, so only \
         rules about its own address apply. A value that is not an address is always refused.";
    DROP_HEADERS: ListOf<FieldPattern>, DefaultTo<Entries<FieldPattern>> = Server "drop_headers"
        List { of: FIELD, never_empty: None }, Value(Vec::new()),
        "Request header fields to remove, in addition to those in [fields.md](fields.md), unless a \
         trusted proxy sent them. Case, `-`, `_` and `.` make no difference.";
    KEEP_HEADERS: ListOf<FieldPattern>, DefaultTo<Entries<FieldPattern>> = Server "keep_headers"
        List { of: FIELD, never_empty: None }, Value(Vec::new()),
        "Header fields of [fields.md](fields.md), or of `drop_headers`, that reach the application from \
         every client. Fields that the gateway writes itself cannot be kept.";
}
