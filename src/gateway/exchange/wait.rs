//! How long the gateway waits for a client.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::gateway::session::OpenAnswer;
use crate::values::Reason;

/// How long a connection that is accepted during a stop has for its request.
const DURING_STOP: Duration = Duration::from_secs(2);

/// The bounds of the wait for a client that has not sent a whole request.
#[derive(Debug)]
pub(super) struct ClientWait {
    /// The answer is due by then, whatever takes the time.
    pub(super) deadline: Instant,
    /// Cancelled when clients that have sent no whole request are not waited for any longer.
    pub(super) stopping: CancellationToken,
    /// The time for which the client may take nothing of its answer, once the deadline no longer holds for the
    /// present request.
    stall: OnceLock<Duration>,
    /// The plain request that an upstream answers now.
    answer: Mutex<Option<OpenAnswer>>,
}

/// Why the gateway no longer waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// The deadline has passed.
    Deadline,
    /// The gateway stops.
    Stopping,
}

impl ClientWait {
    /// The wait of a connection that was just accepted. During a stop the client only learns that the gateway
    /// stops, and has little time for its request.
    pub(super) fn at_accept(handshake_timeout: Duration, stopping: &CancellationToken) -> Self {
        let now = Instant::now();
        if stopping.is_cancelled() {
            let deadline = now + handshake_timeout.min(DURING_STOP);
            return Self::until_deadline(deadline, CancellationToken::new());
        }
        Self::until_deadline(now + handshake_timeout, stopping.clone())
    }

    fn until_deadline(deadline: Instant, stopping: CancellationToken) -> Self {
        Self { deadline, stopping, stall: OnceLock::new(), answer: Mutex::default() }
    }

    /// Restarts the deadline, for another request.
    pub(super) fn restart(&mut self, duration: Duration) {
        self.deadline = Instant::now() + duration;
        self.stall = OnceLock::new();
    }

    /// Lifts the deadline of the present request: it is admitted, and an upstream answers it. From then on the client
    /// must take bytes of the answer within `stall`, and `answer` ends when the gateway says so.
    pub(super) fn lift(&self, stall: Duration, answer: OpenAnswer) {
        let _ = self.stall.set(stall);
        *self.answer() = Some(answer);
    }

    /// The answer to the present request, while an upstream gives it.
    pub(super) fn answer(&self) -> MutexGuard<'_, Option<OpenAnswer>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves to the reason for which the gateway ends the answer to the present request.
    pub(super) fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.answer().as_mut().map_or(Poll::Pending, |answer| answer.poll_stopped(cx))
    }

    /// The time for which the client may take nothing of its answer, if the deadline was lifted.
    pub(super) fn stall(&self) -> Option<Duration> {
        self.stall.get().copied()
    }

    /// Waits for `step`.
    pub(super) async fn until<T>(&self, step: impl Future<Output = T>) -> Result<T, WaitEnd> {
        let in_time = timeout_at(self.deadline, step);
        match self.stopping.run_until_cancelled(in_time).await {
            None => Err(WaitEnd::Stopping),
            Some(done) => done.map_err(|_elapsed| WaitEnd::Deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::{ClientWait, DURING_STOP, WaitEnd};

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_or_when_the_gateway_stops() {
        let (stopping, start) = (CancellationToken::new(), Instant::now());
        let mut wait = ClientWait::at_accept(TIMEOUT, &stopping);
        assert_eq!(wait.until(async { 1 }).await, Ok(1));
        assert_eq!(wait.until(pending::<()>()).await, Err(WaitEnd::Deadline));
        assert_eq!(start.elapsed(), TIMEOUT);
        wait.restart(TIMEOUT);
        stopping.cancel();
        assert_eq!(wait.until(pending::<()>()).await, Err(WaitEnd::Stopping));
        assert_eq!(start.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_accepted_during_a_stop_has_little_time() {
        let (stopping, start) = (CancellationToken::new(), Instant::now());
        stopping.cancel();
        let wait = ClientWait::at_accept(TIMEOUT, &stopping);
        assert_eq!(wait.until(pending::<()>()).await, Err(WaitEnd::Deadline));
        assert_eq!(start.elapsed(), DURING_STOP);
    }
}
