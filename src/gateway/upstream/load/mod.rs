//! The sessions, plain requests and handshakes of each server, their bounds, and the requests that wait for a place.
//! No clock, and no I/O.
//!
//! [`ServerLoad::take`] takes [`Permits`] without waiting. [`WaitQueue::enter`] waits for a place at one of several
//! servers. A permit that is dropped goes to the request that has waited longest among those that can use it.

mod queue;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::ServerBounds;
use crate::values::Counter;
pub(super) use queue::{NotQueued, Ticket, WaitEnd, WaitQueue};

/// The fewest requests that may wait for one server.
const LEAST_QUEUE: usize = 1000;
/// How many requests may wait for each handshake that may be in flight.
const WAITING_PER_HANDSHAKE: usize = 10;
/// The log gets at most one event about refusals of a server in that time.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The permits that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A session, and a handshake until it is answered.
    Handshake,
    /// A plain request.
    Plain,
}

/// The load of one address of a server. All routes that reach the address share it, and it outlives reloads.
#[derive(Debug)]
pub(super) struct ServerLoad {
    /// Sessions, plain requests, and attempts.
    live: Counter,
    /// Handshakes from the dial until the answer.
    handshakes: Counter,
    bounds: Mutex<PresentBounds>,
    /// The bounds once more, read without a lock; `usize::MAX` is none.
    most_live: AtomicUsize,
    most_handshakes: AtomicUsize,
    /// Handshakes that wait for it.
    waiting_handshakes: AtomicUsize,
    /// Plain requests that wait for it.
    waiting_plain: AtomicUsize,
    /// Whether no route of the configuration in force names it.
    is_removed: AtomicBool,
    report: Mutex<Report>,
    queue: Arc<WaitQueue>,
}

/// The bounds in force.
#[derive(Debug, Default)]
struct PresentBounds {
    /// The number of the configuration that set them; 0: none did.
    generation: u64,
    bounds: ServerBounds,
}

/// The refusals that were logged.
#[derive(Debug, Default)]
struct Report {
    at: Option<Instant>,
    unlogged: u32,
}

/// Counts a session or a plain request for its server until it is dropped.
#[derive(Debug)]
pub(crate) struct LoadPermit(Arc<ServerLoad>);

/// Counts a handshake in flight until it is dropped.
#[derive(Debug)]
pub(super) struct HandshakePermit(Arc<ServerLoad>);

/// The permits of one attempt at a server.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) load: LoadPermit,
    /// `None` for a plain request.
    pub(super) handshake: Option<HandshakePermit>,
}

/// The numbers that `status` shows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ShownLoad {
    /// Its sessions and plain requests at present.
    pub(crate) live: usize,
    /// `max_connections` of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_connections: Option<usize>,
    /// Its handshakes in flight.
    pub(crate) handshakes: usize,
    /// `max_handshakes` of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_handshakes: Option<usize>,
    /// Handshakes and plain requests that wait for it.
    pub(crate) waiting: usize,
}

impl fmt::Display for ShownLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { live, max_connections, handshakes, max_handshakes, waiting } = self;
        write!(f, "{live} live")?;
        if let Some(most) = max_connections {
            write!(f, " of max_connections {most}")?;
        }
        write!(f, ", {handshakes} handshakes in flight")?;
        if let Some(most) = max_handshakes {
            write!(f, " of max_handshakes {most}")?;
        }
        write!(f, ", {waiting} waiting")
    }
}

impl ServerLoad {
    /// The load of a server without bounds; its requests wait in `queue`.
    pub(super) fn new(queue: &Arc<WaitQueue>) -> Arc<Self> {
        Arc::new(Self {
            live: Counter::default(),
            handshakes: Counter::default(),
            bounds: Mutex::default(),
            most_live: AtomicUsize::new(usize::MAX),
            most_handshakes: AtomicUsize::new(usize::MAX),
            waiting_handshakes: AtomicUsize::new(0),
            waiting_plain: AtomicUsize::new(0),
            is_removed: AtomicBool::new(false),
            report: Mutex::default(),
            queue: Arc::clone(queue),
        })
    }

    /// Takes permits if there are any, and if no other request waits for them.
    pub(super) fn take(self: &Arc<Self>, need: Need) -> Option<Permits> {
        if self.has_waiting(need) || !self.add_live() {
            return None;
        }
        let load = LoadPermit(Arc::clone(self));
        let handshake = match need {
            Need::Plain => None,
            Need::Handshake if self.add_handshake() => Some(HandshakePermit(Arc::clone(self))),
            Need::Handshake => return None,
        };
        Some(Permits { load, handshake })
    }

