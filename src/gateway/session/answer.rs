//! A plain request that lasts, with its answer. It enters the registry of sessions, so that a ban, a kick, a
//! revocation, a reload or a drain reaches it. A short one never does, since that would cost more than the request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Description, RegistryEntry, SessionStarter};
use crate::values::{Flow, Reason};

/// How long a plain request and its answer may take before they enter the registry. An event stream enters at once.
const ENTERS_AFTER: Duration = Duration::from_secs(1);
/// The longest time that is awaited: a century.
const FAR: Duration = Duration::from_secs(3_155_760_000);

/// A plain request from its admission to the end of its answer.
pub(crate) struct OpenAnswer {
    starter: Arc<SessionStarter>,
    /// The generation of the configuration that admitted the request.
    generation: u64,
    began: Instant,
    /// When the token expires, if the answer ends with it; otherwise `FAR` away.
    expires: Instant,
    timer: Pin<Box<Sleep>>,
    /// `None` once the answer was registered.
    describe: Option<Box<dyn FnOnce() -> Description + Send>>,
    entry: Option<RegistryEntry>,
    waker: Option<Waker>,
    upstream: Option<Arc<str>>,
    is_event_stream: bool,
    stopped: Arc<OnceLock<Reason>>,
}

impl fmt::Debug for OpenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAnswer").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl OpenAnswer {
    /// A request that begins now, under the configuration of `generation`. It ends when its token expires at `expires`.
    /// `describe` is called if it is registered.
    pub(crate) fn new(
        starter: &Arc<SessionStarter>,
        generation: u64,
        expires: Option<SystemTime>,
        describe: impl FnOnce() -> Description + Send + 'static,
    ) -> Self {
        let began = Instant::now();
        let left = expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        let expires = began + left.unwrap_or(FAR).min(FAR);
        Self {
            starter: Arc::clone(starter),
            generation,
            began,
            expires,
            timer: Box::pin(sleep_until(expires.min(began + ENTERS_AFTER))),
            describe: Some(Box::new(describe)),
            entry: None,
            waker: None,
            upstream: None,
            is_event_stream: false,
            stopped: Arc::default(),
        }
    }

    /// Notes the head of the answer.
    pub(crate) fn answered(&mut self, upstream: Option<Arc<str>>, is_event_stream: bool) {
        if let Some(entry) = &self.entry {
            entry.connected(upstream.as_ref());
        }
        self.upstream = upstream;
        self.is_event_stream = is_event_stream;
    }

    /// The reason for which the gateway ended the answer, once it has.
    pub(crate) fn stopped(&self) -> &Arc<OnceLock<Reason>> {
        &self.stopped
    }

    /// Resolves to the reason for which the answer ends before it is whole.
    pub(crate) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if self.timer.as_mut().poll(cx).is_ready() {
            if self.expires <= Instant::now() {
                return self.stop(Reason::TokenExpired);
            }
            self.timer.as_mut().reset(self.expires);
            // Asks to be woken; the time that was set lies ahead.
            let _ = self.timer.as_mut().poll(cx);
            self.register();
        } else if self.is_event_stream {
            self.register();
        }
        let Some(entry) = &self.entry else {
            return Poll::Pending;
        };
        let mailbox = &entry.record().mailbox;
        let mail = mailbox.take(cx, &mut self.waker);
        if mail.counters {
            mailbox.publish(Flow::default(), Flow::default());
        }
        match mail.stop {
            Some(reason) => self.stop(reason),
            None => Poll::Pending,
        }
    }

    fn stop(&self, reason: Reason) -> Poll<Reason> {
        Poll::Ready(*self.stopped.get_or_init(|| reason))
    }

    fn register(&mut self) {
        let Some(describe) = self.describe.take() else {
            return;
        };
        let since = SystemTime::now() - self.began.elapsed();
        let upstream = self.upstream.clone();
        let description = Description { upstream, since, ..describe() };
        self.entry = Some(self.starter.enter_answer(description, self.generation));
    }
}
