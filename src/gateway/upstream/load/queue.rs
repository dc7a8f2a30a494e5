//! The requests that wait for a place at a server, in the order of their arrival. One queue for all servers: a
//! request that waits for several of them gets the first free place and leaves the others in one step.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{HandshakePermit, LoadPermit, Need, Permits, ServerLoad};

/// The requests that wait for a place at any server of the process. An operation takes logarithmic time in the
/// number that wait; while nothing waits for a server, its permits do not touch the queue.
#[derive(Debug, Default)]
pub(in crate::gateway::upstream) struct WaitQueue(Mutex<QueueState>);

/// The number of a request in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::gateway::upstream) struct Ticket(u64);

/// A wait for a place. A drop leaves the queue at once, and gives back a place that was handed over meanwhile.
#[derive(Debug)]
pub(in crate::gateway::upstream) struct Waiting {
    queue: Arc<WaitQueue>,
    ticket: Ticket,
}

/// The end of a wait.
#[derive(Debug)]
pub(in crate::gateway::upstream) enum WaitEnd {
    /// A place at one of the servers.
    Permits(Arc<ServerLoad>, Permits),
    /// None of the servers is to be waited for: they went down, or were removed.
    Dismissed,
    /// The gateway stops.
    Stopping,
}

/// The reason for not waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway::upstream) enum NotQueued {
    /// As many wait as may.
    Full,
    /// The gateway stops.
    Stopping,
}

#[derive(Debug, Default)]
struct QueueState {
    next: u64,
    is_stopped: bool,
    waiters: HashMap<Ticket, Waiter>,
    /// By the address of the load in memory, which the waiters keep alive. A server without waiters has no entry.
    servers: HashMap<usize, ServerQueue>,
}

