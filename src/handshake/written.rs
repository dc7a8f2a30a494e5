//! Notes how far an answer was written. hyper does not say that one was written to its end on a connection that
//! stays open: it goes on to wait for the next request. Nor does it say that a client takes no bytes, or that nothing
//! would notice its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
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
    /// How often the connection has taken or given bytes; wraps around.
    moves: AtomicUsize,
    /// Whether the connection did not take the last bytes, or has not sent them.
    is_blocked: AtomicBool,
    /// Whether a read waits, which ends with the connection.
    is_watched: AtomicBool,
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
        self.0.stage.load(Relaxed) == FLUSHED
    }

    /// A number that changes when the connection takes or gives bytes.
    #[must_use]
    pub fn progress(&self) -> usize {
        self.0.moves.load(Relaxed)
    }

    /// Whether no byte has moved since `progress`, and either bytes wait for the client, or nothing reads from it, so
    /// that its end would not be noticed.
    #[must_use]
    pub fn is_stuck_since(&self, progress: usize) -> bool {
        let is_deaf = self.0.is_blocked.load(Relaxed) || !self.0.is_watched.load(Relaxed);
        is_deaf && self.progress() == progress
    }

    /// Notes a write to the connection.
    pub(super) fn wrote<T>(&self, outcome: &Poll<T>) {
        self.0.is_blocked.store(outcome.is_pending(), Relaxed);
        self.moved(outcome);
    }

    /// Notes a read from the connection; `may_wait` says whether it waits for bytes if it is pending.
    pub(super) fn read<T>(&self, outcome: &Poll<T>, may_wait: bool) {
        self.0.is_watched.store(outcome.is_pending() && may_wait, Relaxed);
        self.moved(outcome);
    }

    fn moved<T>(&self, outcome: &Poll<T>) {
        if outcome.is_ready() {
            self.0.moves.fetch_add(1, Relaxed);
        }
    }

    /// Notes a flush of the connection. There may have been nothing to flush, so that it is no progress.
    pub(super) fn flushed<T, E>(&self, outcome: &Poll<Result<T, E>>) {
        self.0.is_blocked.store(outcome.is_pending(), Relaxed);
        if let Poll::Ready(Ok(_)) = outcome {
            let _ = self.0.stage.compare_exchange(TAKEN, FLUSHED, Relaxed, Relaxed);
        }
    }
}

impl<B> Drop for WatchedBody<B> {
    fn drop(&mut self) {
        self.written.0.stage.store(TAKEN, Relaxed);
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
