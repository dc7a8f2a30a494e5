//! The addresses of a server's name. One task resolves a name, again and again; requests read the last result.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::lookup::{Resolution, look_up};
use crate::journal::{Event, Journal};

/// The most addresses of one name that are used.
const MOST_ADDRESSES: usize = 16;
/// The pause after a resolution that failed.
const AGAIN: Duration = Duration::from_secs(5);

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

    /// Replaces the last result.
    #[cfg(test)]
    pub(super) fn publish(&self, next: Result<Vec<IpAddr>, String>) {
        self.found.send_if_modified(|last| publish(last, next));
    }

    /// Starts the task that resolves the name until `shutdown`, unless it was started already.
    pub(super) fn run(
        &self,
        journal: &Journal,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let (host, found, journal) = (Arc::clone(&self.host), self.found.clone(), journal.clone());
        let (over, shutdown) = (self.over.token().clone(), shutdown.clone());
        tracker.spawn(async move {
            tokio::select! {
                () = keep_resolved(&host, &found, &journal, || look_up(&host)) => {}
                () = over.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
}

/// Resolves again and again, and publishes each result that differs from the one before. The log gets the first of
/// several failures, and the success after them.
async fn keep_resolved<F: Future<Output = Resolution>>(
    host: &str,
    found: &watch::Sender<Option<Arc<Found>>>,
    journal: &Journal,
    resolve: impl Fn() -> F,
) {
    let mut failed = false;
    loop {
        let (next, pause) = match resolve().await {
            Ok((mut addresses, pause)) if !addresses.is_empty() => {
                // An IPv4-mapped address is the same server.
                for address in &mut addresses {
                    *address = address.to_canonical();
                }
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MOST_ADDRESSES);
                (Ok(addresses), pause)
            }
            Ok(_) => (Err("its name has no address".to_owned()), AGAIN),
            Err(error) => (Err(error.to_string()), AGAIN),
        };
        match &next {
            Ok(addresses) if failed => {
                let addresses = addresses.len();
                journal.record(Event::NameResolved { host, addresses });
            }
            Err(error) if !failed => {
                let addresses = found.borrow().as_ref().map_or(0, |last| last.addresses.len());
                journal.record(Event::NameUnresolved { host, addresses, error });
            }
            Ok(_) | Err(_) => {}
        }
        failed = next.is_err();
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::time::{Instant, timeout};
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::{AGAIN, Found, MOST_ADDRESSES, Name, keep_resolved};
    use crate::gateway::upstream::lookup::Resolution;
    use crate::journal::{Event, Journal, Record, Sink};

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands in a list with failures")]
    fn good(last: &[u8], seconds: u64) -> Resolution {
        Ok((last.iter().copied().map(address).collect(), Duration::from_secs(seconds)))
    }

    fn bad() -> Resolution {
        Err(io::Error::other("the name does not exist"))
    }

    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl Sink for Names {
        fn record(&self, record: &Record<'_>) {
            let shown = match record.event {
                Event::NameUnresolved { addresses, .. } => format!("unresolved, {addresses}"),
                Event::NameResolved { addresses, .. } => format!("resolved, {addresses}"),
                _ => return,
            };
            self.0.lock().unwrap().push(shown);
        }
    }

    /// Gives these results one after the other, then none. Returns the addresses after each time in milliseconds since
    /// the start, and the records.
    async fn after(results: Vec<Resolution>, times: &[u64]) -> (Vec<Vec<IpAddr>>, Vec<String>) {
        let (found, results) = (watch::Sender::default(), Mutex::new(VecDeque::from(results)));
        let names = Arc::new(Names::default());
        let journal = Journal::default().with(names.clone());
        let resolve = || {
            let next = results.lock().unwrap().pop_front();
            async {
                match next {
                    Some(next) => next,
                    None => std::future::pending().await,
                }
            }
        };
        let start = Instant::now();
        let keeping = keep_resolved("app", &found, &journal, resolve);
        let mut keeping = std::pin::pin!(keeping);
        let mut seen = Vec::new();
        for time in times {
            let until = start + Duration::from_millis(*time);
            let ended = tokio::time::timeout_at(until, &mut keeping).await;
            assert!(ended.is_err());
            let last = found.borrow().clone();
            seen.push(last.map_or(Vec::new(), |last: Arc<Found>| last.addresses.to_vec()));
        }
        let records = names.0.lock().unwrap().clone();
        (seen, records)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_again_after_its_time_to_live() {
        let results = vec![good(&[6, 5, 5], 1), good(&[7], 10), good(&[8], 1)];
        let (seen, records) = after(results, &[999, 1001, 10_999, 11_001]).await;
        let (first, second) = (vec![address(5), address(6)], vec![address(7)]);
        assert_eq!(seen, [first, second.clone(), second, vec![address(8)]]);
        assert!(records.is_empty(), "{records:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn old_addresses_stay_in_use_and_the_failure_is_logged_once() {
        let results = vec![good(&[5, 6], 1), bad(), bad(), good(&[], 1), good(&[7], 1)];
        let pause = u64::try_from(AGAIN.as_millis()).unwrap();
        let (seen, records) = after(results, &[1001, 1001 + 2 * pause, 1001 + 3 * pause]).await;
        let old = vec![address(5), address(6)];
        assert_eq!(seen, [old.clone(), old, vec![address(7)]]);
        assert_eq!(records, ["unresolved, 2", "resolved, 1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_in_both_of_its_forms_is_one() {
        let mapped = "::ffff:10.0.0.5".parse().unwrap();
        let both = Ok((vec![mapped, "10.0.0.5".parse().unwrap()], Duration::from_secs(1)));
        let (seen, _) = after(vec![both], &[1]).await;
        assert_eq!(seen[0], ["10.0.0.5".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_16_addresses_are_used() {
        let (seen, _) = after(vec![good(&(1..=20).collect::<Vec<_>>(), 1)], &[1]).await;
        assert_eq!(seen[0].len(), MOST_ADDRESSES);
    }

    #[tokio::test]
    async fn the_task_of_a_name_ends_with_its_last_server() {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let name = Arc::new(Name::new("localhost"));
        for _ in 0..2 {
            name.run(&Journal::default(), &tracker, &shutdown);
        }
        assert_eq!(tracker.len(), 1);
        name.resolved(Instant::now() + Duration::from_secs(10)).await;
        assert!(name.found().is_some_and(|found| !found.addresses.is_empty()));
        tracker.close();
        drop(name);
        timeout(Duration::from_secs(10), tracker.wait()).await.expect("the task ends");
    }
}
