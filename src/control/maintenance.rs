//! Periodic work beside the connections: saves bans, sweeps rate limits, counts suppressed log records,
//! ends sessions with an expired client certificate, and records the counters.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Control;
use crate::gateway::Gateway;
use crate::journal::Event;

/// Interval between log records that count suppressed records.
const LOG_SUPPRESSED: Duration = Duration::from_secs(1);
/// Interval between sweeps of fully replenished rate-limit entries, and of idle connections to upstreams. Checks of
/// new addresses begin then.
const SWEEP: Duration = Duration::from_secs(5);
/// Interval between checks of client certificates against the wall clock. A session outlives its
/// certificate by at most this interval.
const EXPIRE: Duration = Duration::from_secs(1);

/// Interval between records of the counters.
const COUNTERS: Duration = Duration::from_secs(10);

/// Starts the maintenance tasks; they end with the last session.
pub(super) fn spawn_maintenance(control: &Arc<Control>) {
    let (runtime, state) = (&control.runtime, &control.state);
    runtime.upkeep().spawn(
        Arc::clone(state.bans()).keep(control.reporter.journal().clone(), runtime.closed().clone()),
    );
    let (state, reporter) = (Arc::clone(state), Arc::clone(&control.reporter));
    let (current, tasks) = (Arc::clone(&control.current), runtime.clone());
    runtime.spawn_until_stop(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            state.limiters().sweep(Instant::now());
            reporter.sweep();
            let in_force = current.get();
            in_force.dialer.sweep();
            in_force.dialer.run_checks(reporter.journal(), tasks.upkeep(), tasks.stopping());
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
    let closed = runtime.closed().clone();
    runtime.upkeep().spawn(async move {
        while closed.run_until_cancelled(tokio::time::sleep(LOG_SUPPRESSED)).await.is_some() {
            reporter.record_suppressed();
        }
        // Logs the suppressed-record count if no later record has carried it.
        reporter.record_suppressed();
    });
}

/// Starts the task that records the counters, if a sink wants them; it ends with the last session.
pub(super) fn spawn_counters(gateway: &Arc<Gateway>) {
    if !gateway.reporter().journal().wants_counters() {
        return;
    }
    let recording = Arc::clone(gateway);
    gateway.runtime().spawn_until_stop(async move {
        loop {
            tokio::time::sleep(COUNTERS).await;
            let counters = recording.counters().await;
            recording.reporter().journal().record(Event::Counters(&counters));
        }
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::COUNTERS;
    use crate::config;
    use crate::control::Service;
    use crate::gateway::session::Description;
    use crate::journal::{Counters, Event, Journal, Record, Sink};

    struct Metrics {
        wanted: bool,
        received: Mutex<Vec<Counters>>,
    }

    impl Sink for Metrics {
        fn record(&self, record: &Record<'_>) {
            if let Event::Counters(counters) = record.event {
                self.received.lock().unwrap().push(counters.clone());
            }
        }

        fn wants_counters(&self) -> bool {
            self.wanted
        }
    }

    /// Runs a gateway with one session for two and a half intervals.
    async fn received(wanted: bool) -> Vec<Counters> {
        let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n\
                    [routes.chat]\npath = \"/ws\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n";
        let config = config::parse(text, Path::new("framewall.toml")).unwrap().config;
        let sink = Arc::new(Metrics { wanted, received: Mutex::default() });
        let service = Service::open(&config, Journal::default().with(sink.clone())).unwrap();
        let _entry = service.control.sessions.enter(Description::example("1"));
        service.run(Vec::new(), tokio::time::sleep(COUNTERS * 5 / 2)).await;
        let received = sink.received.lock().unwrap();
        received.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_wants_counters_receives_them_at_each_interval() {
        let received = received(true).await;
        assert_eq!(received.len(), 2);
        for counters in received {
            assert_eq!((counters.connections, counters.sessions), (0, 1));
            assert_eq!(counters.routes["chat"].sessions, 1);
        }
        assert_eq!(self::received(false).await, [], "no sink wants them");
    }
}
