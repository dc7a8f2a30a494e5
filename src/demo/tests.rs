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

use super::{Page, echo::greeting, serve};

struct Demo {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Demo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let page = Page {
            wss_url: "wss://127.0.0.1:8443/ws?a&b\"<c>".to_owned(),
            subprotocol: "demo".to_owned(),
            valid: "v.a.l".to_owned(),
            expired: "e.x.p".to_owned(),
            forged: "f.o.r".to_owned(),
        };
        let served = tokio::spawn(serve(listener, page, shutdown.clone()));
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
async fn it_echoes_text_and_binary() {
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
async fn whom_the_gateway_names_is_greeted_by_name() {
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
    assert!(answer.contains(r#"value="wss://127.0.0.1:8443/ws?a&amp;b&quot;&lt;c>""#));
    for value in ["demo", "v.a.l", "e.x.p", "f.o.r"] {
        assert!(answer.contains(&format!("\"{value}\"")), "{value}");
    }
    assert!(!answer.contains("{{"));
    demo.end().await;
}

#[tokio::test]
async fn everything_else_is_answered_too() {
    let demo = Demo::start().await;
    for (head, status) in [
        ("GET /favicon.ico HTTP/1.1", "404"),
        ("POST / HTTP/1.1\r\nContent-Length: 0", "404"),
        ("GET /ws HTTP/1.1\r\nUpgrade: websocket", "400"),
    ] {
        let answer = demo.get(head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    demo.end().await;
}

#[tokio::test]
async fn silence_does_not_delay_the_end() {
    let demo = Demo::start().await;
    let _silent = TcpStream::connect(demo.address).await.unwrap();
    demo.end().await;
}
