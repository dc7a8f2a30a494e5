//! Routes whose messages an operator observes.

use std::sync::Arc;

use super::Sessions;
use super::registry::SessionRecord;
use crate::gateway::relay::Observers;
use crate::message::Observation;
use crate::values::{Endpoint, RequestKind};

/// A route whose messages are observed.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) route: Arc<str>,
    /// The peer whose messages are observed.
    pub(super) from: Endpoint,
    pub(super) observation: Arc<Observation>,
}

impl Observed {
    /// Whether it is a session of the route.
    pub(super) fn has(&self, record: &SessionRecord) -> bool {
        record.kind == RequestKind::WebSocket && record.route == self.route
    }

    /// Has the session show its messages.
    pub(super) fn show(&self, record: &SessionRecord) {
        let observer = Some(self.observation.observer());
        record.mailbox.observe(match self.from {
            Endpoint::Client => Observers { client: observer, upstream: None },
            Endpoint::Upstream => Observers { client: None, upstream: observer },
        });
    }
}

/// The observation of a route; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ObservedRoute {
    pub(super) sessions: Sessions,
    pub(super) route: Arc<str>,
}

impl Drop for ObservedRoute {
    fn drop(&mut self) {
        self.sessions.stop_observing(&self.route);
    }
}
