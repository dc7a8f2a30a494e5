//! The table of keys: names, kinds, bounds, defaults and meanings. The check for unknown keys, the
//! value reader, `docs/configuration.md` and the JSON Schema are all derived from it.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::address::parse_network;
use super::kinds::Text;
use super::lists::ListOf;

#[macro_use]
mod macros;

mod admin;
mod ban;
mod file;
mod firewall;
mod health;
mod jwt;
mod key;
mod limits;
mod log;
mod messages;
mod route;
mod server;
mod tls;
mod upstreams;
mod websocket;

pub use admin::*;
pub use ban::*;
pub(in crate::config) use file::*;
pub(in crate::config) use firewall::*;
pub(in crate::config) use health::*;
pub use jwt::*;
pub(in crate::config) use key::{DefaultTo, Field, Key, Needed, Omittable, Row};
pub use limits::*;
pub use log::*;
pub(in crate::config) use messages::*;
pub use route::*;
pub use server::*;
pub(in crate::config) use tls::*;
pub(in crate::config) use upstreams::*;
pub use websocket::*;

/// All keys; the keys of a section are in the order of the reference.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let sections = [
        file_rows,
        server_rows,
        tls_rows,
        certificate_rows,
        firewall_rows,
        ban_rows,
        limits_rows,
        websocket_rows,
        jwt_rows,
        upstream_rows,
        health_rows,
        route_rows,
        message_rows,
        message_type_rows,
        log_rows,
        admin_rows,
    ];
    sections.into_iter().flat_map(|rows| rows()).collect()
});

/// All keys; the keys of a section are in the order of the reference.
pub(in crate::config) fn all() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
}

const SHORTEST: Duration = Duration::from_millis(10);
const HOUR: Duration = secs(3600);
const DAY: Duration = secs(24 * 3600);
const WEEK: Duration = secs(7 * 24 * 3600);
const YEAR: Duration = secs(365 * 24 * 3600);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A list of strings with a syntax of their own.
pub(in crate::config) type Texts<T> = ListOf<Text<T>>;

const NETWORK: Text<IpNet> = Text::new(
    "an address or network such as \"10.0.0.0/8\"",
    "^[0-9A-Fa-f:.]+(/[0-9]+)?$",
    parse_network,
);

/// The tables that have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Section {
    File,
    Server,
    Tls,
    Certificate,
    Firewall,
    Ban,
    Limits,
    /// The keys of `[limits]` that are also available in a route.
    RouteLimits,
    WebSocket,
    /// `[jwt]`; its keys are names that the operator chooses.
    Issuers,
    Issuer,
    /// `[upstreams]`; its keys are names that the operator chooses.
    Upstreams,
    Upstream,
    /// The checks of the servers of `[upstreams.NAME]`.
    Health,
    /// `[routes]`; its keys are names that the operator chooses.
    Routes,
    Route,
    /// `[routes.NAME.messages]` and `[routes.NAME.replies]`.
    Messages,
    /// `[routes.NAME.messages.types]`; its keys are names that the operator chooses.
    MessageTypes,
    MessageType,
    Log,
    Admin,
}

impl Section {
    /// The sections with keys in the table, in the order of the reference.
    pub(in crate::config) const ALL: [Self; 16] = [
        Self::File,
        Self::Server,
        Self::Tls,
        Self::Certificate,
        Self::Firewall,
        Self::Ban,
        Self::Limits,
        Self::WebSocket,
        Self::Issuer,
        Self::Upstream,
        Self::Health,
        Self::Route,
        Self::Messages,
        Self::MessageType,
        Self::Log,
        Self::Admin,
    ];

    /// A JSON Schema reference to the schema of this section.
    pub(in crate::config) fn reference(self) -> Json {
        json!({ "$ref": format!("#/definitions/{self:?}") })
    }

