//! A rate limit as the configuration states it.

use std::time::Duration;

/// A number of events in a time, and a burst: `"100/s burst 200"`, `"1MiB/s burst 4MiB"`. `count`
/// and `burst` are at most 1,000,000 (bytes: from 1 KiB to 10 GiB), and an exhausted burst is
/// replenished within a day: `burst * per <= count * 24 h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Events or bytes in the time; at least 1.
    pub count: u64,
    /// The time: a second, a minute or an hour.
    pub per: Duration,
    /// Events or bytes that may come at once; at least 1. Default: `count`.
    pub burst: u64,
}
