//! The gateway's edges against the running binary: TLS as clients meet it, addresses as proxies
//! give them, upstreams of each kind, and the limit on connections.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod capacity;
mod client_cert_fields;
mod client_certificates;
mod deploy;
mod mistakes;
mod tls;
mod upstreams;
