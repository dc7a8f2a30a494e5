//! The top of the file: its profile and its tables.

use super::{Key, ListOf, Optional, Required, Row, Section};
use crate::config::kinds::{Choice, Text};
use crate::config::lints::LintName;
use crate::config::lists::{List, Table};
use crate::config::profile::Profile;

keys! {
    FILE_ROWS;

    PROFILE: Choice<Profile>, Optional = File "profile"
        Choice::of(&[("owasp", Profile::Owasp)]),
        Optional("the default of each key"),
        "Other defaults, which a key of the file overrides. `\"owasp\"`: those of the OWASP \
         WebSocket Security Cheat Sheet, listed in [hardening.md](hardening.md).";
    FILE_ALLOW: ListOf<LintName>, Optional = File "allow"
        List { of: Text::one_of("the name of a lint such as \"tls.off\"", LintName::names, LintName::parse),
            never_empty: None },
        Optional("none is acknowledged"),
        "Lints that are acknowledged everywhere in the file: `check` and `run` no longer show them.";
    SERVER: Table, Required = File "server" Table(Section::Server),
        Required("write a [server] table with at least listen = [\"0.0.0.0:8443\"]"),
        "Where and how the gateway listens.";
    TLS: Table, Optional = File "tls" Table(Section::Tls),
        Optional("refused: certificates are needed, or `mode = \"off\"`"),
        "TLS towards clients.";
    FIREWALL: Table, Optional = File "firewall" Table(Section::Firewall), Optional("off, key by key"),
        "Which addresses may connect. The most specific prefix decides, and deny wins a tie; see \
         [firewall.md](firewall.md).";
    LIMITS: Table, Optional = File "limits" Table(Section::Limits), Optional("off, key by key"),
        "How much an address, a user and a connection may do.";
    WEBSOCKET: Table, Optional = File "websocket" Table(Section::WebSocket), Optional("the defaults of each key"),
        "Limits of every route's WebSocket sessions.";
    JWT: Table, Optional = File "jwt" Table(Section::Issuers), Optional("no route can ask for a token"),
        "One table an issuer of tokens, by a name of letters, digits, `-` and `_` that \
         `routes.NAME.auth` gives.";
    ROUTES: Table, Required = File "routes" Table(Section::Routes),
        Required("write a [routes.NAME] table with path, upstream and auth"),
        "One table a route, by a name of letters, digits, `-` and `_`. At least one. An exact \
         host wins over a wildcard, a wildcard over any; within a host an exact path, then the \
         longest prefix.";
    LOG: Table, Optional = File "log" Table(Section::Log), Optional("the defaults of each key"),
        "What is logged, and where.";
    ADMIN: Table, Optional = File "admin" Table(Section::Admin), Optional("off, key by key"),
        "How a running gateway is asked and told.";
}
