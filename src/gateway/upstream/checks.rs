//! The tasks that check servers: one for each server, TLS settings and check, shared by all routes and kept over
//! reloads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::HeaderValue;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::attempt::now;
use super::check::check;
use super::health::{Change, CheckFault, Health};
use super::target::DialTarget;
use crate::config::{Cluster, HealthCheck, UpstreamAddress};
use crate::journal::{Event, Journal};

/// The check of a server: its settings, and the Host header that it sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerCheck {
    pub(super) settings: HealthCheck,
    host: HeaderValue,
}

/// The running checks. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Checks(Arc<ChecksInner>);

#[derive(Default)]
struct ChecksInner {
    running: Mutex<Vec<RunningCheck>>,
    changed: Notify,
}

/// A task, which ends when this is dropped.
struct RunningCheck {
    health: Arc<Health>,
    _stop: DropGuard,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("running", &self.locked().len()).finish_non_exhaustive()
    }
}

impl ServerCheck {
    /// The check of the server at `address` in `cluster`, if it has one. `host` is the Host header of clients'
    /// requests, if it is known.
    pub(super) fn new(
        cluster: &Cluster,
        host: Option<&str>,
        address: &UpstreamAddress,
    ) -> Option<Self> {
        let settings = cluster.health.clone()?;
        let host = settings.host.as_deref().or(host);
        let host = host.map_or_else(|| host_of(address), str::to_owned);
        // Each of the three is a host, or a host and a port.
        let host = HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static("localhost"));
        Some(Self { settings, host })
    }
}

/// The Host header for a server: its host, and its port if that is not the default one.
fn host_of(address: &UpstreamAddress) -> String {
    let text = address.to_string();
    let Some((scheme, authority)) = text.split_once("://") else {
        return "localhost".to_owned();
    };
    let port = if matches!(scheme, "wss" | "https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority).to_owned()
}

impl Checks {
    /// Starts the checks of `targets` that do not run yet, and ends all others.
    pub(super) fn run<'a>(
        &self,
        targets: impl Iterator<Item = &'a DialTarget>,
        journal: &Journal,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) {
        let mut locked = self.locked();
        let mut before = std::mem::take(&mut *locked);
        let mut running: Vec<RunningCheck> = Vec::new();
        for target in targets {
            let is_its = |one: &RunningCheck| Arc::ptr_eq(&one.health, &target.health);
            let Some(server) = target.check.as_ref().filter(|_| !running.iter().any(is_its)) else {
                continue;
            };
            if let Some(position) = before.iter().position(is_its) {
                running.push(before.swap_remove(position));
                continue;
            }
            let stop = stopping.child_token();
            let checking =
                repeat(self.clone(), target.clone(), Arc::clone(server), journal.clone());
            tasks.spawn(stop.clone().run_until_cancelled_owned(checking));
            running.push(RunningCheck {
                health: Arc::clone(&target.health),
                _stop: stop.drop_guard(),
            });
        }
        *locked = running;
        drop(locked);
        self.0.changed.notify_one();
    }

    /// Resolves when a check has a result, or when servers came or went. Without a waiting caller, that is kept
    /// for the next one.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn locked(&self) -> MutexGuard<'_, Vec<RunningCheck>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks `target` for ever.
async fn repeat(checks: Checks, target: DialTarget, server: Arc<ServerCheck>, journal: Journal) {
    let HealthCheck { kind, interval, timeout, .. } = &server.settings;
    loop {
        let began = Instant::now();
        if let Some(result) = Box::pin(check(&target, kind, &server.host, *timeout)).await {
            record(&target, kind.name(), result.err(), &journal);
            checks.0.changed.notify_one();
        }
        sleep_until(began + jittered(*interval, getrandom::u32().unwrap_or_default())).await;
    }
}

fn record(target: &DialTarget, check: &str, fault: Option<CheckFault>, journal: &Journal) {
    let detail = fault.as_ref().map_or(String::new(), |fault| fault.detail.clone());
    let (upstream, check) = (&*target.name, Some(check));
    let was_down = target.health.is_checked_down();
    let change = target.health.checked(now(), fault);
    if !was_down && target.health.is_checked_down() {
        // Requests stop waiting for it.
        target.load.dismiss();
    }
    match change {
        Some(Change::Down { rest, unlogged }) => {
            let detail = &detail;
            journal.record(Event::UpstreamDown {
                upstream,
                route: None,
                check,
                detail,
                rest,
                unlogged,
            });
        }
        Some(Change::Up { after, failures }) => {
            journal.record(Event::UpstreamUp { upstream, check, after, failures });
        }
        None => {}
    }
}

/// The interval, a random tenth longer or shorter, so that gateways and servers do not fall in step.
fn jittered(interval: Duration, dice: u32) -> Duration {
    interval * (900 + dice % 201) / 1000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{host_of, jittered};
    use crate::config::UpstreamAddress;

    #[test]
    fn the_host_of_a_server_has_its_port_unless_that_is_the_default() {
        let ws = |host: &str, port| UpstreamAddress::Ws { host: host.into(), port };
        let wss = |host: &str, port| UpstreamAddress::Wss { host: host.into(), port };
        for (address, host) in [
            (ws("app", 80), "app"),
            (ws("app", 8765), "app:8765"),
            (ws("app", 443), "app:443"),
            (wss("app", 443), "app"),
            (wss("::1", 8443), "[::1]:8443"),
            (UpstreamAddress::Unix("/run/app.sock".into()), "localhost"),
        ] {
            assert_eq!(host_of(&address), host);
        }
    }

    proptest! {
        #[test]
        fn a_jitter_is_a_tenth_either_way(millis in 100_u64..3_600_000, dice: u32) {
            let interval = Duration::from_millis(millis);
            let jittered = jittered(interval, dice);
            prop_assert!(jittered >= interval * 9 / 10 && jittered <= interval * 11 / 10);
        }
    }

    #[test]
    fn both_ends_of_the_jitter_are_reached() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, 0), second * 9 / 10);
        assert_eq!(jittered(second, 200), second * 11 / 10);
    }
}
