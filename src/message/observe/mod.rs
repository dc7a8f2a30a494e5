//! Observes the messages of a route before there are rules for them, and drafts the rules from what was seen: types
//! with their sizes and rates, and a JSON Schema of each. Takes payloads and instants; gives a [`Report`]. It keeps the
//! names of members and types, within bounds, and of values only their types, lengths and formats. No I/O.
//!
//! Memory: at most [`MOST_KEPT`] bytes of messages in progress, [`MOST_UNDECIDED`] bytes of whole messages until the
//! place of the type is known, and [`MOST_NODES`] places in schemas, of less than 400 bytes each. Messages beyond
//! [`MOST_READ`] or [`MOST_READ_BYTES`] in a second are counted and not read, so that the work stays bounded.

mod draft;
mod formats;
mod group;
mod guess;
mod names;
mod protocol;
mod report;
mod seen;
mod shape;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::values::Endpoint;
use crate::wire::{MessageObserver, ObservedMessage};
pub use draft::SchemaFile;
use formats::Formats;
use protocol::ItemReader;
pub use protocol::ObservedProtocol;
pub use report::{Direction, Messages, Report};
use seen::{Content, Seen, read};

/// The most bytes of messages in progress, of all sessions together. A buffer may take twice as much.
const MOST_KEPT: usize = 4 << 20;
/// The most bytes of messages that are kept until the place of the type is known.
const MOST_UNDECIDED: usize = 1 << 20;
/// The number of JSON objects from which the place of the type is guessed.
const ENOUGH: usize = 256;
/// The most types.
const MOST_TYPES: usize = 256;
/// The most places in the schemas of one observation.
const MOST_NODES: usize = 32_768;
/// The most places in one schema.
const MOST_NODES_OF_TYPE: usize = 2048;
/// The most messages that are read in a second.
const MOST_READ: u32 = 1000;
/// The most bytes of messages that are read in a second.
const MOST_READ_BYTES: usize = 2 << 20;
/// The most rates that are counted for one type of one session each.
const MOST_PEAKS: usize = 65_536;
/// The messages to observe.
#[derive(Debug)]
pub struct Observed {
    /// Their sender.
    pub sender: Endpoint,
    /// The JSON pointer to the type; `None`: it is guessed.
    pub type_at: Option<String>,
    /// The protocol that they speak, which has the types.
    pub protocol: Option<ObservedProtocol>,
}

/// An observation of the messages of one route and direction.
#[derive(Debug)]
pub struct Observation {
    begun: Instant,
    sender: Endpoint,
    protocol: Option<ObservedProtocol>,
    formats: Formats,
    pace: Mutex<Reading>,
    seen: Mutex<Seen>,
}

/// The messages that are being read.
#[derive(Debug, Default)]
struct Reading {
    /// The second of the counts, after the begin of the observation.
    second: u64,
    messages: u32,
    bytes: usize,
    /// Bytes of messages in progress.
    kept: usize,
}

impl Observation {
    /// Begins at `now`.
    #[must_use]
    pub fn new(observed: Observed, now: Instant) -> Self {
        let Observed { sender, type_at, protocol } = observed;
        let seen = Seen::new(type_at, protocol.is_some(), now);
        let (pace, seen) = (Mutex::default(), Mutex::new(seen));
        Self { begun: now, sender, protocol, formats: Formats::new(), pace, seen }
    }

    /// An observer of one more session.
    pub fn observer(self: &Arc<Self>) -> Box<dyn MessageObserver> {
        let mut seen = self.seen();
        let session = seen.next_session;
        seen.next_session = session.wrapping_add(1);
        drop(seen);
        let observation = Arc::clone(self);
        let reader = self.reader();
        Box::new(SessionObserver { observation, session, begun: false, kept: 0, reader })
    }

    /// A reader of the protocol.
    fn reader(&self) -> Option<ItemReader> {
        self.protocol.as_ref().map(|protocol| protocol.reader(self.sender))
    }

    /// The messages seen so far, up to `now`.
    pub fn report(&self, route: &str, now: Instant) -> Report {
        let direction = match self.sender {
            Endpoint::Client => Direction::Messages,
            Endpoint::Upstream => Direction::Replies,
        };
        let mut seen = self.seen();
        seen.decide(&self.formats);
        let protocol = self.protocol.as_ref().map(ObservedProtocol::name);
        let seconds = now.saturating_duration_since(self.begun).as_secs();
        report::report(&seen, route, direction, protocol, seconds)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Reading> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the messages of one session to an observation.
#[derive(Debug)]
struct SessionObserver {
    observation: Arc<Observation>,
    session: u32,
    /// Whether the session sent a message.
    begun: bool,
    /// Bytes of the message in progress that count as kept.
    kept: usize,
    reader: Option<ItemReader>,
}

impl SessionObserver {
    fn release(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        if kept > 0 {
            let mut pace = self.observation.pace();
            pace.kept = pace.kept.saturating_sub(kept);
        }
    }
}

impl MessageObserver for SessionObserver {
    fn begin(&mut self, now: Instant) -> bool {
        self.release();
        let second = now.saturating_duration_since(self.observation.begun).as_secs();
        let mut pace = self.observation.pace();
        if pace.second != second {
            *pace = Reading { second, kept: pace.kept, ..Reading::default() };
        }
        let reads = pace.messages < MOST_READ && pace.bytes < MOST_READ_BYTES;
        pace.messages += u32::from(reads);
        reads
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let mut pace = self.observation.pace();
        if pace.kept.saturating_add(bytes) > MOST_KEPT {
            return false;
        }
        pace.kept += bytes;
        pace.bytes += bytes;
        self.kept += bytes;
        true
    }

    fn end(&mut self, message: &ObservedMessage<'_>) {
        self.release();
        let content = match (&mut self.reader, message.payload) {
            (None, payload) => read(payload),
            (Some(reader), Some(payload)) => reader.read(message, payload),
            (Some(_), None) => {
                // It does not know what came in between.
                self.reader = self.observation.reader();
                Content::Unread
            }
        };
        let mut seen = self.observation.seen();
        seen.sessions += u64::from(!std::mem::replace(&mut self.begun, true));
        seen.add(self.session, message, content, &self.observation.formats);
    }

    fn forget(&mut self) {
        self.release();
    }
}

impl Drop for SessionObserver {
    fn drop(&mut self) {
        self.release();
        let mut seen = self.observation.seen();
        if let Some(peaks) = seen.peaks.remove(&self.session) {
            seen.peaks_held = seen.peaks_held.saturating_sub(peaks.len());
        }
    }
}
