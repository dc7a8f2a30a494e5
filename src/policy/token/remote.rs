//! A JWK Set that is kept fresh. One task fetches, nobody else does; verifiers read what it last
//! got, and may ask it to look early when a token names a key that is not there.

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

/// Between two successful fetches, unless the issuer says another time.
const INTERVAL: Duration = Duration::from_secs(10 * 60);
/// The bounds of what an issuer may say.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The bounds of the pause after a failure; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(5 * 60);
/// Between two early fetches, so that made-up key ids do not become requests to the issuer.
const EARLY: Duration = Duration::from_secs(60);
/// How long a verification waits for an early fetch at most; its own deadline may be shorter.
const EARLY_WAIT: Duration = Duration::from_secs(10);

/// What is known, as of the last fetch.
#[derive(Clone, Default)]
struct Snapshot {
    /// The last set that was good, and when it came.
    good: Option<(Arc<KeySet>, Instant)>,
    /// Fetches that have ended.
    ended: u64,
    /// Why the last one failed, if it did.
    error: Option<String>,
}

/// See the module.
pub(super) struct Remote {
    issuer: String,
    algorithms: Vec<Algorithm>,
    fetcher: Fetcher,
    snapshot: watch::Sender<Snapshot>,
    /// Fetches that have begun.
    begun: AtomicU64,
    early: Notify,
    /// The last early fetch: when it was asked for, and the number of the fetch that answers it.
    asked: Mutex<Option<(Instant, u64)>>,
}

impl Remote {
    /// Nothing is fetched before [`Remote::run`].
    pub(super) fn new(issuer: &str, algorithms: &[Algorithm], fetcher: Fetcher) -> Self {
        Self {
            issuer: issuer.to_owned(),
            algorithms: algorithms.to_vec(),
            fetcher,
            snapshot: watch::Sender::default(),
            begun: AtomicU64::new(0),
            early: Notify::new(),
            asked: Mutex::new(None),
        }
    }

    /// The last good set, or why there is none yet.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, String> {
        let snapshot = self.snapshot.borrow();
        match (&snapshot.good, &snapshot.error) {
            (Some((set, _)), _) => Ok(Arc::clone(set)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err("it was not fetched yet".to_owned()),
        }
    }

    /// Why the last fetch failed, if it did.
    pub(super) fn error(&self) -> Option<String> {
        self.snapshot.borrow().error.clone()
    }

    /// The set after a fetch that began after this call; `None`: there was one less than 60 s ago,
    /// or it does not end.
    pub(super) async fn refreshed(&self) -> Option<Arc<KeySet>> {
        let wanted = self.ask()?;
        let mut changes = self.snapshot.subscribe();
        let ended = changes.wait_for(|snapshot| snapshot.ended >= wanted);
        let snapshot = timeout(EARLY_WAIT, ended).await.ok()?.ok()?;
        snapshot.good.as_ref().map(|(set, _)| Arc::clone(set))
    }

    /// The number of the fetch to wait for: a new one, or the one that others wait for.
    fn ask(&self) -> Option<u64> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.snapshot.borrow().ended;
        match *asked {
            Some((_, wanted)) if ended < wanted => Some(wanted),
            Some((at, _)) if at.elapsed() < EARLY => None,
            _ => {
                let wanted = self.begun.load(Ordering::Acquire) + 1;
                *asked = Some((Instant::now(), wanted));
                self.early.notify_one();
                Some(wanted)
            }
        }
    }

    /// Fetches now, and again and again until `shutdown`.
    pub(super) async fn run(&self, journal: &Journal, shutdown: CancellationToken) {
        let fetching = self.keep_fresh(journal, || self.fetcher.fetch());
        let ended = shutdown.run_until_cancelled(fetching).await;
        debug_assert!(ended.is_none(), "it ends only with the gateway");
    }

    /// The loop alone; tests bring answers of their own.
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

    /// Publishes what came of a fetch, and says how long it is good for; `None`: it failed.
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

    /// For the admin client.
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

    /// Waits until a fetch has ended, well or not.
    pub(super) async fn looked(&self) {
        let mut changes = self.snapshot.subscribe();
        // The sender lives as long as this does.
        let _ = changes.wait_for(|snapshot| snapshot.ended > 0).await;
    }
}

fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY)
}

/// Within a tenth more or less, so that gateways that started together do not ask together.
fn jittered(pause: Duration) -> Duration {
    // Without randomness the pause is good as it is.
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.9 + 0.2 * random)
}
