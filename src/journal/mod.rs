//! Events of the gateway and their sinks: [`Journal::record`] passes an [`Event`] to every [`Sink`].
//! The log and the error log are the first two sinks. No event holds a payload, a token or a query
//! string, and no sink may block a session.
//!
//! [`start`] opens the log: each record becomes a line, and each line goes through a bounded queue to a
//! thread that writes it. Lines that could not be written are counted, and the log reports the count.
//! `docs/logging.md` describes every record and field. The log also contains the tracing events of
//! libraries; the gateway itself uses tracing only for diagnostics that are not an [`Event`].

mod diagnostics;
mod event;
mod line;
mod render;
mod sinks;
mod start;
mod subject;
mod writer;

use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use event::{
    AdminAction, ClientCaused, Counters, DrainRecord, Ended, Event, ObservationRecord,
    ProtocolError, RouteCounters, Suppressed,
};
pub use sinks::is_error;
pub use start::{LogError, LogFiles, LogGuard, start, start_with_copy};
pub use subject::Subject;

/// A consumer of events. It must return immediately: the thread in which the event occurs calls it.
pub trait Sink: Send + Sync {
    /// Processes an event, or ignores it.
    fn record(&self, record: &Record<'_>);

    /// Whether the sink uses [`Event::Counters`]. If no sink does, the gateway does not collect them.
    fn wants_counters(&self) -> bool {
        false
    }
}

/// An event with the data that all sinks share.
pub struct Record<'a> {
    /// The event.
    pub event: Event<'a>,
    /// Whether the event exceeds the rate limit of the log. A sink that only counts should count the
    /// event nevertheless.
    pub over_rate: bool,
    time: OnceCell<String>,
}

impl Record<'_> {
    /// The time of the event (RFC 3339, UTC, microseconds), the same for every sink.
    #[must_use]
    pub fn time(&self) -> &str {
        self.time.get_or_init(line::now)
    }
}

/// Limits the rate of records that clients can cause at will.
pub trait RecordLimit: Send + Sync {
    /// Whether the log may write one more record of this kind about `address`; a refused record is counted.
    fn allows(&self, kind: ClientCaused, address: IpAddr) -> bool;
}

/// Passes events to sinks. Clones share the sinks; the default has none.
#[derive(Clone, Default)]
pub struct Journal {
    sinks: Arc<[Arc<dyn Sink>]>,
    limit: Option<Arc<dyn RecordLimit>>,
}

impl Journal {
    /// Adds a sink.
    #[must_use]
    pub fn with(self, sink: Arc<dyn Sink>) -> Self {
        Self { sinks: self.sinks.iter().cloned().chain([sink]).collect(), ..self }
    }

    /// Sets the rate limit for events that clients can cause.
    #[must_use]
    pub fn limited_by(self, limit: Arc<dyn RecordLimit>) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Whether a sink wants [`Event::Counters`].
    pub(crate) fn wants_counters(&self) -> bool {
        self.sinks.iter().any(|sink| sink.wants_counters())
    }

    /// Passes an event to every sink.
    pub fn record(&self, event: Event<'_>) {
        let over_rate = match (&self.limit, event.client_caused()) {
            (Some(limit), Some((kind, address))) => !limit.allows(kind, address),
            _ => false,
        };
        let record = Record { event, over_rate, time: OnceCell::new() };
        for sink in self.sinks.iter() {
            sink.record(&record);
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("sinks", &self.sinks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
