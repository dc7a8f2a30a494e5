//! The state behind `[limits]`: how many are open by address and by user, and how often they come.
//! Takes keys, rates and the time; gives permits, or how many there are and how long to wait.
//!
//! It knows no socket, names no reason, and waits for nobody: every answer is immediate, and what is
//! refused, delayed or let through because of it is the caller's to decide. All of it is bounded: by
//! the permits and sessions that exist, or by a number of keys beyond which newcomers share.

mod cells;
mod counts;
mod limiters;
mod rates;
mod record_rate;
mod users;

pub use counts::{Counts, Full, Permit};
pub use limiters::{AddressPermit, Limiters, TooOften, UserPermit};
pub use rates::{MOST_KEYS, Monotonic, Rates};
pub use record_rate::RecordRate;
pub use users::Users;
