//! TLS: who answers for which name, and what does not get as far as HTTP.

use super::support::{Gateway, RawUpstream, Request, Session};

#[test]
fn a_server_name_and_a_host_of_different_certificates_are_misdirected() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .certificate(&["one.example"])
        .certificate(&["two.example"])
        .start();
    let to = |host: &str| Request::upgrade("/ws").set("Host", host);
    let mut client = gateway.connect_as("one.example");
    client.send_request(&to("two.example"));
    let response = client.read_response();
    gateway.check_refusal(&response, 421, "sni.mismatch");
    upstream.received_nothing();

    for name in ["one.example", "two.example"] {
        let mut client = gateway.connect_as(name);
        client.send_request(&to(&format!("{name}:8443")));
        upstream.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
    }
}

#[test]
fn an_address_as_host_is_no_mismatch() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).certificate(&["one.example"]).start();
    let request = Request::upgrade("/ws").set("Host", "127.0.0.1:8443");
    Session::open_with(&gateway, &upstream, &request, "").prove_alive();
}

#[test]
fn plain_http_on_a_tls_port_is_dropped() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = super::support::Wire::client(gateway.tcp());
    client.send_request(&Request::upgrade("/ws"));
    let answer = client.expect_gone();
    assert!(!answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
    let record = gateway.wait_for_record(|record| record["event"] == "connection.error");
    assert_eq!(record["reason"], "tls.failed");
    upstream.received_nothing();
}
