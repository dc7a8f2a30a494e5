//! A rate limit as the configuration states it.

use std::time::Duration;

/// So many in a time, and so many at once: `"100/s burst 200"`, `"1MiB/s burst 4MiB"`. `count` and
/// `burst` are at most 1,000,000, of bytes from 1 KiB to 10 GiB, and a burst that was used up comes
/// back within a day: `burst * per <= count * 24 h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many, or how many bytes; at least 1.
    pub count: u64,
    /// In this time: a second, a minute or an hour.
    pub per: Duration,
    /// How many may come at once; at least 1. Not said, it is `count`.
    pub burst: u64,
}
