//! A live session: the two streams with what they own (the slot, the route, the subject of its
//! records), and the registry through which the gateway reaches it.

mod about;
mod bell;
mod caller;
mod filter;
mod first_message;
mod lease;
mod registry;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use crate::gateway::Gateway;
use crate::handshake::Deflate;
use crate::limits::{AddressPermit, UserPermit};
use crate::listener::Slot;
use crate::moment::Moment;
use crate::observe::{self, Ended, ProtocolError, Subject};
use crate::policy::{Admission, Standing};
use crate::refusal::{Reason, Refusal};
use crate::relay::{
    Cause, Context, Contexts, Endpoint, Outside, SessionEnd, Streams, close_frame, relay,
};
use crate::transport::Transport;
use crate::upstream::Upstream;
pub use about::{Description, Identity, Summary};
use bell::Told;
pub(crate) use caller::Caller;
pub use filter::Filter;
pub(crate) use registry::Entry;
pub use registry::{Listing, Sessions};

/// A session on its way to its own task.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Transport,
    /// Bytes that the client sent before it had its 101.
    pub(crate) client_early: Bytes,
    pub(crate) admission: Admission,
    pub(crate) subject: Subject,
    /// Given back when the session ends.
    pub(crate) permits: Permits,
    pub(crate) next: Next,
    /// Of the configuration that admitted it.
    pub(crate) generation: u64,
}

/// What a session counts as: one of each, until it ends.
#[derive(Debug)]
#[expect(dead_code, reason = "what is held is not looked at")]
pub(crate) struct Permits {
    /// Of `max_connections`.
    pub(crate) slot: Slot,
    /// Of its address; `None`: it is a trusted proxy's own.
    pub(crate) address: Option<AddressPermit>,
    /// Of its user; `None`: it has none, or none yet.
    pub(crate) user: Option<UserPermit>,
}

/// What a session begins with.
#[derive(Debug)]
pub(crate) enum Next {
    /// The upstream gave its 101.
    Relay(Box<Upstream>),
    /// The token is in the first message, and the upstream is dialled after it.
    FirstMessage(Box<Caller>),
}

impl Session {
    /// Starts the session in a task of its own.
    pub(crate) fn start(self, gateway: &Arc<Gateway>) {
        let Self { client, client_early, admission, subject, permits, next, generation } = self;
        let (entry, told) = gateway.sessions.enter(Description::new(&subject, &admission));
        // Asked once more: a ban is kept before sessions are looked for, and this one can be found
        // from here on, so none slips through between the two.
        if gateway.bans.is_banned(subject.peer.ip(), Moment::now()).is_some() {
            entry.end(Reason::BanActive);
        }
        let live = move |streams, admission, subject, permits| Live {
            streams,
            admission,
            subject,
            permits,
            entry,
            generation,
        };
        let shared = Arc::clone(gateway);
        match next {
            Next::Relay(upstream) => {
                let streams = streams(client, client_early, *upstream);
                gateway.tasks.spawn(live(streams, admission, subject, permits).run(shared, told));
            }
            Next::FirstMessage(caller) => {
                let early = client_early;
                let newcomer = Newcomer { client, early, admission, caller, subject, permits };
                gateway.tasks.spawn(async move {
                    let mut told = told;
                    let introduced = newcomer.introduce(&shared, &mut told).await;
                    if let Some((streams, admission, subject, permits)) = introduced {
                        let tasks = shared.tasks.clone();
                        tasks.spawn(live(streams, admission, subject, permits).run(shared, told));
                    }
                });
            }
        }
    }
}

fn streams(client: Transport, client_early: Bytes, upstream: Upstream) -> Streams {
    // Copied, so that no handshake's buffer is kept alive by a few bytes of it.
    let upstream_early = Bytes::copy_from_slice(&upstream.early);
    let compression = upstream.deflate.map(contexts);
    Streams { client, client_early, upstream: upstream.stream, upstream_early, compression }
}

