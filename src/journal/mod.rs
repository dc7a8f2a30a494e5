//! What the gateway says about what it did: one record when a session opens, one when it ends, one
//! for each refusal, and the protocol and connection errors alone in a file of their own. It never
//! writes a payload, a token or a query string, and writing never blocks a session.
//!
//! A room hands a [`Subject`] and what happened to one of the functions below. They emit a tracing
//! event; [`start`] has installed the subscriber that turns events into lines, and each line goes
//! through a bounded queue to a thread that writes it. Lines that could not be written are counted
//! and the count is written instead. Every record and field is described in `docs/logging.md`.

mod emit;
mod line;
mod rate;
mod record;
mod start;
mod subscriber;
mod upstream;
mod writer;

pub use emit::{
    answered, banned, connection_error, dropped, is_error, limited, protocol_error, refused,
    session_ended, session_opened, silent, token_renewal, turned_away, would_refuse,
};
pub use rate::{Caused, RecordRate, Suppressed};
pub use record::{Ended, ProtocolError, Subject};
pub use start::{LogFiles, LogGuard, ObserveError, start, start_with_copy};
pub use upstream::{upstream_down, upstream_up};

#[cfg(test)]
mod tests;
