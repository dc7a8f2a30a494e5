//! Failures that the client's request may have caused, and how many of them mark an upstream as down.

use std::time::{Duration, Instant};

use crate::values::AddressKey;

/// How long an upstream must have answered no handshake, since the first such failure, before a failure
/// marks it.
const UNANSWERED: Duration = Duration::from_secs(2);
/// Failures of one client that count as much as failures of two clients.
const OF_ONE: u32 = 3;
/// Failures that are further apart than this are unrelated.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The failures since the last answer to a handshake.
#[derive(Debug, Default)]
pub(super) struct Doubt(Option<Failures>);

#[derive(Debug)]
struct Failures {
    first: Instant,
    last: Instant,
    count: u32,
    /// The client of the first failure.
    client: AddressKey,
    /// Whether another client had a failure, too.
    several: bool,
}

impl Doubt {
    /// Adds a failure of `client` at `now`. Returns whether the failures since the last answer mark the
    /// upstream: they go back at least [`UNANSWERED`], and are those of two clients, or at least
    /// [`OF_ONE`].
    pub(super) fn add(&mut self, client: AddressKey, now: Instant) -> bool {
        self.0.take_if(|failures| now.saturating_duration_since(failures.last) > FORGOTTEN);
        let failures = self.0.get_or_insert(Failures {
            first: now,
            last: now,
            count: 0,
            client,
            several: false,
        });
        failures.last = now;
        failures.count = failures.count.saturating_add(1);
        failures.several |= failures.client != client;
        now.saturating_duration_since(failures.first) >= UNANSWERED
            && (failures.several || failures.count >= OF_ONE)
    }

    /// Clears the failures: a handshake was answered, or they have marked the upstream.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::{Doubt, FORGOTTEN};
    use crate::values::AddressKey;

    fn client(number: u32) -> AddressKey {
        IpAddr::from(Ipv4Addr::from_bits(number)).into()
    }

    #[test]
    fn a_flood_within_two_seconds_is_not_enough() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        for millis in 0..2000 {
            let now = start + Duration::from_millis(millis);
            assert!(!doubt.add(client(u32::try_from(millis).unwrap()), now), "{millis}");
        }
        assert!(doubt.add(client(0), start + Duration::from_secs(2)));
    }

    #[test]
    fn an_upstream_is_down_after_two_clients_or_three_failures() {
        let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(3));
        for (second, enough) in [(1, false), (2, true)] {
            let mut doubt = Doubt::default();
            assert!(!doubt.add(client(1), start));
            assert_eq!(doubt.add(client(second), later), enough);
            assert!(doubt.add(client(1), later));
        }
    }

    #[test]
    fn an_answer_or_a_long_pause_begins_anew() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        doubt.add(client(1), start);
        doubt.clear();
        let later = start + Duration::from_secs(3);
        assert!(!doubt.add(client(2), later));
        assert!(!doubt.add(client(3), later), "the time begins anew too");
        let last = later + FORGOTTEN + Duration::from_secs(1);
        assert!(!doubt.add(client(4), last));
        assert!(!doubt.add(client(5), last));
    }
}
