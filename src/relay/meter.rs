//! What a live session's ends sent so far, for whoever asks from outside its task.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::observe::Flow;

/// The counters of a session that runs. They are published when somebody asks and never otherwise,
/// so that a message costs the session one look at a flag.
#[derive(Debug, Default)]
pub struct Meter {
    asked: AtomicBool,
    client: Counters,
    upstream: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
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
        (self.client.load(), self.upstream.load())
    }

    pub(super) fn publish(&self, client: Flow, upstream: Flow) {
        self.client.store(client);
        self.upstream.store(upstream);
        self.asked.store(false, Ordering::Release);
    }
}

impl Counters {
    fn store(&self, flow: Flow) {
        self.frames.store(flow.frames, Ordering::Relaxed);
        self.messages.store(flow.messages, Ordering::Relaxed);
        self.bytes.store(flow.bytes, Ordering::Relaxed);
    }

    fn load(&self) -> Flow {
        Flow {
            frames: self.frames.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;
    use crate::observe::Flow;

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
