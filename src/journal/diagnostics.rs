//! Writes tracing events to the log: warnings and errors of libraries, and diagnostics of the gateway
//! that are not an [`Event`](super::Event).

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::line::{self, Line};
use super::sinks::LogSink;

/// The least severe level that other crates write: their lower levels are for their developers, and
/// some print data of peers.
const OTHERS: Level = Level::WARN;

/// Writes each tracing event to the log. Spans are ignored.
#[derive(Debug)]
pub(super) struct Diagnostics(pub(super) Vec<LogSink>);

impl<S: Subscriber> Layer<S> for Diagnostics {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && self.0.iter().any(|log| is_written(log, metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.iter().map(|log| log.level.into()).max()
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let now = line::now();
        for log in self.0.iter().filter(|log| is_written(log, metadata)) {
            let mut line = Line::new(log.format, *metadata.level(), &now);
            event.record(&mut Fields(&mut line));
            if !is_ours(metadata.target()) {
                line.field("target", metadata.target());
            }
            log.writer.push(line.finish().into());
        }
    }
}

fn is_written(log: &LogSink, metadata: &Metadata<'_>) -> bool {
    let level = if is_ours(metadata.target()) { log.level } else { log.level.min(OTHERS) };
    *metadata.level() <= level
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix("framewall").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.message(value),
            name => {
                self.0.field(name, value);
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.field(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.field(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.field(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.0.field(field.name(), value);
    }
}
