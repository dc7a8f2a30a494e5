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
        "Addresses to listen on. Port 0 takes a free one. `[::]` takes IPv4, too, unless an IPv4 address \
         with the same port is listed.";
    MAX_CONNECTIONS: Integer, DefaultTo<u32> = Server "max_connections"
        Integer { min: 1, max: 10_000_000 }, Value(100_000),
        "Connections that may be open at once, from accept to the end of the session.";
    MAX_HEAD: Size, DefaultTo<u64> = Server "max_head"
        Size { min: 4 * 1024, max: MIB }, Value(64 * 1024),
        "Bytes of a request head, with its cookies and tokens. 16 KiB of it are every connection's own; \
         what is beyond is held in 64 MiB that all connections share, at most 8 MiB of them for one \
         address. Where those are full, the answer is 503 `capacity`.";
    MAX_FIELDS: Integer, DefaultTo<u32> = Server "max_fields"
        Integer { min: 16, max: 1000 }, Value(200),
        "Header fields of a request.";
    HANDSHAKE_TIMEOUT: Time, DefaultTo<Duration> = Server "handshake_timeout"
        Time { min: SHORTEST, max: secs(600) },
        Value(secs(10)),
        "The one deadline from accept to the 101: TLS, request, policy, upstream.";
    SHUTDOWN_GRACE: Time, DefaultTo<Duration> = Server "shutdown_grace"
        Time { min: SHORTEST, max: HOUR }, Value(secs(30)),
        "How long sessions may take to end after the first signal.";
    TRUSTED_PROXIES: ListOf<IpNet>, DefaultTo<Entries<IpNet>> = Server "trusted_proxies"
        List { of: NETWORK, never_empty: None },
        Value(Vec::new()),
        "Peers whose X-Forwarded-* and PROXY protocol headers are believed, read from right to \
         left. Empty: nobody's.";
    PROXY_PROTOCOL: Choice<ProxyProtocol>, DefaultTo<ProxyProtocol> = Server "proxy_protocol"
        Choice::of(&[("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required)]),
        Value(ProxyProtocol::Off),
        "Whether each connection starts with a PROXY protocol header (v1 or v2), accepted from \
         `trusted_proxies` alone.";
    HEALTH_PATH: Text<String>, Omittable = Server "health_path"
        Text::new("a path such as \"/healthz\"", "^/[^*?#]*$", parse_health),
        Omittable("there is none"),
        "The path where GET and HEAD are answered by the gateway itself, on every host and before \
         routes and tokens: 200, or 503 while it stops.";
    UNKNOWN_CLIENTS: Choice<UnknownClients>, DefaultTo<UnknownClients> = Server "unknown_clients"
        Choice::of(&[("refuse", UnknownClients::Refuse), ("proxy", UnknownClients::Proxy)]),
        Value(UnknownClients::Refuse),
        "A request of a trusted proxy without X-Forwarded-For, or with `unknown` in it. `\"refuse\"`: \
         400 `forwarded.malformed`. `\"proxy\"`: the proxy counts as the client, so that only address \
         rules hold for it. What is no address at all is always refused.";
    DROP_HEADERS: ListOf<FieldPattern>, DefaultTo<Entries<FieldPattern>> = Server "drop_headers"
        List { of: FIELD, never_empty: None }, Value(Vec::new()),
        "Header fields that are removed from requests, unless a trusted proxy sent them, beside those \
         of [fields.md](fields.md). Case, `-`, `_` and `.` make no difference.";
    KEEP_HEADERS: ListOf<FieldPattern>, DefaultTo<Entries<FieldPattern>> = Server "keep_headers"
        List { of: FIELD, never_empty: None }, Value(Vec::new()),
        "Header fields of [fields.md](fields.md), or of `drop_headers`, that pass to the application \
         from everybody. Those that the gateway writes itself cannot be kept.";
}
