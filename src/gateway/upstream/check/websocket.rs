//! `check = "websocket"`

use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use super::{FAREWELL, request};
use crate::gateway::upstream::exchange::{ExchangeError, ExchangeOutcome, exchange};
use crate::gateway::upstream::verify::switching_protocols;
use crate::tls::transport::Transport;
use crate::values::Endpoint;
use crate::wire::{FrameLimits, Gate, GateEvent, HoldBudget, Opcode, close_frame, control_frame};

/// The most bytes that a server may send before its pong: applications greet their clients.
const MOST_BEFORE_PONG: u64 = 1024 * 1024;
/// The memory for incomplete frames.
const HELD: usize = 64 * 1024;

/// Performs an opening handshake, and waits for the pong to a ping, all by the deadline. Then closes the WebSocket.
pub(super) async fn open(
    stream: Transport,
    path: &str,
    host: &HeaderValue,
    deadline: Instant,
) -> Result<(), String> {
    let key = generate_key();
    let fields = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_VERSION, "13"),
        (SEC_WEBSOCKET_KEY, key.as_str()),
    ];
    let request = request(path, host, &fields, Empty::new())?;
    let (stream, early) = match exchange(stream, request, deadline, deadline).await {
        Ok(ExchangeOutcome::Switched { stream, early, headers, .. }) => {
            switching_protocols(&headers, &key, &[], &[]).map_err(str::to_owned)?;
            (stream, early)
        }
        Ok(ExchangeOutcome::Answered(answer)) => {
            return Err(format!("the answer to the handshake is {}", answer.status));
        }
        Err(ExchangeError::Late) => return Err("no answer to the handshake in time".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let mut socket = Socket::new(stream);
    match timeout_at(deadline, socket.ping(&early)).await {
        Ok(passed) => passed?,
        Err(_elapsed) => return Err("no pong in time".to_owned()),
    }
    // The pong decides: a server that does not answer the Close is up.
    let _ = timeout_at(deadline.min(Instant::now() + FAREWELL), socket.close()).await;
    Ok(())
}

/// The client's side of a WebSocket, which sends control frames alone and drops the messages that it gets.
struct Socket {
    stream: Transport,
    gate: Gate,
    budget: HoldBudget,
}

impl Socket {
    fn new(stream: Transport) -> Self {
        let limits = FrameLimits {
            max_frame_size: MOST_BEFORE_PONG,
            max_message_size: MOST_BEFORE_PONG,
            max_fragments: FrameLimits::ANY_NUMBER,
            max_inflation_ratio: None,
        };
        let gate = Gate::new(Endpoint::Upstream, limits, random());
        Self { stream, gate, budget: HoldBudget::new(HELD) }
    }

    /// Sends a ping and waits for its pong. `early` has the bytes that followed the 101.
    async fn ping(&mut self, early: &[u8]) -> Result<(), String> {
        let payload = self.gate.own_ping();
        let ping = control_frame(Endpoint::Upstream, Opcode::Ping, &payload, random());
        self.stream.write_all(ping.as_ref()).await.map_err(|error| error.to_string())?;
        match self.next_event(early).await? {
            GateEvent::OwnPong => Ok(()),
            GateEvent::Close(close) => Err(match close.code {
                Some(code) => format!("it closed the WebSocket ({code}) before its pong"),
                None => "it closed the WebSocket before its pong".to_owned(),
            }),
            GateEvent::Violation(violation) => {
                Err(format!("a frame before the pong is not valid: {}", violation.rule.text()))
            }
            _ => Err("an unexpected frame came before the pong".to_owned()),
        }
    }

    /// Sends a Close, and reads up to that of the server.
    async fn close(&mut self) -> Result<(), String> {
        let close = close_frame(Endpoint::Upstream, 1000, "", random());
        self.stream.write_all(close.as_ref()).await.map_err(|error| error.to_string())?;
        self.next_event(&[]).await?;
        self.stream.shutdown().await.map_err(|error| error.to_string())
    }

    /// The next event of the server's frames. Its messages are dropped.
    async fn next_event(&mut self, early: &[u8]) -> Result<GateEvent, String> {
        let mut buffer = [0; 4096];
        let mut read = early;
        loop {
            while !read.is_empty() {
                let judged = self.gate.judge(read, &self.budget);
                if let Some(event) = judged.event {
                    return Ok(event);
                }
                read = &read[judged.consumed..];
            }
            if self.gate.received() > MOST_BEFORE_PONG {
                return Err("more than 1 MiB came, and no pong".to_owned());
            }
            let count = self.stream.read(&mut buffer).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("it ended the connection before its pong".to_owned());
            }
            read = &buffer[..count];
        }
    }
}

/// Random bytes; zeros if the system has none.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = getrandom::fill(&mut bytes);
    bytes
}
