//! The top of the file: its profile and its tables.

use super::{Section, Texts};
use crate::config::kinds::{Choice, Text};
use crate::config::lints::LintName;
use crate::config::lists::{ListOf, Subtable};
use crate::config::profile::Profile;

keys! {
    File file_rows;

    PROFILE profile = Choice<Profile>, Choice::of(&[("owasp", Profile::Owasp)]),
        Omittable("the default of each key"),
        "Replaces defaults; a key in the file overrides it. `\"owasp\"`: the values of the OWASP \
         WebSocket Security Cheat Sheet, listed in [hardening.md](hardening.md).";
    FILE_ALLOW allow = Texts<LintName>,
        ListOf::new(Text::one_of("the name of a lint such as \"tls.off\"", LintName::names, LintName::parse)),
        Omittable("none is acknowledged"),
        "Acknowledged lints: `check` and `run` do not show them for any part of the file.";
    SERVER server = Subtable, Subtable(Section::Server),
        Needed("write a [server] table with at least listen = [\"0.0.0.0:8443\"]"),
        "Listeners, connections and request heads.";
    TLS tls = Subtable, Subtable(Section::Tls),
        Omittable("refused: certificates are needed, or `mode = \"off\"`"),
        "TLS towards clients.";
    FIREWALL firewall = Subtable, Subtable(Section::Firewall), Omittable("no address is denied"),
        "Which addresses may connect. The most specific prefix decides; of equal prefixes, deny wins. See \
         [firewall.md](firewall.md).";
    LIMITS limits = Subtable, Subtable(Section::Limits), Omittable("the default of each key"),
        "Limits for each address, user and connection.";
    WEBSOCKET websocket = Subtable, Subtable(Section::WebSocket), Omittable("the default of each key"),
        "Limits of WebSocket sessions on every route.";
    JWT jwt = Subtable, Subtable(Section::Issuers), Omittable("no route can require a token"),
        "One table for each issuer of tokens. Its name has letters, digits, `-` and `_`; \
         `routes.NAME.auth` refers to it.";
    UPSTREAMS upstreams = Subtable, Subtable(Section::Upstreams),
        Omittable("each route lists its own"),
        "One table for each application with several servers. Its name has letters, digits, `-` and `_`; \
         `routes.NAME.upstream` refers to it.";
    ROUTES routes = Subtable, Subtable(Section::Routes),
        Needed("write a [routes.NAME] table with path, upstream and auth"),
        "One table for each route, at least one. Its name has letters, digits, `-` and `_`. An exact host \
         wins over a wildcard, a wildcard over no host; within a host an exact path wins, then the \
         longest prefix.";
    LOG log = Subtable, Subtable(Section::Log), Omittable("the default of each key"),
        "What is logged, and where.";
    ADMIN admin = Subtable, Subtable(Section::Admin), Omittable("no admin socket"),
        "The admin socket, and where revocations are kept.";
}
