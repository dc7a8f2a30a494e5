//! The log: one line for each event up to the configured level.

use tracing::Level;

use crate::config::LogFormat;
use crate::journal::writer::Writer;
use crate::journal::{Event, Record, Sink, render};

/// Writes events to the log, except for those that clients cause too often.
#[derive(Debug, Clone)]
pub(in crate::journal) struct LogSink {
    /// The least severe level that is written.
    pub(in crate::journal) level: Level,
    pub(in crate::journal) format: LogFormat,
    pub(in crate::journal) writer: Writer,
}

impl Sink for LogSink {
    fn record(&self, record: &Record<'_>) {
        let written = match record.event {
            // The last three concern one file, and its writer has written them there.
            Event::Counters(_)
            | Event::Connected { .. }
            | Event::LinesLost { .. }
            | Event::LogReopened
            | Event::LogReopenFailed { .. } => false,
            event => event.level() <= self.level && !record.over_rate,
        };
        if written {
            let line = render::line(&record.event, self.format, record.time());
            self.writer.push(line.finish().into());
        }
    }
}
