//! A thousand sessions that echo numbered messages while the configuration changes a hundred times
//! under them, and is broken now and then: no message is lost, reordered or corrupted, and no session
//! ends. Nothing is said about time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use support::{Gateway, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

const SESSIONS: usize = 1000;
const RELOADS: u64 = 100;
/// One in so many reloads comes behind one of a configuration that is refused.
const BROKEN: u64 = 10;
/// Messages that a session has on their way at once.
const TOGETHER: u64 = 4;
/// How long a session rests between them, so that some are on their way at any time and there is a
/// moment for everything else.
const REST: Duration = Duration::from_millis(200);

/// How many messages of each session the application got.
type Received = Arc<Mutex<HashMap<usize, u64>>>;

#[test]
fn reloads_lose_no_message_and_no_session() {
    support::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let gateway = start(listener.local_addr().unwrap());
    let received = Received::default();
    runtime.spawn(serve(listener, Arc::clone(&received)));
    let mut clients = JoinSet::new();
    let stop = Arc::new(AtomicBool::new(false));
    for client in runtime.block_on(open(&gateway)) {
        clients.spawn_on(client.echo(Arc::clone(&stop)), runtime.handle());
    }
    assert_eq!(gateway.status(SOCKET)["sessions"], SESSIONS);

    reload_again_and_again(&gateway);
    let status = gateway.status(SOCKET);
    assert_eq!((&status["sessions"], &status["generation"]), (&SESSIONS.into(), &RELOADS.into()));

    stop.store(true, Ordering::Relaxed);
    let echoed: HashMap<usize, u64> = runtime.block_on(clients.join_all()).into_iter().collect();
    assert_eq!(echoed.len(), SESSIONS);
    let all = || Some(received.lock().unwrap().clone()).filter(|received| *received == echoed);
    assert!(eventually(all).is_some(), "both ends count the same messages");
    let ended = eventually(|| Some(ends(&gateway)).filter(|ends| ends.len() == SESSIONS)).unwrap();
    assert!(ended.iter().all(|reason| reason == "closed"), "{ended:?}");
    println!("{} messages were echoed", echoed.values().sum::<u64>());
}

const SOCKET: &str = "fw.sock";

/// A gateway of everything that reloads change.
fn start(application: SocketAddr) -> Gateway {
    Gateway::to(&[application])
        .plain()
        .server("max_connections = 2000")
        .route("origins = [\"https://a.example\"]")
        .more("[admin]\nsocket = \"fw.sock\"\n[limits]\nbytes = \"900MiB/s\"\n[firewall]\n")
        .start()
}

/// The configuration of a generation, which changes one thing or two of the one before.
fn changed(text: &str, generation: u64) -> String {
    let (key, line) = match generation % 6 {
        0 => ("[limits]", format!("messages = \"1000000/s burst {}\"", 900_000 + generation)),
        1 => ("[limits]", "messages = \"40/s burst 2\"\non_exceed = \"delay\"".to_owned()),
        2 => ("[firewall]", format!("deny = [\"203.0.113.{generation}\"]")),
        3 => ("[websocket]", format!("max_message_size = \"{}KiB\"", 64 + generation)),
        4 => ("[websocket]", format!("ping_interval = \"{}ms\"", 900 + generation)),
        _ => ("[limits]", format!("connections_per_ip = {}", 2000 + generation)),
    };
    let other = format!("\"https://a.example\", \"https://b{generation}.example\"");
    text.replace(key, &format!("{key}\n{line}")).replace("\"https://a.example\"", &other)
}

fn reload_again_and_again(gateway: &Gateway) {
    let text = std::fs::read_to_string(gateway.folder().join("framewall.toml")).unwrap();
    for generation in 1..=RELOADS {
        if generation % BROKEN == 0 {
            let broken =
                changed(&text, generation).replace("[limits]", "[limits]\nmesages = \"1/s\"");
            gateway.rewrite(|_| broken);
            gateway.signal_reload();
            let status = wait_for(gateway, |status| status["last_reload"]["error"].is_string());
            let error = status["last_reload"]["error"].as_str().unwrap();
            assert!(error.contains("limits.mesages: there is no such key"), "{error}");
            assert_eq!(status["generation"], generation - 1, "nothing changed");
        }
        gateway.rewrite(|_| changed(&text, generation));
        gateway.signal_reload();
        wait_for(gateway, |status| {
            status["generation"] == generation && status["last_reload"]["error"].is_null()
        });
    }
}

fn wait_for(gateway: &Gateway, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let status = eventually(|| Some(gateway.status(SOCKET)).filter(&is_so));
    status.unwrap_or_else(|| panic!("{}", gateway.status(SOCKET)))
}

/// Why sessions ended.
fn ends(gateway: &Gateway) -> Vec<String> {
    let mut records = gateway.log_records();
    records.retain(|record| record["event"] == "session.ended");
    records.iter().map(|record| record["reason"].as_str().unwrap().to_owned()).collect()
}

fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0)
}

/// The text of a message: short, long, and too long to be held back whole.
fn text(session: usize, number: u64) -> String {
    let length = match number % 64 {
        7 => 20_000,
        21 => 5_000,
        _ => 20,
    };
    format!("{session} {number} {}", "\u{e9}".repeat(length))
}

struct Client {
    session: usize,
    socket: WebSocketStream<TcpStream>,
}

async fn open(gateway: &Gateway) -> Vec<Client> {
    let mut clients = Vec::new();
    for session in 0..SESSIONS {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let uri = gateway.url("ws", "/ws").parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_header("Origin", "https://a.example");
        let request = request.into_client_request().unwrap();
        let (socket, _) = client_async_with_config(request, stream, Some(small())).await.unwrap();
        clients.push(Client { session, socket });
    }
    clients
}

impl Client {
    /// Sends messages and gets each of them back, until it is told to stop, and at least once; then
    /// closes. Gives how many there were.
    async fn echo(mut self, stop: Arc<AtomicBool>) -> (usize, u64) {
        let session = self.session;
        let mut number = 0;
        while number == 0 || !stop.load(Ordering::Relaxed) {
            for number in number..number + TOGETHER {
                self.socket.send(Message::text(text(session, number))).await.unwrap();
            }
            for number in number..number + TOGETHER {
                let message = self.next().await;
                assert!(message == Message::text(text(session, number)), "{session}: {number}");
            }
            number += TOGETHER;
            tokio::time::sleep(REST).await;
        }
        self.socket.close(None).await.unwrap();
        assert!(self.next().await.is_close());
        (session, number)
    }

    /// What the application says; the gateway's pings are answered on the way.
    async fn next(&mut self) -> Message {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Ping(_) => self.socket.flush().await.unwrap(),
                message => return message,
            }
        }
    }
}

/// The application: an echo that counts.
async fn serve(listener: TcpListener, received: Received) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let received = Arc::clone(&received);
        tokio::spawn(async move {
            let mut socket = accept_async_with_config(stream, Some(small())).await.unwrap();
            let mut count = 0;
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = &message {
                    let mut words = text.split(' ').map(str::parse);
                    let (session, number) = (words.next().unwrap(), words.next().unwrap());
                    assert_eq!(number, Ok(count), "in order, each once");
                    count += 1;
                    received.lock().unwrap().insert(session.unwrap(), count as u64);
                    socket.send(message).await.unwrap();
                }
            }
        });
    }
}
