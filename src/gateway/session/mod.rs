//! Sessions: connections after the client's 101. Each runs in a task of its own and owns its streams and
//! permits; the registry signals the task from outside. Plain requests that last are in the registry, too.

mod about;
mod abuse;
mod answer;
mod caller;
mod filter;
mod first_message;
mod lease;
mod observed;
mod polling;
mod registry;
mod task;
mod terms;

use std::sync::Arc;

use bytes::Bytes;

use crate::config::{RetryHint, Route};
use crate::gateway::relay::{Contexts, Streams, reason_text};
use crate::gateway::runtime::{Current, Runtime};
use crate::gateway::upstream::{Live, Upstream};
use crate::handshake::Deflate;
use crate::journal::Subject;
use crate::policy::Admission;
use crate::state::State;
use crate::state::limits::{AddressPermit, UserPermit};
use crate::tls::transport::{Linger, Transport};
use crate::values::AddressKey;
use crate::values::Endpoint;
use crate::values::Permit;
use crate::values::UnixTime;
use crate::values::{Reason, Refusal};
use crate::wire::{Context, HoldPool, Shares, close_frame};
pub use about::{Description, SessionTokens, Summary};
pub(crate) use abuse::Reporter;
pub(crate) use answer::OpenAnswer;
pub(crate) use caller::Caller;
pub use filter::Filter;
pub(crate) use observed::ObservedRoute;
pub(crate) use polling::{ForwardedPackets, PolledBody, UnfinishedPacket};
pub(crate) use registry::RegistryEntry;
pub use registry::{Listing, Sessions};
use task::SessionTask;

/// An admitted session, up to the start of its relay.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) admission: Admission,
    pub(crate) subject: Subject,
    /// Counts for the client's address; `None`: the address is a trusted proxy's own.
    pub(crate) address: Option<AddressPermit>,
    /// Counts for the user; `None`: the session has none, or none yet.
    pub(crate) user: Option<UserPermit>,
    /// The generation of the configuration that admitted the session.
    pub(crate) generation: u64,
}

/// A client's connection after its 101.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Transport,
    /// Bytes that the client sent before it had its 101.
    pub(crate) early: Bytes,
    /// Counts for `max_connections` until the session ends.
    pub(crate) slot: Permit,
}

/// The permits that a session holds until it ends.
#[derive(Debug)]
struct Permits {
    #[expect(dead_code, reason = "it is held, and not looked at")]
    slot: Permit,
    #[expect(dead_code, reason = "it is held, and not looked at")]
    address: Option<AddressPermit>,
    #[expect(dead_code, reason = "it is held, and not looked at")]
    user: Option<UserPermit>,
    #[expect(dead_code, reason = "it is held, and not looked at")]
    server: Live,
}

impl Session {
    /// The address that the session counts for.
    fn counted_address(&self) -> Option<AddressKey> {
        self.address.as_ref().map(|permit| *permit.key())
    }
}

/// The first step of a session.
#[derive(Debug)]
pub(crate) enum Next {
    /// The upstream gave its 101.
    Relay(Box<Upstream>),
    /// The token is in the first message, and the upstream is dialled after it.
    FirstMessage(Box<Caller>),
}

/// Starts sessions, with the parts of the gateway that they use.
#[derive(Debug)]
pub(crate) struct SessionStarter {
    runtime: Runtime,
    current: Arc<Current>,
    state: Arc<State>,
    sessions: Sessions,
    reporter: Arc<Reporter>,
    /// Bounds the bytes that all sessions together hold back.
    hold_pool: HoldPool,
    polling: polling::PollingSessions,
}

impl SessionStarter {
    pub(crate) fn new(
        runtime: Runtime,
        current: Arc<Current>,
        state: Arc<State>,
        sessions: Sessions,
        reporter: Arc<Reporter>,
    ) -> Self {
        let hold_pool = HoldPool::new(Shares::default());
        let polling = polling::PollingSessions::default();
        Self { runtime, current, state, sessions, reporter, hold_pool, polling }
    }

    /// Whether sessions are closed for a shutdown, so that none may begin.
    pub(crate) fn are_ending(&self) -> bool {
        self.sessions.are_ending()
    }

    /// Starts the session in a task of its own.
    pub(crate) fn start(self: &Arc<Self>, mut session: Session, next: Next, mut client: Client) {
        let entry = self.enter(Description::new(&session.subject, &session.admission));
        let caller = match next {
            Next::Relay(upstream) => return self.relay(session, client, *upstream, entry),
            Next::FirstMessage(caller) => caller,
        };
        let starter = Arc::clone(self);
        self.runtime.spawn(async move {
            let identified = tokio::select! {
                identified = first_message::identify(&starter, &mut client, &mut session, &caller) => identified,
                reason = entry.record().mailbox.stopped() => Err(Refusal::new(reason, "before the first message")),
            };
            match identified {
                Ok(upstream) => {
                    entry.connected(session.subject.upstream.as_ref());
                    starter.relay(session, client, upstream, entry);
                }
                Err(refusal) => {
                    starter.reporter.refused_after_handshake(&session.subject, &refusal);
                    let hint = session.admission.route().websocket.retry_hint;
                    turn_away(client.stream, &refusal, hint).await;
                }
            }
        });
    }

