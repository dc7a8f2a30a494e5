//! `[server] redirect_http`: plain HTTP is redirected to HTTPS, and nothing else is served there.

use std::net::{SocketAddr, TcpStream};

use super::support::{Gateway, RawUpstream, Request, Wire};
use super::{get, plain, serving};

/// A gateway that redirects, and the address at which it does.
fn redirecting(server: &str) -> (Gateway, SocketAddr) {
    let listen = RawUpstream::unused_address();
    let gateway = serving(&[RawUpstream::unused_address()])
        .listen(&format!("\"{listen}\""))
        .server(&format!("redirect_http = [\"127.0.0.1:0\"]\n{server}"))
        .start();
    let listening =
        gateway.wait_for_record(|record| record["event"] == "listening" && record["tls"] == false);
    let address = listening["address"].as_str().unwrap().parse().unwrap();
    (gateway, address)
}

fn connect(address: SocketAddr) -> Wire {
    Wire::client(TcpStream::connect(address).unwrap())
}

#[test]
fn every_request_is_sent_to_https() {
    let (gateway, address) = redirecting("health_path = \"/healthz\"");
    let port = gateway.address().port();
    for (request, location) in [
        (get("/a%20b?c=d"), format!("https://localhost:{port}/a%20b?c=d")),
        (get("/").set("Host", "Chat.example.:80"), format!("https://chat.example:{port}/")),
        (get("/").set("Host", "[::1]:80"), format!("https://[::1]:{port}/")),
        (
            plain("POST /form HTTP/1.1").and("Content-Length", "0"),
            format!("https://localhost:{port}/form"),
        ),
        (Request::upgrade("/ws"), format!("https://localhost:{port}/ws")),
    ] {
        let mut client = connect(address);
        client.send_request(&request);
        let response = client.read_response();
        assert_eq!((response.status(), response.only("location")), (308, Some(&*location)));
        client.expect_eof();
    }
    let mut client = connect(address);
    client.send_request(&get("/healthz"));
    assert_eq!(client.read_response().body, b"ok\n");
    client.send_request(&get("/other").set("Host", "a..b"));
    gateway.check_refusal(&client.read_response(), 400, "handshake.malformed");
    client.expect_eof();
}

#[test]
fn addresses_are_checked_there_too() {
    let (gateway, address) = redirecting("");
    gateway.rewrite(|text| text + "[firewall]\ndeny = [\"127.0.0.0/8\"]\n");
    gateway.hang_up("reloaded");
    assert_eq!(connect(address).expect_gone(), b"");
}
