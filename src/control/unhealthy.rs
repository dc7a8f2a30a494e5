//! Ends the sessions of servers that their check marks as down, with `unhealthy = "drain"`.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Control;
use crate::gateway::session::Filter;
use crate::values::Reason;

/// Starts the task that begins a drain for each such server, and stops it when the server is up again.
pub(super) fn drain_unhealthy(control: &Arc<Control>) {
    let runtime = control.runtime.clone();
    let control = Arc::clone(control);
    runtime.spawn_until_stop(async move {
        let mut drains: HashMap<Arc<str>, DropGuard> = HashMap::new();
        loop {
            let dialer = &control.current.get().dialer;
            let draining = dialer.draining();
            let changed = dialer.draining_changed();
            drains.retain(|target, _| draining.contains(target));
            for target in draining {
                drains.entry(target).or_insert_with_key(|target| control.end_unhealthy(target));
            }
            changed.await;
        }
    });
}

impl Control {
    /// Tells the sessions at `target` to end over the time of a shutdown, until the guard is dropped.
    fn end_unhealthy(&self, target: &Arc<str>) -> DropGuard {
        let filter = Filter { target: Some(Arc::clone(target)), ..Filter::default() };
        let over = self.current.get().server.shutdown_pace().spread;
        let (stop, sessions) = (CancellationToken::new(), self.sessions.clone());
        self.runtime.spawn_until_stop(stop.clone().run_until_cancelled_owned(async move {
            sessions.drain(&filter, Reason::UpstreamDraining, over).await;
        }));
        stop.drop_guard()
    }
}
