//! Peers that are slow, and alive; and peers that are neither. Time passes as the tests say. Sockets are
//! unix sockets with small buffers, since what is written to one can be read at once; only TLS is
//! on TCP, and gives the kernel a moment at every step.

mod ending;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};

use super::super::{Cause, Judges, Lease, Mailbox, Outside, SessionEnd, Streams, Terms, relay};
use super::*;
use crate::config::parse;
use crate::gateway::listen;
use crate::tls::transport::Transport;
use crate::tls::{ServerTrust, Stream, TlsClient, tests::localhost};
use crate::values::Endpoint::{Client, Upstream};
use crate::values::Reason;
use crate::wire::{HoldBudget, Judgement};

const SECOND: Duration = Duration::from_secs(1);

/// How the session ended, once it has.
type End = Arc<Mutex<Option<SessionEnd>>>;

#[derive(Clone, Default)]
struct Witness(Arc<Mailbox>, End);

impl Outside for Witness {
    fn mailbox(&self) -> &Mailbox {
        &self.0
    }

    fn would_refuse(&self, _: Reason) {}

    fn judged(&self, _: Endpoint, _: &Judgement) {}

    fn struck(&self, _: Reason) {}

    fn ending(&mut self, _: &Cause) {}

    fn ended(&mut self, end: SessionEnd) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// One peer of a session in the test's hands.
struct Peer {
    who: Endpoint,
    stream: Box<dyn Duplex>,
    unread: Vec<u8>,
    /// Opcodes and lengths of the frames that came whole, pings left out.
    got: Vec<(u8, usize)>,
    pings: usize,
    pongs: bool,
    /// Whether the kernel takes time to deliver, for which the test's clock does not wait.
    delayed: bool,
}

impl Peer {
    fn new(who: Endpoint, stream: impl Duplex + 'static) -> Self {
        let stream = Box::new(stream);
        Self {
            who,
            stream,
            unread: Vec::new(),
            got: Vec::new(),
            pings: 0,
            pongs: true,
            delayed: false,
        }
    }

    async fn say(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(self.who, first, payload)).await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads at most `most` bytes, if there are any, and answers pings. `false` at the end.
    async fn read(&mut self, most: usize) -> bool {
        let mut bytes = vec![0; most];
        if self.delayed {
            std::thread::sleep(Duration::from_millis(1));
        }
        let read = tokio::time::timeout(Duration::ZERO, self.stream.read(&mut bytes)).await;
        match read {
            Err(_nothing_there) => return true,
            Ok(Err(_) | Ok(0)) => return false,
            Ok(Ok(read)) => self.unread.extend_from_slice(&bytes[..read]),
        }
        while let Some((first, payload, size)) = whole_frame(&self.unread) {
            self.unread.drain(..size);
            if first & 0x0f != 9 {
                self.got.push((first & 0x0f, payload.len()));
                continue;
            }
            self.pings += 1;
            if self.pongs {
                // Nobody may be there any more.
                let _ = self.stream.write_all(&frame(self.who, 0x8a, &payload)).await;
                let _ = self.stream.flush().await;
            }
        }
        true
    }

    /// Reads `rate` bytes a second for so many seconds, or up to the end.
    async fn read_slowly(&mut self, rate: usize, seconds: u32) {
        for _ in 0..seconds * 2 {
            sleep(SECOND / 2).await;
            if !self.read(rate / 2).await {
                break;
            }
        }
    }
}

/// A session between two peers.
struct Slow {
    client: Peer,
    app: Peer,
    end: End,
    /// Ends the session for a reason of the gateway's.
    mailbox: Arc<Mailbox>,
}

impl Slow {
    async fn with(lines: &str) -> Self {
        Self::start(lines, false).await
    }

    async fn start(lines: &str, tls: bool) -> Self {
        let (client, mut far) = if tls {
            let (near, far) = sockets().await;
            let (near, far) = secured(near, far).await;
            (near, Peer::new(Client, far))
        } else {
            let (near, far) = small_sockets();
            (Transport::Unix(near), Peer::new(Client, far))
        };
        far.delayed = tls;
        Self::run(lines, Lease::default(), (client, far), small_sockets())
    }

