//! Saves bans in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Bans;
use crate::journal::{Event, Journal};
use crate::values::UnixTime;

/// The delay from a change to its save, which includes all changes until then: an attack that
/// causes a thousand bans a second writes one file a second.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The delay before a retry after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(10);

impl Bans {
    /// Saves changes a second after they happen until `stopping`, and then saves the rest. A
    /// failure is recorded and retried. One task of the gateway runs this:
    /// `tasks.spawn(Arc::clone(&bans).keep(journal, stopping.clone()))`.
    pub async fn keep(self: Arc<Self>, journal: Journal, stopping: CancellationToken) {
        let mut failed = false;
        loop {
            let due = async {
                if failed {
                    tokio::time::sleep(RETRY_AFTER).await;
                } else {
                    self.changed.notified().await;
                    tokio::time::sleep(SAVE_EVERY).await;
                }
            };
            let stopped = stopping.run_until_cancelled(due).await.is_none();
            failed = !self.save_aside(&journal).await;
            if stopped {
                return;
            }
        }
    }

    /// Saves on a blocking thread; returns whether everything is saved.
    async fn save_aside(self: &Arc<Self>, journal: &Journal) -> bool {
        if !self.store.is_unsaved() {
            return true;
        }
        let bans = Arc::clone(self);
        let saved = tokio::task::spawn_blocking(move || bans.save(UnixTime::now())).await;
        if let Ok(Err(error)) = &saved {
            journal.record(Event::BansUnsaved { error });
        }
        matches!(saved, Ok(Ok(())))
    }
}
