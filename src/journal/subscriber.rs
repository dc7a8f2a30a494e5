//! From tracing events to lines: which are wanted, where they go, and their fields.

use std::fmt::Debug;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::line::Line;
use super::writer::Writer;
use crate::config::LogFormat;

/// The target of the records that also belong in the error file.
pub(super) const ERROR_TARGET: &str = "framewall::error";

/// The target of every other record.
pub(super) const ACCESS_TARGET: &str = "framewall::access";

/// The most verbose level at which other crates are heard: theirs are for their developers, and
/// some of them print what peers sent.
const OTHERS: Level = Level::WARN;

/// Writes each event to the log, and those of [`ERROR_TARGET`] also to the error file, whatever
/// the log's level. Spans are ignored: a record carries all of its fields itself.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) level: Level,
    pub(super) format: LogFormat,
    pub(super) log: Writer,
    pub(super) errors: Option<Writer>,
    /// Gets every line of the log, too.
    pub(super) copy: Option<Writer>,
}

impl Recorder {
    fn for_log(&self, metadata: &Metadata<'_>) -> bool {
        let level = if is_ours(metadata.target()) { self.level } else { self.level.min(OTHERS) };
        *metadata.level() <= level
    }

    fn for_errors(&self, metadata: &Metadata<'_>) -> Option<&Writer> {
        self.errors.as_ref().filter(|_| metadata.target() == ERROR_TARGET)
    }
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && (self.for_log(metadata) || self.for_errors(metadata).is_some())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let errors = self.errors.as_ref().map(|_| Level::TRACE);
        Some(self.level.max(errors.unwrap_or(self.level)).into())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line::new(self.format, *metadata.level());
        event.record(&mut Fields(&mut line));
        if !is_ours(metadata.target()) {
            line.text("target", metadata.target());
        }
        let line: Arc<str> = line.finish().into();
        if let Some(errors) = self.for_errors(metadata) {
            errors.push(Arc::clone(&line));
        }
        if self.for_log(metadata) {
            if let Some(copy) = &self.copy {
                copy.push(Arc::clone(&line));
            }
            self.log.push(line);
        }
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix("framewall").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.message(value),
            name => self.0.text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.plain(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.0.plain(field.name(), value);
    }
}
