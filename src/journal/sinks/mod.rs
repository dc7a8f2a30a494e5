//! Where events go. A new sink is one file here, and one [`Journal::with`](super::Journal::with) where
//! the journal is made.

mod errors;
mod log;

pub(super) use errors::ErrorSink;
pub use errors::is_error;
pub(super) use log::LogSink;
