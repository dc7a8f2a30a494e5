//! Limits the number of open connections.

use std::sync::Arc;

use crate::values::{Counter, Permit};

/// Connections above the limit that still get a refusal, with TLS and a 503; more are dropped.
const TOLD: usize = 64;

/// Permits of open connections.
#[derive(Debug, Default)]
pub struct Slots {
    open: Arc<Counter>,
    told: Arc<Counter>,
}

/// The permit of one open connection. It moves into the session and is released at its end.
#[derive(Debug)]
pub enum Slot {
    /// May become a session.
    Open(Permit),
    /// May only be answered with a refusal.
    Told(Permit),
}

impl Slot {
    /// The permit of the slot, of either kind.
    #[must_use]
    pub fn into_permit(self) -> Permit {
        match self {
            Self::Open(permit) | Self::Told(permit) => permit,
        }
    }
}

impl Slots {
    /// Takes a slot for a new connection if fewer than `max_connections` are open, else a slot for a
    /// refusal; `None` when those are taken, too. Lowering the limit closes no connection.
    #[must_use]
    pub fn take(&self, max_connections: usize) -> Option<Slot> {
        let open = self.open.take(max_connections).map(Slot::Open);
        open.or_else(|| self.told.take(TOLD).map(Slot::Told))
    }

    /// The number of open connections, without those that may only be answered with a refusal.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.used()
    }
}

#[cfg(test)]
mod tests {
    use super::{Slot, Slots, TOLD};

    #[test]
    fn beyond_the_limit_some_are_told_and_the_rest_dropped() {
        let slots = Slots::default();
        let first = slots.take(1);
        assert!(matches!(first, Some(Slot::Open(_))));
        let told: Vec<_> = (0..TOLD).map(|_| slots.take(1).unwrap()).collect();
        assert!(told.iter().all(|slot| matches!(slot, Slot::Told(_))));
        assert!(slots.take(1).is_none());
        drop(first);
        assert!(matches!(slots.take(1), Some(Slot::Open(_))));
    }

    #[test]
    fn another_limit_holds_for_the_next_connection() {
        let slots = Slots::default();
        let open: Vec<_> = (0..2).map(|_| slots.take(2).unwrap()).collect();
        assert!(matches!(slots.take(1), Some(Slot::Told(_))));
        drop(open);
        let open: Vec<_> = (0..3).map(|_| slots.take(3).unwrap()).collect();
        assert!(open.iter().all(|slot| matches!(slot, Slot::Open(_))));
    }
}