    /// A session of which each socket has an end in the gateway and one in the test.
    fn run(
        lines: &str,
        lease: Lease,
        (client, far): (Transport, Peer),
        (upstream, app): (UnixStream, UnixStream),
    ) -> Self {
        let streams = Streams {
            client,
            client_early: Bytes::new(),
            upstream: Transport::Unix(upstream),
            upstream_early: Bytes::new(),
            compression: None,
        };
        let witness = Witness::default();
        let Witness(mailbox, end) = witness.clone();
        let budget = HoldBudget::new(1 << 20);
        tokio::spawn(relay(streams, terms(lines), budget, lease, witness));
        Self { client: far, app: Peer::new(Upstream, app), end, mailbox }
    }

    fn cause(&self) -> Option<(Reason, Option<Endpoint>, String)> {
        let end = self.end.lock().unwrap();
        let cause = &end.as_ref()?.cause;
        Some((cause.reason(), cause.by(), cause.detail().unwrap_or_default()))
    }

    #[track_caller]
    fn expect_open(&self) {
        assert_eq!(self.cause(), None);
    }

    /// The session ends within an hour, for this reason, and its detail begins with the key.
    async fn expect_end(&mut self, reason: Reason, by: Endpoint, key: &str) {
        let begin = Instant::now();
        while self.cause().is_none() && begin.elapsed() < 3600 * SECOND {
            sleep(SECOND).await;
            self.app.read(1 << 20).await;
        }
        let (found, who, detail) = self.cause().expect("the session ended");
        assert_eq!((found, who), (reason, Some(by)), "{detail}");
        assert!(detail.starts_with(key), "{detail}");
    }

    /// Both peers of the session read for so long.
    async fn rest(&mut self, seconds: u32) {
        for _ in 0..seconds {
            sleep(SECOND).await;
            self.client.read(1 << 20).await;
            self.app.read(1 << 20).await;
        }
    }
}

fn terms(lines: &str) -> Terms {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[websocket]\n{lines}\n\
         [routes.a]\npath = \"/\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n"
    );
    let config = parse(&text, std::path::Path::new("test.toml")).unwrap().config;
    Terms { route: Arc::clone(&config.routes[0]), user: None, judges: Judges::default() }
}

/// The gateway's end and the peer's, of which little can be on the way.
fn small_sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    for socket in [&near, &far] {
        SockRef::from(socket).set_send_buffer_size(32 * 1024).unwrap();
    }
    (near, far)
}

/// A connection by TCP: the gateway's end, with its options, and the peer's.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (near, _) = listener.accept().await.unwrap();
    (near, far)
}

async fn secured(near: TcpStream, far: TcpStream) -> (Transport, Box<Stream>) {
    let (terminator, roots) = localhost();
    let client = TlsClient::new(&ServerTrust::from(roots)).unwrap();
    let connector = client.connector("localhost").unwrap();
    let (near, far) = tokio::join!(terminator.accept(near), connector.connect(far));
    (Transport::Tls(near.unwrap().stream), far.unwrap())
}

const LARGE: usize = 600_000;
/// As a large message goes on: with an echo behind it.
const AFTER: &[u8] = b"and after it";

