//! Notes how far an answer was written. hyper does not say that one was written to its end on a connection that
//! stays open: it goes on to wait for the next request. Nor does it say that a client takes no bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// The HTTP library has taken the whole body of the answer.
const TAKEN: u8 = 1;
/// After that, it has flushed all bytes to the connection.
const FLUSHED: u8 = 2;

/// How far the answer of one exchange was written. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stage: AtomicU8,
    /// How often the connection has taken bytes; wraps around.
    takes: AtomicUsize,
    /// Whether the connection did not take the last bytes, or has not sent them.
    is_blocked: AtomicBool,
}

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
        self.0.stage.load(Ordering::Relaxed) == FLUSHED
    }

    /// A number that changes when the connection takes bytes.
    #[must_use]
    pub fn progress(&self) -> usize {
        self.0.takes.load(Ordering::Relaxed)
    }

    /// Whether bytes wait for the connection, and it has taken none since `progress`.
    #[must_use]
    pub fn is_blocked_since(&self, progress: usize) -> bool {
        self.0.is_blocked.load(Ordering::Relaxed) && self.progress() == progress
    }

    /// Notes a write to the connection, or a flush.
    pub(super) fn wrote<T>(&self, outcome: &Poll<T>) {
        self.0.is_blocked.store(outcome.is_pending(), Ordering::Relaxed);
        if outcome.is_ready() {
            self.0.takes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes a flush of the connection.
    pub(super) fn flushed(&self) {
        let stage = &self.0.stage;
        let _ = stage.compare_exchange(TAKEN, FLUSHED, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl<B> Drop for WatchedBody<B> {
    fn drop(&mut self) {
        self.written.0.stage.store(TAKEN, Ordering::Relaxed);
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
