//! How much a session does before other sessions of its worker run.

use std::io::ErrorKind;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::{Cause, Contexts, Judges, Lease, Mailbox, Outside, SessionEnd, Streams, Terms};
use super::*;
use crate::config::parse;
use crate::gateway::relay;
use crate::tls::transport::Transport;
use crate::values::{Endpoint, Reason};
use crate::wire::{HoldBudget, Judgement};

/// With what `[limits]` says last.
const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:0"]
[tls]
mode = "off"
[websocket]
max_inflation_ratio = "off"
[routes.app]
path = "/"
upstream = ["ws://127.0.0.1:1"]
auth = "none"
[limits]
"#;
const ROOM: usize = 1 << 20;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nobody, who asks for nothing.
#[derive(Default)]
struct Nobody(Mailbox);

impl Outside for Nobody {
    fn mailbox(&self) -> &Mailbox {
        &self.0
    }

    fn would_refuse(&self, _: Reason) {}

    fn judged(&self, _: Endpoint, _: &Judgement) {}

    fn struck(&self, _: Reason) {}

    fn ending(&mut self, _: &Cause) {}

    fn ended(&mut self, _: SessionEnd) {}
}

/// What came of one turn of a session.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    /// How often it woke itself.
    woken: usize,
    /// Bytes that reached the upstream.
    reached: usize,
    /// Bytes of the budget that it holds.
    held: usize,
}

/// A session with `sent` of the client's waiting to be read, polled once.
async fn relayed(sent: &[u8], limits: &str, compression: Option<Contexts>) -> Turn {
    relayed_within(ROOM, sent, limits, compression).await
}

/// The same, with this much of the budget.
async fn relayed_within(
    room: usize,
    sent: &[u8],
    limits: &str,
    compression: Option<Contexts>,
) -> Turn {
    let (client, far_client) = UnixStream::pair().unwrap();
    let (upstream, mut far_upstream) = UnixStream::pair().unwrap();
    far_client.writable().await.unwrap();
    assert_eq!(far_client.try_write(sent).unwrap(), sent.len(), "the socket takes all of it");
    client.readable().await.unwrap();
    upstream.writable().await.unwrap();
    let (terms, streams) = (terms(limits), streams(client, upstream, compression));
    let budget = HoldBudget::new(room);
    let nobody = Nobody::default();
    let held = budget.clone();
    let mut session = pin!(relay::relay(streams, terms, budget, Lease::default(), nobody));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let polled = session.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
    let woken = woken.0.load(Ordering::Relaxed);
    let mut reached = vec![0; sent.len()];
    let reached = far_upstream.read(&mut reached).await.unwrap();
    Turn { woken, reached, held: room - held.left() }
}

fn terms(limits: &str) -> Terms {
    let config = parse(&(CONFIG.to_owned() + limits), Path::new("test.toml")).unwrap().config;
    Terms { route: Arc::clone(&config.routes[0]), user: None, judges: Judges::default() }
}

fn streams(client: UnixStream, upstream: UnixStream, compression: Option<Contexts>) -> Streams {
    Streams {
        client: Transport::Unix(client),
        client_early: Bytes::new(),
        upstream: Transport::Unix(upstream),
        upstream_early: Bytes::new(),
        compression,
    }
}

const COMPRESSED: Option<Contexts> =
    Some(Contexts { client: relay::Context::Anew, upstream: relay::Context::Anew });

#[tokio::test]
async fn a_relay_yields_between_turns() {
    let large = frame(Endpoint::Client, 0xc2, &Deflater::new(15, false).message(&vec![0; 1 << 20]));
    let sent = large.repeat(100 * 1024 / large.len());
    let Turn { woken, reached, .. } = relayed(&sent, "", COMPRESSED).await;
    assert!(woken > 0, "it goes on by itself");
    assert!(reached <= 16 * 1024, "{reached} bytes: one read, and no other");
    for compression in [COMPRESSED, None] {
        let plain = frame(Endpoint::Client, 0x82, &[0; 1000]).repeat(100);
        let all = Turn { woken: 0, reached: plain.len(), held: 0 };
        assert_eq!(relayed(&plain, "", compression).await, all);
    }
}

#[tokio::test]
async fn the_relay_holds_one_small_read_of_a_delayed_client() {
    let one = frame(Endpoint::Client, 0x82, &[0; 1000]);
    let limits = "messages = \"1/m burst 5\"\non_exceed = \"delay\"";
    let Turn { reached, held, .. } = relayed(&one.repeat(100), limits, None).await;
    assert_eq!(reached, one.len() * 5);
    assert!(held > 0 && held <= 16 * 1024, "{held} bytes");
}

/// A client without room is read little, and waits as any other: it is not closed, and what it sent
/// stays in the kernel.
#[tokio::test(start_paused = true)]
async fn a_delayed_client_without_budget_resumes_within_its_rate() {
    let one = frame(Endpoint::Client, 0x82, &[0; 1000]);
    let limits = "messages = \"10/s burst 5\"\non_exceed = \"delay\"";
    let Turn { reached, held, .. } = relayed_within(0, &one.repeat(100), limits, None).await;
    assert_eq!((reached, held), (one.len() * 5, 0));

    let (client, mut far_client) = UnixStream::pair().unwrap();
    let (upstream, mut far_upstream) = UnixStream::pair().unwrap();
    far_client.write_all(&one.repeat(100)).await.unwrap();
    let streams = streams(client, upstream, None);
    let budget = HoldBudget::new(0);
    let session = relay::relay(streams, terms(limits), budget, Lease::default(), Nobody::default());
    let session = tokio::spawn(session);
    let mut all = vec![0; one.len() * 100];
    far_upstream.read_exact(&mut all).await.unwrap();
    assert!(all == one.repeat(100), "every message came, in time");
    let said = far_client.try_read(&mut [0; 64]);
    assert_eq!(said.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    session.abort();
}

#[tokio::test]
async fn at_most_one_small_read_passes_above_a_byte_rate() {
    let one = frame(Endpoint::Client, 0x82, &[0; 1000]);
    let limits = "bytes = \"20KiB/m burst 20KiB\"";
    let Turn { reached, .. } = relayed(&one.repeat(100), limits, None).await;
    assert!((20 * 1024..=36 * 1024).contains(&(reached + one.len())), "{reached} bytes");
    let ample = "bytes = \"1MiB/m burst 1MiB\"";
    assert_eq!(relayed(&one.repeat(100), ample, None).await.reached, one.len() * 100);
}