/// The client was told to start each message anew, whatever the upstream agreed to.
fn contexts(agreed: Deflate) -> Contexts {
    let upstream = if agreed.upstream_starts_anew() {
        Context::Anew
    } else {
        Context::TakenOver(agreed.upstream_window_bits())
    };
    Contexts { client: Context::Anew, upstream }
}

/// A client that has its 101 and did not say yet who it is.
struct Newcomer {
    client: Transport,
    early: Bytes,
    admission: Admission,
    caller: Box<Caller>,
    subject: Subject,
    permits: Permits,
}

impl Newcomer {
    /// Waits for the first message and connects to the upstream; `None` when it was turned away.
    async fn introduce(
        mut self,
        gateway: &Gateway,
        told: &mut Told,
    ) -> Option<(Streams, Admission, Subject, Permits)> {
        let introduction = first_message::introduce(
            gateway,
            &mut self.client,
            self.early,
            self.admission,
            &self.caller,
            (&mut self.subject, &mut self.permits.user),
        );
        let introduced = tokio::select! {
            introduced = introduction => introduced,
            reason = told => Err(Refusal::new(reason, "before the first message")),
        };
        match introduced {
            Ok((admission, upstream, early)) => {
                let streams = streams(self.client, early, upstream);
                Some((streams, admission, self.subject, self.permits))
            }
            Err(refusal) => {
                gateway.strike(self.subject.peer.ip(), refusal.reason);
                turn_away(self.client, &self.subject, &refusal).await;
                None
            }
        }
    }
}

/// A session between its two ends. Its task is small: a task is as large as its largest moment, and
/// the handshake's is over.
struct Live {
    streams: Streams,
    admission: Admission,
    subject: Subject,
    /// Given back when the session ends.
    permits: Permits,
    entry: Entry,
    /// Of the configuration that admitted it.
    generation: u64,
}

impl Live {
    async fn run(self, gateway: Arc<Gateway>, told: Told) {
        let Self { streams, admission, subject, permits, entry, generation } = self;
        let entry = Arc::new(entry);
        if let Standing::Identified(identity) = admission.standing() {
            // Looked at once more: it may have been revoked between admission and registration.
            entry.introduce(Identity::from(identity));
            entry.end_if_revoked(&*gateway.revocations, Moment::now());
        }
        let route = gateway.settle(&entry, generation, admission.route());
        observe::session_opened(&subject);
        let lease = lease::of(&gateway, &admission, &entry, &subject.request_id);
        let terms = gateway.terms(&route, entry.record().user());
        drop(admission);
        let mut record = Record { subject, since: Instant::now(), end: None };
        let outside = Outside {
            meter: entry.meter(),
            amendments: entry.amendments(),
            would_refuse: &|reason| observe::would_refuse(&record.subject, reason, ""),
        };
        let end = relay(streams, terms, &gateway.budget, lease, told, outside).await;
        gateway.reported.fetch_add(end.let_through, Ordering::Relaxed);
        if let Some(reason) = end.cause.clients_fault() {
            gateway.strike(record.subject.peer.ip(), reason);
        }
        record.end = Some(end);
        drop(permits);
    }
}

/// A client that was sent a 101 and is refused after it.
async fn turn_away(client: Transport, subject: &Subject, refusal: &Refusal) {
    observe::turned_away(subject, refusal.reason, &refusal.detail);
    let (code, name) = (refusal.reason.close_code(), refusal.reason.name());
    let close = close_frame(Endpoint::Client, code, name, [0; 4]);
    client.part(close.as_ref()).await;
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
            Cause::AtFault(..) if !observe::is_error(reason) => {
                let detail = detail.as_deref().unwrap_or_default();
                observe::limited(&self.subject, reason, detail);
            }
            Cause::AtFault(..) | Cause::Lost(..) => {
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
            let_through: end.let_through,
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
            let_through: 0,
        }
    }
}
