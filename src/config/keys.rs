//! The one table of keys: names, kinds, bounds, defaults and meanings. The check for unknown keys,
//! the reading of values and the reference in `docs/configuration.md` all come from it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use tracing::Level;

use super::address::{parse_listen, parse_network};
use super::host::HostPattern;
use super::kinds::{Bool, Choice, File, Integer, Kind, Size, Text, Time, TimeOrOff, Words};
use super::lists::{List, Table, Tables};
use super::model::{Compression, LogFormat, ProxyProtocol, TlsVersion, Upstream};
use super::origins::OriginEntry;
use super::path::PathPattern;
use super::route::parse_subprotocol;

const SHORTEST: Duration = Duration::from_millis(10);
const HOUR: Duration = secs(3600);
const WEEK: Duration = secs(7 * 24 * 3600);
const YEAR: Duration = secs(365 * 24 * 3600);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The tables that keys are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    File,
    Server,
    Tls,
    Certificate,
    WebSocket,
    /// `[routes]`, whose keys are names of the user's.
    Routes,
    Route,
    Log,
}

impl Section {
    /// Those that have keys in the table, in the order of the reference.
    pub(super) const ALL: [Self; 7] = [
        Self::File,
        Self::Server,
        Self::Tls,
        Self::Certificate,
        Self::WebSocket,
        Self::Route,
        Self::Log,
    ];
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the file",
            Self::Server => "[server]",
            Self::Tls => "[tls]",
            Self::Certificate => "tls.certificates",
            Self::WebSocket => "[websocket]",
            Self::Routes => "[routes]",
            Self::Route => "[routes.NAME]",
            Self::Log => "[log]",
        })
    }
}

/// A key: where it is, what it takes, and what holds when it is not given.
pub(super) struct Key<K, A> {
    pub(super) section: Section,
    pub(super) name: &'static str,
    pub(super) kind: K,
    pub(super) absent: A,
    pub(super) meaning: &'static str,
}

/// Not given, the key has this value.
pub(super) struct Fallback<V>(pub(super) V);

