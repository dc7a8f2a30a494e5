//! The addresses of a server's name. One task resolves a name, again and again; requests read the last result.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The most addresses of one name that are used.
const MOST_ADDRESSES: usize = 16;
/// How long addresses without a time to live are used before the name is resolved again.
const FIXED: Duration = Duration::from_secs(30);
/// The pause after a resolution that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// A name of one or several servers. Its task ends when the last server of this name is dropped.
#[derive(Debug)]
pub(super) struct Name {
    host: Arc<str>,
    found: watch::Sender<Option<Arc<Found>>>,
    begun: AtomicBool,
    over: DropGuard,
}

/// The result of the last resolution.
#[derive(Debug)]
pub(super) struct Found {
    /// Sorted, without duplicates, at most [`MOST_ADDRESSES`]. After a failed resolution those of the last good one.
    pub(super) addresses: Arc<[IpAddr]>,
    /// The failure, if there is no address.
    pub(super) error: Option<String>,
}

impl Name {
    /// Resolves nothing before [`Name::run`].
    pub(super) fn new(host: &str) -> Self {
        let over = CancellationToken::new().drop_guard();
        let (host, found) = (Arc::from(host), watch::Sender::default());
        Self { host, found, begun: AtomicBool::new(false), over }
    }

    /// The result of the last resolution; `None` before the first one has ended.
    pub(super) fn found(&self) -> Option<Arc<Found>> {
        self.found.borrow().clone()
    }

    /// Whether `found` is the result of the last resolution.
    pub(super) fn is_found(&self, found: Option<&Arc<Found>>) -> bool {
        match (&*self.found.borrow(), found) {
            (Some(last), Some(found)) => Arc::ptr_eq(last, found),
            (None, None) => true,
            _ => false,
        }
    }

    /// Waits until the first resolution has ended, until `limit` at most.
    pub(super) async fn resolved(&self, limit: Instant) {
        let mut found = self.found.subscribe();
        // The request goes on without an address if it ends by the limit.
        let _ = timeout_at(limit, found.wait_for(Option::is_some)).await;
    }

    /// Starts the task that resolves the name until `shutdown`, unless it was started already.
    pub(super) fn run(&self, tracker: &TaskTracker, shutdown: &CancellationToken) {
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let (host, found) = (Arc::clone(&self.host), self.found.clone());
        let (over, shutdown) = (self.over.token().clone(), shutdown.clone());
        tracker.spawn(async move {
            tokio::select! {
                () = keep_resolved(&found, || look_up(&host)) => {}
                () = over.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
}

/// The addresses of a name, and how long they are used before it is resolved again.
type Resolution = io::Result<(Vec<IpAddr>, Duration)>;

/// Resolves again and again, and publishes each result that differs from the one before.
async fn keep_resolved<F: Future<Output = Resolution>>(
    found: &watch::Sender<Option<Arc<Found>>>,
    resolve: impl Fn() -> F,
) {
    loop {
        let (next, pause) = match resolve().await {
            Ok((mut addresses, pause)) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MOST_ADDRESSES);
                (Ok(addresses), pause)
            }
            Ok(_) => (Err("its name has no address".to_owned()), AGAIN),
            Err(error) => (Err(error.to_string()), AGAIN),
        };
        found.send_if_modified(|last| publish(last, next));
        sleep(pause).await;
    }
}

/// Replaces the last result; returns whether it has changed.
fn publish(last: &mut Option<Arc<Found>>, next: Result<Vec<IpAddr>, String>) -> bool {
    let known = last.as_ref().map_or(&[][..], |last| &last.addresses);
    let next = match next {
        Ok(addresses) if *known == *addresses => return false,
        Err(_) if !known.is_empty() => return false,
        Ok(addresses) => Found { addresses: addresses.into(), error: None },
        Err(error) => Found { addresses: [].into(), error: Some(error) },
    };
    *last = Some(Arc::new(next));
    true
}

/// Asks the resolver of the system, which tells no time to live.
async fn look_up(host: &str) -> Resolution {
    let found = lookup_host((host, 0)).await?;
    Ok((found.map(|address| address.ip()).collect(), FIXED))
}
