//! The body of a client's plain request on its way to the upstream: bounded in size, and in the time without
//! progress.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::values::{Reason, Refusal};
use crate::wire::{HoldBudget, HoldPermit};

/// Why a body was not forwarded to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// It is larger than `max_body`.
    #[error("the body is larger than max_body")]
    TooLarge,
    /// The client sent nothing for `body_timeout`.
    #[error("the body made no progress for body_timeout")]
    Stalled,
    /// It is not well-formed.
    #[error("the body is not chunked as RFC 9112 section 7.1 says")]
    Malformed,
    /// The client's connection ended.
    #[error("the client's body broke off")]
    Broken,
}

impl From<hyper::Error> for BodyFault {
    fn from(error: hyper::Error) -> Self {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        match cause.map(io::Error::kind) {
            Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => Self::Malformed,
            _ => Self::Broken,
        }
    }
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        let (reason, key) = match fault {
            BodyFault::TooLarge => (Reason::BodyTooLarge, Some("max_body")),
            BodyFault::Stalled => (Reason::BodyTimeout, Some("body_timeout")),
            BodyFault::Malformed => (Reason::BodyMalformed, None),
            BodyFault::Broken => (Reason::ClientLost, None),
        };
        Self { key, ..Self::new(reason, fault.to_string()) }
    }
}

/// The least room of a held body: it may come in many small pieces.
const HELD_STEP: usize = 16 * 1024;

/// The progress of a body, shared with the code that waits for the answer.
#[derive(Debug)]
pub(super) struct BodyProgress {
    last: Mutex<Instant>,
    fault: OnceLock<BodyFault>,
}

/// The body of a request to an upstream.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None`: the request has none.
    body: Option<RequestContent>,
    /// The bytes that may still come.
    left: u64,
    timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    progress: Arc<BodyProgress>,
}

impl BodyProgress {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), fault: OnceLock::new() }
    }

    /// When the last bytes came; at first, when the request did.
    pub(super) fn last(&self) -> Instant {
        *self.locked()
    }

    /// Why the body was not forwarded to its end, if it was not.
    pub(super) fn fault(&self) -> Option<BodyFault> {
        self.fault.get().copied()
    }

    fn fail(&self, fault: BodyFault) -> BodyFault {
        *self.fault.get_or_init(|| fault)
    }

    fn locked(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestBody {
    /// A body of at most `max` bytes that may make no progress for `timeout`.
    pub(super) fn new(body: RequestContent, max: Option<u64>, timeout: Duration) -> Self {
        let body = Some(body).filter(|body| !body.is_end_stream());
        let left = max.unwrap_or(u64::MAX);
        Self { body, left, timeout, stalled: None, progress: Arc::new(BodyProgress::new()) }
    }

    /// An empty body with the progress of another.
    pub(super) fn empty(progress: Arc<BodyProgress>) -> Self {
        Self { body: None, left: 0, timeout: Duration::ZERO, stalled: None, progress }
    }

    pub(super) fn progress(&self) -> &Arc<BodyProgress> {
        &self.progress
    }

    /// Whether the request has no body.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    /// Whether the body is known to be larger than it may be.
    pub(super) fn is_too_large(&self) -> bool {
        self.size_hint().lower() > self.left
    }

    /// Whether no progress was made for the time that is allowed.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.progress.last() + self.timeout;
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(stalled.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            stalled.as_mut().reset(due);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = body.poll_frame(cx) else {
            ready!(self.poll_stalled(cx));
            return Poll::Ready(Some(Err(self.progress.fail(BodyFault::Stalled))));
        };
        *self.progress.locked() = Instant::now();
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(self.progress.fail(error.into()))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(self.progress.fail(BodyFault::TooLarge))),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(RequestContent::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), RequestContent::size_hint)
    }
}

/// The content of a request for an upstream.
#[derive(Debug)]
pub(crate) enum RequestContent {
    /// It is forwarded as it comes.
    Streamed(Incoming),
    /// The gateway has the whole of it.
    Held(HeldBody),
}

