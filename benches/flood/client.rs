//! The client that behaves, and what it notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::Gateway;

/// Connections that echo, and how often each sends a message.
const CONNECTIONS: usize = 10;
const EVERY: Duration = Duration::from_millis(10);
/// How often another connection is opened, and closed again.
const OPEN_EVERY: Duration = Duration::from_millis(50);
/// When a message or an opening counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of it all.
#[derive(Default)]
pub(crate) struct Noticed {
    /// From the sending of a message to its echo.
    pub(crate) echoes: Vec<Duration>,
    /// Messages that did not come back.
    pub(crate) lost: u64,
    /// From the first SYN to the 101.
    pub(crate) openings: Vec<Duration>,
    /// Connections that got no 101.
    pub(crate) failed: u64,
}

/// Where to connect, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(gateway: &Gateway, last: u8) -> Self {
        let local = ([127, 0, 0, last], 0).into();
        Self { address: gateway.address(), local, tls: gateway.tls_client() }
    }

    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(self.local)?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await
    }

    async fn open(&self) -> Option<WebSocketStream<TlsStream<TcpStream>>> {
        let stream = self.connect().await.ok()?;
        Some(client_async("wss://localhost/ws", stream).await.ok()?.0)
    }
}

/// Echoes and opens for so long, in a thread of its own.
pub(crate) fn run(gateway: &Gateway, time: Duration) -> Noticed {
    let target = Target::new(gateway, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut echoing = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let target = target.clone();
            echoing.spawn(async move { echo(&target, time).await });
        }
        let mut all = open_again_and_again(&target, time).await;
        for noticed in echoing.join_all().await {
            all.echoes.extend(noticed.echoes);
            all.lost += noticed.lost;
        }
        all
    })
}

/// Sends at its pace, whether or not the echoes come.
async fn echo(target: &Target, time: Duration) -> Noticed {
    let count = u32::try_from(time.as_millis() / EVERY.as_millis()).unwrap();
    let Ok(Some(socket)) = timeout(PATIENCE, target.open()).await else {
        return Noticed { lost: count.into(), ..Noticed::default() };
    };
    let (mut sink, mut stream) = socket.split();
    let (sent, mut sendings) = tokio::sync::mpsc::unbounded_channel();
    let sending = async move {
        let mut pace = interval(EVERY);
        for number in 0..count {
            pace.tick().await;
            let _ = sent.send(Instant::now());
            if sink.send(Message::text(number.to_string())).await.is_err() {
                return;
            }
        }
    };
    let receiving = async {
        let mut echoes = Vec::new();
        for number in 0..count {
            let Ok(Some(Ok(message))) = timeout(PATIENCE, stream.next()).await else { break };
            assert_eq!(message, Message::text(number.to_string()), "in order");
            echoes.push(sendings.recv().await.unwrap().elapsed());
        }
        let lost = u64::from(count) - echoes.len() as u64;
        Noticed { echoes, lost, ..Noticed::default() }
    };
    tokio::join!(sending, receiving).1
}

async fn open_again_and_again(target: &Target, time: Duration) -> Noticed {
    let mut noticed = Noticed::default();
    let begun = Instant::now();
    let mut pace = interval(OPEN_EVERY);
    while begun.elapsed() < time {
        pace.tick().await;
        let since = Instant::now();
        match timeout(PATIENCE, target.open()).await {
            Ok(Some(mut socket)) => {
                noticed.openings.push(since.elapsed());
                let _ = socket.close(None).await;
            }
            Ok(None) | Err(_) => noticed.failed += 1,
        }
    }
    noticed
}
