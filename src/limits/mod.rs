//! The state behind `[limits]`: how many are open by address and by user, and how often they come.
//! Takes keys, rates and the time; gives permits, or how many there are and how long to wait.
//!
//! It knows no socket, names no reason, and waits for nobody: every answer is immediate, and what is
//! refused, delayed or let through because of it is the caller's to decide. All of it is bounded: by
//! the permits and sessions that exist, or by a number of keys beyond which newcomers share.

mod cells;
mod counts;
mod key;
mod limiters;
mod pace;
mod rates;
mod users;

use std::time::Duration;

pub use counts::{Counts, Full, Permit};
pub use key::{AddressKey, UserKey};
pub use limiters::{AddressPermit, Limiters, TooOften, UserPermit};
pub use rates::{MOST_KEYS, Monotonic, Rates};
pub use users::{UserShare, Users};

/// How long it takes until one more is allowed, if nobody else comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(pub Duration);

impl Wait {
    /// As Retry-After has it (RFC 9110 section 10.2.3): whole seconds, at least 1.
    #[must_use]
    pub fn retry_after(self) -> u64 {
        let part = u64::from(self.0.subsec_nanos() > 0);
        self.0.as_secs().saturating_add(part).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Wait;

    #[test]
    fn retry_after_is_never_too_early() {
        let told = |nanos| Wait(Duration::from_nanos(nanos)).retry_after();
        assert_eq!([told(0), told(1), told(1_000_000_000), told(1_000_000_001)], [1, 1, 1, 2]);
    }
}
