//! Saving, without anybody waiting for it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Bans;
use crate::journal::{Event, Journal};
use crate::values::UnixTime;

/// How long after a change it is saved, with all that came meanwhile: an attack that makes a thousand
/// bans a second writes one file a second.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

impl Bans {
    /// Saves what changes, a second later, until `stopping`; and then what is left. A failure
    /// is recorded, and it is tried again. One task of the gateway runs it:
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

    /// Whether everything is saved then.
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
