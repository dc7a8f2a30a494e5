//! Arbitrary bytes as the requests of one connection, sent to a whole gateway with an application behind it that
//! records. The application gets a sequence of well-formed requests. Each is one of those that a second, obvious
//! reading of the client's bytes finds, in the same order, with the same method, target and body; and the client gets
//! no answer but those to its own requests.

#![no_main]

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framewall::config::parse;
use framewall::control::Service;
use framewall::gateway::listen::{Listener, Purpose};
use framewall::journal::Journal;
use framewall_fuzz::messages::{Message, Next, all, next};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Sent before the input, by its first byte.
const FIRST: [&str; 4] = [
    "",
    "GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /first HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
];
/// Sent behind it, so that the connection ends.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Longer than all deadlines of the gateway together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The requests that the application got, with the addresses of their clients.
type Seen = Arc<Mutex<Vec<(String, Message)>>>;

thread_local! {
    static BOTH: Both = Both::start();
}

fuzz_target!(|data: &[u8]| {
    if let Some((choice, data)) = data.split_first() {
        BOTH.with(|both| both.check(*choice, data));
    }
});

/// The gateway and its application.
struct Both {
    runtime: Runtime,
    gateway: SocketAddr,
    seen: Seen,
    clients: Cell<u32>,
}

impl Both {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let seen = Seen::default();
        let gateway = runtime.block_on(async {
            let application = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let upstream = application.local_addr().expect("a bound port");
            tokio::spawn(serve(application, Arc::clone(&seen)));
            let text = format!(
                "[server]\nlisten = [\"127.0.0.1:0\"]\nhandshake_timeout = \"200ms\"\nhealth_path = \"/healthz\"\n\
                 [tls]\nmode = \"off\"\n[firewall.ban]\nexempt = [\"127.0.0.0/8\"]\n\
                 [routes.app]\npath = \"/*\"\nserve = [\"websocket\", \"http\"]\nauth = \"none\"\n\
                 upstream = [\"ws://{upstream}\"]\nbody_timeout = \"200ms\"\nmax_body = \"64KiB\"\n"
            );
            let config = parse(&text, Path::new("framewall.toml")).expect("a configuration").config;
            let service = Service::open(&config, Journal::default()).expect("a gateway");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("a bound port");
            let listeners = vec![Listener { configured: address, socket: listener.into(), purpose: Purpose::Serve }];
            tokio::spawn(service.run(listeners, std::future::pending::<()>()));
            address
        });
        Self { runtime, gateway, seen, clients: Cell::new(0) }
    }

    fn check(&self, choice: u8, data: &[u8]) {
        let first = FIRST[usize::from(choice) % FIRST.len()];
        let sent = [first.as_bytes(), data, LAST.as_bytes()].concat();
        // Each client has an address of its own, so that its requests are known, and no limit reaches it.
        let number = self.clients.get() % 0x00fe_0000 + 0x1_0000;
        self.clients.set(self.clients.get() + 1);
        let [_, second, third, fourth] = number.to_be_bytes();
        let client = Ipv4Addr::new(127, second, third, fourth);
        let is_split = choice & 4 != 0;
        let received = self.runtime.block_on(exchange(self.gateway, client, &sent, is_split));
        let mut seen = self.seen.lock().expect("no panic");
        let of_client = seen.drain(..).filter(|(address, _)| *address == client.to_string());
        let got: Vec<_> = of_client.map(|(_, message)| message).collect();
        let mut expected = all(&sent).into_iter();
        for message in &got {
            let is_this = |sent: Message| is_forwarded(&sent, message);
            assert!(expected.any(is_this), "{message:?} of {:?}", String::from_utf8_lossy(&sent));
        }
        let received = String::from_utf8_lossy(&received);
        for (number, answer) in
            received.to_ascii_lowercase().split("x-answer: ").skip(1).enumerate()
        {
            let target = answer.split("\r\n").next().unwrap_or_default();
            let own = got.get(number).map(|message| message.target.to_ascii_lowercase());
            assert_eq!(own.as_deref(), Some(target), "another answer: {received}");
        }
    }
}

/// Whether `got` is what becomes of `sent`.
fn is_forwarded(sent: &Message, got: &Message) -> bool {
    let path = if sent.target.starts_with('/') {
        sent.target == got.target
    } else {
        sent.target.ends_with(&got.target) || got.target == "/" || got.target.starts_with("/?")
    };
    path && sent.method == got.method && sent.body == got.body
}

/// Sends the bytes, and returns all that comes until the gateway ends the connection.
async fn exchange(gateway: SocketAddr, client: Ipv4Addr, sent: &[u8], is_split: bool) -> Vec<u8> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((client, 0).into()).expect("an address of loopback");
    let mut stream = socket.connect(gateway).await.expect("the gateway listens");
    stream.set_nodelay(true).expect("a socket");
    let (start, end) = sent.split_at(if is_split { sent.len() / 2 } else { sent.len() });
    let (mut reading, mut writing) = stream.split();
    let writes = async {
        // A gateway that has refused the beginning need not take the rest.
        let _ = writing.write_all(start).await;
        tokio::task::yield_now().await;
        let _ = writing.write_all(end).await;
    };
    let mut received = Vec::new();
    let both = async { tokio::join!(writes, reading.read_to_end(&mut received)) };
    timeout(PATIENCE, both).await.expect("the gateway ends the connection").1.ok();
    received
}

async fn serve(listener: TcpListener, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(record(stream, Arc::clone(&seen)));
    }
}

/// Records and answers the requests of one connection.
async fn record(mut stream: TcpStream, seen: Seen) {
    let mut bytes = Vec::new();
    loop {
        match next(&bytes) {
            Next::Message(message, taken) => {
                bytes.drain(..taken);
                check_written(&message);
                let client = message.all("x-forwarded-for")[0].to_owned();
                let length = if message.method == "HEAD" { 5 } else { 0 };
                let status =
                    if message.all("upgrade").is_empty() { "200 OK" } else { "403 Forbidden" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nX-Answer: {}\r\n\r\n",
                    message.target
                );
                seen.lock().expect("no panic").push((client, message));
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Next::Partial => {
                if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    return;
                }
            }
            Next::Doubt(doubt) => panic!("{doubt}: {}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// Checks that a request has the fields that the gateway writes once, and none that are of the client's connection.
fn check_written(message: &Message) {
    for name in [
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ] {
        assert_eq!(message.all(name).len(), 1, "{name}: {message:?}");
    }
    for name in ["te", "trailer", "expect", "keep-alive", "proxy-connection", "http2-settings"] {
        assert!(message.all(name).is_empty(), "{name}: {message:?}");
    }
    for (name, _) in &message.fields {
        let folded = name.replace(['_', '.'], "-");
        let is_framing = ["content-length", "transfer-encoding"].contains(&&*folded);
        let is_owned = folded.starts_with("x-forwarded-") || is_framing;
        assert!(!is_owned || folded == *name, "{name} is read as another name");
    }
}
