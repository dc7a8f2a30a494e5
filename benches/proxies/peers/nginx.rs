//! nginx: one worker, no log, no buffering of a body, a large accept queue, TLS resumed from tickets
//! and a cache.

use std::path::Path;

use super::{Setup, Site, arguments};
use crate::load::HOST;

pub(super) fn setup(site: &Site<'_>, file: &Path) -> Setup {
    let error_log = site.folder.join("nginx-error.log");
    let arguments = arguments([&"-p", &site.folder, &"-e", &error_log, &"-c", &file]);
    Setup { config: config(site), arguments, environment: Vec::new() }
}

fn config(site: &Site<'_>) -> String {
    let root = rustix::process::geteuid().is_root();
    format!(
        r#"
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid nginx-{port}.pid;
error_log stderr error;
events {{ worker_connections 65536; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    map $http_upgrade $connection_upgrade {{ default Upgrade; "" ""; }}
    upstream application {{ server {application}; keepalive 64; }}
    server {{
        listen {address} ssl backlog=4096;
        server_name {HOST};
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        ssl_protocols TLSv1.3;
        ssl_session_cache shared:tls:10m;
        ssl_session_tickets on;
        ssl_buffer_size 16k;
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size {buffer};
            proxy_buffers 8 {buffer};
            proxy_busy_buffers_size {busy};
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"#,
        user = if root { "user root;" } else { "" },
        files = 65_536,
        buffer = site.buffer,
        busy = 2 * site.buffer,
        port = site.address.port(),
        address = site.address,
        application = site.application,
    )
}
