//! Checks over a pair of sockets, on a paused clock.

use std::time::Duration;

use ::http::header::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{AGENT, speak};
use crate::config::CheckKind;
use crate::tls::transport::Transport;

const TIMEOUT: Duration = Duration::from_secs(2);

/// The outcome of a check of a server that answers the request with `answer`, keeps the connection open for two
/// minutes and reads all that comes; and the bytes that came.
async fn checked(
    kind: CheckKind,
    answer: impl FnOnce(&str) -> Vec<u8>,
) -> (Result<(), String>, String) {
    let (near, mut far) = UnixStream::pair().unwrap();
    let host = HeaderValue::from_static("app.example.com");
    let checking = speak(Transport::Unix(near), &kind, &host, Instant::now() + TIMEOUT);
    let serving = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(far.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        far.write_all(&answer(&request)).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(TIMEOUT * 60, far.read_to_end(&mut rest)).await;
        (request, rest)
    };
    let (outcome, (request, _)) = tokio::join!(checking, serving);
    (outcome, request)
}

async fn http(answer: &str) -> Result<(), String> {
    checked(CheckKind::Http("/healthz?deep=1".into()), |_| answer.as_bytes().to_vec()).await.0
}

/// A server that accepts the handshake, then sends these frames.
async fn websocket(frames: &'static [u8]) -> Result<(), String> {
    let answer = |request: &str| [accepting(request).as_bytes(), frames].concat();
    checked(CheckKind::WebSocket("/ws".into()), answer).await.0
}

fn accepting(request: &str) -> String {
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value)
    });
    let accept = derive_accept_key(key.unwrap().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[tokio::test(start_paused = true)]
async fn http_sends_a_get_and_any_status_from_200_to_399_passes() {
    let kind = CheckKind::Http("/healthz?deep=1".into());
    let (outcome, request) = checked(kind, |_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    assert_eq!(outcome, Ok(()));
    assert!(request.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{request}");
    for field in ["Host: app.example.com", &format!("User-Agent: {AGENT}"), "Connection: close"] {
        assert!(request.lines().any(|line| line.eq_ignore_ascii_case(field)), "{field}: {request}");
    }
    for passing in ["200 OK", "302 Found", "399 Odd"] {
        let answer = format!("HTTP/1.1 {passing}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(http(&answer).await, Ok(()), "{passing}");
    }
    for failing in ["400 Bad Request", "404 Not Found", "500 Error", "503 Busy"] {
        let answer = format!("HTTP/1.1 {failing}\r\nContent-Length: 0\r\n\r\n");
        let error = http(&answer).await.unwrap_err();
        assert!(error.contains(&failing[..3]), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_needs_an_answer_in_time_and_not_its_body() {
    let began = Instant::now();
    assert_eq!(http("").await.unwrap_err(), "no answer to the request in time");
    assert!(began.elapsed() < TIMEOUT * 70);
    assert!(http("SSH-2.0-x\r\n").await.unwrap_err().starts_with("no valid answer"));
    assert_eq!(http("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn websocket_needs_a_handshake_that_the_server_understood() {
    let kind = || CheckKind::WebSocket("/ws".into());
    let (refused, request) =
        checked(kind(), |_| b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(refused.unwrap_err(), "the answer to the handshake is 403 Forbidden");
    assert!(request.starts_with("GET /ws HTTP/1.1\r\n"), "{request}");
    let wrong = |request: &str| accepting(request).replace("Accept: ", "Accept: A").into_bytes();
    let (outcome, _) = checked(kind(), wrong).await;
    assert_eq!(outcome.unwrap_err(), "Sec-WebSocket-Accept does not belong to the key");
    let (silent, _) = checked(kind(), |_| Vec::new()).await;
    assert_eq!(silent.unwrap_err(), "no answer to the handshake in time");
}

#[tokio::test(start_paused = true)]
async fn websocket_needs_a_pong() {
    assert_eq!(websocket(b"\x81\x05hello").await.unwrap_err(), "no pong in time");
    assert_eq!(websocket(b"\x8a\x08not mine").await.unwrap_err(), "no pong in time");
    let closed = websocket(b"\x88\x02\x03\xf5").await.unwrap_err();
    assert_eq!(closed, "it closed the WebSocket (1013) before its pong");
    let invalid = websocket(b"\x91\x00").await.unwrap_err();
    assert!(invalid.starts_with("a frame before the pong is not valid"), "{invalid}");
}

/// A whole WebSocket, with a greeting before the pong.
#[tokio::test(start_paused = true)]
async fn websocket_passes_with_the_pong_and_closes() {
    let (near, far) = UnixStream::pair().unwrap();
    let host = HeaderValue::from_static("app.example.com");
    let kind = CheckKind::WebSocket("/ws".into());
    let checking = speak(Transport::Unix(near), &kind, &host, Instant::now() + TIMEOUT);
    let serving = async {
        use futures_util::{SinkExt, StreamExt};
        let mut socket = tokio_tungstenite::accept_async(far).await.unwrap();
        socket.send("hello".into()).await.unwrap();
        let mut received = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            received.push(message);
        }
        received
    };
    let (outcome, received) = tokio::join!(checking, serving);
    assert_eq!(outcome, Ok(()));
    let [ping, close] = received.as_slice() else { panic!("{received:?}") };
    assert!(ping.is_ping() && close.is_close(), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn tcp_needs_a_connection_alone() {
    let (near, _far) = UnixStream::pair().unwrap();
    let host = HeaderValue::from_static("app");
    assert_eq!(speak(Transport::Unix(near), &CheckKind::Tcp, &host, Instant::now()).await, Ok(()));
}
