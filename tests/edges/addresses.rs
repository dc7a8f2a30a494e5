//! Who the client is: the PROXY protocol and X-Forwarded-For, believed from trusted proxies alone.

use super::support::{Gateway, RawUpstream, Request, Session, Wire};

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn behind_a_proxy(upstream: &RawUpstream, trusted: &str) -> Gateway {
    Gateway::to(&[upstream.address()])
        .server(&format!("trusted_proxies = [\"{trusted}\"]\nproxy_protocol = \"required\""))
        .plain()
        .start()
}

/// Sends the header and a handshake; returns what the upstream was told and the log's peer.
fn announced(header: &[u8]) -> (String, String) {
    let upstream = RawUpstream::bind();
    let gateway = behind_a_proxy(&upstream, "127.0.0.0/8");
    let mut client = Wire::client(gateway.tcp());
    client.send(&[header, &Request::upgrade("/ws").bytes()].concat());
    let (_application, request) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    let record = gateway.wait_for_record(|record| record["event"] == "session.opened");
    let told = request.only("x-forwarded-for").unwrap().to_owned();
    (told, record["peer"].as_str().unwrap().to_owned())
}

#[test]
fn version_1_names_the_client() {
    let (told, peer) = announced(b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n");
    assert_eq!((told.as_str(), peer.as_str()), ("198.51.100.7", "198.51.100.7:4711"));
    let (told, peer) = announced(b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n");
    assert_eq!((told.as_str(), peer.as_str()), ("2001:db8::7", "[2001:db8::7]:4711"));
}

#[test]
fn version_2_names_the_client() {
    let addresses = [198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 187];
    let header = [V2_SIGNATURE, &[0x21, 0x11, 0, 12], &addresses].concat();
    let (told, peer) = announced(&header);
    assert_eq!((told.as_str(), peer.as_str()), ("198.51.100.7", "198.51.100.7:4711"));
}

#[test]
fn a_local_proxy_header_gives_the_address_of_the_proxy() {
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), [V2_SIGNATURE, &[0x20, 0, 0, 0]].concat()] {
        assert_eq!(announced(&header).0, "127.0.0.1");
    }
}

#[test]
fn addresses_of_a_local_proxy_header_are_ignored() {
    let addresses = [198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 187];
    for family in [[0x20, 0x11], [0x21, 0x10], [0x21, 0x01]] {
        let header = [V2_SIGNATURE, &family, &[0, 12], &addresses].concat();
        let (told, peer) = announced(&header);
        assert_eq!(told, "127.0.0.1", "{family:?}");
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    }
}

#[test]
fn tlvs_of_load_balancers_pass() {
    let addresses = [198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 187];
    for tlv in [
        &b"\xea\x00\x17\x01vpce-0123456789abcdef0"[..],
        b"\xee\x00\x05\x01\x04\x03\x02\x01",
        b"\xe0\x00\x08\x00\x00\x00\x00\x00\x00\x00\x07",
    ] {
        let length = u8::try_from(addresses.len() + tlv.len()).unwrap();
        let header = [V2_SIGNATURE, &[0x21, 0x11, 0, length], &addresses, tlv].concat();
        assert_eq!(announced(&header).1, "198.51.100.7:4711");
    }
}

#[test]
fn datagrams_and_unspecified_addresses_are_refused() {
    let v2 =
        |transport, addresses: &[u8]| [V2_SIGNATURE, &[0x21, transport, 0, 12], addresses].concat();
    let good = [198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 187];
    refused_without_a_word("127.0.0.0/8", &v2(0x12, &good), "is of UDP");
    refused_without_a_word("127.0.0.0/8", &v2(0x11, &[0; 12]), "names 0.0.0.0");
    let v1 = b"PROXY TCP6 :: ::1 1 2\r\n";
    refused_without_a_word("127.0.0.0/8", v1, "names ::,");
}

#[test]
fn a_trusted_proxy_without_a_client_address_is_refused() {
    let upstream = RawUpstream::bind();
    let gateway =
        Gateway::to(&[upstream.address()]).server("trusted_proxies = [\"127.0.0.1\"]").start();
    for line in
        ["unknown", "fe80::1%eth0", "010.0.0.1", "1.2.3.4:99999", "0.0.0.0", "198.51.100.7, ::", ""]
    {
        let request = Request::upgrade("/ws").and("X-Forwarded-For", line);
        gateway.expect_refusal(&request, 400, "forwarded.malformed");
    }
    gateway.expect_refusal(&Request::upgrade("/ws"), 400, "forwarded.malformed");
    upstream.received_nothing();
    for record in gateway.log_records() {
        if record["event"] == "refused" {
            assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
        }
    }
}

