//! Ten thousand idle connections behind TLS: held, small, alive, and closed in order.
//!
//! A connection takes two descriptors of the gateway, so the machine's limit of open files may
//! allow a few less; the test says how many there were. The application is a process of its own,
//! since this one holds the clients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, getrlimit};
use support::{Frame, Gateway, Request, Wire};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const CONNECTIONS: u64 = 10_000;
/// Fewer than this would be another test.
const FEWEST: u64 = 9_500;
/// Descriptors of a process that are not connections.
const OTHER_FILES: u64 = 200;
/// What a connection may cost in resident memory: what an optimised build needs, twice.
const MOST_KIB: u64 = 40;
/// Tells the test binary to be the application.
const APPLICATION: &str = "FRAMEWALL_TEST_APPLICATION";

#[test]
#[ignore = "needs a limit of 20000 open files, and a minute"]
fn ten_thousand_idle_connections_are_held() {
    if std::env::var_os(APPLICATION).is_some() {
        return be_the_application();
    }
    support::raise_open_files();
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let count = CONNECTIONS.min((limit - OTHER_FILES) / 2);
    assert!(count >= FEWEST, "raise the limit of open files (ulimit -Hn): it is {limit}");
    let application = Application::start();
    let mut gateway = Gateway::to(&[application.address])
        .server("max_connections = 10000\nshutdown_spread = \"5s\"\nshutdown_grace = \"60s\"")
        .more("[limits]\nconnections_per_ip = \"off\"")
        .websocket("ping_interval = \"off\"")
        .start();
    prove_alive(&mut open(&gateway));
    let before = gateway.resident_kib();

    let mut clients: Vec<Wire> = (0..count).map(|_| open(&gateway)).collect();
    let each = gateway.resident_kib().saturating_sub(before) / count;
    println!("{count} connections, {each} KiB of resident memory for each");
    assert!(each <= MOST_KIB, "{each} KiB for each connection");
    clients.iter_mut().step_by(97).for_each(prove_alive);

    gateway.terminate();
    for client in &mut clients {
        client.expect_closing(1001, "shutdown");
    }
    assert_eq!(gateway.exit_code(), Some(0));
}

fn open(gateway: &Gateway) -> Wire {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    assert_eq!(client.read_head().status(), 101);
    client
}

fn prove_alive(client: &mut Wire) {
    client.say(Frame::text("still there"));
    client.expect_frame(Frame::text("still there"));
}

/// This binary again, as an echo server; it ends with the pipe to its standard input.
struct Application {
    child: Child,
    address: SocketAddr,
    /// Kept open: the test harness in the child writes a line after a minute, and ends if it cannot.
    _output: BufReader<ChildStdout>,
}

impl Application {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact", "ten_thousand_idle_connections_are_held"])
            .env(APPLICATION, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = output.by_ref().lines().map_while(Result::ok).find_map(|line| {
            line.rsplit_once("listening on ").and_then(|(_, address)| address.parse().ok())
        });
        Self { child, address: address.expect("the application listens"), _output: output }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn be_the_application() {
    support::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", listener.local_addr().unwrap());
        let over = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        let serve = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(echo(stream));
            }
        };
        tokio::select! {
            _ = over => {}
            () = serve => {}
        }
    });
}

async fn echo(stream: tokio::net::TcpStream) {
    let small = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0);
    let Ok(mut socket) = accept_async_with_config(stream, Some(small)).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}