    /// Whether the keys of this section are names that the operator chooses.
    pub(in crate::config) fn is_named(self) -> bool {
        matches!(self, Self::Issuers | Self::Upstreams | Self::Routes | Self::MessageTypes)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the file",
            Self::Server => "[server]",
            Self::Tls => "[tls]",
            Self::Certificate => "tls.certificates",
            Self::Firewall => "[firewall]",
            Self::Ban => "[firewall.ban]",
            Self::Limits => "[limits]",
            Self::RouteLimits => "[routes.NAME.limits]",
            Self::WebSocket => "[websocket]",
            Self::Issuers => "[jwt]",
            Self::Issuer => "[jwt.NAME]",
            Self::Upstreams => "[upstreams]",
            Self::Upstream => "[upstreams.NAME]",
            Self::Health => "[upstreams.NAME.health]",
            Self::Routes => "[routes]",
            Self::Route => "[routes.NAME]",
            Self::Messages => "[routes.NAME.messages]",
            Self::MessageTypes => "[routes.NAME.messages.types]",
            Self::MessageType => "[routes.NAME.messages.types.TYPE]",
            Self::Log => "[log]",
            Self::Admin => "[admin]",
        })
    }
}

pub(in crate::config) fn is_known(section: Section, name: &str) -> bool {
    of(section).any(|row| row.name == name)
}

/// The keys of a section, in the order of the table.
pub(in crate::config) fn of(section: Section) -> impl Iterator<Item = &'static Row> {
    let home = if section == Section::RouteLimits { Section::Limits } else { section };
    all().filter(move |row| row.section == home)
}

/// The names of the keys of a section.
pub(in crate::config) fn names(section: Section) -> Vec<&'static str> {
    of(section).map(|row| row.name).collect()
}

/// The section that has a key of this name, if exactly one has.
pub(in crate::config) fn home(name: &str) -> Option<Section> {
    let mut homes = all().filter(|row| row.name == name);
    let home = homes.next()?.section;
    homes.next().is_none().then_some(home)
}

/// The alternative to a key that operators may expect in a section, but that does not exist there.
pub(in crate::config) fn instead_of(section: Section, name: &str) -> Option<&'static str> {
    match (section, name) {
        (Section::Admin, "listen" | "token") => Some(
            "this version has no HTTP listener for administration: give `socket`, whose file \
             decides who may use it",
        ),
        (Section::Route, "max_connections") | (_, "max_handshakes") => Some(
            "`max_connections` and `max_handshakes` of [upstreams.NAME] bound the load of each server",
        ),
        (
            _,
            "balancing" | "load_balance" | "load_balancing" | "lb_policy" | "sticky" | "affinity",
        ) => Some("`balance` of [upstreams.NAME] says how its servers share the load"),
        (_, "health" | "health_check" | "health_checks" | "healthcheck") => {
            Some("`health` of [upstreams.NAME] checks its servers")
        }
        (_, "weight" | "weights" | "backup") => {
            Some("a server has it: servers = [{ url = \"ws://10.0.0.5:8765\", weight = 2 }]")
        }
        _ => None,
    }
}

/// The explanation for a key that other gateways have and Framewall does not support yet.
pub(in crate::config) fn later(name: &str) -> Option<&'static str> {
    Some(match name {
        "metrics" | "prometheus" | "stats" | "status" => {
            "it has no metrics; `framewall status`, `sessions` and the log tell what it does"
        }
        "audit" => "it has no audit log; `[log]` has a record for every refusal and session",
        "otlp" | "opentelemetry" | "tracing" => {
            "it sends nothing to a collector; `[log]` writes JSON, one object a line"
        }
        "fleet" | "redis" | "cluster" => "each gateway keeps its own bans, revocations and counts",
        "http" | "pages" => "a route serves plain HTTP with serve = [\"websocket\", \"http\"]",
        "static" | "root" => "it serves no files; an application or another server does",
        "redirect" | "redirect_https" => "`redirect_http` of [server] redirects HTTP to HTTPS",
        "http2" | "h2" | "http3" | "h3" | "quic" => "it speaks HTTP/1.1 alone",
        "acme" | "letsencrypt" => {
            "it does not get certificates; let certbot write them and reload, see docs/deploy.md"
        }
        "headers" | "header" | "add_headers" | "set_headers" | "request_headers"
        | "response_headers" => {
            "it sets no header fields of your own; `forward` in [jwt.NAME] sets those from claims"
        }
        "rewrite" | "strip_prefix" => {
            "`upstream_path` of a route says what its `path` becomes at the upstream"
        }
        "include" | "imports" => "the configuration is one file",
        _ => return None,
    })
}
