//! A client's connection from accept to its last answer or its session. A connection carries one exchange
//! after the other: a request head comes in, and an answer goes out. A task of its own serves it and ends
//! where the session's task begins, so that the state of the handshake is freed.
//!
//! `connection.rs` is the order of the steps, `http1.rs` the protocol, `request.rs` the checks and the answer,
//! `polling.rs` the long polling of Engine.IO, `lasting.rs` the end of long answers during a shutdown, and `ending.rs` the records of connections that got no answer. Another protocol towards clients is another
//! `http1.rs`.

mod connection;
mod ending;
mod http1;
mod lasting;
mod polling;
mod request;
mod wait;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::gateway::listen::{Purpose, Slot, Slots};
use crate::gateway::runtime::{Current, InForce, Runtime};
use crate::gateway::session::{Reporter, SessionStarter};
use crate::handshake::{HeadBudget, Peer};
use crate::policy::AddressAdmission;
use crate::state::State;
use crate::values::{Reason, Refusal};

/// The bytes that request heads beyond 16 KiB may hold together, and those of the connections of one
/// address.
const HEADS: usize = 64 * 1024 * 1024;
const HEADS_PER_ADDRESS: usize = 8 * 1024 * 1024;

/// Serves accepted connections up to their sessions.
#[derive(Debug)]
pub(crate) struct Exchanges {
    runtime: Runtime,
    current: Arc<Current>,
    state: Arc<State>,
    sessions: Arc<SessionStarter>,
    reporter: Arc<Reporter>,
    slots: Slots,
    heads: HeadBudget,
}

/// A connection from which nothing was read yet.
struct Accepted {
    stream: TcpStream,
    /// The peer, canonical.
    address: SocketAddr,
    purpose: Purpose,
    slot: Slot,
    /// The admission of the address; `None` for a trusted proxy, whose client is not known yet.
    admitted: Option<AddressAdmission>,
    /// The configuration at accept, which decides about the first request.
    in_force: Arc<InForce>,
}

impl Exchanges {
    pub(crate) fn new(
        runtime: Runtime,
        current: Arc<Current>,
        state: Arc<State>,
        sessions: Arc<SessionStarter>,
        reporter: Arc<Reporter>,
    ) -> Self {
        let heads = HeadBudget::new(HEADS, HEADS_PER_ADDRESS);
        Self { runtime, current, state, sessions, reporter, slots: Slots::default(), heads }
    }

    /// The number of open connections that count towards `max_connections`.
    pub(crate) fn connections(&self) -> usize {
        self.slots.open()
    }

    /// Whether fewer than a quarter of `max_connections` are left, so that none is for connections that wait for another
    /// request.
    fn is_crowded(&self, max_connections: usize) -> bool {
        max_connections.saturating_sub(self.slots.open()) < max_connections / 4
    }

    /// Serves a connection in a task of its own, or drops it without an answer.
    pub(crate) fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, purpose: Purpose) {
        let in_force = self.current.get();
        let admitted = match self.admit_peer(peer.ip(), &in_force) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.reporter.dropped(peer, &refusal),
        };
        let Some(slot) = self.slots.take(in_force.server.max_connections) else {
            let full = Refusal::new(Reason::Capacity, "max_connections is reached");
            return self.reporter.dropped(peer, &full);
        };
        let accepted = Accepted { stream, address: peer, purpose, slot, admitted, in_force };
        // Boxed: the task of a handshake is large, and tokio copies a task when it starts it.
        let serving = Box::pin(connection::serve(Arc::clone(self), accepted));
        if self.runtime.is_stopping() {
            Runtime::spawn_unawaited(serving);
        } else {
            self.runtime.spawn(serving);
        }
    }

    /// Admits the peer's address; `None` for a trusted proxy, whose client is known later.
    fn admit_peer(
        &self,
        peer: IpAddr,
        in_force: &InForce,
    ) -> Result<Option<AddressAdmission>, Refusal> {
        if Peer::is_trusted(peer, &in_force.server.trusted_proxies) {
            return Ok(None);
        }
        in_force.policy.checks(peer).admit_address(&self.state).map(Some)
    }
}

#[cfg(test)]
mod tests;
