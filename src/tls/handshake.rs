//! The TLS handshake: reads and writes messages in turn until application data can flow in both directions.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::buffers::{ReadBuffers, with_read_buffers};
use super::describe::NotTls;
use super::engine::{Engine, OutgoingRecords, Progress};
use super::records::MAX_RECORD;
use super::stream::{Leftover, Stream, invalid};
use crate::values::spoken::{FirstBytes, Spoken};
use crate::values::tight;

/// The largest read from the socket, in bytes.
const READ: usize = 4 * 1024;

/// The longest handshake message that is accepted, including the headers of its records: an incomplete
/// message is kept in memory. rustls has one bound of 64 KiB for every message.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageLimit {
    /// The limit until this side has sent its first message.
    pub(super) hello: usize,
    /// The limit after that.
    pub(super) later: usize,
}

impl MessageLimit {
    const SHORT: usize = 16 * 1024;
    /// The bound of rustls.
    const LONG: usize = 64 * 1024;

    /// The limits for messages of a client. Only a client that sends certificates exceeds 16 KiB, and
    /// not in its first message.
    pub(super) fn for_client(shows_certificates: bool) -> Self {
        Self {
            hello: Self::SHORT,
            later: if shows_certificates { Self::LONG } else { Self::SHORT },
        }
    }

    /// The limits for messages of a server, which sends certificates.
    pub(super) const FOR_SERVER: Self = Self { hello: Self::LONG, later: Self::LONG };
}

/// Performs the handshake of either side. The caller sets the deadline.
///
/// # Errors
/// An error of the kind `UnexpectedEof` if the peer closes during the handshake; of the kind
/// `InvalidData` with the [`Error`] in it if TLS failed, after the alert was written to the socket as
/// far as the socket accepted it; or an error of the socket.
pub(super) async fn perform<S: AsyncRead + AsyncWrite + Unpin, E: Engine>(
    mut socket: S,
    mut engine: E,
    limit: MessageLimit,
) -> io::Result<Stream<S, E>> {
    let mut raw = Vec::new();
    let mut plain = Vec::new();
    let mut out = OutgoingRecords::default();
    let mut first = FirstBytes::default();
    let mut answered = false;
    loop {
        let give = |bytes: &[u8], _| plain.extend_from_slice(bytes);
        let Progress { used, peer_closed, outcome } =
            engine.process(&mut raw, None, &mut out, give);
        raw.drain(..used);
        let handshaking = engine.is_handshaking();
        let most = match (handshaking, answered) {
            (true, false) => limit.hello,
            (true, true) => limit.later,
            (false, _) => MAX_RECORD,
        };
        let outcome = match outcome {
            Ok(()) if raw.len() >= most => {
                Err(Error::General("a handshake message is too long".to_owned()))
            }
            outcome => outcome,
        };
        if let Err(error) = outcome {
            write_until_blocked(&mut socket, out.bytes()).await;
            return Err(match first.spoken() {
                None | Some(Spoken::Tls) => invalid(error),
                Some(spoken) => io::Error::new(io::ErrorKind::InvalidData, NotTls { spoken }),
            });
        }
        if !handshaking && engine.ends_with_tickets() {
            let tickets = out.bytes().to_vec();
            let leftover = Leftover { inbound: raw, plain, tickets, peer_closed };
            return Ok(Stream::new(socket, engine, leftover));
        }
        if !out.bytes().is_empty() {
            socket.write_all(out.bytes()).await?;
            socket.flush().await?;
            // No buffer is held while the gateway waits for the peer.
            out = OutgoingRecords::default();
            answered = true;
        }
        if !handshaking {
            let leftover = Leftover { inbound: raw, plain, tickets: Vec::new(), peer_closed };
            return Ok(Stream::new(socket, engine, leftover));
        }
        if raw.is_empty() {
            raw = Vec::new();
        }
        let before = raw.len();
        let read = poll_fn(|cx| poll_more(&mut socket, cx, &mut raw)).await?;
        first.note(&raw[before..]);
        if read == 0 {
            let text = "the connection ended during the TLS handshake";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
    }
}

/// Reads once, through the buffer of the worker thread: a silent peer costs no buffer.
fn poll_more<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    raw: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    with_read_buffers(|ReadBuffers { raw: scratch, .. }| {
        let mut buffer = ReadBuf::new(&mut scratch[..READ]);
        ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
        tight::extend(raw, buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// Writes the alert as far as the socket accepts it, without waiting: the handshake has failed in any case.
async fn write_until_blocked<S: AsyncWrite + Unpin>(socket: &mut S, mut records: &[u8]) {
    poll_fn(|cx| {
        while !records.is_empty() {
            match Pin::new(&mut *socket).poll_write(cx, records) {
                Poll::Ready(Ok(taken)) if taken > 0 => records = &records[taken..],
                _ => break,
            }
        }
        Poll::Ready(())
    })
    .await;
}
