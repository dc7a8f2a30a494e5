//! The target application of the attacks. It accepts every handshake and only records the bytes
//! that reach it.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

/// The longest request head in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Bytes that are recorded for one connection; further bytes are only counted.
const RECORDED: usize = 256 * 1024;

/// How long one connection may take, longer than any attack.
const WITHIN: Duration = Duration::from_secs(10);

/// The data that reached the application over one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct WitnessRecord {
    /// The request head.
    pub(super) head: String,
    /// The first bytes after the head, at most [`RECORDED`].
    pub(super) bytes: Vec<u8>,
    /// The number of bytes after the head.
    pub(super) count: u64,
    /// Whether the connection is over.
    over: bool,
}

/// The records by the number in the request's query. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    records: Arc<Mutex<HashMap<u64, WitnessRecord>>>,
    changed: Arc<Notify>,
}

impl Witness {
    /// Answers a handshake and records the data after it until the peer has finished.
    pub(super) async fn attend(&self, mut stream: TcpStream) {
        let mut id = None;
        // The record ends in any case: the peer has finished, failed or was too slow.
        let _ = timeout(WITHIN, self.record(&mut stream, &mut id)).await;
        if let Some(id) = id {
            self.change(id, |record| record.over = true);
        }
    }

    async fn record(&self, stream: &mut TcpStream, id: &mut Option<u64>) -> std::io::Result<()> {
        let mut read = Vec::new();
        let end = loop {
            if stream.read_buf(&mut read).await? == 0 || read.len() > MAX_HEAD {
                return Ok(());
            }
            if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let number = number(&head);
        *id = Some(number);
        self.change(number, |record| record.head.clone_from(&head));
        self.take(number, &read[end..]);
        stream.write_all(switching_protocols(&head).as_bytes()).await?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            self.take(number, &buffer[..length]);
            if self.frames(number).contains(&WitnessedFrame::Close) {
                return stream.shutdown().await;
            }
        }
    }

    fn take(&self, id: u64, bytes: &[u8]) {
        self.change(id, |record| {
            record.count += bytes.len() as u64;
            let room = RECORDED.saturating_sub(record.bytes.len());
            record.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
    }

    fn frames(&self, id: u64) -> Vec<WitnessedFrame> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(&id).map(WitnessRecord::frames).unwrap_or_default()
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut WitnessRecord)) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        change(records.entry(id).or_default());
        drop(records);
        self.changed.notify_waiters();
    }

    /// Takes the record with this number once its connection has ended, or after `limit`; `None`
    /// if there is no such record.
    pub(super) async fn testify(&self, id: u64, limit: Duration) -> Option<WitnessRecord> {
        let over = async {
            loop {
                let changed = self.changed.notified();
                if self.is_over(id) {
                    return;
                }
                changed.await;
            }
        };
        // After `limit` the bytes recorded so far are returned.
        let _ = timeout(limit, over).await;
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    fn is_over(&self, id: u64) -> bool {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(&id).is_some_and(|record| record.over)
    }
}

/// A frame that reached the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WitnessedFrame {
    /// Any frame but a Close.
    Other,
    Close,
}

impl WitnessRecord {
    /// The frames of the recorded bytes; the last may have only its header.
    pub(super) fn frames(&self) -> Vec<WitnessedFrame> {
        let mut frames = Vec::new();
        let mut rest = self.bytes.as_slice();
        loop {
            let mut cursor = Cursor::new(rest);
            let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) else {
                return frames;
            };
            let is_close = header.opcode == OpCode::Control(Control::Close);
            frames.push(if is_close { WitnessedFrame::Close } else { WitnessedFrame::Other });
            let end = usize::try_from(cursor.position() + length).unwrap_or(usize::MAX);
            let Some(next) = rest.get(end..) else {
                return frames;
            };
            rest = next;
        }
    }

    /// A field of the request head.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The number after `?id=` in the request line; 0 without one.
fn number(head: &str) -> u64 {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (_, id) = target.split_once("?id=").unwrap_or_default();
    id.parse().unwrap_or(0)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Builds a 101 that accepts everything that was offered.
fn switching_protocols(head: &str) -> String {
    let key = field(head, "sec-websocket-key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let offered = field(head, "sec-websocket-extensions").unwrap_or_default();
    let extension = if offered.contains("permessage-deflate") {
        "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extension}\r\n"
    )
}
