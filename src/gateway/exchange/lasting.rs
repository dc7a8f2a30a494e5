//! The end of answers that last, such as event streams, during a shutdown.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::gateway::runtime::{Runtime, Shutdown};

/// The body of a forwarded answer. During a shutdown an event stream ends after its share of the spread, and so
/// does an answer that takes longer than the shutdown; others may finish.
pub(super) struct LastingBody<B> {
    body: B,
    is_event_stream: bool,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The gateway stops, and the answer has taken longer than that may take.
#[derive(Debug, thiserror::Error)]
#[error("the gateway stops")]
struct Stopping;

impl<B> LastingBody<B> {
    /// The body of an answer to a request that began at `began`.
    pub(super) fn new(body: B, head: &response::Parts, runtime: &Runtime, began: Instant) -> Self {
        let is_event_stream = is_event_stream(head);
        let runtime = runtime.clone();
        let over = Box::pin(async move {
            let shutdown = runtime.shutdown().await;
            let draw = getrandom::u32().unwrap_or_default();
            sleep_until(ends(shutdown, began, is_event_stream, draw)).await;
        });
        Self { body, is_event_stream, over }
    }
}

/// Whether an answer is a stream of server-sent events, which has no end of its own.
pub(super) fn is_event_stream(head: &response::Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"text/event-stream")
}

/// When a shutdown ends an answer that drew `draw`; its share of the spread is random, so that streams end one after the
/// other, as sessions do.
fn ends(shutdown: Shutdown, began: Instant, is_event_stream: bool, draw: u32) -> Instant {
    let Shutdown { began: stopped, pace } = shutdown;
    let share = stopped + pace.spread * draw / u32::MAX;
    if is_event_stream { share } else { share.max(began + pace.whole) }
}

impl<B> Body for LastingBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            // Readers of events drop one that is not whole, and connect again. Half of another answer must not pass for
            // all of it, so its connection is cut.
            return Poll::Ready(if self.is_event_stream {
                None
            } else {
                Some(Err(Stopping.into()))
            });
        }
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::{LastingBody, Shutdown, ends, is_event_stream};
    use crate::config::ShutdownPace;
    use crate::gateway::runtime::Runtime;

    const SECOND: Duration = Duration::from_secs(1);
    const PACE: ShutdownPace =
        ShutdownPace { spread: Duration::from_secs(60), whole: Duration::from_secs(90) };

    fn head(kind: &str) -> http::response::Parts {
        http::Response::builder().header("Content-Type", kind).body(()).unwrap().into_parts().0
    }

    #[test]
    fn event_streams_are_known_by_their_type() {
        for kind in ["text/event-stream", "Text/Event-Stream ; charset=utf-8"] {
            assert!(is_event_stream(&head(kind)), "{kind}");
        }
        for kind in ["text/event-streams", "text/html", "", "application/x-ndjson"] {
            assert!(!is_event_stream(&head(kind)), "{kind}");
        }
        assert!(!is_event_stream(&http::Response::new(()).into_parts().0));
    }

    #[test]
    fn a_stream_ends_within_the_spread_and_a_short_answer_may_finish() {
        let now = Instant::now() + 3600 * SECOND;
        let shutdown = Shutdown { began: now, pace: PACE };
        for (draw, share) in [(0, 0), (u32::MAX / 2 + 1, 30), (u32::MAX, 60)] {
            let share = share * SECOND;
            let after = |ran: u32, is_event_stream| {
                let end = ends(shutdown, now - ran * SECOND, is_event_stream, draw) - now;
                Duration::from_secs(end.as_secs())
            };
            assert_eq!((after(0, true), after(3600, true)), (share, share));
            assert_eq!((after(0, false), after(3600, false)), (90 * SECOND, share));
            assert_eq!(after(80, false), share.max(10 * SECOND));
        }
    }

    /// The time after the shutdown signal at which an endless answer ends, and whether its end is a clean one.
    async fn outlives(kind: &str, ran: Duration) -> (Duration, bool) {
        let runtime = Runtime::default();
        let endless = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(SECOND).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"data: 1\n\n"))), ()))
        });
        let body = StreamBody::new(Box::pin(endless));
        let mut body = LastingBody::new(body, &head(kind), &runtime, Instant::now());
        let stopped = Instant::now() + ran;
        loop {
            if Instant::now() >= stopped && !runtime.is_stopping() {
                runtime.stop(PACE);
            }
            match body.frame().await {
                Some(Ok(_)) => {}
                None => return (stopped.elapsed(), true),
                Some(Err(_)) => return (stopped.elapsed(), false),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_ends_cleanly_and_another_endless_answer_is_cut() {
        let (after, is_clean) = outlives("text/event-stream", 10 * SECOND).await;
        assert!(after <= 61 * SECOND && is_clean, "{after:?}");
        let (after, is_clean) = outlives("application/x-ndjson", 10 * SECOND).await;
        assert!(after >= 79 * SECOND && after <= 81 * SECOND && !is_clean, "{after:?}");
        let (after, is_clean) = outlives("application/x-ndjson", 1000 * SECOND).await;
        assert!(after <= 61 * SECOND && !is_clean, "{after:?}");
    }
}
