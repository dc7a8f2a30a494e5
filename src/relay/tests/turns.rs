//! How much a session does before other sessions of its worker run.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::super::{
    self as relay, Amendments, Contexts, HoldBudget, Lease, Meter, Outside, SessionEnd, Streams,
    Terms,
};
use super::*;
use crate::config::parse;
use crate::refusal::Reason;
use crate::transport::Transport;

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
"#;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nobody, who asks for nothing.
#[derive(Default)]
struct Nobody(Meter, Amendments);

impl Outside for Nobody {
    fn poll_stop(&mut self, _: &mut Context<'_>) -> Poll<Reason> {
        Poll::Pending
    }

    fn meter(&self) -> &Meter {
        &self.0
    }

    fn amendments(&self) -> &Amendments {
        &self.1
    }

    fn would_refuse(&self, _: Reason) {}

    fn ended(&mut self, _: SessionEnd) {}
}

/// A session with `sent` of the client's waiting to be read, polled once: how often it woke itself,
/// and how much reached the upstream.
async fn one_turn(sent: &[u8]) -> (usize, usize) {
    let (client, far_client) = UnixStream::pair().unwrap();
    let (upstream, mut far_upstream) = UnixStream::pair().unwrap();
    far_client.writable().await.unwrap();
    assert_eq!(far_client.try_write(sent).unwrap(), sent.len(), "the socket takes all of it");
    client.readable().await.unwrap();
    upstream.writable().await.unwrap();
    let config = parse(CONFIG, Path::new("test.toml")).unwrap().config;
    let terms = Terms { route: Arc::clone(&config.routes[0]), user: None };
    let anew = relay::Context::Anew;
    let streams = Streams {
        client: Transport::Unix(client),
        client_early: Bytes::new(),
        upstream: Transport::Unix(upstream),
        upstream_early: Bytes::new(),
        compression: Some(Contexts { client: anew, upstream: anew }),
    };
    let budget = HoldBudget::new(1 << 20);
    let nobody = Nobody::default();
    let mut session = pin!(relay::relay(streams, terms, budget, Lease::default(), nobody));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let polled = session.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
    let woken = woken.0.load(Ordering::Relaxed);
    let mut reached = vec![0; sent.len()];
    let reached = far_upstream.read(&mut reached).await.unwrap();
    (woken, reached)
}

#[tokio::test]
async fn much_work_is_done_in_several_turns() {
    let large = frame(Endpoint::Client, 0xc2, &Deflater::new(15, false).message(&vec![0; 1 << 20]));
    let sent = large.repeat(100 * 1024 / large.len());
    let (woken, reached) = one_turn(&sent).await;
    assert!(woken > 0, "it goes on by itself");
    assert!(reached <= 16 * 1024, "{reached} bytes: one portion, and no other");
    let plain = frame(Endpoint::Client, 0x82, &[0; 1000]).repeat(100);
    assert_eq!(one_turn(&plain).await, (0, plain.len()));
}
