use std::io::Write;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use super::{ATTACKS, Listeners, LogLines, Page, Targets, echo::greeting, serve};

struct Demo {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Demo {
    async fn start() -> Self {
        let loopback = || TcpListener::bind("127.0.0.1:0");
        let listeners = Listeners {
            application: loopback().await.unwrap(),
            witness: loopback().await.unwrap(),
            blind: loopback().await.unwrap(),
        };
        let address = listeners.application.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let page = Page {
            url: "ws://127.0.0.1:8080/ws?a&b\"<c>".to_owned(),
            subprotocol: "demo".to_owned(),
        };
        let targets = Targets {
            // These tests have no gateway; both paths lead to the blind proxy.
            gateway: listeners.blind.local_addr().unwrap(),
            origin: format!("http://{address}"),
            valid: "v.a.l".to_owned(),
            expired: "e.x.p".to_owned(),
            forged: "f.o.r".to_owned(),
        };
        let mut log = LogLines::default();
        log.write_all(b"first\nsecond\n").unwrap();
        let served = tokio::spawn(serve(listeners, page, targets, log, shutdown.clone()));
        Self { address, shutdown, served }
    }

    async fn connect(&self) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut socket, _) =
            client_async(format!("ws://{}/ws", self.address), stream).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text(greeting(None)));
        socket
    }

    async fn get(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}\r\nHost: demo\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.served.await.unwrap().unwrap();
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    socket.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn the_demo_echoes_text_and_binary() {
    let demo = Demo::start().await;
    let mut socket = demo.connect().await;
    let large = Message::binary(Bytes::from(vec![7; 300_000]));
    for message in [Message::text("héllo"), Message::text(""), large] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut socket).await, message);
    }
    socket.close(None).await.unwrap();
    assert!(next(&mut socket).await.is_close());
    demo.end().await;
}

#[tokio::test]
async fn the_demo_greets_the_user_that_the_gateway_names() {
    let demo = Demo::start().await;
    let mut request = format!("ws://{}/ws", demo.address).into_client_request().unwrap();
    request.headers_mut().insert("x-user-id", "ada".parse().unwrap());
    let stream = TcpStream::connect(demo.address).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let greeting = next(&mut socket).await.into_text().unwrap();
    assert!(greeting.starts_with("Hello ada,"), "{greeting}");
    drop(socket);
    demo.end().await;
}

#[tokio::test]
async fn the_end_closes_every_socket() {
    let demo = Demo::start().await;
    let mut socket = demo.connect().await;
    demo.shutdown.cancel();
    let Message::Close(Some(close)) = next(&mut socket).await else {
        panic!("no Close");
    };
    assert_eq!(close.code, CloseCode::Away);
    assert!(socket.next().await.is_none());
    demo.end().await;
}

#[tokio::test]
async fn the_page_knows_the_gateway() {
    let demo = Demo::start().await;
    let answer = demo.get("GET / HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/html; charset=utf-8\r\n"));
    assert!(answer.contains(r#"data-url="ws://127.0.0.1:8080/ws?a&amp;b&quot;&lt;c>""#));
    for value in ["demo", "v.a.l"] {
        assert!(answer.contains(&format!("\"{value}\"")), "{value}");
    }
    for attack in ATTACKS {
        assert!(answer.contains(&format!("&quot;name&quot;:&quot;{}&quot;", attack.name)));
    }
    assert!(!answer.contains("{{"));
    demo.end().await;
}

#[tokio::test]
async fn the_demo_answers_every_other_path() {
    let demo = Demo::start().await;
    for (head, status) in [
        ("GET /favicon.ico HTTP/1.1", "404"),
        ("POST / HTTP/1.1\r\nContent-Length: 0", "404"),
        ("POST /attack/none HTTP/1.1\r\nContent-Length: 0", "404"),
        ("GET /attack/unmasked HTTP/1.1", "404"),
        ("GET /ws HTTP/1.1\r\nUpgrade: websocket", "400"),
    ] {
        let answer = demo.get(head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    demo.end().await;
}

#[tokio::test]
async fn the_log_is_read_from_the_requested_line() {
    let demo = Demo::start().await;
    for (path, expected) in [
        ("/log", r#"{"next":2,"lines":["first","second"]}"#),
        ("/log?from=1", r#"{"next":2,"lines":["second"]}"#),
        ("/log?from=2", r#"{"next":2,"lines":[]}"#),
        ("/log?from=x", r#"{"next":2,"lines":["first","second"]}"#),
    ] {
        let answer = demo.get(&format!("GET {path} HTTP/1.1")).await;
        assert!(answer.ends_with(expected), "{path}: {answer}");
    }
    demo.end().await;
}

/// The application records exactly the bytes that were sent: the blind proxy checks nothing.
#[tokio::test]
async fn a_blind_proxy_lets_every_attack_through() {
    let demo = Demo::start().await;
    for (attack, recorded) in [
        ("reserved-bit", "1 frame, 11 bytes: a1 85 37 fa 21 3d"),
        ("unmasked", "1 frame, 7 bytes: 81 05 68 65 6c 6c 6f"),
        ("huge-header", "1 frame, 14 bytes: 82 ff 00 00 00 00 80 00 00 00"),
        ("fragments", "5000 frames, 35000 bytes: 01 81"),
        ("foreign-origin", "with Origin: https://evil.example and the token"),
        ("forged-token", "and the token"),
    ] {
        let head = format!("POST /attack/{attack} HTTP/1.1\r\nContent-Length: 0");
        let answer = demo.get(&head).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let outcomes: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(outcomes["blind"]["reached"], true, "{attack}: {outcomes}");
        let told = outcomes["blind"]["application"].as_str().unwrap();
        assert!(told.contains(recorded), "{attack}: {told}");
    }
    demo.end().await;
}

#[tokio::test]
async fn silent_connections_do_not_delay_shutdown() {
    let demo = Demo::start().await;
    let _silent = TcpStream::connect(demo.address).await.unwrap();
    demo.end().await;
}
