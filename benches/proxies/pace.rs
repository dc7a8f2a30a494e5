//! A clock that strikes for one client after the other. A thread of its own, since the runtime's timers
//! count milliseconds.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Before the first stroke: all clients listen by then.
const LEAD: Duration = Duration::from_millis(20);

/// Gives each client the time `each` times, one after the other within every `interval`.
pub(crate) struct Clock {
    clients: Vec<UnboundedSender<Instant>>,
    gap: Duration,
    each: u32,
}

impl Clock {
    /// A clock that stands still, and what `clients` hear it by.
    pub(crate) fn new(
        clients: u32,
        interval: Duration,
        each: u32,
    ) -> (Self, Vec<UnboundedReceiver<Instant>>) {
        let (to, from) = (0..clients).map(|_| unbounded_channel()).unzip();
        (Self { clients: to, gap: interval / clients, each }, from)
    }

    /// Runs it to its last stroke.
    pub(crate) fn start(self) {
        thread::spawn(move || self.run());
    }

    fn run(&self) {
        let mut due = Instant::now() + LEAD;
        for _ in 0..self.each {
            for client in &self.clients {
                sleep(due.saturating_duration_since(Instant::now()));
                // What this thread is late by is no proxy's doing. A client that failed is missed
                // later.
                let _ = client.send(Instant::now());
                due += self.gap;
            }
        }
    }
}
