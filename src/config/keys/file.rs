//! The top of the file: its profile and its tables.

use super::{Key, ListOf, Needed, Omittable, Row, Section};
use crate::config::kinds::{Choice, Text};
use crate::config::lints::LintName;
use crate::config::lists::{List, Table};
use crate::config::profile::Profile;

keys! {
    FILE_ROWS;

    PROFILE: Choice<Profile>, Omittable = File "profile"
        Choice::of(&[("owasp", Profile::Owasp)]),
        Omittable("the default of each key"),
        "Other defaults, which a key of the file overrides. `\"owasp\"`: those of the OWASP \
         WebSocket Security Cheat Sheet, listed in [hardening.md](hardening.md).";
    FILE_ALLOW: ListOf<LintName>, Omittable = File "allow"
        List { of: Text::one_of("the name of a lint such as \"tls.off\"", LintName::names, LintName::parse),
            never_empty: None },
        Omittable("none is acknowledged"),
        "Lints that are acknowledged everywhere in the file: `check` and `run` no longer show them.";
    SERVER: Table, Needed = File "server" Table(Section::Server),
        Needed("write a [server] table with at least listen = [\"0.0.0.0:8443\"]"),
        "Where and how the gateway listens.";
    TLS: Table, Omittable = File "tls" Table(Section::Tls),
        Omittable("refused: certificates are needed, or `mode = \"off\"`"),
        "TLS towards clients.";
    FIREWALL: Table, Omittable = File "firewall" Table(Section::Firewall), Omittable("off, key by key"),
        "Which addresses may connect. The most specific prefix decides, and deny wins a tie; see \
         [firewall.md](firewall.md).";
    LIMITS: Table, Omittable = File "limits" Table(Section::Limits), Omittable("off, key by key"),
        "How much an address, a user and a connection may do.";
    WEBSOCKET: Table, Omittable = File "websocket" Table(Section::WebSocket), Omittable("the defaults of each key"),
        "Limits of every route's WebSocket sessions.";
    JWT: Table, Omittable = File "jwt" Table(Section::Issuers), Omittable("no route can ask for a token"),
        "One table an issuer of tokens, by a name of letters, digits, `-` and `_` that \
         `routes.NAME.auth` gives.";
    ROUTES: Table, Needed = File "routes" Table(Section::Routes),
        Needed("write a [routes.NAME] table with path, upstream and auth"),
        "One table a route, by a name of letters, digits, `-` and `_`. At least one. An exact \
         host wins over a wildcard, a wildcard over any; within a host an exact path, then the \
         longest prefix.";
    LOG: Table, Omittable = File "log" Table(Section::Log), Omittable("the defaults of each key"),
        "What is logged, and where.";
    ADMIN: Table, Omittable = File "admin" Table(Section::Admin), Omittable("off, key by key"),
        "How a running gateway is asked and told.";
}
