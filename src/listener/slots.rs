//! How many connections may be open at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections above the limit that are still told so, with TLS and a 503; more are dropped.
const TOLD: usize = 64;

/// `max_connections` as permits.
#[derive(Debug, Clone)]
pub struct Slots {
    open: Arc<Semaphore>,
    told: Arc<Semaphore>,
}

/// The right of one connection to be open. It moves into the session and is given back when that
/// ends.
#[derive(Debug)]
pub enum Slot {
    /// May become a session.
    Open(OwnedSemaphorePermit),
    /// May only be refused politely.
    Told(OwnedSemaphorePermit),
}

impl Slots {
    /// Permits for `max_connections`.
    #[must_use]
    pub fn new(max_connections: usize) -> Self {
        let open = max_connections.min(Semaphore::MAX_PERMITS);
        Self { open: Arc::new(Semaphore::new(open)), told: Arc::new(Semaphore::new(TOLD)) }
    }

    /// A slot for a new connection, or `None` when not even a refusal can be afforded.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        let open = Arc::clone(&self.open).try_acquire_owned().map(Slot::Open);
        open.or_else(|_| Arc::clone(&self.told).try_acquire_owned().map(Slot::Told)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Slot, Slots, TOLD};

    #[test]
    fn beyond_the_limit_some_are_told_and_the_rest_dropped() {
        let slots = Slots::new(1);
        let first = slots.take();
        assert!(matches!(first, Some(Slot::Open(_))));
        let told: Vec<_> = (0..TOLD).map(|_| slots.take().unwrap()).collect();
        assert!(told.iter().all(|slot| matches!(slot, Slot::Told(_))));
        assert!(slots.take().is_none());
        drop(first);
        assert!(matches!(slots.take(), Some(Slot::Open(_))));
    }
}
