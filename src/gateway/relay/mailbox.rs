//! The mailbox of a session, through which the rest of the gateway reaches its task.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::config::Route;
use crate::values::{Flow, Reason, UserShare};
use crate::wire::{MessageFollower, MessageJudge, MessageObserver};

/// The settings that apply to a session.
#[derive(Debug)]
pub struct Terms {
    /// Its route: sizes, times and rates.
    pub route: Arc<Route>,
    /// Its share of the user's rate, if there is one.
    pub user: Option<UserShare>,
    /// The judges of the client's and the upstream's messages.
    pub judges: Judges,
}

/// The judges of whole messages, one for each peer whose messages have rules.
#[derive(Debug, Default)]
pub struct Judges {
    /// Of the client's messages.
    pub client: Option<Box<dyn MessageJudge>>,
    /// Of the upstream's messages.
    pub upstream: Option<Box<dyn MessageJudge>>,
    /// Reads along with the upstream's messages, if they are not judged: the gateway's answers to the client must not
    /// come within a packet.
    pub follower: Option<Box<dyn MessageFollower>>,
}

impl Judges {
    /// The bytes that a session may hold for its judges: buffers double as they grow, and a compressed message is
    /// held a second time as inflated.
    pub(super) fn hold(&self) -> usize {
        let judges = [&self.client, &self.upstream];
        let sizes = judges.into_iter().flatten().map(|judge| judge.max_size().saturating_mul(4));
        usize::try_from(sizes.sum::<u64>()).unwrap_or(usize::MAX)
    }
}

/// The observers of whole messages, one for each peer whose messages are observed.
#[derive(Debug, Default)]
pub struct Observers {
    /// Of the client's messages.
    pub client: Option<Box<dyn MessageObserver>>,
    /// Of the upstream's messages.
    pub upstream: Option<Box<dyn MessageObserver>>,
}

/// A stop reason is inside.
const STOP: u8 = 1;
/// New terms are inside.
const TERMS: u8 = 2;
/// The counters are requested.
const COUNTERS: u8 = 4;
/// There was a stop reason; never cleared.
const STOPPED: u8 = 8;
/// New observers are inside.
const OBSERVERS: u8 = 16;

/// A stop reason, new terms, new observers, and requests for the counters, each for the session to take when it is next
/// polled. Putting one in wakes the session.
#[derive(Debug, Default)]
pub struct Mailbox {
    /// The bits above. Changed under the lock; a session without mail takes no lock.
    flags: AtomicU8,
    inner: Mutex<MailboxInner>,
}

#[derive(Debug, Default)]
struct MailboxInner {
    stop: Option<Reason>,
    terms: Option<Box<Terms>>,
    /// Mail that few sessions get.
    rare: Option<Box<RareMail>>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct RareMail {
    /// Counters of client and upstream as of the last request.
    counters: (Flow, Flow),
    observers: Option<Box<Observers>>,
}

/// The new content of a mailbox.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Mail {
    /// Given once.
    pub(in crate::gateway) stop: Option<Reason>,
    /// The newest terms.
    pub(super) terms: Option<Box<Terms>>,
    /// The newest observers.
    pub(super) observers: Option<Box<Observers>>,
    /// Whether the session is to call [`Mailbox::publish`].
    pub(in crate::gateway) counters: bool,
}

impl Mailbox {
    /// Ends the session for `reason`, unless it was given an earlier one.
    pub fn stop(&self, reason: Reason) {
        self.put(STOP | STOPPED, |inner| {
            if !self.is_stopped() {
                inner.stop = Some(reason);
            }
        });
    }

