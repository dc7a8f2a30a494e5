//! `[routes.NAME]`

use std::time::Duration;

use super::DefaultTo::Value;
use super::{DefaultTo, Key, ListOf, Needed, Omittable, Row, SHORTEST, Section, secs};
use crate::config::auth::{parse_auth, parse_member};
use crate::config::host::HostPattern;
use crate::config::kinds::{Bool, File, Text, Time};
use crate::config::lints::LintName;
use crate::config::lists::{List, OneOrMore, Table};
use crate::config::model::Upstream;
use crate::config::origins::OriginEntry;
use crate::config::path::PathPattern;
use crate::config::reader::NAME;
use crate::config::route::parse_subprotocol;
use crate::config::upstream::{parse_server_name, parse_upstream_host};

keys! {
    ROUTE_ROWS;

    HOST: ListOf<HostPattern>, Omittable = Route "host"
        List::never_empty(Text::new("a host such as \"chat.example.com\" or \"*.example.com\"",
            r"^(\*\.)?[^*]+$", HostPattern::parse),
            "leave `host` out to accept any host"),
        Omittable("any host"),
        "Hosts, compared in one canonical form: letters without case, without one dot at the end and \
         without the port, IPv6 addresses as in RFC 5952. Internationalised names are written with \
         their A-labels (`xn--...`). `*.` stands for exactly one label.";
    PATH: Text<PathPattern>, Needed = Route "path"
        Text::new("a path such as \"/ws\" or \"/ws/*\"", r"^/([^*]*/)?(\*|[^*/][^*]*)?$", PathPattern::parse),
        Needed("write path = \"/ws\", or \"/*\" for every path"),
        "Exact; `/ws/*` is `/ws/` and everything below, but not `/ws` itself; `/*` is every path. \
         Compared in the canonical form of RFC 3986 section 6.2.2.";
    UPSTREAM: ListOf<Upstream>, Needed = Route "upstream"
        List::never_empty(Text::new("\"ws://HOST:PORT\", \"wss://HOST:PORT\" or \"unix:PATH\"",
            r"^(wss?://[^/?#@]+|unix:.+)$", Upstream::parse),
            "name at least one application, such as \"ws://127.0.0.1:8765\""),
        Needed("write upstream = [\"ws://127.0.0.1:8765\"], with your application's address"),
        "The application, in the order of trying. Port 80 (ws) or 443 (wss) if not said. The \
         client's path and query are forwarded as they came.";
    UPSTREAM_CA: File, Omittable = Route "upstream_ca" File, Omittable("the system's roots"),
        "PEM file of the roots that a wss:// upstream's certificate must chain to; an upstream that \
         shows one of these certificates itself is trusted, too. Only with a wss:// upstream.";
    UPSTREAM_SERVER_NAME: Text<String>, Omittable = Route "upstream_server_name"
        Text::new("a host name or address such as \"app.example.com\"", r"^[^*/\s]+$", parse_server_name),
        Omittable("the host of the upstream"),
        "The name that a wss:// upstream is asked for (SNI, RFC 6066 section 3) and that its certificate \
         must have. Only with a wss:// upstream.";
    UPSTREAM_HOST: Text<String>, Omittable = Route "upstream_host"
        Text::new("a host such as \"app.example.com\" or \"app.example.com:8080\"", r"^[^*/\s]+$",
            parse_upstream_host),
        Omittable("the client's Host"),
        "The Host header that upstreams get. X-Forwarded-Host and Forwarded say the client's.";
    DIAL_TIMEOUT: Time, DefaultTo<Duration> = Route "dial_timeout"
        Time { min: SHORTEST, max: secs(60) }, Value(secs(1)),
        "How long an upstream may take to accept a connection, its name, TCP and TLS included, before \
         the next is tried. The last that is left has 5 s where this is shorter.";
    ORIGINS: ListOf<OriginEntry>, Omittable = Route "origins"
        List::never_empty(Text::new("an origin such as \"https://chat.example.com\"",
            r"^(\*|null|[A-Za-z][0-9A-Za-z+.-]*://[^/]*)?$", OriginEntry::parse),
            "leave `origins` out for the same origin alone, or say [\"*\"] for any"),
        Omittable("same origin: scheme, host and port as the client used them"),
        "Web pages that may connect: origins, compared in canonical form; in `https://*.example.com` \
         the star is exactly one label. Pages of apps have origins such as `capacitor://localhost` or \
         `qrc://`. `null`, `file://` and an empty Origin (`\"\"`) can be listed. `[\"*\"]`: any \
         Origin header at all.";
    REQUIRE_ORIGIN: Bool, DefaultTo<bool> = Route "require_origin" Bool, Value(false),
        "Refuse a request without an Origin header. Browsers always send one.";
    SUBPROTOCOLS: ListOf<String>, Omittable = Route "subprotocols"
        List::never_empty(Text::new("a subprotocol such as \"chat.v1\"", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            parse_subprotocol),
            "leave `subprotocols` out to let client and application agree"),
        Omittable("whatever client and application agree on"),
        "The subprotocols that may be agreed on (RFC 6455 section 1.9). Compared with case.";
    AUTH: OneOrMore<Text<String>>, Needed = Route "auth"
        OneOrMore(List::never_empty(
            Text::new("\"none\" or the name of a [jwt.NAME] table", NAME, parse_auth),
            "say \"none\" to admit anybody")),
        Needed("who may connect must be said: the name of a [jwt.NAME] table, or \"none\", which \
            admits anybody"),
        "Who may connect: whoever has a token of the [jwt.NAME] table of this name, or of one of several, \
         which each say another `issuer`: a token's `iss` picks the one that verifies it. `\"none\"`, \
         which must be said: anybody.";
    ROUTE_ALLOW: ListOf<LintName>, Omittable = Route "allow"
        List { of: Text::one_of("the name of a lint such as \"auth.none\"", LintName::names, LintName::parse),
            never_empty: None },
        Omittable("none is acknowledged"),
        "Lints that are acknowledged for this route.";
    REFRESH: Text<String>, Omittable = Route "refresh"
        Text::new("a name of 1 to 64 letters, digits, - and _", NAME, parse_member),
        Omittable("no message is looked at for a token"),
        "The member of a JSON text message by which a client hands in a new token before its old \
         one expires: `{\"NAME\": {\"token\": \"...\"}}`. Not with `auth = \"none\"`.";
    ROUTE_LIMITS: Table, Omittable = Route "limits" Table(Section::RouteLimits), Omittable("as in [limits]"),
        "`messages`, `bytes`, `messages_per_user`, `control_frames`, `on_exceed` and `mode` of \
         [limits], for this route alone. What is not given is as in [limits]; `\"off\"` switches \
         a limit off. `mode` is that of these limits.";
    ROUTE_WEBSOCKET: Table, Omittable = Route "websocket" Table(Section::WebSocket), Omittable("as in [websocket]"),
        "The keys of [websocket], for this route alone. What is not given is as in [websocket].";
}
