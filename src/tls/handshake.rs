//! The TLS handshake: messages read and written in turns until application data may flow both ways.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::buffers::{self, Reading};
use super::records::{Driven, MAX_RECORD, Outgoing, Records, alerts, drive};
use super::stream::{Stream, invalid};
use super::words::NotTls;
use crate::values::spoken::{First, Spoken};
use crate::values::tight;

/// One read from the socket.
const READ: usize = 4 * 1024;
/// How much is kept of a handshake message, with the headers of its records, until it is whole; a
/// longer one is refused. rustls has one bound of 64 KiB for every message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest {
    /// Before this end has said anything.
    pub(super) hello: usize,
    /// Afterwards.
    pub(super) later: usize,
}

impl Longest {
    const SHORT: usize = 16 * 1024;
    /// As long as rustls takes it.
    const LONG: usize = 64 * 1024;

    /// Of a client. Only one that shows certificates has more to say than 16 KiB, and not in its
    /// first message.
    pub(super) fn of_client(shows_certificates: bool) -> Self {
        Self {
            hello: Self::SHORT,
            later: if shows_certificates { Self::LONG } else { Self::SHORT },
        }
    }

    /// Of a server, which shows certificates.
    pub(super) const OF_SERVER: Self = Self { hello: Self::LONG, later: Self::LONG };
}

/// Performs the handshake, as whichever end `connection` is. The caller sets the deadline.
///
/// # Errors
/// Of the kind `UnexpectedEof` when the peer closes in the middle; of the kind `InvalidData` with the
/// [`Error`] in it when it failed, and then the alert was handed to the socket; or what the socket
/// says.
pub(super) async fn shake<C: Records, S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    mut connection: C,
    longest: Longest,
) -> io::Result<Stream<C, S>> {
    let (mut raw, mut plain, mut out) = (Vec::new(), Vec::new(), Outgoing::default());
    let mut first = First::default();
    let mut answered = false;
    loop {
        let give = |bytes: &[u8], _| plain.extend_from_slice(bytes);
        let Driven { used, closed, outcome } =
            drive(&mut connection, &mut raw, None, &mut out, give);
        raw.drain(..used);
        let handshaking = connection.common().is_handshaking();
        let most = match (handshaking, answered) {
            (true, false) => longest.hello,
            (true, true) => longest.later,
            (false, _) => MAX_RECORD,
        };
        let outcome = match outcome {
            Ok(()) if raw.len() >= most => {
                Err(Error::General("a handshake message is too long".to_owned()))
            }
            outcome => outcome,
        };
        if let Err(error) = outcome {
            alerts(&mut connection, &mut raw, &mut out);
            send_what_fits(&mut socket, out.records()).await;
            return Err(match first.spoken() {
                None | Some(Spoken::Tls) => invalid(error),
                Some(spoken) => io::Error::new(io::ErrorKind::InvalidData, NotTls { spoken }),
            });
        }
        if !handshaking && connection.has_the_last_word() {
            return Ok(Stream::new(socket, connection, [&raw, out.records()], plain, closed));
        }
        if !out.records().is_empty() {
            socket.write_all(out.records()).await?;
            socket.flush().await?;
            // Nothing is held while the peer thinks.
            out = Outgoing::default();
            answered = true;
        }
        if !handshaking {
            return Ok(Stream::new(socket, connection, [&raw, &[]], plain, closed));
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

/// Reads once, by a buffer of the worker's: a peer that says nothing costs none.
fn poll_more<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    raw: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    buffers::reading(|Reading { raw: scratch, .. }| {
        let mut buffer = ReadBuf::new(&mut scratch[..READ]);
        ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
        tight::extend(raw, buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// The error counts, whether or not the peer can be told: nothing is waited for.
async fn send_what_fits<S: AsyncWrite + Unpin>(socket: &mut S, mut records: &[u8]) {
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
