//! The time after which another attempt may succeed.

use std::time::Duration;

/// The time until one more event is allowed, if no other comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(pub Duration);

impl Wait {
    /// The value of Retry-After (RFC 9110 section 10.2.3): whole seconds, at least 1.
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
        let seconds = |nanos| Wait(Duration::from_nanos(nanos)).retry_after();
        assert_eq!(
            [seconds(0), seconds(1), seconds(1_000_000_000), seconds(1_000_000_001)],
            [1, 1, 1, 2]
        );
    }
}
