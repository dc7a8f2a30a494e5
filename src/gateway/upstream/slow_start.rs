//! The weight of a server that came up a short time ago. Pure: instants are passed in.

use std::time::{Duration, Instant};

/// The weight of a server at `now`, in thousandths. It grows over the time `slow_start` from a tenth of `whole` to
/// all of it, beginning when the server `came_up`; `None`: it was there from the start.
pub(super) fn weight(
    whole: u16,
    came_up: Option<Instant>,
    slow_start: Option<Duration>,
    now: Instant,
) -> u32 {
    let thousandths = match (came_up, slow_start) {
        (Some(came_up), Some(over)) => grown(now.saturating_duration_since(came_up), over),
        _ => 1000,
    };
    u32::from(whole) * thousandths
}

/// From 100 to 1000 thousandths.
fn grown(passed: Duration, over: Duration) -> u32 {
    if passed >= over {
        return 1000;
    }
    let grown = 900 * passed.as_millis() / over.as_millis().max(1);
    100 + u32::try_from(grown).unwrap_or(900)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::weight;

    const OVER: Option<Duration> = Some(Duration::from_secs(30));

    fn at(millis: u64) -> u32 {
        let start = Instant::now();
        weight(4, Some(start), OVER, start + Duration::from_millis(millis))
    }

    #[test]
    fn a_weight_grows_linearly_from_a_tenth_to_the_whole() {
        for (millis, thousandths) in [
            (0, 400),
            (10_000, 1600),
            (15_000, 2200),
            (29_990, 3996),
            (30_000, 4000),
            (99_000, 4000),
        ] {
            assert_eq!(at(millis), thousandths, "{millis}");
        }
    }

    #[test]
    fn without_a_slow_start_or_a_change_it_is_whole() {
        let now = Instant::now();
        assert_eq!(weight(1, Some(now), None, now), 1000);
        assert_eq!(weight(1000, None, OVER, now), 1_000_000);
        assert_eq!(weight(1, Some(now + Duration::from_secs(1)), OVER, now), 100, "a later start");
    }
}
