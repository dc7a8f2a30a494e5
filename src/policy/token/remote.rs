//! Keeps a JWK Set fresh. Only one task fetches; verifiers read the last result, and may request an
//! early fetch if the set lacks the key that a token names.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchError, Fetched, Fetcher};
use super::jwks::KeySet;
use super::status::Status;
use crate::config::Algorithm;
use crate::journal::{Event, Journal};

/// The time between two successful fetches, if the issuer states no lifetime.
const INTERVAL: Duration = Duration::from_secs(10 * 60);
/// The bounds of the lifetime that an issuer may state.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The bounds of the pause after a failure; it doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(5 * 60);
/// The time between two early fetches, so that invented key ids do not cause requests to the
/// issuer.
const EARLY: Duration = Duration::from_secs(60);
/// The longest time that a verification waits for an early fetch; its own deadline may be shorter.
const EARLY_WAIT: Duration = Duration::from_secs(10);

/// The result of the last fetch.
#[derive(Clone, Default)]
struct Snapshot {
    /// The last valid set, and the time of its fetch.
    good: Option<(Arc<KeySet>, Instant)>,
    /// The number of completed fetches.
    ended: u64,
    /// The error of the last fetch, if it failed.
    error: Option<String>,
}

/// A JWK Set that is fetched and kept fresh.
pub(super) struct Remote {
    issuer: String,
    algorithms: Vec<Algorithm>,
    fetcher: Fetcher,
    snapshot: watch::Sender<Snapshot>,
    /// The number of fetches that have begun.
    begun: AtomicU64,
    early: Notify,
    /// The last early fetch: the time of the request, and the number of the fetch that answers it.
    last_early: Mutex<Option<(Instant, u64)>>,
}

impl Remote {
    /// Fetches nothing before [`Remote::run`].
    pub(super) fn new(issuer: &str, algorithms: &[Algorithm], fetcher: Fetcher) -> Self {
        Self {
            issuer: issuer.to_owned(),
            algorithms: algorithms.to_vec(),
            fetcher,
            snapshot: watch::Sender::default(),
            begun: AtomicU64::new(0),
            early: Notify::new(),
            last_early: Mutex::new(None),
        }
    }

    /// The last valid set, or the reason why there is none yet.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, String> {
        let snapshot = self.snapshot.borrow();
        match (&snapshot.good, &snapshot.error) {
            (Some((set, _)), _) => Ok(Arc::clone(set)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err("it was not fetched yet".to_owned()),
        }
    }

    /// The error of the last fetch, if it failed.
    pub(super) fn error(&self) -> Option<String> {
        self.snapshot.borrow().error.clone()
    }

    /// Requests a fetch that begins after this call, and returns its set. `None` if the last early
    /// fetch was less than 60 s ago, or the fetch does not end in time.
    pub(super) async fn refreshed(&self) -> Option<Arc<KeySet>> {
        let wanted = self.request_early()?;
        let mut changes = self.snapshot.subscribe();
        let ended = changes.wait_for(|snapshot| snapshot.ended >= wanted);
        let snapshot = timeout(EARLY_WAIT, ended).await.ok()?.ok()?;
        snapshot.good.as_ref().map(|(set, _)| Arc::clone(set))
    }

    /// Returns the number of the fetch to wait for: a new one, or the one for which others wait.
    fn request_early(&self) -> Option<u64> {
        let mut last_early = self.last_early.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.snapshot.borrow().ended;
        match *last_early {
            Some((_, wanted)) if ended < wanted => Some(wanted),
            Some((at, _)) if at.elapsed() < EARLY => None,
            _ => {
                let wanted = self.begun.load(Ordering::Acquire) + 1;
                *last_early = Some((Instant::now(), wanted));
                self.early.notify_one();
                Some(wanted)
            }
        }
    }

    /// Fetches at once, and then repeatedly until `shutdown`.
    pub(super) async fn run(&self, journal: &Journal, shutdown: CancellationToken) {
        let fetching = self.keep_fresh(journal, || self.fetcher.fetch());
        let ended = shutdown.run_until_cancelled(fetching).await;
        debug_assert!(ended.is_none(), "the fetch loop ends only with the gateway");
    }

    /// The fetch loop with an injectable `fetch` for tests.
    pub(super) async fn keep_fresh<F>(&self, journal: &Journal, fetch: impl Fn() -> F)
    where
        F: Future<Output = Result<Fetched, FetchError>>,
    {
        let mut failures = 0;
        loop {
            self.begun.fetch_add(1, Ordering::AcqRel);
            let judged = self.judge(journal, fetch().await);
            failures = if judged.is_some() { 0 } else { failures + 1 };
            let pause = judged.unwrap_or_else(|| back_off(failures));
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                () = self.early.notified() => {}
            }
        }
    }

    /// Publishes the result of a fetch and returns the lifetime of the set; `None` if the fetch
    /// failed.
    fn judge(&self, journal: &Journal, fetched: Result<Fetched, FetchError>) -> Option<Duration> {
        let read = fetched.map_err(|error| error.to_string()).and_then(|fetched| {
            let set = KeySet::read(&fetched.body, &self.algorithms).map_err(|e| e.to_string())?;
            Ok((set, fetched.max_age.unwrap_or(INTERVAL).clamp(SHORTEST, LONGEST)))
        });
        match read {
            Ok((set, pause)) => {
                self.tell_refreshed(journal, &set);
                self.publish(|snapshot| {
                    snapshot.good = Some((Arc::new(set), Instant::now()));
                    snapshot.error = None;
                });
                Some(pause)
            }
            Err(error) => {
                self.tell_failed(journal, &error);
                self.publish(|snapshot| snapshot.error = Some(error));
                None
            }
        }
    }

    fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(|snapshot| {
            change(snapshot);
            snapshot.ended += 1;
        });
    }

    fn tell_refreshed(&self, journal: &Journal, set: &KeySet) {
        journal.record(Event::JwksRefreshed {
            issuer: &self.issuer,
            source: &self.fetcher.shown(),
            keys: set.len(),
            names: &set.names(),
        });
    }

    fn tell_failed(&self, journal: &Journal, error: &str) {
        let issuer = &self.issuer;
        let source = &self.fetcher.shown();
        if let Some((_, since)) = &self.snapshot.borrow().good {
            journal.record(Event::JwksStale { issuer, source, age: since.elapsed(), error });
        } else {
            journal.record(Event::JwksFailed { issuer, source, error });
        }
    }

    /// The status for the admin client.
    pub(super) fn status(&self) -> Status {
        let snapshot = self.snapshot.borrow();
        Status {
            issuer: self.issuer.clone(),
            source: self.fetcher.shown(),
            keys: snapshot.good.as_ref().map_or(0, |(set, _)| set.len()),
            age: snapshot.good.as_ref().map(|(_, since)| since.elapsed()),
            error: snapshot.error.clone(),
        }
    }

    /// Waits until the first fetch has completed or failed.
    pub(super) async fn looked(&self) {
        let mut changes = self.snapshot.subscribe();
        // `self` owns the sender, so that the wait cannot fail.
        let _ = changes.wait_for(|snapshot| snapshot.ended > 0).await;
    }
}

fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY)
}

/// Varies the pause by up to a tenth, so that gateways that started together do not fetch together.
fn jittered(pause: Duration) -> Duration {
    // Without randomness the pause is not varied.
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.9 + 0.2 * random)
}
