//! The tables of the file.

use super::{Key, Optional, Required, Row, Section};
use crate::config::lists::Table;

keys! {
    FILE_ROWS;

    SERVER: Table, Required = File "server" Table,
        Required("write a [server] table with at least listen = [\"0.0.0.0:8443\"]"),
        "Where and how the gateway listens.";
    TLS: Table, Optional = File "tls" Table,
        Optional("refused: certificates are needed, or `mode = \"off\"`"),
        "TLS towards clients.";
    FIREWALL: Table, Optional = File "firewall" Table, Optional("off, key by key"),
        "Which addresses may connect.";
    WEBSOCKET: Table, Optional = File "websocket" Table, Optional("the defaults of each key"),
        "Limits of every route's WebSocket sessions.";
    JWT: Table, Optional = File "jwt" Table, Optional("no route can ask for a token"),
        "One table an issuer of tokens, by a name of letters, digits, `-` and `_` that \
         `routes.NAME.auth` gives.";
    ROUTES: Table, Required = File "routes" Table,
        Required("write a [routes.NAME] table with path, upstream and auth"),
        "One table a route, by a name of letters, digits, `-` and `_`. At least one. An exact \
         host wins over a wildcard, a wildcard over any; within a host an exact path, then the \
         longest prefix.";
    LOG: Table, Optional = File "log" Table, Optional("the defaults of each key"),
        "What is logged, and where.";
    ADMIN: Table, Optional = File "admin" Table, Optional("off, key by key"),
        "How a running gateway is asked and told.";
}
