//! The TLS handshake: messages read and written in turns until application data may flow both ways.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use rustls::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::records::{Driven, MAX_RECORD, Outgoing, Records, alerts, drive};
use super::stream::{Stream, invalid};
use super::words::NotTls;
use crate::spoken::{First, Spoken};

/// One read from the socket.
const READ: usize = 4 * 1024;
/// How much may be read that is not a whole handshake message. rustls takes none that is longer;
/// this bounds its fragments, too.
const MOST: usize = 64 * 1024;

/// Performs the handshake, as whichever end `connection` is. The caller sets the deadline.
///
/// # Errors
/// Of the kind `UnexpectedEof` when the peer closes in the middle; of the kind `InvalidData` with the
/// [`Error`] in it when it failed, and then the alert was handed to the socket; or what the socket
/// says.
pub(super) async fn shake<C: Records, S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    mut connection: C,
) -> io::Result<Stream<C, S>> {
    let (mut raw, mut plain, mut out) = (Vec::new(), Vec::new(), Outgoing::default());
    let mut first = First::default();
    loop {
        let give = |bytes: &[u8], _| plain.extend_from_slice(bytes);
        let Driven { used, closed, outcome } =
            drive(&mut connection, &mut raw, None, &mut out, give);
        raw.drain(..used);
        let handshaking = connection.common().is_handshaking();
        let most = if handshaking { MOST } else { MAX_RECORD };
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
            out.clear();
        }
        if !handshaking {
            return Ok(Stream::new(socket, connection, [&raw, &[]], plain, closed));
        }
        raw.reserve(READ);
        let before = raw.len();
        let read = (&mut socket).take(READ as u64).read_buf(&mut raw).await?;
        first.note(&raw[before..]);
        if read == 0 {
            let text = "the connection ended during the TLS handshake";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
    }
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
