//! The tasks of a running gateway, and the configuration that is in force.

mod in_force;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ShutdownPace;
pub(crate) use in_force::InForce;
pub use in_force::InForceError;

/// A task of more bytes is boxed before it is spawned: tokio copies a task some ten times, and the task of a
/// connection is as large as its largest moment.
const LARGE: usize = 4 * 1024;

/// How long the last bans may take to be saved when the gateway stops.
const UPKEEP: Duration = Duration::from_secs(5);

/// The tasks of a gateway and its shutdown signal. A clone is the same runtime.
///
/// A shutdown has two signals. After `stopping` no session begins, and the open ones are told to end, which may take
/// hours. Bans, lists, keys and the admin socket work for them until `closed`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runtime {
    tasks: TaskTracker,
    upkeep: TaskTracker,
    stopping: CancellationToken,
    closed: CancellationToken,
    retiring: CancellationToken,
    shutdown: Arc<OnceLock<Shutdown>>,
}

/// A shutdown that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shutdown {
    pub(crate) began: Instant,
    pub(crate) pace: ShutdownPace,
}

impl Runtime {
    /// Runs a task that a graceful shutdown waits for.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        if size_of::<F>() > LARGE {
            self.tasks.spawn(Box::pin(task))
        } else {
            self.tasks.spawn(task)
        }
    }

    /// Runs a task that serves open sessions; it is dropped at its next await when they are over.
    pub(crate) fn spawn_until_stop(&self, task: impl Future<Output: Send> + Send + 'static) {
        self.upkeep.spawn(self.closed.clone().run_until_cancelled_owned(task));
    }

    /// Runs a task that answers health checks while sessions end: the listeners, and connections that are
    /// accepted during a shutdown. The shutdown must not wait for such a task, or each health check would
    /// prolong it; the task ends by itself, or is dropped with tokio's runtime.
    pub(crate) fn spawn_unawaited(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    /// The shutdown signal.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Cancelled when every session is over, or cut.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Cancelled when another process accepts connections in place of this one, which then stops.
    pub(crate) fn retiring(&self) -> &CancellationToken {
        &self.retiring
    }

    pub(crate) fn is_retiring(&self) -> bool {
        self.retiring.is_cancelled()
    }

    /// Leaves the listening sockets to another process.
    pub(crate) fn retire(&self) {
        self.retiring.cancel();
    }

    /// The tracker of tasks that serve open sessions, and end by themselves once [`Runtime::closed`] is cancelled.
    pub(crate) fn upkeep(&self) -> &TaskTracker {
        &self.upkeep
    }

    /// Gives the shutdown signal.
    pub(crate) fn stop(&self, pace: ShutdownPace) {
        let _ = self.shutdown.set(Shutdown { began: Instant::now(), pace });
        self.stopping.cancel();
        self.tasks.close();
    }

    /// Resolves when a shutdown has begun.
    pub(crate) async fn shutdown(&self) -> Shutdown {
        self.stopping.cancelled().await;
        match self.shutdown.get() {
            Some(shutdown) => *shutdown,
            // Set before the signal.
            None => std::future::pending().await,
        }
    }

    /// Resolves when every connection and session is over, after [`Runtime::stop`].
    pub(crate) async fn stopped(&self) {
        self.tasks.wait().await;
    }

    /// Ends the tasks that serve open sessions; a hung one is waited for `UPKEEP` at most.
    pub(crate) async fn close(&self) {
        self.closed.cancel();
        self.upkeep.close();
        let _ = tokio::time::timeout(UPKEEP, self.upkeep.wait()).await;
    }
}

/// The configuration in force. A reload replaces it in one step; a connection takes it at accept, and again
/// for each further request, so that no reload comes between two checks of one request.
#[derive(Debug)]
pub(crate) struct Current(RwLock<Arc<InForce>>);

impl Current {
    pub(crate) fn new(in_force: InForce) -> Self {
        in_force.dialer.bound_loads(None);
        Self(RwLock::new(Arc::new(in_force)))
    }

    pub(crate) fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, next: InForce) {
        let next = Arc::new(next);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Arc::clone(&next));
        drop(current);
        next.dialer.bound_loads(Some(&before.dialer));
    }
}
