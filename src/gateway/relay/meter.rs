//! What a live session's ends sent so far, for whoever asks from outside its task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::values::Flow;

/// The counters of a session that runs. They are published when somebody asks and never otherwise,
/// so that a message costs the session one look at a flag.
#[derive(Debug, Default)]
pub struct Meter {
    asked: AtomicBool,
    /// Of client and upstream; `None`: nobody has ever asked.
    published: Mutex<Option<Box<(Flow, Flow)>>>,
}

impl Meter {
    /// Asks the session to publish. It does so when it runs next: wake it.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether somebody asked, and was not answered yet.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// What client and upstream sent, as of the last time that somebody asked.
    #[must_use]
    pub fn read(&self) -> (Flow, Flow) {
        self.published().as_deref().copied().unwrap_or_default()
    }

    pub(super) fn publish(&self, client: Flow, upstream: Flow) {
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
    fn an_answer_is_what_was_published_and_settles_the_question() {
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
