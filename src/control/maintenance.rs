//! Periodic work beside the connections: saves bans, sweeps rate limits, counts suppressed log records,
//! and ends sessions with an expired client certificate.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Control;

/// Interval between log records that count suppressed records.
const LOG_SUPPRESSED: Duration = Duration::from_secs(1);
/// Interval between sweeps of fully replenished rate-limit entries.
const SWEEP: Duration = Duration::from_secs(5);
/// Interval between checks of client certificates against the wall clock. A session outlives its
/// certificate by at most this interval.
const EXPIRE: Duration = Duration::from_secs(1);

/// Starts the maintenance tasks; they end when the gateway stops.
pub(super) fn spawn_maintenance(control: &Arc<Control>) {
    let (runtime, state) = (&control.runtime, &control.state);
    runtime.spawn(
        Arc::clone(state.bans())
            .keep(control.reporter.journal().clone(), runtime.stopping().clone()),
    );
    let (state, reporter) = (Arc::clone(state), Arc::clone(&control.reporter));
    runtime.spawn_until_stop(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            state.limiters().sweep(Instant::now());
            reporter.sweep();
        }
    });
    let sessions = control.sessions.clone();
    runtime.spawn_until_stop(async move {
        loop {
            tokio::time::sleep(EXPIRE).await;
            sessions.end_expired(SystemTime::now());
        }
    });
    let reporter = Arc::clone(&control.reporter);
    let stopping = runtime.stopping().clone();
    runtime.spawn(async move {
        while stopping.run_until_cancelled(tokio::time::sleep(LOG_SUPPRESSED)).await.is_some() {
            reporter.record_suppressed();
        }
        // Logs the suppressed-record count if no later record has carried it.
        reporter.record_suppressed();
    });
}
