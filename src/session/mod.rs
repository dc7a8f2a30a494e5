//! A live session: the two streams with what they own (the slot, the route, the subject of its
//! records), and the registry through which the gateway reaches it.

mod about;
mod bell;
mod filter;
mod registry;

use std::sync::Arc;
use std::time::Instant;

use crate::config::Route;
use crate::gateway::Gateway;
use crate::listener::Slot;
use crate::moment::Moment;
use crate::observe::{self, Ended, ProtocolError, Subject};
use crate::refusal::Reason;
use crate::relay::{Cause, SessionEnd, Streams, relay};
pub use about::{Description, Identity, Summary};
pub use filter::{Filter, Network, NotANetwork};
pub use registry::{Listing, Sessions};

/// A session on its way to its own task.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) streams: Streams,
    pub(crate) route: Arc<Route>,
    pub(crate) subject: Subject,
    /// Whose it is; `None`: it has no token, or none yet.
    pub(crate) identity: Option<Identity>,
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
        let Self { streams, route, subject, identity, slot } = self;
        let (entry, told) = gateway.sessions.enter(Description::new(&subject, identity));
        entry.end_if_revoked(&*gateway.revocations, Moment::now());
        observe::session_opened(&subject);
        let mut record = Record { subject, since: Instant::now(), end: None };
        let settings = &route.websocket;
        record.end = Some(relay(streams, settings, &gateway.budget, told, entry.meter()).await);
        drop(slot);
    }
}

/// Writes the session's last records when dropped, so that there is one even after a panic.
struct Record {
    subject: Subject,
    since: Instant,
    end: Option<SessionEnd>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(SessionEnd::unknown);
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
    /// The end of a session whose task panicked.
    fn unknown() -> Self {
        Self {
            cause: Cause::Gateway(Reason::Internal),
            client: observe::Flow::default(),
            upstream: observe::Flow::default(),
        }
    }
}