    /// Registers a session or an answer, and ends it if its address is banned.
    fn enter(&self, description: Description) -> RegistryEntry {
        let address = description.peer.ip();
        let entry = self.sessions.enter(description);
        // Checked again: a ban is stored before sessions are searched, and a search finds this session from
        // here on, so that none slips through.
        if self.state.bans().is_banned(address, UnixTime::now()).is_some() {
            entry.end(Reason::BanActive);
        }
        entry
    }

    /// Registers the answer to a plain request that the configuration of `generation` admitted. A ban, a revocation or
    /// a reload since then ends it.
    fn enter_answer(&self, description: Description, generation: u64) -> RegistryEntry {
        let entry = self.enter(description);
        entry.record().end_if_revoked(&**self.state.revocations(), UnixTime::now());
        self.review(&entry, generation);
        entry
    }

    /// Starts the relay of a session that is connected to its upstream.
    fn relay(
        self: &Arc<Self>,
        session: Session,
        client: Client,
        upstream: Upstream,
        entry: RegistryEntry,
    ) {
        // Checked again, as a ban is: a server or route is marked before its sessions are searched.
        let (record, drains) = (entry.record(), self.state.drains());
        if drains.has_route(&record.route)
            || record.server().is_some_and(|server| drains.has_server(server))
        {
            entry.end(Reason::SessionDrained);
        }
        let counted = session.counted_address();
        let Session { admission, address, user, generation, .. } = session;
        let Client { stream, early, slot } = client;
        let (streams, server) = streams(stream, early, upstream);
        let permits = Permits { slot, address, user, server };
        let task = SessionTask::new(Arc::clone(&self.reporter), entry, permits);
        task.start(self, streams, &admission, counted, generation);
    }

    /// Gives a session the terms that its present tokens have.
    fn amend(&self, record: &registry::SessionRecord) {
        let in_force = self.current.get();
        if let Ok(route) = record.review(&in_force.policy) {
            record.amend_on(&route, self.state.limiters());
        }
    }

    /// The present route of a session that the configuration of `generation` admitted, now that the session
    /// is registered. If a reload in between does not admit the session any more, it is told to end.
    fn present_route(
        &self,
        entry: &RegistryEntry,
        generation: u64,
        route: &Arc<Route>,
    ) -> Arc<Route> {
        let Some(route) = self.review(entry, generation) else {
            return Arc::clone(route);
        };
        let dialer = &self.current.get().dialer;
        if entry.record().server().is_some_and(|server| !dialer.serves(&route, server)) {
            entry.end(Reason::UpstreamDraining);
        }
        route
    }

    /// The new route of a session or an answer, if there was a reload since `generation` that still admits it. One
    /// that is not admitted any more is told to end.
    fn review(&self, entry: &RegistryEntry, generation: u64) -> Option<Arc<Route>> {
        let in_force = self.current.get();
        if in_force.generation == generation {
            return None;
        }
        let route = entry.record().review(&in_force.policy);
        route.map_err(|refusal| entry.end(refusal.reason)).ok()
    }
}

/// The streams of the session, and the count of the session for its server.
fn streams(client: Transport, client_early: Bytes, upstream: Upstream) -> (Streams, Live) {
    // Copied, so that a few bytes do not keep the buffer of the handshake alive.
    let upstream_early = Bytes::copy_from_slice(&upstream.early);
    let compression = upstream.deflate.map(contexts);
    let streams =
        Streams { client, client_early, upstream: upstream.stream, upstream_early, compression };
    (streams, upstream.live)
}

/// The compression contexts. The client was told to compress each message without context takeover,
/// whatever the upstream agreed to.
fn contexts(agreed: Deflate) -> Contexts {
    let upstream = if agreed.upstream_starts_anew() {
        Context::Anew
    } else {
        Context::TakenOver(agreed.upstream_window_bits())
    };
    Contexts { client: Context::Anew, upstream }
}

/// Closes the connection of a client that was sent a 101 and is refused after it.
async fn turn_away(client: Transport, refusal: &Refusal, hint: Option<RetryHint>) {
    let code = refusal.reason.close_code();
    let text = reason_text(refusal.reason.name(), code, hint);
    let close = close_frame(Endpoint::Client, code, &text, [0; 4]);
    client.part(close.as_ref(), Linger::SHORT).await;
}
