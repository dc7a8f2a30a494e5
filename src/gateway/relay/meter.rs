//! The counters of a live session, for readers outside its task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::values::Flow;

/// The counters of a running session. The session publishes them only on request, so that a poll costs it
/// no more than the check of a flag.
#[derive(Debug, Default)]
pub struct Meter {
    asked: AtomicBool,
    /// Counters of client and upstream; `None`: never requested.
    published: Mutex<Option<Box<(Flow, Flow)>>>,
}

impl Meter {
    /// Requests the counters. The session publishes them when it is next polled: wake it.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether a request is pending.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// The counters of client and upstream as of the last request.
    #[must_use]
    pub fn read(&self) -> (Flow, Flow) {
        self.published().as_deref().copied().unwrap_or_default()
    }

    /// Publishes the counters, which settles the request.
    pub(in crate::gateway) fn publish(&self, client: Flow, upstream: Flow) {
        **self.published().get_or_insert_default() = (client, upstream);
        self.asked.store(false, Ordering::Release);
    }

    fn published(&self) -> MutexGuard<'_, Option<Box<(Flow, Flow)>>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;
    use crate::values::Flow;

    #[test]
    fn published_counters_settle_the_request() {
        let meter = Meter::default();
        assert!(!meter.is_asked());
        meter.ask();
        assert!(meter.is_asked());
        let client = Flow { frames: 3, messages: 2, bytes: 50 };
        meter.publish(client, Flow::default());
        assert!(!meter.is_asked());
        assert_eq!(meter.read(), (client, Flow::default()));
    }
}
