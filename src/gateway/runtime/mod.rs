//! The tasks of a running gateway, and the configuration that is in force.

mod in_force;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use in_force::InForce;
pub use in_force::InForceError;

/// A task of more bytes is boxed before it is spawned: tokio copies a task some ten times, and the task of a
/// connection is as large as its largest moment.
const LARGE: usize = 4 * 1024;

/// The tasks of a gateway and its shutdown signal. A clone is the same runtime.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runtime {
    tasks: TaskTracker,
    stopping: CancellationToken,
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

    /// Runs a task that is dropped at its next await when the gateway begins to stop.
    pub(crate) fn spawn_until_stop(&self, task: impl Future<Output: Send> + Send + 'static) {
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(task));
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

    /// The task tracker, for parts that spawn their own tasks.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Gives the shutdown signal.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
    }

    /// Resolves when every task is over, after [`Runtime::stop`].
    pub(crate) async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// The configuration in force. A reload replaces it in one step; a connection takes it at accept, and again
/// for each further request, so that no reload comes between two checks of one request.
#[derive(Debug)]
pub(crate) struct Current(RwLock<Arc<InForce>>);

impl Current {
    pub(crate) fn new(in_force: InForce) -> Self {
        Self(RwLock::new(Arc::new(in_force)))
    }

    pub(crate) fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, next: Arc<InForce>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
