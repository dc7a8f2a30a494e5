//! The sinks of the journal. To add a sink, add one file here and one
//! [`Journal::with`](super::Journal::with) where the journal is built.

mod errors;
mod log;

pub(super) use errors::ErrorSink;
pub use errors::is_error;
pub(super) use log::LogSink;
