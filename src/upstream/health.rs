//! Remembers which upstreams failed, so that the next connection does not wait for them again. No
//! clock and no randomness of its own: instants and dice are passed in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How long an upstream is left alone after its first failure; doubled with each further one.
const FIRST_REST: Duration = Duration::from_secs(2);
/// The longest rest, before its jitter.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What is known of one upstream. Shared by all routes that name it with the same TLS settings, and
/// by the configurations before and after a reload.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last answer to a handshake.
    answered: Option<Instant>,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    failures: u32,
    /// When it is to be tried again.
    due: Instant,
    /// Until then one connection has it to itself, to try it.
    claimed: Option<Instant>,
    error: String,
}

/// Whether an upstream is to be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes, in its place in the order.
    Now,
    /// Only when none of the others answers: it failed, and rests until then.
    Later(Instant),
}

/// A change that the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is down from here on, and rests for so long.
    Down { rest: Duration },
    /// It is up again, after so long and so many failures.
    Up { after: Duration, failures: u32 },
}

/// An upstream as `status` shows it. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// `untried`, `up` or `down`.
    pub(crate) state: &'static str,
    /// How long it has been down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) down_seconds: Option<u64>,
    /// Failures since it was last up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failures: Option<u32>,
    /// When it is tried again although others are up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_seconds: Option<u64>,
    /// Its last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Health {
    /// Whether it is its turn at `now`. One connection alone gets [`Turn::Now`] of an upstream whose
    /// rest is over, until it reports what came of it, or until `claim` at the latest.
    pub(super) fn turn(&self, now: Instant, claim: Instant) -> Turn {
        let mut state = self.locked();
        let Some(down) = &mut state.down else {
            return Turn::Now;
        };
        let free = down.due.max(down.claimed.unwrap_or(down.due));
        if now < free {
            return Turn::Later(free);
        }
        down.claimed = Some(claim);
        Turn::Now
    }

    /// Notes that an attempt which began at `began` failed at `now`. `dice` is any number, from which
    /// the jitter is made. An attempt that is older than the upstream's last answer, or that began
    /// while it rested, says nothing new: it neither marks the upstream nor lengthens its rest.
    pub(super) fn failed(
        &self,
        began: Instant,
        now: Instant,
        dice: u32,
        error: &str,
    ) -> Option<Change> {
        let mut state = self.locked();
        if state.answered.is_some_and(|answered| answered >= began) {
            return None;
        }
        let Some(down) = &mut state.down else {
            let rest = rest(1, dice);
            state.down = Some(Down {
                since: now,
                failures: 1,
                due: now + rest,
                claimed: None,
                error: error.to_owned(),
            });
            return Some(Change::Down { rest });
        };
        if began >= down.due {
            down.failures = down.failures.saturating_add(1);
            down.due = now + rest(down.failures, dice);
            down.claimed = None;
            error.clone_into(&mut down.error);
        }
        None
    }

    /// Notes that it answered a handshake, whatever it said.
    pub(super) fn answered(&self, now: Instant) -> Option<Change> {
        let mut state = self.locked();
        state.answered = Some(now);
        let Down { since, failures, .. } = state.down.take()?;
        Some(Change::Up { after: now.saturating_duration_since(since), failures })
    }

    pub(super) fn shown(&self, now: Instant) -> Shown {
        let state = self.locked();
        let Some(down) = &state.down else {
            let state = if state.answered.is_some() { "up" } else { "untried" };
            let (down_seconds, failures, retry_seconds, error) = (None, None, None, None);
            return Shown { state, down_seconds, failures, retry_seconds, error };
        };
        Shown {
            state: "down",
            down_seconds: Some(now.saturating_duration_since(down.since).as_secs()),
            failures: Some(down.failures),
            retry_seconds: Some(down.due.saturating_duration_since(now).as_secs()),
            error: Some(down.error.clone()),
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it rests after so many failures: doubled each time up to [`LONGEST_REST`], then from
/// three quarters to five quarters of that, so that gateways do not return all at once.
fn rest(failures: u32, dice: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let whole = (FIRST_REST * 2_u32.pow(doublings)).min(LONGEST_REST);
    whole * (192 + dice % 129) / 256
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Change, Health, LONGEST_REST, Turn, rest};

    /// The die that makes no jitter.
    const PLAIN: u32 = 64;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail(health: &Health, at: Instant) -> Option<Change> {
        health.failed(at, at, PLAIN, "refused")
    }

    fn is_now(health: &Health, at: Instant) -> bool {
        health.turn(at, at) == Turn::Now
    }

    #[test]
    fn one_failure_takes_its_turn_away_for_a_few_seconds() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(is_now(&health, start));
        assert_eq!(fail(&health, start), Some(Change::Down { rest: secs(2) }));
        let due = start + secs(2);
        assert_eq!(health.turn(start + secs(1), due), Turn::Later(due));
        assert!(is_now(&health, due));
    }

    #[test]
    fn rests_grow_and_a_change_is_told_once() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(fail(&health, start).is_some());
        let mut now = start;
        for grown in [2, 4, 8, 16, 30, 30] {
            assert_eq!(health.turn(now, now), Turn::Later(now + secs(grown)));
            now += secs(grown);
            assert_eq!(health.turn(now, now), Turn::Now);
            assert_eq!(fail(&health, now), None);
        }
        let up = health.answered(now);
        assert_eq!(up, Some(Change::Up { after: now - start, failures: 7 }));
        assert_eq!(health.answered(now), None);
        assert!(is_now(&health, now));
        assert_eq!(
            fail(&health, now + secs(1)),
            Some(Change::Down { rest: secs(2) }),
            "rests begin anew"
        );
    }

    #[test]
    fn one_connection_tries_what_has_rested() {
        let (health, start) = (Health::default(), Instant::now());
        fail(&health, start);
        let (due, claim) = (start + secs(2), start + secs(3));
        assert_eq!(health.turn(due, claim), Turn::Now);
        assert_eq!(health.turn(due, claim), Turn::Later(claim), "another tries it");
        assert_eq!(health.turn(claim, claim), Turn::Now, "it never said what came of it");
    }

    /// Nobody can make an upstream fail for others that answers the others.
    #[test]
    fn a_failure_that_is_older_than_an_answer_marks_nothing() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(health.answered(start + secs(3)), None);
        assert_eq!(health.failed(start, start + secs(5), PLAIN, "hung"), None);
        assert!(is_now(&health, start + secs(5)));
        let later = start + secs(4);
        assert!(health.failed(later, later + secs(5), PLAIN, "hung").is_some());
    }

    /// Connections that were on their way together are one failure.
    #[test]
    fn failures_while_it_rests_do_not_lengthen_its_rest() {
        let (health, start) = (Health::default(), Instant::now());
        fail(&health, start);
        for _ in 0..100 {
            assert_eq!(health.failed(start, start + secs(1), PLAIN, "refused"), None);
            assert_eq!(fail(&health, start + secs(1)), None);
        }
        assert!(is_now(&health, start + secs(2)));
    }

    #[test]
    fn what_is_shown_is_what_is_known() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(health.shown(start).state, "untried");
        health.failed(start, start, PLAIN, "no route");
        let shown = serde_json::to_value(health.shown(start + secs(1))).unwrap();
        let wanted = serde_json::json!({
            "state": "down", "down_seconds": 1, "failures": 1, "retry_seconds": 1, "error": "no route"
        });
        assert_eq!(shown, wanted);
        health.answered(start);
        let shown = serde_json::to_value(health.shown(start)).unwrap();
        assert_eq!(shown, serde_json::json!({ "state": "up" }));
    }

    proptest! {
        #[test]
        fn a_rest_is_bounded(failures: u32, dice: u32) {
            let rest = rest(failures, dice);
            prop_assert!(rest >= Duration::from_millis(1500) && rest <= LONGEST_REST * 5 / 4);
        }

        /// Whatever came before, an answer brings it back at once, and a rest ends in bounded time.
        #[test]
        fn it_always_comes_back(steps in prop::collection::vec((0_u64..40_000, any::<bool>()), 0..50)) {
            let (health, mut now) = (Health::default(), Instant::now());
            for (pause, failing) in steps {
                now += Duration::from_millis(pause);
                if failing {
                    health.failed(now, now, 5, "x");
                } else {
                    health.answered(now);
                    prop_assert_eq!(health.turn(now, now), Turn::Now);
                }
            }
            prop_assert_eq!(health.turn(now + LONGEST_REST * 5 / 4, now), Turn::Now);
        }
    }
}
