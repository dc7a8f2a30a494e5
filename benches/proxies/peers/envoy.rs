//! Envoy: one worker, no log, no deadline of a stream, and no limit of its circuit breaker in the
//! way.

use std::path::Path;

use super::{Setup, Site, arguments};

pub(super) fn setup(site: &Site<'_>, file: &Path) -> Setup {
    let arguments = arguments([
        &"--concurrency",
        &"1",
        &"--disable-hot-restart",
        &"--log-level",
        &"error",
        &"-c",
        &file,
    ]);
    Setup { config: config(site), arguments, environment: Vec::new() }
}

fn config(site: &Site<'_>) -> String {
    format!(
        r#"
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
    tcp_backlog_size: 4096
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [http/1.1]
            tls_params: {{ tls_minimum_protocol_version: TLSv1_3 }}
            tls_certificates:
            - certificate_chain: {{ filename: {folder}/cert.pem }}
              private_key: {{ filename: {folder}/key.pem }}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          codec_type: HTTP1
          generate_request_id: false
          use_remote_address: true
          stream_idle_timeout: 0s
          delayed_close_timeout: 0s
          upgrade_configs: [{{ upgrade_type: websocket }}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: application, timeout: 0s }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              dynamic_stats: false
              suppress_envoy_headers: true
  clusters:
  - name: application
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - max_connections: 1000000
        max_pending_requests: 1000000
        max_requests: 1000000
    load_assignment:
      cluster_name: application
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: {upstream}, port_value: {upstream_port} }} }}
"#,
        ip = site.address.ip(),
        port = site.address.port(),
        folder = site.folder.display(),
        upstream = site.application.ip(),
        upstream_port = site.application.port(),
    )
}
