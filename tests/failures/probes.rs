//! Probes of load balancers: connections that say nothing, and `health_path`.

use std::net::TcpStream;

use serde_json::Value;

use super::support::{Gateway, GatewayBuilder, RawUpstream, Request, Session, Wire, eventually};

const HEALTH: &str = "health_path = \"/healthz\"";

/// Refuses something, and waits for it in both files: what came before it is written too.
#[track_caller]
fn drain(gateway: &Gateway, send: impl Fn(&[u8])) {
    send(&Request::upgrade("/ws").set("Sec-WebSocket-Version", "7").bytes());
    gateway.wait_for_error(|record| record["reason"] == "version");
    gateway.wait_for_record(|record| record["reason"] == "version");
}

fn probed(records: &[Value]) -> usize {
    records.iter().filter(|record| record["event"] == "connection.silent").count()
}

#[track_caller]
fn expect_silence(builder: GatewayBuilder, count: usize, probe: impl Fn(&Gateway)) {
    let quiet = builder.clone().start();
    (0..3).for_each(|_| probe(&quiet));
    let loud = builder.more("level = \"debug\"\n").start();
    (0..3).for_each(|_| probe(&loud));
    eventually(|| (probed(&loud.log_records()) == 3 * count).then_some(()))
        .unwrap_or_else(|| panic!("{:#?}", loud.log_records()));
    drain(&quiet, |bytes| drop(quiet.answer_to(bytes)));
    assert_eq!(quiet.error_records().len(), 1, "{:#?}", quiet.error_records());
    let records = quiet.log_records();
    assert!(records.iter().all(|record| record["event"] != "connection.error"), "{records:#?}");
    let errors = loud.error_records();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_silent_connection_is_logged_at_debug_alone() {
    let upstream = RawUpstream::bind();
    // A TCP connection, one that is reset, TLS without a request.
    expect_silence(Gateway::to(&[upstream.address()]), 3, |gateway| {
        drop(gateway.tcp());
        let reset = socket2::Socket::from(gateway.tcp());
        reset.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(reset);
        drop(gateway.connect());
    });
    expect_silence(Gateway::to(&[upstream.address()]).plain(), 1, |gateway| drop(gateway.tcp()));
}

#[test]
fn a_silent_connection_that_times_out_is_no_error() {
    let upstream = RawUpstream::bind();
    let builder = Gateway::to(&[upstream.address()]).server("handshake_timeout = \"50ms\"");
    for (builder, first) in [(builder.clone(), &b"\x16\x03\x01"[..]), (builder.plain(), b"GET")] {
        let gateway = builder.more("level = \"debug\"\n").start();
        let mut silent = gateway.connect_plainly();
        silent.expect_gone();
        gateway.wait_for_record(|record| record["event"] == "connection.silent");
        assert!(gateway.error_records().is_empty(), "{:#?}", gateway.error_records());
        // One that has begun is one.
        let mut begun = gateway.connect_plainly();
        begun.send(first);
        begun.expect_gone();
        gateway.wait_for_error(|record| record["reason"] == "handshake.timeout");
    }
}

#[test]
fn a_proxys_own_connection_is_no_error() {
    let upstream = RawUpstream::bind();
    let server = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = \"required\"";
    let gateway =
        Gateway::to(&[upstream.address()]).server(server).more("level = \"debug\"\n").start();
    drop(gateway.tcp());
    let mut local = Wire::client(gateway.tcp());
    local.send(b"PROXY UNKNOWN\r\n");
    drop(local);
    eventually(|| (probed(&gateway.log_records()) == 2).then_some(()))
        .unwrap_or_else(|| panic!("{:#?}", gateway.log_records()));
    assert!(gateway.error_records().is_empty(), "{:#?}", gateway.error_records());
}

fn ask(line: &str, host: Option<&str>) -> Vec<u8> {
    let host = host.map_or(String::new(), |host| format!("Host: {host}\r\n"));
    format!("{line}\r\n{host}\r\n").into_bytes()
}

#[test]
fn the_health_path_is_answered_on_every_host_before_routes() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .path("/*")
        .auth("main")
        .prepare(|folder, _| std::fs::write(folder.join("secret"), [b'x'; 64]).unwrap())
        .server(HEALTH)
        .more("[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n")
        .start();
    for bytes in [
        ask("GET /healthz HTTP/1.1", Some("localhost")),
        ask("GET /healthz HTTP/1.1", Some("10.0.0.1:8443")),
        ask("GET /healthz?from=lb HTTP/1.1", Some("elsewhere.example")),
        ask("GET /healthz HTTP/1.0", None),
    ] {
        let response = gateway.answer_to(&bytes);
        assert_eq!((response.status(), &*response.body), (200, &b"ok\n"[..]), "{response:?}");
        assert_eq!(response.only("cache-control"), Some("no-store"));
    }
    let mut client = gateway.connect();
    client.send(&ask("HEAD /healthz HTTP/1.1", Some("localhost")));
    assert_eq!(client.read_head().status(), 200);
    client.half_close();
    client.expect_eof();
    // Everything else is as it was.
    let plain = |line: &str| Request::with_line(line).without("Upgrade").without("Connection");
    gateway.expect_refusal(&plain("POST /healthz HTTP/1.1"), 405, "method");
    gateway.expect_refusal(&plain("GET /healthz/ HTTP/1.1"), 426, "upgrade.required");
    gateway.expect_refusal(&Request::upgrade("/healthz"), 401, "token.missing");
    upstream.received_nothing();
}

#[test]
fn a_trusted_proxy_may_ask_for_health_and_a_denied_client_may_not() {
    let upstream = RawUpstream::bind();
    let builder = Gateway::to(&[upstream.address()])
        .server(HEALTH)
        .more("[firewall]\ndeny = [\"127.0.0.0/8\"]\n");
    let gateway = builder.clone().start();
    assert_eq!(gateway.connect_plainly().expect_gone(), b"");
    let gateway = builder.server("trusted_proxies = [\"127.0.0.1\"]").start();
    assert_eq!(gateway.answer_to(&ask("GET /healthz HTTP/1.1", Some("a"))).status(), 200);
}

#[test]
fn without_health_path_no_path_answers_health_checks() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()]).start();
    let response = gateway.answer_to(&ask("GET /healthz HTTP/1.1", Some("localhost")));
    assert_eq!(response.status(), 426);
}

#[test]
fn the_health_path_answers_503_while_sessions_end() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()])
        .server(&format!("{HEALTH}\nshutdown_grace = \"1h\""))
        .start();
    let mut session = Session::open(&gateway, &upstream);
    gateway.terminate();
    assert_eq!(session.client.expect_close(), (1001, "shutdown".to_owned()));
    let response = gateway.answer_to(&ask("GET /healthz HTTP/1.1", Some("localhost")));
    assert_eq!((response.status(), &*response.body), (503, &b"stopping\n"[..]), "{response:?}");
    gateway.expect_refusal(&Request::upgrade("/ws"), 503, "shutdown");
    // A connection that says nothing does not keep it.
    let _silent = gateway.connect_plainly();
    session.client.say(super::support::Frame::close(1001, "shutdown"));
    session.upstream.expect_closing(1001, "shutdown");
    assert_eq!(gateway.exit_code(), Some(0));
    TcpStream::connect(gateway.address()).expect_err("nobody listens any more");
}