/// The key must be given; the text says what to write.
pub(super) struct Required(pub(super) &'static str);

/// The key may be left out; the text says what that means.
pub(super) struct Optional(pub(super) &'static str);

/// What the reference says of a key that is not given.
pub(super) trait Absent<K> {
    fn words(&self, kind: &K) -> String;
}

impl<K: Kind> Absent<K> for Fallback<K::Value> {
    fn words(&self, kind: &K) -> String {
        format!("`{}`", kind.show(&self.0))
    }
}

impl<K> Absent<K> for Required {
    fn words(&self, _: &K) -> String {
        "required".to_owned()
    }
}

impl<K> Absent<K> for Optional {
    fn words(&self, _: &K) -> String {
        self.0.to_owned()
    }
}

/// A row of the table, whatever its types.
pub(super) trait Row: Sync {
    fn section(&self) -> Section;
    fn name(&self) -> &'static str;
    fn words(&self) -> String;
    fn absent(&self) -> String;
    fn meaning(&self) -> &'static str;
}

impl<K: Words + Sync, A: Absent<K> + Sync> Row for Key<K, A> {
    fn section(&self) -> Section {
        self.section
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn words(&self) -> String {
        self.kind.words()
    }

    fn absent(&self) -> String {
        self.absent.words(&self.kind)
    }

    fn meaning(&self) -> &'static str {
        self.meaning
    }
}

pub(super) fn is_known(section: Section, name: &str) -> bool {
    names(section).contains(&name)
}

/// The keys of a section, in the order of the table.
pub(super) fn names(section: Section) -> Vec<&'static str> {
    let rows = KEYS.iter().filter(|row| row.section() == section);
    rows.map(|row| row.name()).collect()
}

/// The one section that has a key of this name, if there is one.
pub(super) fn home(name: &str) -> Option<Section> {
    let mut homes = KEYS.iter().filter(|row| row.name() == name);
    let home = homes.next()?.section();
    homes.next().is_none().then_some(home)
}

macro_rules! keys {
    ($($id:ident: $kind:ty, $absent:ty = $section:ident $name:literal
        $value:expr, $default:expr, $meaning:expr;)*) => {
        $(pub(super) static $id: Key<$kind, $absent> = Key {
            section: Section::$section,
            name: $name,
            kind: $value,
            absent: $default,
            meaning: $meaning,
        };)*

        /// Every key, in the order of the reference.
        pub(super) static KEYS: &[&dyn Row] = &[$(&$id,)*];
    };
}

type ListOf<T> = List<Text<T>>;
type Entries<T> = Vec<Spanned<T>>;

// name: kind, what absence is = section "name" kind's value, absence's value, meaning
keys! {
    SERVER: Table, Required = File "server" Table,
        Required("write a [server] table with at least listen = [\"0.0.0.0:8443\"]"),
        "Where and how the gateway listens.";
    TLS: Table, Optional = File "tls" Table,
        Optional("refused: certificates are needed, or `mode = \"off\"`"),
        "TLS towards clients.";
    WEBSOCKET: Table, Optional = File "websocket" Table, Optional("the defaults of each key"),
        "Limits of every route's WebSocket sessions.";
    ROUTES: Table, Required = File "routes" Table,
        Required("write a [routes.NAME] table with path, upstream and auth"),
        "One table a route, by a name of letters, digits, `-` and `_`. At least one. An exact \
         host wins over a wildcard, a wildcard over any; within a host an exact path, then the \
         longest prefix.";
    LOG: Table, Optional = File "log" Table, Optional("the defaults of each key"),
        "What is logged, and where.";

    LISTEN: ListOf<SocketAddr>, Required = Server "listen"
        List::never_empty(Text { words: "an address and port such as \"0.0.0.0:8443\"",
            parse: parse_listen },
            "name at least one address to listen on"),
        Required("write listen = [\"0.0.0.0:8443\"] under [server]"),
        "Addresses to listen on. Port 0 takes a free one.";
    MAX_CONNECTIONS: Integer, Fallback<u32> = Server "max_connections"
        Integer { min: 1, max: 10_000_000 }, Fallback(100_000),
        "Connections that may be open at once, from accept to the end of the session.";
    HANDSHAKE_TIMEOUT: Time, Fallback<Duration> = Server "handshake_timeout"
        Time { min: SHORTEST, max: secs(600) },
        Fallback(secs(10)),
        "The one deadline from accept to the 101: TLS, request, policy, upstream.";
    SHUTDOWN_GRACE: Time, Fallback<Duration> = Server "shutdown_grace"
        Time { min: SHORTEST, max: HOUR }, Fallback(secs(30)),
        "How long sessions may take to end after the first signal.";
    TRUSTED_PROXIES: ListOf<IpNet>, Fallback<Entries<IpNet>> = Server "trusted_proxies"
        List { of: Text { words: "an address or network such as \"10.0.0.0/8\"",
            parse: parse_network },
            never_empty: None },
        Fallback(Vec::new()),
        "Peers whose X-Forwarded-* and PROXY protocol headers are believed, read from right to \
         left. Empty: nobody's.";
    PROXY_PROTOCOL: Choice<ProxyProtocol>, Fallback<ProxyProtocol> = Server "proxy_protocol"
        Choice::of(&[("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required)]),
        Fallback(ProxyProtocol::Off),
        "Whether each connection starts with a PROXY protocol header (v1 or v2), accepted from \
         `trusted_proxies` alone.";

    TLS_MODE: Choice<bool>, Fallback<bool> = Tls "mode"
        Choice::of(&[("on", true), ("off", false)]), Fallback(true),
        "`\"off\"` speaks plain HTTP. It goes with no other key of [tls].";
    CERTIFICATES: Tables, Optional = Tls "certificates" Tables,
        Optional("refused, unless `mode = \"off\"`"),
        "Certificates with their keys. The client's server name picks one; the first is the \
         default.";
    CERT: File, Required = Certificate "cert" File,
        Required("name the PEM file of the certificate chain"),
        "PEM file of the chain, the server's own certificate first. At most 1 MiB.";
    CERT_KEY: File, Required = Certificate "key" File,
        Required("name the PEM file of the private key"),
        "PEM file of its private key, not encrypted: PKCS#8, SEC1 or PKCS#1; RSA, ECDSA or \
         Ed25519. Readable by the gateway's user alone.";
    MIN_VERSION: Choice<TlsVersion>, Fallback<TlsVersion> = Tls "min_version"
        Choice::of(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]),
        Fallback(TlsVersion::Tls12),
        "The lowest TLS version.";
    CLIENT_AUTH: Choice<Demand>, Fallback<Demand> = Tls "client_auth"
        Choice::of(&[("off", Demand::Off), ("optional", Demand::Optional),
            ("required", Demand::Required)]),
        Fallback(Demand::Off),
        "Whether clients show a certificate. `\"optional\"`: one that is shown must verify.";
    CLIENT_CA: File, Optional = Tls "client_ca" File,
        Optional("needed, unless `client_auth` is `\"off\"`"),
        "PEM file of the roots that client certificates must chain to.";

    MAX_MESSAGE_SIZE: Size, Fallback<u64> = WebSocket "max_message_size"
        Size { min: 1, max: GIB }, Fallback(MIB),
        "Payload bytes of a message, in both directions.";
    MAX_FRAME_SIZE: Size, Fallback<u64> = WebSocket "max_frame_size"
        Size { min: 125, max: GIB }, Fallback(MIB),
        "Payload bytes of a frame, in both directions. Control frames have up to 125 (RFC 6455 \
         section 5.5).";
    MAX_FRAGMENTS: Integer, Fallback<u32> = WebSocket "max_fragments"
        Integer { min: 1, max: 1_000_000 }, Fallback(1024),
        "Frames of a message.";
    MESSAGE_TIMEOUT: TimeOrOff, Fallback<Option<Duration>> = WebSocket "message_timeout"
        TimeOrOff(Time { min: SHORTEST, max: HOUR }), Fallback(Some(secs(30))),
        "From the first byte of a message's, or a control frame's, header to its last byte.";
    IDLE_TIMEOUT: TimeOrOff, Fallback<Option<Duration>> = WebSocket "idle_timeout"
        TimeOrOff(Time { min: SHORTEST, max: WEEK }), Fallback(None),
        "How long no data frame and no ping of a peer's own may pass, either way.";
    PING_INTERVAL: TimeOrOff, Fallback<Option<Duration>> = WebSocket "ping_interval"
        TimeOrOff(Time { min: SHORTEST, max: HOUR }), Fallback(Some(secs(30))),
        "Between the gateway's own pings, to both sides. Unanswered twice, the session is closed.";
    MAX_LIFETIME: TimeOrOff, Fallback<Option<Duration>> = WebSocket "max_lifetime"
        TimeOrOff(Time { min: SHORTEST, max: YEAR }), Fallback(None),
        "From the 101 to a Close.";
    COMPRESSION: Choice<Compression>, Fallback<Compression> = WebSocket "compression"
        Choice::of(&[("off", Compression::Off)]).without(&["inspect"]), Fallback(Compression::Off),
        "What becomes of permessage-deflate (RFC 7692). `\"off\"`: the offer is removed, so it is \
         never negotiated.";

    HOST: ListOf<HostPattern>, Optional = Route "host"
        List::never_empty(Text { words: "a host such as \"chat.example.com\" or \"*.example.com\"",
            parse: HostPattern::parse },
            "leave `host` out to accept any host"),
        Optional("any host"),
        "Hosts, compared without case and port. `*.` stands for exactly one label.";
    PATH: Text<PathPattern>, Required = Route "path"
        Text { words: "a path such as \"/ws\" or \"/ws/*\"", parse: PathPattern::parse },
        Required("write path = \"/ws\", or \"/ws/*\" for everything below it"),
        "Exact; `/ws/*` is everything below, not `/ws` itself. Compared in the canonical form of \
         RFC 3986 section 6.2.2.";
    UPSTREAM: ListOf<Upstream>, Required = Route "upstream"
        List::never_empty(Text { words: "\"ws://HOST:PORT\", \"wss://HOST:PORT\" or \"unix:PATH\"",
            parse: Upstream::parse },
            "name at least one application, such as \"ws://127.0.0.1:8765\""),
        Required("write upstream = [\"ws://127.0.0.1:8765\"], with your application's address"),
        "The application, in the order of trying. Port 80 (ws) or 443 (wss) if not said. The \
         client's path and query are forwarded as they came.";
    UPSTREAM_CA: File, Optional = Route "upstream_ca" File, Optional("the system's roots"),
        "PEM file of the roots that a wss:// upstream's certificate must chain to. Only with a \
         wss:// upstream.";
    ORIGINS: ListOf<OriginEntry>, Optional = Route "origins"
        List::never_empty(Text { words: "an origin such as \"https://chat.example.com\"",
            parse: OriginEntry::parse },
            "leave `origins` out for the same origin alone, or say [\"*\"] for any"),
        Optional("same origin: scheme, host and port as the client used them"),
        "Web pages that may connect: exact origins, or `[\"*\"]` for any.";
    REQUIRE_ORIGIN: Bool, Fallback<bool> = Route "require_origin" Bool, Fallback(false),
        "Refuse a request without an Origin header. Browsers always send one.";
    SUBPROTOCOLS: ListOf<String>, Optional = Route "subprotocols"
        List::never_empty(Text { words: "a subprotocol such as \"chat.v1\"", parse: parse_subprotocol },
            "leave `subprotocols` out to let client and application agree"),
        Optional("whatever client and application agree on"),
        "The subprotocols that may be agreed on (RFC 6455 section 1.9). Compared with case.";
    AUTH: Choice<()>, Required = Route "auth"
        Choice::of(&[("none", ())])
            .or_say("say auth = \"none\" to admit anybody, if the application authenticates its \
                clients itself"),
        Required("who may connect must be said: auth = \"none\" admits anybody"),
        "Who may connect. `\"none\"`, which must be said: anybody.";
    ROUTE_WEBSOCKET: Table, Optional = Route "websocket" Table, Optional("as in [websocket]"),
        "The keys of [websocket], for this route alone. What is not given is as in [websocket].";

    LOG_LEVEL: Choice<Level>, Fallback<Level> = Log "level"
        Choice::of(&[("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO),
            ("debug", Level::DEBUG), ("trace", Level::TRACE)]),
        Fallback(Level::INFO),
        "The lowest level that is written.";
    LOG_FORMAT: Choice<LogFormat>, Optional = Log "format"
        Choice::of(&[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
        Optional("pretty on a terminal, JSON elsewhere"),
        "JSON has one object a line.";
    LOG_FILE: File, Optional = Log "file" File, Optional("standard error"),
        "Where the log goes. Its folder must exist.";
    LOG_ERROR_FILE: File, Optional = Log "error_file" File, Optional("no such file is written"),
        "A second file for protocol and connection errors alone. Its folder must exist.";
}

/// `[tls] client_auth` before its roots are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Off,
    Optional,
    Required,
}
