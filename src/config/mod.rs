//! The configuration: reads one TOML file and returns an immutable [`Config`], or every error of the
//! file at its place. It reads that file and the files that it names, and no others.
//!
//! [`load`] takes a path, [`parse`] a text. There are three steps, each with a type of its own: `raw`
//! parses the text into a syntax tree, `check` turns the tree into checked values without reading any
//! file, and `load` reads the certificates, keys, lists and databases that these values name. All
//! errors of all steps are reported at once; only a file that is not valid TOML stops after the first
//! step. `keys` is the table of keys, `reader` reads values from the tree by that table and knows the
//! places of keys and list entries, and each section of the file has a module of its own.

mod address;
mod admin;
mod auth;
mod balance;
mod ban;
mod certificates;
mod check;
mod cluster;
mod exposure;
mod fields;
mod files;
mod firewall;
mod geoip;
mod graphql;
mod health;
mod host;
mod issuer;
mod jwt;
mod keys;
mod kinds;
mod limits;
mod lints;
mod lists;
mod load;
mod log;
mod mask;
mod messages;
mod model;
mod origins;
mod pacing;
mod path;
mod profile;
mod protection;
mod rate;
mod raw;
mod reachability;
mod reader;
mod reference;
mod report;
mod route;
mod schema;
mod schema_files;
mod server;
mod tls;
mod units;

pub use balance::{Balance, HashKey};
pub use health::{CheckKind, HealthCheck, Unhealthy};
pub use host::HostPattern;
pub use issuer::{Algorithm, Family, KeySource, LONGEST_TOKEN, OnExpiry, RouteIssuers, Secret};
pub use jwt::token_place;
pub use keys::{Admin, BanRules, Issuer, Limits, Log, Route, Server, WebSocket};
pub use lints::LintName;
pub use load::{Loaded, examine, load, parse, read_text};
pub use model::{
    Auth, Cluster, Compression, Config, LogFormat, Origins, ProxyProtocol, ServerBounds,
    UnknownClients, UpstreamAddress, UpstreamServer,
};
pub use pacing::{Lifetime, RetryHint, ShutdownPace};
pub use path::PathPattern;
pub use protection::{Firewall, Mode, OnExceed};
pub use reference::reference;
pub use report::{Lint, LoadError, Report};
pub use schema::schema;
pub use units::duration;