#[derive(Debug)]
struct Waiter {
    need: Need,
    /// The servers that it waits for; empty once the wait has ended.
    servers: Vec<Arc<ServerLoad>>,
    end: Option<WaitEnd>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct ServerQueue {
    handshakes: BTreeSet<Ticket>,
    plain: BTreeSet<Ticket>,
}

fn key(server: &Arc<ServerLoad>) -> usize {
    Arc::as_ptr(server).addr()
}

/// Whether no further request may wait for these servers: the bounds of all of them together are reached.
fn is_full(servers: &[Arc<ServerLoad>]) -> bool {
    let most: usize = servers.iter().map(|server| server.most_waiting()).sum();
    let longest = servers.iter().map(|server| server.waiting()).max();
    longest.unwrap_or(0) >= most
}

impl WaitQueue {
    /// Begins to wait for a place at one of `servers`, or takes one. With the `ticket` of an earlier wait, the request
    /// keeps its position.
    pub(in crate::gateway::upstream) fn enter(
        self: &Arc<Self>,
        need: Need,
        servers: &[Arc<ServerLoad>],
        ticket: Option<Ticket>,
    ) -> Result<Waiting, NotQueued> {
        let mut wakers = Vec::new();
        let mut state = self.locked();
        if state.is_stopped {
            return Err(NotQueued::Stopping);
        }
        if ticket.is_none() && is_full(servers) {
            return Err(NotQueued::Full);
        }
        let ticket = ticket.unwrap_or_else(|| state.next_ticket());
        for server in servers {
            state.servers.entry(key(server)).or_default().of(need).insert(ticket);
            server.count(need).fetch_add(1, Ordering::Relaxed);
        }
        // The other half of the order in `LoadPermit::drop`.
        fence(Ordering::SeqCst);
        let waiter = Waiter { need, servers: servers.to_vec(), end: None, waker: None };
        state.waiters.insert(ticket, waiter);
        for server in servers {
            state.serve(server, &mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(Waiting { queue: Arc::clone(self), ticket })
    }

    /// Hands the free permits of `server` to those that wait.
    pub(super) fn serve(&self, server: &Arc<ServerLoad>) {
        let mut wakers = Vec::new();
        self.locked().serve(server, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends every wait for `server`, except those for others too.
    pub(super) fn dismiss(&self, server: &Arc<ServerLoad>) {
        let mut wakers = Vec::new();
        self.locked().dismiss(server, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends every wait, for good: the gateway stops.
    pub(in crate::gateway::upstream) fn stop(&self) {
        let mut wakers = Vec::new();
        let mut state = self.locked();
        state.is_stopped = true;
        let tickets: Vec<Ticket> = state.waiters.keys().copied().collect();
        for ticket in tickets {
            state.finish(ticket, WaitEnd::Stopping, &mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn locked(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn next_ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }

    fn serve(&mut self, server: &Arc<ServerLoad>, wakers: &mut Vec<Waker>) {
        while let Some((ticket, permits)) = self.next_served(server) {
            self.finish(ticket, WaitEnd::Permits(Arc::clone(server), permits), wakers);
        }
    }

    /// Takes permits for the first in the queue of `server` that can use them. The counters are given back without a
    /// call to [`WaitQueue::serve`], which would wait for the lock: nobody was passed over for them.
    fn next_served(&self, server: &Arc<ServerLoad>) -> Option<(Ticket, Permits)> {
        let queue = self.servers.get(&key(server))?;
        if !server.add_live() {
            return None;
        }
        let (handshake, plain) = (queue.handshakes.first(), queue.plain.first());
        let handshake = handshake.filter(|ticket| plain.is_none_or(|plain| *ticket < plain));
        if let Some(ticket) = handshake
            && server.add_handshake()
        {
            let handshake = Some(HandshakePermit(Arc::clone(server)));
            return Some((*ticket, Permits { load: LoadPermit(Arc::clone(server)), handshake }));
        }
        let Some(ticket) = plain else {
            server.live.give_back(1);
            return None;
        };
        Some((*ticket, Permits { load: LoadPermit(Arc::clone(server)), handshake: None }))
    }

    fn dismiss(&mut self, server: &Arc<ServerLoad>, wakers: &mut Vec<Waker>) {
        let Some(ServerQueue { handshakes, plain }) = self.servers.remove(&key(server)) else {
            return;
        };
        for ticket in handshakes.into_iter().chain(plain) {
            let Some(waiter) = self.waiters.get_mut(&ticket) else {
                continue;
            };
            waiter.servers.retain(|one| !Arc::ptr_eq(one, server));
            server.count(waiter.need).fetch_sub(1, Ordering::Relaxed);
            if waiter.servers.is_empty() {
                self.finish(ticket, WaitEnd::Dismissed, wakers);
            }
        }
    }

    /// Ends a wait. It leaves the queues; the waiter stays until its task takes the end.
    fn finish(&mut self, ticket: Ticket, end: WaitEnd, wakers: &mut Vec<Waker>) {
        self.leave(ticket);
        if let Some(waiter) = self.waiters.get_mut(&ticket)
            && waiter.end.is_none()
        {
            waiter.end = Some(end);
            wakers.extend(waiter.waker.take());
        }
    }

    /// Takes a waiter out of the queues of its servers.
    fn leave(&mut self, ticket: Ticket) {
        let Some(waiter) = self.waiters.get_mut(&ticket) else {
            return;
        };
        for server in std::mem::take(&mut waiter.servers) {
            server.count(waiter.need).fetch_sub(1, Ordering::Relaxed);
            if let Some(queue) = self.servers.get_mut(&key(&server)) {
                queue.of(waiter.need).remove(&ticket);
                if queue.handshakes.is_empty() && queue.plain.is_empty() {
                    self.servers.remove(&key(&server));
                }
            }
        }
    }
}

impl ServerQueue {
    fn of(&mut self, need: Need) -> &mut BTreeSet<Ticket> {
        match need {
            Need::Handshake => &mut self.handshakes,
            Need::Plain => &mut self.plain,
        }
    }
}

impl Waiting {
    /// For a further wait of the same request.
    pub(in crate::gateway::upstream) fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Future for Waiting {
    type Output = WaitEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WaitEnd> {
        let mut state = self.queue.locked();
        // A future that is polled after its end has none.
        let Some(waiter) = state.waiters.get_mut(&self.ticket) else {
            return Poll::Ready(WaitEnd::Dismissed);
        };
        if let Some(end) = waiter.end.take() {
            state.waiters.remove(&self.ticket);
            return Poll::Ready(end);
        }
        waiter.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.queue.locked();
        state.leave(self.ticket);
        let waiter = state.waiters.remove(&self.ticket);
        drop(state);
        // Dropped without the lock: the permits in it serve the next one.
        drop(waiter);
    }
}
