//! Tells systemd the state of the gateway (`sd_notify(3)`): that it listens, reloads or stops, and, where the unit has
//! `WatchdogSec`, that its runtime still runs tasks. Nothing is sent without `$NOTIFY_SOCKET`.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use super::reload::{ReloadError, Reloaded};
use crate::values::UnixTime;

/// The time from the end of the last session to that of the process, at most: bans are saved, and records written.
const LAST_RECORDS: Duration = Duration::from_secs(10);

/// Whether another process is the main process of the unit. Messages of this one would be refused.
static IS_REPLACED: AtomicBool = AtomicBool::new(false);

/// The gateway listens: units that wait for it may start.
pub(crate) fn ready() {
    send(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// A reload begins; [`reloaded`] tells its end. With `Type=notify-reload` systemd waits for a message that is
/// not older than its signal, so the message has the time.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// A reload is over. A refused one also ends with READY, because the gateway goes on; `systemctl status` shows
/// the first line of the error.
pub(super) fn reloaded(outcome: &Result<Reloaded, ReloadError>) {
    let at = UnixTime::now();
    let status = match outcome {
        Ok(reloaded) => format!("serving; reloaded {at}, generation {}", reloaded.generation),
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            format!("serving; the reload of {at} failed: {first}")
        }
    };
    send(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Another process is the main process from now on; the last message of this one.
pub(super) fn replaced_by(pid: u32) {
    send(&[NotifyState::MainPid(pid)]);
    IS_REPLACED.store(true, Ordering::Relaxed);
}

/// The gateway stops, and ends its sessions first, which takes up to `time`. systemd gives it that long, also if
/// `TimeoutStopSec` is shorter.
pub(crate) fn stopping(time: Duration) {
    let extension = format!("EXTEND_TIMEOUT_USEC={}", (time + LAST_RECORDS).as_micros());
    send(&[
        NotifyState::Stopping,
        NotifyState::Status("ending sessions"),
        NotifyState::Custom(&extension),
    ]);
}

/// Says at half of the watchdog's interval that the runtime runs tasks. Never resolves.
pub(crate) async fn keep_alive() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return pending().await;
    };
    loop {
        tokio::time::sleep(interval / 2).await;
        send(&[NotifyState::Watchdog]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if IS_REPLACED.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = sd_notify::notify(states) {
        let socket = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        tracing::warn!(%error, %socket, ?states, "the service manager could not be told");
    }
}
