//! A byte stream to a peer: TCP, TLS over TCP, or a unix socket. Other modules do not distinguish them.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

pub(crate) use crate::tls::AT_ONCE;
use crate::tls::Stream;
use crate::tls::socket::set_user_timeout;

/// The bytes of one read by [`Transport::poll_few`].
const FEW: usize = 4 * 1024;

/// A connected stream. It is small to keep session tasks small: the TLS state is on the heap.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP, with a client or with an upstream.
    Tls(Box<Stream>),
}

impl Transport {
    /// Waits for bytes and lends them to `take`, which must consume all of them; `None` is the end of
    /// the stream. Reads at most as much as `scratch` has room for, or one TLS record. The connection
    /// holds no buffer while nothing arrives: TLS reads into buffers of the worker thread, the others
    /// into `scratch`, which also belongs to the worker thread.
    ///
    /// # Errors
    /// Errors of the socket or of TLS; the stream has then ended.
    pub fn poll_lend<T>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        if let Self::Tls(stream) = self {
            return stream.poll_lend(cx, scratch.len(), take);
        }
        self.poll_into(cx, ReadBuf::new(scratch), take)
    }

    /// As [`Self::poll_lend`], with a buffer of its own: at most 4 KiB, or one TLS record.
    ///
    /// # Errors
    /// As [`Self::poll_lend`].
    pub fn poll_few<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        if let Self::Tls(stream) = self {
            return stream.poll_lend(cx, FEW, take);
        }
        let mut scratch = [const { MaybeUninit::uninit() }; FEW];
        self.poll_into(cx, ReadBuf::uninit(&mut scratch), take)
    }

    fn poll_into<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut buffer: ReadBuf<'_>,
        take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        ready!(Pin::new(self).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        Poll::Ready(Ok((!bytes.is_empty()).then(|| take(cx, bytes))))
    }
}

impl Transport {
    /// Whether bytes, the end or an error wait in the socket, by the kernel's word: the runtime learns of them later.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let mut byte = [0];
        let peeked = match self {
            Self::Tcp(socket) => recv(socket, &mut byte[..], flags),
            Self::Unix(socket) => recv(socket, &mut byte[..], flags),
            Self::Tls(stream) => recv(stream.socket(), &mut byte[..], flags),
        };
        !matches!(peeked, Err(Errno::AGAIN))
    }

    /// The bytes of TLS records that the socket did not accept yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(stream) => stream.held().outbound,
        }
    }

    /// The bytes of an incomplete TLS record.
    #[must_use]
    pub fn partial(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(stream) => stream.held().inbound,
        }
    }

    /// Sets the time that TCP waits for sent bytes to be acknowledged, or to be sent at all, before it
    /// gives up the connection; `None`: the kernel's default.
    pub fn set_tcp_user_timeout(&self, user_timeout: Option<Duration>) {
        match self {
            Self::Tcp(socket) => set_user_timeout(socket, user_timeout),
            Self::Tls(stream) => set_user_timeout(stream.socket(), user_timeout),
            Self::Unix(_) => {}
        }
    }
}

/// The limits on reading from a peer after the last bytes were sent to it.
#[derive(Debug, Clone, Copy)]
pub struct Linger {
    time: Duration,
    bytes: u64,
}

impl Linger {
    /// The peer has little more to send: 256 KiB within 2 s.
    pub const SHORT: Self = Self { time: Duration::from_secs(2), bytes: 256 * 1024 };
    /// The peer may be sending the body of a request: 64 MiB within 10 s. Many clients read no answer before their
    /// body is sent.
    pub const BODY: Self = Self { time: Duration::from_secs(10), bytes: 64 * 1024 * 1024 };
}

impl Transport {
    /// Sends `last`, half-closes, then reads and discards until the peer closes, so that the peer
    /// receives `last` and not a reset. Reading stops, and the connection is cut, at the limits of `linger`.
    pub async fn part(mut self, last: &[u8], linger: Linger) {
        let _ = timeout(linger.time, async {
            self.write_all(last).await?;
            self.shutdown().await?;
            let mut rest = (&mut self).take(linger.bytes);
            let read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            if read == linger.bytes {
                std::future::pending::<()>().await;
            }
            io::Result::Ok(())
        })
        .await;
    }
}

/// Calls `$call` on the inner stream.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => $call,
            Transport::Unix($stream) => $call,
            Transport::Tls(boxed) => {
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
