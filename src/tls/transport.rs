//! A byte stream to a peer: TCP, TLS over TCP, or a unix socket. The one place that knows which; the
//! rooms above see bytes that are lent to them and bytes that are taken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

pub(crate) use crate::tls::AT_ONCE;
use crate::tls::socket::set_user_timeout;
use crate::tls::{ClientStream, ServerStream};

/// A connected stream. Small, so that a session's task is: the TLS state stays on the heap.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS with a client.
    Tls(Box<ServerStream>),
    /// TLS with an upstream.
    Wss(Box<ClientStream>),
}

impl Transport {
    /// Waits for bytes and lends them to `take`, which must deal with all of them; `None` is the
    /// end of the stream. At most as much is read as `scratch` has room for, or a TLS record. While
    /// nothing arrives no buffer is held: TLS has buffers of the worker's, the others read into
    /// `scratch`, which is the worker's, too.
    ///
    /// # Errors
    /// What the socket or TLS says; the stream is over then.
    pub fn poll_lend<T>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        match self {
            Self::Tls(stream) => return stream.poll_lend(cx, scratch.len(), take),
            Self::Wss(stream) => return stream.poll_lend(cx, scratch.len(), take),
            Self::Tcp(_) | Self::Unix(_) => {}
        }
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(self).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        Poll::Ready(Ok((!bytes.is_empty()).then(|| take(cx, bytes))))
    }
}

impl Transport {
    /// Bytes that were written and that the socket did not take: records of TLS.
    #[must_use]
    pub fn unsent(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(stream) => stream.kept()[2],
            Self::Wss(stream) => stream.kept()[2],
        }
    }

    /// Bytes that were read and that nobody was lent: the beginning of a record of TLS.
    #[must_use]
    pub fn partial(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(stream) => stream.kept()[0],
            Self::Wss(stream) => stream.kept()[0],
        }
    }

    /// How long TCP waits until what was sent is acknowledged, or taken at all, before it gives the
    /// connection up; `None`: as long as the kernel does by itself.
    pub fn set_tcp_patience(&self, patience: Option<Duration>) {
        match self {
            Self::Tcp(socket) => set_user_timeout(socket, patience),
            Self::Tls(stream) => set_user_timeout(stream.socket(), patience),
            Self::Wss(stream) => set_user_timeout(stream.socket(), patience),
            Self::Unix(_) => {}
        }
    }
}

/// How long, and how much, a peer is still read from that was told something at last.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 256 * 1024;

impl Transport {
    /// Sends `last`, half-closes, then reads and throws away what the peer still sends until it
    /// closes, so that it reads what it was told and not a reset. A peer that sends more than
    /// 256 KiB is not read any further, and cut off only after 2 s, when the time is over.
    pub async fn part(mut self, last: &[u8]) {
        let _ = timeout(LINGER, async {
            self.write_all(last).await?;
            self.shutdown().await?;
            let mut rest = (&mut self).take(LINGER_BYTES);
            let read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            if read == LINGER_BYTES {
                std::future::pending::<()>().await;
            }
            io::Result::Ok(())
        })
        .await;
    }
}

/// Runs `$call` on the stream within, whichever it is.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => $call,
            Transport::Unix($stream) => $call,
            Transport::Tls(boxed) => {
                let $stream = boxed.as_mut();
                $call
            }
            Transport::Wss(boxed) => {
                let $stream = boxed.as_mut();
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
