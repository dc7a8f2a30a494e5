//! Connections from accept to close: listeners, the exchanges of each connection, upstreams, sessions, and
//! the graceful stop.

mod exchange;
pub mod listen;
pub mod relay;
pub mod runtime;
pub mod session;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::exchange::Exchanges;
use crate::gateway::listen::{Listener, accept_each};
use crate::gateway::runtime::{Current, Runtime};
use crate::gateway::session::{Reporter, SessionStarter, Sessions};
use crate::journal::{Counters, Event, Journal};
use crate::state::State;
use crate::values::Reason;

/// The interval at which a process that is replaced looks whether its connections are answered.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The listeners and the sessions of one process. It only assembles the submodules and stops them in order;
/// each submodule holds the parts that it uses.
#[derive(Debug)]
pub(crate) struct Gateway {
    runtime: Runtime,
    current: Arc<Current>,
    sessions: Sessions,
    reporter: Arc<Reporter>,
    exchanges: Arc<Exchanges>,
}

impl Gateway {
    pub(crate) fn new(current: Arc<Current>, state: Arc<State>, journal: Journal) -> Self {
        let runtime = Runtime::default();
        let sessions = Sessions::default();
        let reporter = Arc::new(Reporter::new(Arc::clone(&state), sessions.clone(), journal));
        let starter = SessionStarter::new(
            runtime.clone(),
            Arc::clone(&current),
            Arc::clone(&state),
            sessions.clone(),
            Arc::clone(&reporter),
        );
        let exchanges = Exchanges::new(
            runtime.clone(),
            Arc::clone(&current),
            state,
            Arc::new(starter),
            Arc::clone(&reporter),
        );
        let exchanges = Arc::new(exchanges);
        Self { runtime, current, sessions, reporter, exchanges }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(crate) fn reporter(&self) -> &Arc<Reporter> {
        &self.reporter
    }

    /// The counters of open connections and sessions. Wakes every session.
    pub(crate) async fn counters(&self) -> Counters {
        Counters {
            connections: self.exchanges.connections(),
            sessions: self.sessions.count(),
            routes: self.sessions.counters().await,
        }
    }

    /// Waits until the accepted connections have their first answers, for `handshake_timeout` at most. Those that
    /// take longer are treated as in any shutdown.
    async fn finish_exchanges(&self) {
        let timeout = self.current.get().server.handshake_timeout;
        let unanswered = async {
            while self.exchanges.connections() > self.sessions.count() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(timeout, unanswered).await;
    }

    /// Serves the listeners until `shutdown` resolves, or until another process accepts on them. Then stops accepting,
    /// and closes the sessions with 1001, one after the other ([`ShutdownPace`](crate::config::ShutdownPace)). Returns
    /// when all are over, or when their time is: sessions that are still open then are dropped with tokio's runtime.
    pub(crate) async fn run(&self, listeners: Vec<Listener>, shutdown: impl Future) {
        for listener in listeners {
            let exchanges = Arc::clone(&self.exchanges);
            let journal = self.reporter.journal().clone();
            let Listener { socket, purpose, .. } = listener;
            let serve = move |stream, peer| exchanges.accept(stream, peer, purpose);
            let (runtime, current) = (self.runtime.clone(), Arc::clone(&self.current));
            Runtime::spawn_unawaited(async move {
                tokio::select! {
                    () = accept_each(&socket, journal, serve) => {}
                    () = accepts_no_more(&runtime, &current) => {}
                }
            });
        }
        let journal = self.reporter.journal();
        let (upkeep, closed) = (self.runtime.upkeep(), self.runtime.closed());
        let in_force = self.current.get();
        in_force.policy.verifiers().run(journal, upkeep, closed);
        in_force.dialer.run(journal, upkeep, closed);
        in_force.dialer.run_checks(journal, upkeep, self.runtime.stopping());
        drop(in_force);
        tokio::select! {
            _ = shutdown => {}
            () = self.runtime.retiring().cancelled() => self.finish_exchanges().await,
        }
        let pace = self.current.get().server.shutdown_pace();
        self.runtime.stop(pace);
        self.current.get().dialer.stop_waiting();
        journal.record(Event::Stopping { sessions: self.sessions.count() });
        let all_over = async {
            tokio::select! {
                biased;
                () = self.sessions.end_all(Reason::Shutdown, pace.spread) => self.runtime.stopped().await,
                () = self.runtime.stopped() => {}
            }
        };
        if tokio::time::timeout(pace.whole, all_over).await.is_err() {
            journal.record(Event::Cut { sessions: self.sessions.count() });
        }
        self.runtime.close().await;
    }
}

/// Resolves when connections are no longer accepted. With a `health_path`, the gateway answers load
/// balancers with 503 until the last session is over.
async fn accepts_no_more(runtime: &Runtime, current: &Current) {
    let stopped = async {
        runtime.stopping().cancelled().await;
        if current.get().server.health_path.is_some() {
            runtime.closed().cancelled().await;
        }
    };
    tokio::select! {
        () = stopped => {}
        () = runtime.retiring().cancelled() => {}
    }
}
