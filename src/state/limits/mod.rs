//! The state behind `[limits]`: open connections and sessions by address and by user, and their
//! rates. Takes keys, rates and the time; returns permits, or the current count and the time to
//! wait.
//!
//! This module knows no sockets and no refusal reasons, and never waits: every answer is immediate,
//! and the caller decides whether to refuse, delay or pass. All state is bounded: by the existing
//! permits and sessions, or by a number of keys beyond which new keys share cells.

mod cells;
mod limiters;
mod rates;
mod record_rate;
mod users;

pub use limiters::{AddressPermit, Limiters, TooOften, UserPermit};
pub use rates::{MOST_KEYS, Monotonic, Rates};
pub use record_rate::RecordRate;
pub use users::{MessageSource, Users};
