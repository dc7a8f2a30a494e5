//! The letters of field names, on the wire: RFC 6455's own for its fields, the gateway's for those
//! that it sets, and every other field as it came. Some clients and servers compare letters.

use super::support::{Gateway, KEY, RawUpstream, Request, Wire};

/// The lines of what came, sorted behind the first; the values of random fields left out.
fn lines(wire: &Wire) -> Vec<String> {
    let text = String::from_utf8(wire.received().to_vec()).unwrap();
    let head = text.split_once("\r\n\r\n").unwrap().0;
    let random = ["Sec-WebSocket-Key: ", "Sec-WebSocket-Accept: ", "X-Request-Id: ", "Date: "];
    let mut lines: Vec<_> = head
        .split("\r\n")
        .map(|line| match random.iter().find(|name| line.starts_with(**name)) {
            Some(name) => (*name).to_owned(),
            None => line.to_owned(),
        })
        .collect();
    lines[1..].sort();
    lines
}

fn sorted(first: &str, more: &[&str]) -> Vec<String> {
    let mut more: Vec<_> = more.iter().map(|line| (*line).to_owned()).collect();
    more.sort();
    more.insert(0, first.to_owned());
    more
}

const OURS: [&str; 6] = [
    "Forwarded: for=127.0.0.1;host=\"localhost\";proto=https",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Host: localhost",
    "X-Forwarded-Proto: https",
    "X-Real-IP: 127.0.0.1",
    "X-Request-Id: ",
];

#[test]
fn names_have_the_same_letters_at_both_ends() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nUPGRADE: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nSec-Websocket-Key: {KEY}\r\n\
         SEC-WEBSOCKET-PROTOCOL: ocpp1.6\r\norigin: https://localhost\r\n\
         X-CamelCase-ID: 1\r\nx-lower: 2\r\nX-UPPER: 3\r\nX-Title: 4\r\nDNT: 1\r\n\
         X-Two: 5\r\nx-TWO: 6\r\nx-forwarded-for: 203.0.113.66\r\n\r\n"
    );
    client.send(head.as_bytes());
    let mut application = upstream.accept();
    application.read_head();
    let theirs = [
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: ",
        "Sec-WebSocket-Protocol: ocpp1.6",
        "Origin: https://localhost",
        "X-CamelCase-ID: 1",
        "x-lower: 2",
        "X-UPPER: 3",
        "X-Title: 4",
        "DNT: 1",
        "X-Two: 5",
        "x-TWO: 6",
    ];
    let expected = sorted("GET /ws HTTP/1.1", &[&theirs[..], &OURS].concat());
    assert_eq!(lines(&application), expected);

    let request = super::support::Response::parse(application.received());
    let key = request.only("sec-websocket-key").unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nCONNECTION: Upgrade\r\n\
         sec-websocket-ACCEPT: {accept}\r\nSec-Websocket-Protocol: ocpp1.6\r\nserver: app\r\n\
         X-CamelCase-ID: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nETag: 3\r\n\r\n"
    );
    application.send(answer.as_bytes());
    assert_eq!(client.read_head().status(), 101);
    let mut answered = lines(&client);
    // hyper dates what it writes.
    answered.retain(|line| line != "Date: ");
    let expected = sorted(
        "HTTP/1.1 101 Switching Protocols",
        &[
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: ",
            "Sec-WebSocket-Protocol: ocpp1.6",
            "server: app",
            "X-CamelCase-ID: 1",
            "Set-Cookie: a=1",
            "set-cookie: b=2",
            "ETag: 3",
        ],
    );
    assert_eq!(answered, expected);
}

#[test]
fn refusals_have_letters_too() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send(&Request::upgrade("/ws").set("Sec-WebSocket-Version", "8").bytes());
    assert_eq!(client.read_response().status(), 426);
    let told = lines(&client);
    assert!(told.contains(&"Sec-WebSocket-Version: 13".to_owned()), "{told:?}");

    let mut client = gateway.connect();
    client.send(&Request::upgrade("/ws").bytes());
    let mut application = upstream.accept();
    application.read_head();
    application.send(
        b"HTTP/1.1 403 Forbidden\r\nX-CamelCase-ID: 1\r\nwww-authenticate: Basic\r\n\
          content-length: 22\r\n\r\nhost: no\r\n\r\nX-Real-Ip:",
    );
    let response = client.read_response();
    assert_eq!((response.status(), &response.body[..]), (403, &b"host: no\r\n\r\nX-Real-Ip:"[..]));
    let told = lines(&client);
    for line in ["X-CamelCase-ID: 1", "www-authenticate: Basic", "Connection: close"] {
        assert!(told.contains(&line.to_owned()), "{line}: {told:?}");
    }
}
