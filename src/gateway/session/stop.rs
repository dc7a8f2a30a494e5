//! Ends or wakes a session's task from outside.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::registry::SessionRecord;
use crate::values::Reason;

/// The registry's side of a session's stop signal. It is smaller than a oneshot channel, and can also wake
/// the session without ending it.
#[derive(Debug, Default)]
pub(super) struct StopHandle {
    /// Set together with the reason, so that a check takes no lock.
    told: AtomicBool,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    reason: Option<Reason>,
    waker: Option<Waker>,
}

impl StopHandle {
    /// Ends the session for `reason`, unless it was given an earlier one.
    pub(super) fn tell(&self, reason: Reason) {
        self.locked().reason.get_or_insert(reason);
        self.told.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether the session was told to end.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Wakes the session.
    pub(super) fn ring(&self) {
        let waker = self.locked().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn locked(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's side: resolves to the reason for which the gateway ends it.
#[derive(Debug)]
pub(crate) struct StopSignal {
    record: Arc<SessionRecord>,
    /// The waker that the handle has, to detect a change of it without the lock.
    waker: Option<Waker>,
}

impl StopSignal {
    pub(super) fn new(record: Arc<SessionRecord>) -> Self {
        Self { record, waker: None }
    }
}

impl Future for StopSignal {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let told = self.record.stop.told.load(Ordering::Acquire);
        if known && !told {
            return Poll::Pending;
        }
        let mut inside = self.record.stop.locked();
        if let Some(reason) = inside.reason {
            return Poll::Ready(reason);
        }
        inside.waker = Some(cx.waker().clone());
        drop(inside);
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