    /// Whether the session was given a reason to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.has(STOPPED)
    }

    /// Resolves to the reason for which the session ends, while it does not relay yet.
    pub async fn stopped(&self) -> Reason {
        poll_fn(|cx| {
            let mut inner = self.locked();
            inner.waker = Some(cx.waker().clone());
            inner.stop.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Replaces the terms of the session.
    pub fn amend(&self, terms: Terms) {
        self.put(TERMS, |inner| inner.terms = Some(Box::new(terms)));
    }

    /// Takes back terms that the session has not taken yet.
    pub fn withdraw_terms(&self) {
        self.locked().terms = None;
    }

    /// Replaces the observers of the session.
    pub fn observe(&self, observers: Observers) {
        self.put(OBSERVERS, |inner| {
            inner.rare.get_or_insert_default().observers = Some(Box::new(observers));
        });
    }

    /// Requests the counters. The session publishes them only on request, so that a message costs it no
    /// more than a look at the flags.
    pub fn request_counters(&self) {
        self.put(COUNTERS, |_| {});
    }

    /// Whether a request for the counters was not answered yet.
    #[must_use]
    pub fn are_counters_requested(&self) -> bool {
        self.has(COUNTERS)
    }

    /// The counters of client and upstream as of the last request.
    #[must_use]
    pub fn counters(&self) -> (Flow, Flow) {
        self.locked().rare.as_ref().map(|rare| rare.counters).unwrap_or_default()
    }

    /// Answers a request for the counters.
    pub(in crate::gateway) fn publish(&self, client: Flow, upstream: Flow) {
        let mut inner = self.locked();
        inner.rare.get_or_insert_default().counters = (client, upstream);
        self.flags.fetch_and(!COUNTERS, Ordering::Release);
    }

    /// Takes the mail. The task of `cx` is woken for later mail. `known` is the waker of the last call, so
    /// that a change of it is seen without the lock.
    pub(in crate::gateway) fn take(&self, cx: &Context<'_>, known: &mut Option<Waker>) -> Mail {
        let is_known = known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known && !self.has(STOP | TERMS | COUNTERS | OBSERVERS) {
            return Mail::default();
        }
        let mut inner = self.locked();
        if !is_known {
            inner.waker = Some(cx.waker().clone());
            *known = Some(cx.waker().clone());
        }
        self.flags.fetch_and(!(STOP | TERMS | OBSERVERS), Ordering::Release);
        Mail {
            stop: inner.stop.take(),
            terms: inner.terms.take(),
            observers: inner.rare.as_mut().and_then(|rare| rare.observers.take()),
            counters: self.has(COUNTERS),
        }
    }

    fn put(&self, flag: u8, change: impl FnOnce(&mut MailboxInner)) {
        let mut inner = self.locked();
        change(&mut inner);
        self.flags.fetch_or(flag, Ordering::Release);
        let waker = inner.waker.clone();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    fn locked(&self) -> MutexGuard<'_, MailboxInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::Mailbox;
    use crate::values::{Flow, Reason};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn published_counters_are_read_and_settle_the_request() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.are_counters_requested());
        mailbox.request_counters();
        assert!(mailbox.are_counters_requested());
        let client = Flow { frames: 3, messages: 2, bytes: 50 };
        mailbox.publish(client, Flow::default());
        assert!(!mailbox.are_counters_requested());
        assert_eq!(mailbox.counters(), (client, Flow::default()));
    }

    #[test]
    fn the_first_stop_reason_is_given_once() {
        let (mailbox, cx) = (Mailbox::default(), Context::from_waker(Waker::noop()));
        let mut known = None;
        assert_eq!(mailbox.take(&cx, &mut known).stop, None);
        mailbox.stop(Reason::SessionKicked);
        mailbox.stop(Reason::Shutdown);
        assert_eq!(mailbox.take(&cx, &mut known).stop, Some(Reason::SessionKicked));
        mailbox.stop(Reason::Shutdown);
        assert_eq!(mailbox.take(&cx, &mut known).stop, None);
        assert!(mailbox.is_stopped());
    }

    #[test]
    fn mail_wakes_the_task_that_took_last() {
        let mailbox = Mailbox::default();
        let tasks = [Arc::<Woken>::default(), Arc::default()];
        let mut known = None;
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            assert!(!mailbox.take(&Context::from_waker(&waker), &mut known).counters);
        }
        mailbox.request_counters();
        mailbox.stop(Reason::Shutdown);
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [0, 2]);
    }
}
