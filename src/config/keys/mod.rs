//! The table of keys: names, kinds, bounds, defaults and meanings. The check for unknown keys, the
//! value reader, `docs/configuration.md` and the JSON Schema are all derived from it.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::address::parse_network;
use super::kinds::{Integer, Size, Text, ValueKind, Words};
use super::lists::ListOf;
use super::reader::SectionReader;

/// The rule for the absence of a key: its type, or its value.
macro_rules! absence {
    (Needed, $kind:ty) => { super::Needed };
    (Omittable, $kind:ty) => { super::Omittable };
    ($default:ident, $kind:ty) => {
        super::DefaultTo<<$kind as crate::config::kinds::ValueKind>::Value>
    };
    (Needed($help:expr)) => { super::Needed($help) };
    (Omittable($words:expr)) => { super::Omittable($words) };
    ($default:ident($($value:tt)*)) => { super::DefaultTo::$default($($value)*) };
}

/// Declares the keys of a section. A row is: STATIC key = kind, the kind's bounds, absence, meaning.
macro_rules! keys {
    ($section:ident $rows:ident; $($id:ident $name:ident = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        $(pub(in crate::config) static $id: super::Key<$kind, absence!($absence, $kind)> = super::Key {
            section: super::Section::$section,
            name: stringify!($name),
            kind: $made,
            absent: absence!($absence($($absent)*)),
            meaning: $meaning,
        };)*

        /// The keys of this section, in the order of the reference.
        pub(super) fn $rows() -> Vec<super::Row> {
            vec![$($id.row(),)*]
        }
    };
}

/// Declares the keys of a section and its struct. A row with a type is also a field of the struct, which
/// is read from that key. The fields in braces are read by the functions that they name.
macro_rules! section {
    ($(#[$attribute:meta])* $visible:vis struct $name:ident {
        $($(#[$doc:meta])* $own:ident: $type:ty = $read:path,)*
    } $section:ident $rows:ident; $($id:ident $field:ident $(: $value:ty)? = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        keys! {
            $section $rows;
            $($id $field = $kind, $made, $absence($($absent)*), $meaning;)*
        }

        $(#[$attribute])*
        $visible struct $name {
            $($(#[doc = $meaning] $visible $field: $value,)?)*
            $($(#[$doc])* $visible $own: $type,)*
        }

        impl $name {
            /// Reads the table. After a fault, which is reported, a field has its default or is empty.
            pub(in crate::config) fn read(reader: &crate::config::reader::SectionReader<'_>) -> Self {
                Self {
                    $($($field: super::Field::<$value>::read(&$id, reader),)?)*
                    $($own: $read(reader),)*
                }
            }
        }
    };
}

/// Declares a section like `section!`, and the public struct that holds its values after its files are read.
/// That struct has the fields of the rows, and the fields in braces, which the load step gives.
macro_rules! loaded {
    ($(#[$attribute:meta])* pub struct $name:ident from $keys:ident {
        $($(#[$doc:meta])* $own:ident: $type:ty,)*
    } $section:ident $rows:ident; $($id:ident $field:ident $(: $value:ty)? = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        section! {
            /// The keys of a table, before its files are read.
            pub(in crate::config) struct $keys {} $section $rows;
            $($id $field $(: $value)? = $kind, $made, $absence($($absent)*), $meaning;)*
        }

        $(#[$attribute])*
        pub struct $name {
            $($(#[$doc])* pub $own: $type,)*
            $($(#[doc = $meaning] pub $field: $value,)?)*
        }

        impl $keys {
            /// Adds the values that are not read from one key.
            pub(in crate::config) fn with(self, $($own: $type),*) -> $name {
                $name { $($own,)* $($($field: std::convert::identity::<$value>(self.$field),)?)* }
            }
        }
    };
}

/// Declares the keys and the struct of a section in which every key has a default, and which another
/// table can override.
macro_rules! layered {
    ($(#[$attribute:meta])* $section:ident $rows:ident; $($id:ident $field:ident: $value:ty = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        keys! {
            $section $rows;
            $($id $field = $kind, $made, $absence($($absent)*), $meaning;)*
        }

        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $section {
            $(#[doc = $meaning] pub $field: $value,)*
        }

        impl $section {
            /// The values that apply if neither the file nor its profile sets them.
            pub(in crate::config) fn defaults() -> Self {
                Self { $($field: $id.absent.value(),)* }
            }

            /// The values of a table; keys that the table does not set keep their value in `base`.
            pub(in crate::config) fn over(
                base: &Self,
                reader: &crate::config::reader::SectionReader<'_>,
            ) -> Self {
                Self { $($field: reader.value_or(&$id, base.$field),)* }
            }

            /// Each key with its value as TOML.
            #[cfg(test)]
            pub(in crate::config) fn shown(&self) -> Vec<(String, String)> {
                use crate::config::kinds::ValueKind;

                vec![$(($id.name.to_owned(), ValueKind::show(&$id.kind, &self.$field)),)*]
            }
        }
    };
}

mod admin;
mod ban;
mod file;
mod firewall;
mod jwt;
mod limits;
mod log;
mod route;
mod server;
mod tls;
mod websocket;

pub use admin::Admin;
pub(in crate::config) use admin::*;
pub use ban::BanRules;
pub(in crate::config) use ban::*;
pub(in crate::config) use file::*;
pub(in crate::config) use firewall::*;
pub use jwt::Issuer;
pub(in crate::config) use jwt::*;
pub use limits::Limits;
pub(in crate::config) use limits::*;
pub use log::Log;
pub(in crate::config) use log::*;
pub use route::Route;
pub(in crate::config) use route::*;
pub use server::Server;
pub(in crate::config) use server::*;
pub(in crate::config) use tls::*;
pub use websocket::WebSocket;
pub(in crate::config) use websocket::*;

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
        route_rows,
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
    /// `[routes]`; its keys are names that the operator chooses.
    Routes,
    Route,
    Log,
    Admin,
}

impl Section {
    /// The sections with keys in the table, in the order of the reference.
    pub(in crate::config) const ALL: [Self; 12] = [
        Self::File,
        Self::Server,
        Self::Tls,
        Self::Certificate,
        Self::Firewall,
        Self::Ban,
        Self::Limits,
        Self::WebSocket,
        Self::Issuer,
        Self::Route,
        Self::Log,
        Self::Admin,
    ];

    /// A JSON Schema reference to the schema of this section.
    pub(in crate::config) fn reference(self) -> Json {
        json!({ "$ref": format!("#/definitions/{self:?}") })
    }

    /// Whether the keys of this section are names that the operator chooses.
    pub(in crate::config) fn is_named(self) -> bool {
        matches!(self, Self::Issuers | Self::Routes)
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
            Self::Routes => "[routes]",
            Self::Route => "[routes.NAME]",
            Self::Log => "[log]",
            Self::Admin => "[admin]",
        })
    }
}

/// A key: its section, the kind of its value, and the rule for its absence.
pub(in crate::config) struct Key<K, A> {
    pub(in crate::config) section: Section,
    pub(in crate::config) name: &'static str,
    pub(in crate::config) kind: K,
    pub(in crate::config) absent: A,
    pub(in crate::config) meaning: &'static str,
}

/// The key has this default.
pub(in crate::config) enum DefaultTo<V: 'static> {
    Value(V),
    /// A default that a function builds, because it cannot be a constant.
    Made(fn() -> V),
    /// A default that depends on other keys, as the text says. The value applies until those keys are
    /// read and the derived value replaces it.
    Derived(V, &'static str),
}

impl<V: Clone> DefaultTo<V> {
    pub(in crate::config) fn value(&self) -> V {
        match self {
            Self::Value(value) | Self::Derived(value, _) => value.clone(),
            Self::Made(make) => make(),
        }
    }
}

/// The key is required; the text is the help for its absence.
pub(in crate::config) struct Needed(pub(in crate::config) &'static str);

/// The key is optional; the text describes its absence.
pub(in crate::config) struct Omittable(pub(in crate::config) &'static str);

/// Describes a missing key for the reference.
pub(in crate::config) trait Absence<K> {
    /// Whether the key is required.
    const REQUIRED: bool = false;

    /// The text for a key without a constant default.
    fn words(&self) -> &'static str;

    /// The default as TOML, if it is a constant.
    fn default(&self, _: &K) -> Option<String> {
        None
    }
}

impl<K: ValueKind<Value: Clone>> Absence<K> for DefaultTo<K::Value> {
    fn words(&self) -> &'static str {
        if let Self::Derived(_, words) = self { words } else { "" }
    }

    fn default(&self, kind: &K) -> Option<String> {
        match self {
            Self::Derived(..) => None,
            _ => Some(kind.show(&self.value())),
        }
    }
}

impl<K> Absence<K> for Needed {
    const REQUIRED: bool = true;

    fn words(&self) -> &'static str {
        "required"
    }
}

impl<K> Absence<K> for Omittable {
    fn words(&self) -> &'static str {
        self.0
    }
}

/// Reads a key as a field of the type `F`. After a fault, which is reported, the field has its default or
/// is empty.
pub(in crate::config) trait Field<F> {
    fn read(&self, reader: &SectionReader<'_>) -> F;
}

impl<K: ValueKind<Value: Clone>> Field<K::Value> for Key<K, DefaultTo<K::Value>> {
    fn read(&self, reader: &SectionReader<'_>) -> K::Value {
        reader.value(self)
    }
}

impl Field<usize> for Key<Integer, DefaultTo<u32>> {
    fn read(&self, reader: &SectionReader<'_>) -> usize {
        reader.value(self) as usize
    }
}

impl Field<usize> for Key<Size, DefaultTo<u64>> {
    fn read(&self, reader: &SectionReader<'_>) -> usize {
        usize::try_from(reader.value(self)).unwrap_or(usize::MAX)
    }
}

impl<K: ValueKind> Field<Option<K::Value>> for Key<K, Omittable> {
    fn read(&self, reader: &SectionReader<'_>) -> Option<K::Value> {
        reader.get(self)
    }
}

impl<T, K: ValueKind<Value = Vec<T>>> Field<Vec<T>> for Key<K, Omittable> {
    fn read(&self, reader: &SectionReader<'_>) -> Vec<T> {
        reader.get(self).unwrap_or_default()
    }
}

impl<K: ValueKind> Field<Option<K::Value>> for Key<K, Needed> {
    fn read(&self, reader: &SectionReader<'_>) -> Option<K::Value> {
        reader.required(self)
    }
}

impl<T, K: ValueKind<Value = Vec<T>>> Field<Vec<T>> for Key<K, Needed> {
    fn read(&self, reader: &SectionReader<'_>) -> Vec<T> {
        reader.required(self).unwrap_or_default()
    }
}

/// A key as the reference and the JSON Schema describe it.
pub(in crate::config) struct Row {
    pub(in crate::config) section: Section,
    pub(in crate::config) name: &'static str,
    /// The description of the kind.
    pub(in crate::config) words: String,
    /// The description of the absence.
    pub(in crate::config) absent: String,
    pub(in crate::config) meaning: &'static str,
    pub(in crate::config) required: bool,
    /// The default as TOML, if it is a constant.
    pub(in crate::config) default: Option<String>,
    /// The JSON Schema of the value.
    pub(in crate::config) schema: Json,
}

impl<K: Words, A: Absence<K>> Key<K, A> {
    pub(in crate::config) fn row(&self) -> Row {
        let default = self.absent.default(&self.kind);
        let words = || self.absent.words().to_owned();
        Row {
            section: self.section,
            name: self.name,
            words: self.kind.words(),
            absent: default.as_ref().map_or_else(words, |toml| format!("`{toml}`")),
            meaning: self.meaning,
            required: A::REQUIRED,
            default,
            schema: self.kind.schema(),
        }
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
        "upstreams" | "balance" | "balancing" | "load_balance" | "load_balancing" | "lb_policy"
        | "weight" | "weights" | "sticky" => {
            "it has no load balancing; the addresses of `upstream` are tried in their order"
        }
        "health" | "health_check" | "health_checks" | "healthcheck" => {
            "it has no health checks of applications; an address of `upstream` that cannot be \
             connected to is passed over"
        }
        "messages" | "replies" | "schema" | "deny_patterns" | "kinds" => {
            "it has no rules for what a message says; frames, sizes and rates are checked"
        }
        "http" | "pages" => "a route serves plain HTTP with serve = [\"websocket\", \"http\"]",
        "static" | "root" => "it serves no files; an application or another server does",
        "requests" => "it has no rate of plain requests; `handshakes_per_ip` counts connections",
        "redirect_http" | "redirect" => "it does not redirect HTTP to HTTPS",
        "http2" | "h2" | "http3" | "h3" | "quic" => "it speaks HTTP/1.1 alone",
        "acme" | "letsencrypt" => {
            "it does not get certificates; let certbot write them and reload, see docs/deploy.md"
        }
        "headers" | "header" | "add_headers" | "set_headers" | "request_headers"
        | "response_headers" => {
            "it sets no header fields of your own; `forward` in [jwt.NAME] sets those from claims"
        }
        "upstream_path" | "rewrite" | "strip_prefix" => {
            "the client's path and query are forwarded as they came"
        }
        "retry_hint" | "shutdown_spread" | "slow_start" | "max_handshakes" => {
            "it does not pace reconnects"
        }
        "include" | "imports" => "the configuration is one file",
        _ => return None,
    })
}
