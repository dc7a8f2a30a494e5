//! HAProxy: one thread, no log, one buffer for each direction only while there is something in it,
//! TLS resumed from tickets and a cache.

use std::path::Path;

use super::{Setup, Site, arguments};

pub(super) fn setup(site: &Site<'_>, file: &Path) -> Setup {
    let arguments = arguments([&"-db", &"-q", &"-f", &file]);
    Setup { config: config(site), arguments, environment: Vec::new() }
}

fn config(site: &Site<'_>) -> String {
    format!(
        "
global
    nbthread 1
    maxconn {connections}
    no strict-limits
    tune.bufsize {buffer}
    tune.ssl.cachesize 20000
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    option http-no-delay
    option forwardfor
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend clients
    maxconn {connections}
    bind {address} ssl crt {folder}/both.pem alpn http/1.1 backlog 4096
    http-request set-header X-Forwarded-Proto https
    default_backend application
backend application
    server application {application} maxconn {connections}
",
        // One that is smaller than its default holds less than a TLS record.
        buffer = site.buffer.max(16 * 1024),
        connections = site.connections,
        folder = site.folder.display(),
        address = site.address,
        application = site.application,
    )
}