impl RequestContent {
    /// When an upstream must have accepted a connection: by `deadline`; or within `whole`, if the client had time of
    /// its own for the body.
    pub(crate) fn deadline(&self, deadline: Instant, whole: Duration) -> Instant {
        match self {
            Self::Streamed(_) => deadline,
            Self::Held(_) => deadline.max(Instant::now() + whole),
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
            Self::Held(body) => {
                let bytes = mem::take(&mut body.bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(body) => body.is_end_stream(),
            Self::Held(body) => body.bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(body) => body.size_hint(),
            Self::Held(body) => SizeHint::with_exact(body.len()),
        }
    }
}

/// A whole body in memory, counted against a budget until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBody {
    bytes: Bytes,
    #[expect(dead_code, reason = "they are held, and not looked at")]
    permits: Vec<HoldPermit>,
}

impl HeldBody {
    /// Reads `body`, of at most `most` bytes, which may make no progress for `timeout`.
    pub(crate) async fn collect<B>(
        mut body: B,
        most: u64,
        timeout: Duration,
        budget: &HoldBudget,
    ) -> Result<Self, Refusal>
    where
        B: Body<Data = Bytes, Error: Into<BodyFault>> + Unpin,
    {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let hint = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if hint > most {
            return Err(BodyFault::TooLarge.into());
        }
        let (mut bytes, mut permits, mut room) = (Vec::new(), Vec::new(), 0);
        while let Some(frame) = tokio::time::timeout(timeout, body.frame())
            .await
            .map_err(|_elapsed| BodyFault::Stalled)?
        {
            let Ok(data) = frame.map_err(Into::<BodyFault>::into)?.into_data() else {
                continue;
            };
            let length = bytes.len() + data.len();
            if length > most {
                return Err(BodyFault::TooLarge.into());
            }
            if length > room {
                // Doubled as it grows, so that many small pieces are not copied each time.
                let larger = length.max(room.saturating_mul(2)).max(HELD_STEP).min(most);
                permits.push(budget.take(larger - room).ok_or_else(no_room)?);
                bytes.reserve_exact(larger - bytes.len());
                room = larger;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Self { bytes: bytes.into(), permits })
    }

    /// The text; `None`: it is not UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        str::from_utf8(&self.bytes).ok()
    }

    /// The permit for a copy of the bytes.
    pub(crate) fn room_for_copy(&self, budget: &HoldBudget) -> Result<HoldPermit, Refusal> {
        budget.take(self.bytes.len()).ok_or_else(no_room)
    }

    /// Replaces the bytes by fewer.
    pub(crate) fn replace(&mut self, text: String) {
        self.bytes = text.into();
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn no_room() -> Refusal {
    Refusal::new(Reason::Capacity, "there is no room to hold the body")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::body::{Body, Frame};
    use tokio::time::{Instant, advance};

    use super::{BodyFault, HELD_STEP, HeldBody, RequestContent};
    use crate::values::Reason;
    use crate::wire::HoldBudget;

    const SECOND: Duration = Duration::from_secs(1);

    /// A body that comes in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BodyFault;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn pieces(count: usize, length: usize) -> Pieces {
        Pieces((0..count).map(|_| Bytes::from(vec![b'x'; length])).collect())
    }

    #[tokio::test]
    async fn a_held_body_takes_the_room_of_its_buffer() {
        let total = 16 * HELD_STEP;
        let budget = HoldBudget::new(total);
        let collect = |pieces, most: usize| HeldBody::collect(pieces, most as u64, SECOND, &budget);
        for (count, length, most, taken) in [
            (0, 0, total, 0),
            (1, 1, total, HELD_STEP),
            (HELD_STEP + 1, 1, total, 2 * HELD_STEP),
            (5, HELD_STEP, total, 8 * HELD_STEP),
            (1, 5 * HELD_STEP, total, 5 * HELD_STEP),
            (5, HELD_STEP, 6 * HELD_STEP, 6 * HELD_STEP),
            (3, 1, 10, 10),
        ] {
            let held = collect(pieces(count, length), most).await.unwrap();
            assert_eq!((held.len(), total - budget.left()), ((count * length) as u64, taken));
            let HeldBody { bytes, .. } = held;
            let size = bytes.try_into_mut().map_or(0, |bytes| bytes.capacity());
            assert_eq!(size, taken, "{count} pieces of {length}");
        }
        assert_eq!(budget.left(), total);
        let refused = collect(pieces(17, HELD_STEP), 2 * total).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Capacity);
        let refused = collect(pieces(11, 1), 10).await.unwrap_err();
        assert_eq!(refused.reason, Reason::BodyTooLarge);
        let held = collect(pieces(8, HELD_STEP), total).await.unwrap();
        let copy = held.room_for_copy(&budget).unwrap();
        assert_eq!(budget.left(), 0);
        assert_eq!(held.room_for_copy(&budget).unwrap_err().reason, Reason::Capacity);
        drop((held, copy));
        assert_eq!(budget.left(), total);
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_body_leaves_the_upstream_its_whole_time() {
        let content = RequestContent::Held(HeldBody { bytes: Bytes::new(), permits: Vec::new() });
        let deadline = Instant::now() + 10 * SECOND;
        assert_eq!(content.deadline(deadline, SECOND), deadline);
        advance(20 * SECOND).await;
        assert_eq!(content.deadline(deadline, SECOND), Instant::now() + SECOND);
    }
}
