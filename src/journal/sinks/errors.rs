//! The error log: only protocol errors and connection errors, at any level of the log.

use crate::config::LogFormat;
use crate::journal::writer::Writer;
use crate::journal::{Event, Record, Sink, render};
use crate::values::Reason;

/// Writes errors to the error file, in the same format as the log.
#[derive(Debug, Clone)]
pub(in crate::journal) struct ErrorSink {
    pub(in crate::journal) format: LogFormat,
    pub(in crate::journal) writer: Writer,
}

impl Sink for ErrorSink {
    fn record(&self, record: &Record<'_>) {
        let written = match record.event {
            Event::Refused { reason, .. }
            | Event::RefusedAfterHandshake { reason, .. }
            | Event::ConnectionError { reason, .. }
            | Event::Limited { reason, .. }
            | Event::WouldRefuse { reason, .. } => reason.is_error(),
            Event::ProtocolError { error, .. } => error.reason.is_error(),
            // Some of the records that this event counts may be errors.
            Event::UpstreamDown { .. } | Event::UpstreamUp { .. } | Event::Suppressed(_) => true,
            _ => false,
        };
        if written && !record.over_rate {
            let line = render::line(&record.event, self.format, record.time());
            self.writer.push(line.finish().into());
        }
    }
}

/// Whether a reason is a protocol error or a connection error; see [`Reason::is_error`].
#[must_use]
pub fn is_error(reason: Reason) -> bool {
    reason.is_error()
}
