//! `[routes.NAME]`

use std::sync::Arc;
use std::time::Duration;

use super::{DAY, GIB, Limits, MIB, SHORTEST, Section, Texts, WebSocket, secs};
use crate::config::auth::{parse_auth, parse_member};
use crate::config::cluster::{ADDRESS, ListOrName, parse_server_name, parse_upstream_host};
use crate::config::host::HostPattern;
use crate::config::kinds::{Bool, Choice, File, OrOff, Size, Text, Time};
use crate::config::lints::LintName;
use crate::config::lists::{ListOf, OneOrMore, Subtable};
use crate::config::model::{Auth, Cluster, Origins};
use crate::config::origins::OriginEntry;
use crate::config::path::PathPattern;
use crate::config::rate::RateOf;
use crate::config::reader::NAME;
use crate::config::route::parse_subprotocol;
use crate::message::MessageRules;
use crate::values::{Rate, RequestKind};

loaded! {
    /// `[routes.NAME]`
    #[derive(Debug)]
    pub struct Route from RouteKeys {
        /// The `NAME` in `[routes.NAME]`.
        name: Arc<str>,
        /// The path that the route matches.
        path: PathPattern,
        /// The servers that the route forwards to.
        cluster: Arc<Cluster>,
        /// The authentication that clients need.
        auth: Auth,
        /// `[websocket]` with the route's overrides.
        websocket: WebSocket,
        /// `[limits]` with the route's overrides.
        limits: Limits,
        /// `[routes.NAME.messages]`: the rules for the client's messages.
        messages: Option<Arc<MessageRules>>,
        /// `[routes.NAME.replies]`: the rules for the application's messages.
        replies: Option<Arc<MessageRules>>,
    } Route route_rows;

    HOST host: Vec<HostPattern> = Texts<HostPattern>,
        ListOf::never_empty(Text::new("a host such as \"chat.example.com\" or \"*.example.com\"",
            r"^(\*\.)?[^*]+$", HostPattern::parse),
            "leave `host` out to accept any host"),
        Omittable("any host"),
        "Hosts, compared in one canonical form: case-insensitive, without a trailing dot and the port, \
         IPv6 addresses as in RFC 5952. Internationalised names are written as A-labels (`xn--...`). `*.` \
         matches exactly one label.";
    PATH path = Text<PathPattern>,
        Text::new("a path such as \"/ws\" or \"/ws/*\"", r"^/([^*]*/)?(\*|[^*/][^*]*)?$", PathPattern::parse),
        Needed("write path = \"/ws\", or \"/*\" for every path"),
        "An exact path; `/ws/*` matches `/ws/` and everything below it, but not `/ws` itself; `/*` \
         matches every path. Compared in the canonical form of RFC 3986 section 6.2.2.";
    SERVE serve: Vec<RequestKind> = ListOf<Choice<RequestKind>>,
        ListOf::never_empty(Choice::of(&RequestKind::NAMES), "leave `serve` out to serve WebSockets alone"),
        Made(|| vec![RequestKind::WebSocket]),
        "The kinds of requests that the route serves: opening handshakes, plain HTTP requests, or both. Two \
         routes may have the same host and path if they serve different kinds. A plain request on a path \
         of WebSockets alone gets 426.";
    MAX_BODY max_body: Option<u64> = OrOff<Size>,
        OrOff(Size::new(1, 1024 * GIB)), Value(Some(10 * MIB)),
        "The largest body of a plain HTTP request. Only with \"http\" in `serve`.";
    BODY_TIMEOUT body_timeout: Duration = Time, Time { min: SHORTEST, max: DAY }, Value(secs(60)),
        "How long a plain HTTP request may make no progress: the next bytes of its body, or, once the body is \
         sent, the head of the answer. The body of an answer has no such limit. Only with \"http\" in `serve`.";
    ROUTE_REQUESTS requests: Option<Rate> = OrOff<RateOf>, OrOff(RateOf::Events), Value(None),
        "Rate limit of the plain HTTP requests of one address, and of one user of one [jwt.NAME], on this route; \
         IPv6 counts by /64. They also count for `requests` of `[limits]`, which is over all routes. Only with \"http\" \
         in `serve`.";
    AMBIGUOUS_PATHS ambiguous_paths: bool = Bool, Bool, Value(false),
        "Forward plain HTTP requests whose path servers read in different ways: with `//`, with `;`, or with an \
         escaped slash or `;`. The path must select this route in every reading, and have the segments `.` and `..` in \
         none. Otherwise such a path gets 400. Only with \"http\" in `serve`.";
    UPSTREAM upstream = ListOrName,
        ListOrName(ListOf::never_empty(ADDRESS,
            "name at least one application, such as \"ws://127.0.0.1:8765\"")),
        Needed("write upstream = [\"ws://127.0.0.1:8765\"], with your application's address"),
        "Addresses of the application, tried in this order, or the NAME of an [upstreams.NAME] table, whose \
         servers share the load. http:// means the same as ws://, and https:// the same as wss://; the default port \
         is 80 or 443. All addresses of a name are used. The path and query of the client are forwarded unchanged.";
    UPSTREAM_PATH upstream_path: Option<PathPattern> = Text<PathPattern>,
        Text::new("a path such as \"/app\", or \"/app/*\" where `path` ends in \"/*\"",
            r"^/([^*]*/)?(\*|[^*/][^*]*)?$", PathPattern::parse),
        Omittable("the path of the client"),
        "The path that `path` becomes at the upstream, for sockets and plain requests: with `path = \"/app/*\"` \
         and `upstream_path = \"/*\"`, `/app/a?b` is `/a?b` there. Both end in `/*`, or neither does.";
    UPSTREAM_CA upstream_ca = File, File, Omittable("the root certificates of the system"),
        "PEM file of the root certificates for wss:// upstreams; an upstream that presents one of these \
         certificates itself is trusted, too. Only with a wss:// upstream in a list.";
    UPSTREAM_SERVER_NAME upstream_server_name = Text<String>,
        Text::new("a host name or address such as \"app.example.com\"", r"^[^*/\s]+$", parse_server_name),
        Omittable("the host of the upstream"),
        "The server name sent to a wss:// upstream (SNI, RFC 6066 section 3); its certificate must be \
         valid for this name. Only with a wss:// upstream in a list.";
    UPSTREAM_HOST upstream_host: Option<String> = Text<String>,
        Text::new("a host such as \"app.example.com\" or \"app.example.com:8080\"", r"^[^*/\s]+$",
            parse_upstream_host),
        Omittable("the Host of the client"),
        "The Host header sent to upstreams. X-Forwarded-Host and Forwarded keep the Host of the client.";
    DIAL_TIMEOUT dial_timeout = Time, Time { min: SHORTEST, max: secs(60) }, Value(secs(1)),
        "How long name resolution, TCP and TLS of an upstream may take together before the next upstream \
         is tried. The last one that is left has at least 5 s. Only with a list.";
    ORIGINS origins: Origins = Texts<OriginEntry>,
        ListOf::never_empty(Text::new("an origin such as \"https://chat.example.com\"",
            r"^(\*|null|[A-Za-z][0-9A-Za-z+.-]*://[^/]*)?$", OriginEntry::parse),
            "leave `origins` out for the same origin alone, or say [\"*\"] for any"),
        Omittable("same origin: the scheme, host and port that the client used"),
        "Origins whose web pages may connect, compared in canonical form; in `https://*.example.com` the \
         star matches exactly one label. Origins of apps such as `capacitor://localhost` or `qrc://` are \
         possible, and `null`, `file://` and an empty Origin (`\"\"`). `[\"*\"]`: any Origin header.";
    REQUIRE_ORIGIN require_origin: bool = Bool, Bool, Value(false),
        "Refuse requests without an Origin header. Browsers always send one.";
    SUBPROTOCOLS subprotocols: Vec<String> = Texts<String>,
        ListOf::never_empty(Text::new("a subprotocol such as \"chat.v1\"", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            parse_subprotocol),
            "leave `subprotocols` out to let client and application agree"),
        Omittable("any that client and application negotiate"),
        "Subprotocols that may be negotiated (RFC 6455 section 1.9), case-sensitive.";
    AUTH auth = OneOrMore<Text<String>>, OneOrMore(ListOf::never_empty(
            Text::new("\"none\" or the name of a [jwt.NAME] table", NAME, parse_auth),
            "say \"none\" to admit anybody")),
        Needed("who may connect must be said: the name of a [jwt.NAME] table, or \"none\", which \
            admits anybody"),
        "Who may connect: clients with a token of this [jwt.NAME], or of one of several. Several must \
         each have a different `issuer`: the `iss` of a token selects the table that verifies it. \
         `\"none\"`: every client, without a token.";
    ROUTE_ALLOW allow = Texts<LintName>,
        ListOf::new(Text::one_of("the name of a lint such as \"auth.none\"", LintName::names, LintName::parse)),
        Omittable("none is acknowledged"),
        "Acknowledged lints of this route.";
    REFRESH refresh: Option<String> = Text<String>,
        Text::new("a name of 1 to 64 letters, digits, - and _", NAME, parse_member),
        Omittable("tokens cannot be refreshed"),
        "The member of a JSON text message in which a client sends a new token before the old one \
         expires: `{\"NAME\": {\"token\": \"...\"}}`. Not with `auth = \"none\"`.";
    ROUTE_LIMITS limits = Subtable, Subtable(Section::RouteLimits), Omittable("as in [limits]"),
        "`messages`, `bytes`, `messages_per_user`, `control_frames`, `on_exceed` and `mode` of [limits] \
         for this route. A key that is not given has its value of [limits]; `\"off\"` switches a limit \
         off. `mode` applies to the limits of this route.";
    MESSAGES messages = Subtable, Subtable(Section::Messages), Omittable("no rules"),
        "What the client's messages may be. See [messages.md](messages.md).";
    REPLIES replies = Subtable, Subtable(Section::Messages), Omittable("no rules"),
        "What the application's messages may be: the same keys, without those for users and clients (`require`, \
         `require_in`, `rate_per_user`, `strike`, `error_reply`, `on_violation = \"answer\"`) and those of GraphQL.";
    ROUTE_WEBSOCKET websocket = Subtable, Subtable(Section::WebSocket), Omittable("as in [websocket]"),
        "The keys of [websocket] for this route. A key that is not given has its value of [websocket].";
}
