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

use tokio_util::sync::CancellationToken;

use crate::gateway::exchange::Exchanges;
use crate::gateway::listen::{Listener, accept_each};
use crate::gateway::runtime::{Current, Runtime};
use crate::gateway::session::{Reporter, SessionStarter, Sessions};
use crate::journal::{Counters, Event, Journal};
use crate::state::State;
use crate::values::Reason;

/// The longest time over which the Close frames of a shutdown are spread.
const LONGEST_SPREAD: Duration = Duration::from_secs(5);

/// The listeners and the sessions of one process. It only assembles the submodules and stops them in order;
/// each submodule holds the parts that it uses.
#[derive(Debug)]
pub(crate) struct Gateway {
    runtime: Runtime,
    current: Arc<Current>,
    sessions: Sessions,
    reporter: Arc<Reporter>,
    exchanges: Arc<Exchanges>,
    /// Cancelled when every session is over: the listening sockets close.
    closed: CancellationToken,
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
        Self { runtime, current, sessions, reporter, exchanges, closed: CancellationToken::new() }
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

    /// Serves the listeners until `shutdown` resolves. Then stops accepting, closes every session with
    /// 1001, spread over a short time, and returns when all are over, after `shutdown_grace` at the latest.
    /// Sessions that are still open then are dropped with tokio's runtime.
    pub(crate) async fn run(&self, listeners: Vec<Listener>, shutdown: impl Future) {
        for listener in listeners {
            let exchanges = Arc::clone(&self.exchanges);
            let journal = self.reporter.journal().clone();
            let Listener { socket, purpose } = listener;
            let serve = move |stream, peer| exchanges.accept(stream, peer, purpose);
            let (runtime, current) = (self.runtime.clone(), Arc::clone(&self.current));
            let closed = self.closed.clone();
            Runtime::spawn_unawaited(async move {
                tokio::select! {
                    () = accept_each(&socket, journal, serve) => {}
                    () = accepts_no_more(&runtime, &current, &closed) => {}
                }
            });
        }
        let journal = self.reporter.journal();
        self.current.get().policy.verifiers().run(
            journal,
            self.runtime.tasks(),
            self.runtime.stopping(),
        );
        shutdown.await;
        self.runtime.stop();
        journal.record(Event::Stopping { sessions: self.sessions.count() });
        let grace = self.current.get().server.shutdown_grace;
        let spread = LONGEST_SPREAD.min(grace / 2);
        let close_all = self.sessions.end_all(Reason::Shutdown, spread);
        let all_over = async { tokio::join!(close_all, self.runtime.stopped()) };
        if tokio::time::timeout(grace, all_over).await.is_err() {
            journal.record(Event::Cut { sessions: self.sessions.count() });
        }
        self.closed.cancel();
    }
}

/// Resolves when connections are no longer accepted. With a `health_path`, the gateway answers load
/// balancers with 503 until the last session is over.
async fn accepts_no_more(runtime: &Runtime, current: &Current, closed: &CancellationToken) {
    runtime.stopping().cancelled().await;
    if current.get().server.health_path.is_some() {
        closed.cancelled().await;
    }
}
