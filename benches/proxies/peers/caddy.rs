//! Caddy: one thread of Go code, no log, no buffering, HTTP/1.1 alone.

use std::path::Path;

use super::{Setup, Site, arguments};
use crate::load::HOST;

pub(super) fn setup(site: &Site<'_>, file: &Path) -> Setup {
    let arguments = arguments([&"run", &"--adapter", &"caddyfile", &"--config", &file]);
    // What it writes beside its work stays in the benchmark's folder.
    let homes = ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"];
    let homes = homes.map(|name| (name, site.folder.into()));
    let environment = homes.into_iter().chain([("GOMAXPROCS", "1".into())]).collect();
    Setup { config: config(site), arguments, environment }
}

fn config(site: &Site<'_>) -> String {
    format!(
        "
{{
    admin off
    persist_config off
    auto_https off
    grace_period 100ms
    log {{
        level ERROR
    }}
    servers {{
        protocols h1
    }}
}}
https://{HOST}:{port} {{
    bind {ip}
    tls {folder}/cert.pem {folder}/key.pem {{
        protocols tls1.3
    }}
    reverse_proxy {application} {{
        flush_interval -1
    }}
}}
",
        port = site.address.port(),
        ip = site.address.ip(),
        folder = site.folder.display(),
        application = site.application,
    )
}
