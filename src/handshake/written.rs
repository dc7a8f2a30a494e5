//! Notes that an answer was written to its end. hyper does not say so on a connection that stays open: it
//! goes on to wait for the next request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// The HTTP library has taken the whole body of the answer.
const TAKEN: u8 = 1;
/// After that, it has flushed all bytes to the connection.
const FLUSHED: u8 = 2;

/// How far the answer of one exchange was written. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<AtomicU8>);

/// The body of an answer whose writing is noted.
#[derive(Debug)]
pub struct WatchedBody<B> {
    body: B,
    written: Written,
}

impl Written {
    /// Notes when the HTTP library is done with `body`: it drops a body after its last byte.
    #[must_use]
    pub fn watch<B>(&self, body: B) -> WatchedBody<B> {
        WatchedBody { body, written: self.clone() }
    }

    /// Whether every byte of the answer was handed to the connection.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FLUSHED
    }

    /// Notes a flush of the connection.
    pub(super) fn flushed(&self) {
        let _ = self.0.compare_exchange(TAKEN, FLUSHED, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl<B> Drop for WatchedBody<B> {
    fn drop(&mut self) {
        self.written.0.store(TAKEN, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