async fn expect_large(slow: &mut Slow, rate: usize) {
    let mut app = std::mem::replace(&mut slow.app, Peer::new(Upstream, tokio::io::empty()));
    let saying = tokio::spawn(async move {
        app.say(0x82, &vec![7; LARGE]).await;
        app.say(0x81, AFTER).await;
        loop {
            sleep(SECOND).await;
            if !app.read(1 << 20).await {
                return;
            }
        }
    });
    let seconds = u32::try_from(LARGE / rate + 60).unwrap();
    slow.client.read_slowly(rate, seconds).await;
    slow.expect_open();
    assert_eq!(slow.client.got, [(2, LARGE), (1, AFTER.len())]);
    saying.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_a_large_reply_with_the_defaults() {
    for tls in [false, true] {
        let mut slow = Slow::start("", tls).await;
        expect_large(&mut slow, 3_000).await;
        assert!(slow.client.pings > 0, "and was pinged behind it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_timeout_does_not_end_a_slow_reader() {
    for tls in [false, true] {
        for lines in ["", "require_pong = true\n"] {
            let lines = format!("{lines}ping_interval = \"2s\"");
            expect_large(&mut Slow::start(&lines, tls).await, 20_000).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn written_bytes_reset_the_idle_timeout() {
    let lines = "idle_timeout = \"45s\"\nmessage_timeout = \"off\"\nping_interval = \"off\"";
    let mut slow = Slow::with(lines).await;
    let Slow { client, app, .. } = &mut slow;
    let large = vec![7; LARGE];
    tokio::join!(client.read_slowly(4_000, 155), app.say(0x82, &large));
    assert_eq!(client.got, [(2, LARGE)]);
    slow.expect_end(Reason::IdleTimeout, Client, "websocket.idle_timeout").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_ended() {
    for (lines, reason, key) in [
        ("", Reason::MessageTimeout, "websocket.message_timeout"),
        ("message_timeout = \"off\"", Reason::PingTimeout, "websocket.ping_interval"),
    ] {
        let mut slow = Slow::with(lines).await;
        let mut app = std::mem::replace(&mut slow.app, Peer::new(Upstream, tokio::io::empty()));
        let flood = tokio::spawn(async move {
            let bytes = frame(Upstream, 0x82, &vec![7; LARGE]);
            while app.stream.write_all(&bytes).await.is_ok() {}
        });
        slow.expect_end(reason, Client, key).await;
        flood.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn without_timeouts_a_client_may_pause() {
    let lines = "message_timeout = \"off\"\nping_interval = \"off\"";
    let mut slow = Slow::with(lines).await;
    let Slow { client, app, .. } = &mut slow;
    tokio::join!(
        async {
            sleep(3600 * SECOND).await;
            while client.got.len() < 5 && client.read(LARGE).await {
                sleep(SECOND).await;
            }
        },
        async {
            for _ in 0..5 {
                app.say(0x82, &vec![7; LARGE]).await;
            }
        }
    );
    assert_eq!(slow.client.got, [(2, LARGE); 5]);
    slow.expect_open();
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_finishes_and_a_trickling_sender_times_out() {
    let message = frame(Client, 0x82, &vec![7; LARGE]);
    let mut slow = Slow::with("").await;
    // A pong would stand in the middle of the frame.
    slow.client.pongs = false;
    for piece in message.chunks(3_000) {
        slow.client.send(piece).await;
        slow.rest(1).await;
    }
    slow.client.pongs = true;
    slow.rest(90).await;
    slow.expect_open();
    assert_eq!(slow.app.got, [(2, LARGE)]);

    let mut slow = Slow::with("").await;
    for piece in message.chunks(500).take(70) {
        slow.client.send(piece).await;
        slow.rest(1).await;
        if slow.cause().is_some() {
            break;
        }
    }
    slow.expect_end(Reason::MessageTimeout, Client, "websocket.message_timeout").await;

    let mut slow = Slow::with("").await;
    slow.client.send(&message[..10]).await;
    for byte in &message[10..10 + 30] {
        slow.rest(20).await;
        if slow.cause().is_some() {
            break;
        }
        slow.client.send(&[*byte]).await;
    }
    slow.expect_end(Reason::MessageTimeout, Client, "websocket.message_timeout").await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_makes_progress_does_not_time_out() {
    let mut slow = Slow::with("").await;
    slow.app.say(0x01, b"first ").await;
    for _ in 0..20 {
        slow.rest(25).await;
        slow.expect_open();
        slow.app.say(0x00, b"more ").await;
    }
    slow.app.say(0x80, b"last").await;
    slow.rest(100).await;
    slow.expect_open();
    assert_eq!(slow.client.got.len(), 22);
    slow.app.say(0x01, b"never finished").await;
    slow.rest(40).await;
    slow.expect_end(Reason::MessageTimeout, Upstream, "websocket.message_timeout").await;
}

/// The client's pongs stand behind what the application does not take, between whole frames.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_reads_nothing_does_not_time_out_its_client() {
    for lines in ["", "\nrequire_pong = true"] {
        let lines = format!("message_timeout = \"1h\"\nping_interval = \"2s\"{lines}");
        let mut slow = Slow::with(&lines).await;
        let Slow { client, app, .. } = &mut slow;
        tokio::join!(
            async {
                for _ in 0..300 {
                    client.say(0x82, &[7; 1000]).await;
                }
            },
            async {
                sleep(300 * SECOND).await;
                while app.got.len() < 300 {
                    sleep(SECOND).await;
                    assert!(app.read(1 << 20).await, "the session goes on");
                }
            }
        );
        slow.rest(30).await;
        slow.expect_open();
        slow.client.pongs = false;
        slow.expect_end(Reason::PingTimeout, Client, "websocket.ping_interval").await;
    }
}

/// What it says is read long before the ping that stands behind what it was sent: it is no proof that
/// the next ping will be read at once.
#[tokio::test(start_paused = true)]
async fn data_from_a_slow_reader_does_not_shorten_its_pong_deadline() {
    for speaks in [false, true] {
        let (near, far) = UnixStream::pair().unwrap();
        let client = (Transport::Unix(near), Peer::new(Client, far));
        let mut slow =
            Slow::run("ping_interval = \"2s\"", Lease::default(), client, small_sockets());
        slow.app.say(0x82, &vec![7; 100_000]).await;
        for second in 0..30 {
            if speaks && second == 3 {
                slow.client.say(0x81, b"I am here").await;
            }
            slow.client.read_slowly(5_000, 1).await;
            slow.app.read(1 << 20).await;
        }
        slow.expect_open();
        assert_eq!(slow.client.got, [(2, 100_000)], "all of it");
        slow.client.pongs = false;
        slow.expect_end(Reason::PingTimeout, Client, "websocket.ping_interval").await;
    }
}

/// What a peer sends proves that it is there.
#[tokio::test(start_paused = true)]
async fn data_answers_a_ping_unless_require_pong_is_set() {
    for (lines, is_answer) in [("", true), ("require_pong = true", false)] {
        let mut slow = Slow::with(lines).await;
        slow.client.pongs = false;
        for _ in 0..30 {
            slow.rest(20).await;
            if slow.cause().is_some() {
                break;
            }
            slow.client.say(0x81, b"still here").await;
        }
        if is_answer {
            slow.expect_open();
        }
        slow.expect_end(Reason::PingTimeout, Client, "websocket.ping_interval").await;
    }
}

/// The client gets all of it, and then the Close: the one behind it, or the one for an application that
/// died.
#[tokio::test(start_paused = true)]
async fn a_close_behind_a_large_reply_is_waited_for() {
    let large = frame(Upstream, 0x82, &vec![7; LARGE]);
    for (last, code) in [(frame(Upstream, 0x88, &[0x03, 0xe8]), Some(8)), (Vec::new(), None)] {
        let mut slow = Slow::with("").await;
        let bytes = [&large[..], &last].concat();
        let Slow { client, app, .. } = &mut slow;
        let sending = async {
            app.send(&bytes).await;
            if code.is_none() {
                // It dies without a Close.
                *app = Peer::new(Upstream, tokio::io::empty());
            }
        };
        tokio::join!(client.read_slowly(4_000, 200), sending);
        assert_eq!(client.got[0], (2, LARGE));
        assert_eq!(client.got.get(1).map(|(opcode, _)| *opcode), Some(8), "{:?}", client.got);
    }
}

/// TCP's timeout is longer than the session's, and the kernel's default where the session has none.
#[tokio::test]
async fn tcp_waits_longer_than_the_session() {
    for (lines, expected) in [
        ("", Some(120)),
        ("message_timeout = \"5m\"", Some(930)),
        ("message_timeout = \"off\"\nping_interval = \"off\"", None),
    ] {
        let (near, _far) = sockets().await;
        let (upstream, _app) = sockets().await;
        let [client, server] =
            [&near, &upstream].map(|socket| SockRef::from(socket).try_clone().unwrap());
        let streams = Streams {
            client: Transport::Tcp(near),
            client_early: Bytes::new(),
            upstream: Transport::Tcp(upstream),
            upstream_early: Bytes::new(),
            compression: None,
        };
        let session =
            relay(streams, terms(lines), HoldBudget::new(0), Lease::default(), Witness::default());
        let expected = expected.map(Duration::from_secs);
        assert_eq!(client.tcp_user_timeout().unwrap(), expected, "{lines}");
        assert_eq!(server.tcp_user_timeout().unwrap(), expected, "{lines}");
        drop(session);
    }
}