    /// Sets the bounds of a table of configuration number `generation`. The bounds of all tables of that configuration
    /// hold; those of an earlier one do not. More than a lowered bound may be in use until they end; a raised one serves
    /// those that wait.
    pub(super) fn bound(self: &Arc<Self>, generation: u64, bounds: ServerBounds) {
        let mut present = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = match generation.cmp(&present.generation) {
            Ordering::Less => return,
            Ordering::Equal => present.bounds.and(bounds),
            Ordering::Greater => bounds,
        };
        *present = PresentBounds { generation, bounds };
        self.most_live.store(bounds.max_connections.unwrap_or(usize::MAX), Relaxed);
        self.most_handshakes.store(bounds.max_handshakes.unwrap_or(usize::MAX), Relaxed);
        self.is_removed.store(false, Relaxed);
        drop(present);
        self.queue.serve(self);
    }

    /// Ends the wait for a server that the configuration in force does not name.
    pub(super) fn remove(self: &Arc<Self>) {
        self.is_removed.store(true, Relaxed);
        self.queue.dismiss(self);
    }

    /// Ends the wait for a server that went down.
    pub(super) fn dismiss(self: &Arc<Self>) {
        if self.waiting() > 0 {
            self.queue.dismiss(self);
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.is_removed.load(Relaxed)
    }

    /// Its sessions, plain requests and attempts.
    pub(super) fn live(&self) -> usize {
        self.live.used()
    }

    /// Notes that a request was refused because the server is busy. Returns how many were refused before since the
    /// last event, if it is time for one.
    pub(super) fn refused(&self, now: Instant) -> Option<u32> {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if report.at.is_some_and(|at| now.saturating_duration_since(at) < REPORT_INTERVAL) {
            report.unlogged = report.unlogged.saturating_add(1);
            return None;
        }
        report.at = Some(now);
        Some(std::mem::take(&mut report.unlogged))
    }

    pub(super) fn shown(&self) -> ShownLoad {
        let bound = |most: &AtomicUsize| {
            let most = most.load(Relaxed);
            (most < usize::MAX).then_some(most)
        };
        ShownLoad {
            live: self.live.used(),
            max_connections: bound(&self.most_live),
            handshakes: self.handshakes.used(),
            max_handshakes: bound(&self.most_handshakes),
            waiting: self.waiting(),
        }
    }

    /// How many requests may wait for it.
    pub(super) fn most_waiting(&self) -> usize {
        match self.most_handshakes.load(Relaxed) {
            usize::MAX => LEAST_QUEUE,
            most => LEAST_QUEUE.max(most.saturating_mul(WAITING_PER_HANDSHAKE)),
        }
    }

    fn waiting(&self) -> usize {
        self.count(Need::Handshake).load(Relaxed) + self.count(Need::Plain).load(Relaxed)
    }

    fn count(&self, need: Need) -> &AtomicUsize {
        match need {
            Need::Handshake => &self.waiting_handshakes,
            Need::Plain => &self.waiting_plain,
        }
    }

    /// Whether a request waits for a permit that one with this `need` takes. A plain request does not queue behind
    /// handshakes, which may wait for permits that it does not take.
    fn has_waiting(&self, need: Need) -> bool {
        match need {
            Need::Handshake => self.waiting() > 0,
            Need::Plain => self.count(Need::Plain).load(Relaxed) > 0,
        }
    }

    fn add_live(&self) -> bool {
        self.live.add(1, self.most_live.load(Relaxed))
    }

    fn add_handshake(&self) -> bool {
        self.handshakes.add(1, self.most_handshakes.load(Relaxed))
    }
}

impl Drop for LoadPermit {
    fn drop(&mut self) {
        self.0.live.give_back(1);
        // Orders the counter before the look at those that wait; `WaitQueue::enter` does the opposite. So a request
        // that begins to wait sees the permit, or this drop sees the request.
        fence(SeqCst);
        if self.0.waiting() > 0 {
            self.0.queue.serve(&self.0);
        }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.0.handshakes.give_back(1);
        // As above.
        fence(SeqCst);
        if self.0.count(Need::Handshake).load(Relaxed) > 0 {
            self.0.queue.serve(&self.0);
        }
    }
}
