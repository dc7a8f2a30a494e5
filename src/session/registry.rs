//! The live sessions, each reachable from outside its task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::refusal::Reason;

/// The registry. Locked for as long as an entry is added or taken out, never across an await.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<Live>>);

#[derive(Debug, Default)]
struct Live {
    next: u64,
    open: usize,
    /// Those that were not told to end.
    by_number: HashMap<u64, oneshot::Sender<Reason>>,
    /// Set once all are to end: a session that comes now ends at once.
    ending: Option<Reason>,
}

/// A session's place in the registry; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    sessions: Sessions,
    number: u64,
}

impl Sessions {
    /// Adds a session. The receiver gets the reason for which the gateway ends it.
    pub(crate) fn enter(&self) -> (Entry, oneshot::Receiver<Reason>) {
        let (sender, receiver) = oneshot::channel();
        let mut live = self.locked();
        let number = live.next;
        live.next += 1;
        live.open += 1;
        match live.ending {
            // The receiver is in our hands: it cannot have been dropped.
            Some(reason) => drop(sender.send(reason)),
            None => drop(live.by_number.insert(number, sender)),
        }
        drop(live);
        (Entry { sessions: self.clone(), number }, receiver)
    }

    /// How many sessions there are, those that are ending included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.locked().open
    }

    /// Whether all sessions are to end.
    #[must_use]
    pub fn are_ending(&self) -> bool {
        self.locked().ending.is_some()
    }

    /// Tells every session to end, evenly spread over `spread`, so that not all clients come back
    /// in the same moment; a session that enters later is told at once.
    pub async fn end_all(&self, reason: Reason, spread: Duration) {
        let told = {
            let mut live = self.locked();
            live.ending = Some(reason);
            std::mem::take(&mut live.by_number)
        };
        let Ok(count) = u32::try_from(told.len().max(1)) else {
            return;
        };
        let start = tokio::time::Instant::now();
        for (position, sender) in (0..count).zip(told.into_values()) {
            tokio::time::sleep_until(start + spread * position / count).await;
            // A session that ended meanwhile needs no telling.
            let _ = sender.send(reason);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Live> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut live = self.sessions.locked();
        live.open -= 1;
        live.by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot::error::TryRecvError;
    use tokio::time::Instant;

    use super::Sessions;
    use crate::refusal::Reason;

    #[tokio::test(start_paused = true)]
    async fn all_are_told_over_the_spread_and_late_ones_at_once() {
        let sessions = Sessions::default();
        let mut entered: Vec<_> = (0..4).map(|_| sessions.enter()).collect();
        let gone = sessions.enter();
        drop(gone);
        assert_eq!(sessions.count(), 4);
        let start = Instant::now();
        sessions.end_all(Reason::Shutdown, Duration::from_secs(4)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3), "the first at once, then each second");
        for (_, receiver) in &mut entered {
            assert_eq!(receiver.try_recv(), Ok(Reason::Shutdown));
        }
        let (_entry, mut late) = sessions.enter();
        assert_eq!(late.try_recv(), Ok(Reason::Shutdown));
    }

    #[tokio::test]
    async fn a_live_session_is_told_nothing() {
        let sessions = Sessions::default();
        let (_entry, mut receiver) = sessions.enter();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}
