//! A live session: the two streams with what they own (the slot, the route, the subject of its
//! records), and the registry through which the gateway reaches it.

mod registry;

use std::sync::Arc;
use std::time::Instant;

use crate::config::Route;
use crate::gateway::Gateway;
use crate::listener::Slot;
use crate::observe::{self, Ended, ProtocolError, Subject};
use crate::refusal::Reason;
use crate::relay::{Cause, SessionEnd, Streams, relay};
pub use registry::Sessions;

/// A session on its way to its own task.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) streams: Streams,
    pub(crate) route: Arc<Route>,
    pub(crate) subject: Subject,
    /// Given back when the session ends.
    pub(crate) slot: Slot,
}

impl Session {
    /// Starts the session in a small task of its own: a task is as large as its largest moment,
    /// and the handshake's is over.
    pub(crate) fn start(self, gateway: &Arc<Gateway>) {
        gateway.tasks.spawn(self.run(Arc::clone(gateway)));
    }

    async fn run(self, gateway: Arc<Gateway>) {
        let Self { streams, route, subject, slot } = self;
        let (_entry, told) = gateway.sessions.enter();
        // The sender is dropped unused only when the gateway itself is gone.
        let stop = async { told.await.unwrap_or(Reason::Shutdown) };
        observe::session_opened(&subject);
        let mut record = Record { subject, since: Instant::now(), end: None };
        record.end = Some(relay(streams, &route.websocket, &gateway.budget, stop).await);
        drop(slot);
    }
}

/// Writes the session's last records when dropped, so that there is one even when its task panics or
/// is cut off.
struct Record {
    subject: Subject,
    since: Instant,
    end: Option<SessionEnd>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(SessionEnd::cut);
        let (reason, detail) = (end.cause.reason(), end.cause.detail());
        match &end.cause {
            Cause::Violation(violation) => {
                let decoded = violation.header.decoded().to_string();
                let error = ProtocolError {
                    reason,
                    from: violation.sender,
                    frame_offset: violation.frame_offset,
                    offset: violation.offset,
                    header: violation.header.as_slice(),
                    decoded: &decoded,
                    section: violation.rule.section(),
                    rule: violation.rule.text(),
                };
                observe::protocol_error(&self.subject, &error);
            }
            Cause::Late(..) | Cause::Lost(..) => {
                let detail = detail.as_deref().unwrap_or_default();
                observe::connection_error(&self.subject, reason, detail);
            }
            Cause::Closed(..) | Cause::Gateway(_) => {}
        }
        let ended = Ended {
            by: end.cause.by(),
            reason,
            code: end.cause.code(),
            detail,
            duration: self.since.elapsed(),
            client: end.client,
            upstream: end.upstream,
        };
        observe::session_ended(&self.subject, &ended);
    }
}

impl SessionEnd {
    /// The end of a session whose task did not come to its end: it panicked, or the gateway stopped
    /// before it was over. What was relayed is not known then.
    fn cut() -> Self {
        let panicked = std::thread::panicking();
        let reason = if panicked { Reason::Internal } else { Reason::Shutdown };
        Self {
            cause: Cause::Gateway(reason),
            client: observe::Flow::default(),
            upstream: observe::Flow::default(),
        }
    }
}
