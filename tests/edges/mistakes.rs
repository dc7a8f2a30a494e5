//! Clients and proxies that speak another protocol than the port: the log says what to change.

use super::support::{Gateway, GatewayBuilder, RawUpstream, Request, Wire};

const TLS_HELLO: &[u8] = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03\x9a\x1b\x2c\x3d\x4e";
const PROXY_1: &[u8] = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n";
const PROXY_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x12\x67\x01\xbb";
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn start() -> GatewayBuilder {
    Gateway::to(&[RawUpstream::unused_address()])
}

/// What the log says of a connection that begins with `bytes`.
fn detail(gateway: &Gateway, bytes: &[u8], reason: &str) -> String {
    let mut client = gateway.connect_plainly();
    client.send(bytes);
    client.half_close();
    client.expect_gone();
    let record = gateway.wait_for_record(|record| record["reason"] == reason);
    record["detail"].as_str().unwrap().to_owned()
}

#[test]
fn wrong_protocols_on_a_plain_port_are_reported() {
    let request = Request::upgrade("/ws").bytes();
    for (bytes, words) in [
        (TLS_HELLO, "the client speaks TLS on a port without it"),
        (PROXY_1, "begins with a PROXY protocol header"),
        (PROXY_2, "begins with a PROXY protocol header"),
        (HTTP_2, "HTTP/2"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP/1.1"),
    ] {
        let gateway = start().plain().start();
        let bytes = [bytes, &request].concat();
        let detail = detail(&gateway, &bytes, "handshake.malformed");
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn wrong_protocols_on_a_tls_port_are_reported() {
    let request = Request::upgrade("/ws").bytes();
    for (bytes, words) in [
        (request.as_slice(), "does not speak TLS"),
        (PROXY_1, "begins with a PROXY protocol header"),
        (PROXY_2, "begins with a PROXY protocol header"),
        (HTTP_2, "does not speak TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
    ] {
        let detail = detail(&start().start(), bytes, "tls.failed");
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn wrong_protocols_are_reported_where_a_proxy_header_is_required() {
    let request = Request::upgrade("/ws").bytes();
    for (bytes, words) in
        [(TLS_HELLO, "it starts with TLS"), (request.as_slice(), "it starts with a request")]
    {
        let gateway = start()
            .server("trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = \"required\"")
            .plain()
            .start();
        let detail = detail(&gateway, bytes, "proxy.malformed");
        assert!(detail.contains(words) && detail.contains("proxy_protocol"), "{detail}");
    }
}

#[test]
fn both_wildcards_of_a_port_are_listened_on() {
    let upstream = RawUpstream::bind();
    let port = RawUpstream::unused_address().port();
    let gateway = Gateway::to(&[upstream.address()])
        .listen(&format!("\"0.0.0.0:{port}\", \"[::]:{port}\""))
        .plain()
        .start();
    gateway.wait_for_record(|record| record["address"] == format!("[::]:{port}"));
    for local in ["127.0.0.1", "::1"] {
        let mut client = Wire::client(std::net::TcpStream::connect((local, port)).unwrap());
        client.send_request(&Request::upgrade("/ws"));
        drop(upstream.accept_upgrade(""));
        assert_eq!(client.read_head().status(), 101);
        gateway.wait_for_record(|record| {
            let peer: Option<std::net::SocketAddr> =
                record["peer"].as_str().and_then(|peer| peer.parse().ok());
            peer.is_some_and(|peer| peer.ip().to_string() == local)
        });
    }
}

#[test]
fn routes_with_the_default_limits_are_named_once_at_start() {
    let upstream = RawUpstream::bind();
    let own = "[routes.own]\npath = \"/own\"\nupstream = [\"ws://127.0.0.1:9\"]\nauth = \"none\"\n\
        websocket = { max_message_size = \"64KiB\" }";
    let gateway = Gateway::to(&[upstream.address()]).more(own).start();
    let record = gateway.wait_for_record(|record| record["event"] == "default_limits");
    assert_eq!(record["routes"], "app");
    let gateway = Gateway::to(&[upstream.address()]).websocket("idle_timeout = \"1h\"").start();
    gateway.wait_for_record(|record| record["event"] == "listening");
    let named = |record: &serde_json::Value| record["event"] == "default_limits";
    assert!(!gateway.log_records().iter().any(named));
}
