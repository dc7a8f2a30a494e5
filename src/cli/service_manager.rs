//! Tells systemd the state of the gateway (`sd_notify(3)`): that it listens, that it stops, and, where the unit has
//! `WatchdogSec`, that its runtime still runs tasks. Nothing is sent without `$NOTIFY_SOCKET`.

use std::future::pending;

use sd_notify::NotifyState;

/// The gateway listens: units that wait for it may start.
pub(super) fn ready() {
    send(&NotifyState::Ready);
}

/// The gateway stops, and ends its sessions first.
pub(super) fn stopping() {
    send(&NotifyState::Stopping);
}

/// Says at half of the watchdog's interval that the runtime runs tasks. Never resolves.
pub(super) async fn keep_alive() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return pending().await;
    };
    loop {
        tokio::time::sleep(interval / 2).await;
        send(&NotifyState::Watchdog);
    }
}

fn send(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        let socket = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        tracing::warn!(%error, %socket, ?state, "the service manager could not be told");
    }
}
