//! Records about upstreams as such, not about one connection.

use std::time::Duration;

use super::subscriber::ERROR_TARGET;

/// An upstream is down. `rest` is how long it is left alone while others answer; `detail` says what it
/// did; `unlogged` is how many times it went down before without a record.
pub fn upstream_down(upstream: &str, route: &str, detail: &str, rest: Duration, unlogged: u32) {
    tracing::error!(
        target: ERROR_TARGET,
        event = "upstream.down",
        upstream,
        route,
        detail,
        retry_ms = millis(rest),
        unlogged = (unlogged > 0).then_some(unlogged),
        "an upstream failed, and is tried last for now"
    );
}

/// It answers again, `after` so long and so many failed attempts.
pub fn upstream_up(upstream: &str, after: Duration, failures: u32) {
    tracing::info!(
        target: ERROR_TARGET,
        event = "upstream.up",
        upstream,
        down_ms = millis(after),
        failures,
        "an upstream answers again"
    );
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