#[test]
fn unknown_clients_proxy_makes_the_proxy_the_client() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.1\"]\nunknown_clients = \"proxy\"")
        .start();
    let plain = Request::upgrade("/ws");
    for request in [plain.clone(), plain.clone().and("X-Forwarded-For", "203.0.113.66, unknown")] {
        let session = Session::open_with(&gateway, &upstream, &request, "");
        assert_eq!(session.request.only("x-real-ip"), Some("127.0.0.1"));
        let id = session.request_id();
        let record = gateway.wait_for_record(|record| record["request_id"] == id);
        assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    }
    let zone = plain.and("X-Forwarded-For", "fe80::1%eth0");
    gateway.expect_refusal(&zone, 400, "forwarded.malformed");
}

fn refused_without_a_word(trusted: &str, bytes: &[u8], detail: &str) {
    let upstream = RawUpstream::bind();
    let gateway = behind_a_proxy(&upstream, trusted);
    let mut client = Wire::client(gateway.tcp());
    client.send(bytes);
    assert_eq!(client.expect_gone(), b"");
    let record = gateway.wait_for_record(|record| record["reason"] == "proxy.malformed");
    assert!(record["detail"].as_str().unwrap().contains(detail), "{record}");
    upstream.received_nothing();
}

#[test]
fn a_missing_or_broken_header_ends_the_connection() {
    let plain = Request::upgrade("/ws").bytes();
    refused_without_a_word("127.0.0.0/8", &plain, "does not start with");
    refused_without_a_word("127.0.0.0/8", b"PROXY TCP4 nonsense\r\n", "does not start with");
    let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
    refused_without_a_word("127.0.0.0/8", &endless, "longer than 107");
}

#[test]
fn a_header_of_an_untrusted_peer_is_not_read() {
    let header = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n";
    refused_without_a_word("10.0.0.0/8", header, "not in trusted_proxies");
}

#[test]
fn forwarded_addresses_are_read_from_right_to_left() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
        .start();
    let request = Request::upgrade("/ws")
        .and("X-Forwarded-For", "203.0.113.66, 198.51.100.7")
        .and("X-Forwarded-For", "10.0.0.9")
        .and("X-Request-Id", "edge-42")
        .and("X_Forwarded_For", "203.0.113.66");
    let session = Session::open_with(&gateway, &upstream, &request, "");
    let head = &session.request;
    let chain = "203.0.113.66, 198.51.100.7, 10.0.0.9, 127.0.0.1";
    assert_eq!(head.only("x-forwarded-for"), Some(chain));
    assert_eq!(head.only("x-real-ip"), Some("198.51.100.7"));
    assert_eq!(head.only("x-request-id"), Some("edge-42"));
    assert_eq!(head.only("x_forwarded_for"), None);
    let record = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(record["request_id"], "edge-42");
    assert!(record["peer"].as_str().unwrap().starts_with("198.51.100.7:"), "{record}");
}

#[test]
fn a_request_id_that_could_forge_a_log_line_is_replaced() {
    let upstream = RawUpstream::bind();
    let gateway =
        Gateway::to(&[upstream.address()]).server("trusted_proxies = [\"127.0.0.1\"]").start();
    let request = Request::upgrade("/ws")
        .and("X-Forwarded-For", "198.51.100.7")
        .and("X-Request-Id", "a\" level=ERROR");
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert!(!session.request_id().contains("ERROR"));
}

#[test]
fn the_scheme_that_a_trusted_proxy_forwards_decides_the_same_origin() {
    let upstream = RawUpstream::bind();
    let start = |server: &str| Gateway::to(&[upstream.address()]).server(server).plain().start();
    let request = Request::upgrade("/ws")
        .set("Host", "chat.example")
        .and("Origin", "https://chat.example")
        .and("X-Forwarded-For", "198.51.100.7")
        .and("X-Forwarded-Proto", "https");
    let trusting = start("trusted_proxies = [\"127.0.0.1\"]");
    Session::open_with(&trusting, &upstream, &request, "").prove_alive();
    start("trusted_proxies = []").expect_refusal(&request, 403, "origin.denied");
    upstream.received_nothing();
}
