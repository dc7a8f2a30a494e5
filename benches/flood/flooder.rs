//! The client that does not behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::Target;
use crate::support::{Frame, Gateway, Request};

/// Connections that are being opened at once.
const OPENING: usize = 64;
/// Connections that send messages, if they are let in.
const SENDING: usize = 8;
/// Messages that are written at once.
const BATCH: usize = 100;
/// After a connection that could not even be opened.
const BREATH: Duration = Duration::from_millis(1);
/// Of the flood's thread.
const LOWEST_PRIORITY: i32 = 19;

/// What the flood did.
#[derive(Debug, Default)]
pub(crate) struct Flooded {
    /// Connections that were begun.
    pub(crate) connections: u64,
    /// Those of them that got their 101.
    pub(crate) handshakes: u64,
    /// Messages that were written.
    pub(crate) messages: u64,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    handshakes: AtomicU64,
    messages: AtomicU64,
}

/// Floods for so long, in a thread of its own.
pub(crate) fn start(gateway: &Gateway, time: Duration) -> JoinHandle<Flooded> {
    let target = Target::new(gateway, 2);
    std::thread::spawn(move || {
        rustix::process::nice(LOWEST_PRIORITY).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let counters = Arc::new(Counters::default());
        runtime.block_on(async {
            for number in 0..OPENING + SENDING {
                let (target, counters) = (target.clone(), Arc::clone(&counters));
                tokio::spawn(async move {
                    loop {
                        flood(&target, &counters, number < SENDING).await;
                    }
                });
            }
            tokio::time::sleep(time).await;
        });
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Flooded {
            connections: count(&counters.connections),
            handshakes: count(&counters.handshakes),
            messages: count(&counters.messages),
        }
    })
}

/// One connection.
async fn flood(target: &Target, counters: &Counters, sends: bool) {
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let Ok(mut stream) = target.connect().await else {
        return tokio::time::sleep(BREATH).await;
    };
    // It is ended by a reset, which leaves nothing behind here.
    let _ = socket2::SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO));
    let mut head = [0; 512];
    if stream.write_all(&Request::upgrade("/ws").bytes()).await.is_err() {
        return;
    }
    match stream.read(&mut head).await {
        Ok(length) if head[..length].starts_with(b"HTTP/1.1 101") => {
            counters.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        _ => return,
    }
    if sends {
        send(stream, counters).await;
    }
}

/// Sends messages for as long as they are taken.
async fn send(stream: TlsStream<TcpStream>, counters: &Counters) {
    let message = Frame::text("x".repeat(64)).masked(true).encode();
    let (mut from, mut to) = tokio::io::split(stream);
    let reading = async {
        let mut echoes = vec![0; 64 * 1024];
        while matches!(from.read(&mut echoes).await, Ok(1..)) {}
    };
    let writing = async {
        while to.write_all(&message.repeat(BATCH)).await.is_ok() {
            counters.messages.fetch_add(BATCH as u64, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}
