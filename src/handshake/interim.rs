//! Bounds the informational answers (1xx, RFC 9110 section 15.2) of the HTTP servers to which the
//! gateway is a client. hyper skips any number of them in a row without yielding to the runtime; so
//! the stream below hyper fails at the first that the exchange does not allow.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::task::{Context, Poll};

use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::values::spoken::{FirstBytes, Spoken};

/// The number of informational answers before the final one, in exchanges that allow them.
pub(crate) const MOST: u16 = 8;

/// Counts the informational answers of one exchange. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Interim(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    /// The number of 100, 102 and 103 that are allowed; other statuses never are.
    allowed: u16,
    seen: AtomicU16,
    /// The status of the first disallowed answer; 0 if there was none.
    refused: AtomicU16,
    /// No exchange is under way: nothing may come.
    is_idle: AtomicBool,
}

impl Interim {
    /// Allows this number of 100 (Continue), 102 (Processing) and 103 (Early Hints) together.
    pub(crate) fn allowing(allowed: u16) -> Self {
        let (seen, refused) = (AtomicU16::new(0), AtomicU16::new(0));
        Self(Arc::new(Counted { allowed, seen, refused, is_idle: AtomicBool::new(false) }))
    }

    /// Starts the count anew, for another exchange on the same connection.
    pub(crate) fn restart(&self) {
        self.0.seen.store(0, Ordering::Relaxed);
    }

    /// Counts the informational answers to `request`.
    pub(crate) fn watch<B>(&self, request: &mut Request<B>) {
        let counted = self.clone();
        hyper::ext::on_informational(request, move |answer| counted.note(answer.status()));
    }

    /// Wraps `stream` so that reads fail after a disallowed informational answer.
    pub(crate) fn guard<S>(&self, stream: S) -> Guarded<S> {
        Guarded {
            stream,
            interim: self.clone(),
            first: FirstBytes::default(),
            has_unread: |_| false,
        }
    }

    /// As [`Self::guard`]. Reads also fail while no exchange is under way and `has_unread` finds bytes.
    pub(crate) fn guard_idle<S>(&self, stream: S, has_unread: fn(&S) -> bool) -> Guarded<S> {
        Guarded { has_unread, ..self.guard(stream) }
    }

    /// Says whether an exchange is under way.
    pub(crate) fn set_idle(&self, is_idle: bool) {
        self.0.is_idle.store(is_idle, Ordering::Relaxed);
    }

    /// The status of the disallowed informational answer, if one came.
    pub(crate) fn refused(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0.refused.load(Ordering::Relaxed)).ok()
    }

    fn note(&self, status: StatusCode) {
        let Counted { allowed, seen, refused, .. } = &*self.0;
        let known = matches!(status.as_u16(), 100 | 102 | 103);
        let before = seen.load(Ordering::Relaxed);
        seen.store(before.saturating_add(1), Ordering::Relaxed);
        if (!known || before >= *allowed) && refused.load(Ordering::Relaxed) == 0 {
            refused.store(status.as_u16(), Ordering::Relaxed);
        }
    }
}

/// See [`Interim::guard`].
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    interim: Interim,
    first: FirstBytes,
    has_unread: fn(&S) -> bool,
}

impl<S> Guarded<S> {
    /// The protocol that the server speaks, if its first bytes show one.
    pub(crate) fn spoken(&self) -> Option<Spoken> {
        self.first.spoken()
    }

    /// Returns the inner stream.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(status) = this.interim.refused() {
            let text = format!("an informational answer ({status}) that is not allowed");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        if this.interim.0.is_idle.load(Ordering::Relaxed) && (this.has_unread)(&this.stream) {
            let text = "bytes, or the end of the connection, between two exchanges";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.first.note(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::io::AsyncReadExt;

    use super::{Interim, MOST};

    fn refused_at(allowed: u16, answers: &[u16]) -> Option<(usize, u16)> {
        let interim = Interim::allowing(allowed);
        for (index, status) in answers.iter().enumerate() {
            interim.note(StatusCode::from_u16(*status).unwrap());
            if let Some(refused) = interim.refused() {
                return Some((index, refused.as_u16()));
            }
        }
        None
    }

    #[test]
    fn the_first_informational_answer_above_the_bound_is_refused() {
        assert_eq!(refused_at(0, &[103]), Some((0, 103)));
        assert_eq!(refused_at(MOST, &[100, 102, 103, 103, 103, 103, 103, 103]), None);
        assert_eq!(refused_at(MOST, &[103; 9]), Some((8, 103)));
        for other in [101, 104, 110, 199] {
            assert_eq!(refused_at(MOST, &[100, other]), Some((1, other)));
        }
    }

    #[tokio::test]
    async fn the_stream_ends_after_a_refused_informational_answer() {
        let interim = Interim::allowing(0);
        let mut stream = interim.guard(b"answer".as_slice());
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        interim.note(StatusCode::EARLY_HINTS);
        let error = stream.read_u8().await.unwrap_err();
        assert!(error.to_string().contains("103 Early Hints"), "{error}");
    }
}
