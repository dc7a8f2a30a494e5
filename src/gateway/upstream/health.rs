//! Remembers which upstreams failed, so that the next connection does not wait for them again. No clock and
//! no randomness of its own: instants and dice are passed in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::doubt::Doubt;
use crate::values::AddressKey;

/// How long an upstream rests after its first failure; doubled with each further one.
const FIRST_REST: Duration = Duration::from_secs(2);
/// The longest rest, before its jitter.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// The log gets at most one [`Change::Down`] in that time, and one [`Change::Up`] after each.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The health of one upstream. Shared by all routes that name it with the same TLS settings, and by the
/// configurations before and after a reload.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    /// The last answer to a handshake.
    answered: Option<Instant>,
    doubt: Doubt,
    down: Option<Down>,
    report: ReportState,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    failures: u32,
    /// When it is tried again.
    due: Instant,
    /// Until then a connection has claimed it, and is the only one to try it.
    claimed: Option<Instant>,
    /// Whether the last failure was [`Failed::Doubtful`]. No connection can claim it then, or the client
    /// that causes the failures could be the one that tries it each time.
    doubtful: bool,
    error: String,
}

/// The changes that were logged.
#[derive(Debug, Default)]
struct ReportState {
    /// When the last [`Change::Down`] was logged.
    at: Option<Instant>,
    /// Whether no [`Change::Up`] was logged after it.
    down: bool,
    /// How many times it went down since then without a log record.
    unlogged: u32,
}

/// How certain it is that a failed attempt is the upstream's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// There was no connection, or no answer in the time that a client without delay leaves. Marks it as
    /// down at once.
    Certain,
    /// After the request was sent, the connection ended or bytes arrived that are not HTTP: the request of
    /// this client may be the cause.
    Doubtful(AddressKey),
}

/// Whether an upstream is to be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes, in its place in the order.
    Now,
    /// Only if no other upstream answers: it failed, and rests until then.
    Later(Instant),
}

/// A change for the log, at most one pair every [`REPORT_INTERVAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is down, and rests for `rest`. It went down `unlogged` times before without a log record.
    Down { rest: Duration, unlogged: u32 },
    /// It is up again, after this time and this many failures.
    Up { after: Duration, failures: u32 },
}

/// An upstream as `status` shows it. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShownUpstream {
    /// `untried`, `up` or `down`.
    pub(crate) state: &'static str,
    /// How long it has been down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) down_seconds: Option<u64>,
    /// Failures since it was last up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failures: Option<u32>,
    /// When it is tried again even if others are up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_seconds: Option<u64>,
    /// Its last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Health {
    /// Whether to try the upstream at `now`. After a rest only one connection gets [`Turn::Now`], until it
    /// reports its outcome, or until `claim` at the latest.
    pub(super) fn turn(&self, now: Instant, claim: Instant) -> Turn {
        let mut state = self.locked();
        let Some(down) = &mut state.down else {
            return Turn::Now;
        };
        let free = down.due.max(down.claimed.unwrap_or(down.due));
        if now < free {
            return Turn::Later(free);
        }
        if !down.doubtful {
            down.claimed = Some(claim);
        }
        Turn::Now
    }

    /// Notes that an attempt which began at `began` failed at `now`. `dice` is a random number for the
    /// jitter. An attempt that is older than the upstream's last answer, or that began during its rest, is
    /// no news: it neither marks the upstream as down nor lengthens its rest. A [`Failed::Doubtful`] marks
    /// it only as [`Doubt`] decides, and its rest does not grow.
    pub(super) fn failed(
        &self,
        began: Instant,
        now: Instant,
        dice: u32,
        failed: Failed,
        error: &str,
    ) -> Option<Change> {
        let mut state = self.locked();
        let HealthState { answered, doubt, down, report } = &mut *state;
        if answered.is_some_and(|answered| answered >= began) {
            return None;
        }
        if down.as_ref().is_none_or(|down| began >= down.due) {
            let doubtful = match failed {
                Failed::Certain => false,
                Failed::Doubtful(client) => {
                    if !doubt.add(client, now) {
                        // It accepts connections: from now on any connection may try it.
                        if let Some(down) = down {
                            (down.doubtful, down.claimed) = (true, None);
                        }
                        return report.down(down.as_ref(), now);
                    }
                    true
                }
            };
            doubt.clear();
            if down.is_none() {
                report.unlogged = report.unlogged.saturating_add(1);
            }
            let failures = down.as_ref().map_or(0, |down| down.failures).saturating_add(1);
            *down = Some(Down {
                since: down.as_ref().map_or(now, |down| down.since),
                failures,
                due: now + rest(if doubtful { 1 } else { failures }, dice),
                claimed: None,
                doubtful,
                error: error.to_owned(),
            });
        }
        report.down(down.as_ref(), now)
    }

    /// Notes that it answered a handshake, with any status.
    pub(super) fn answered(&self, now: Instant) -> Option<Change> {
        let mut state = self.locked();
        state.answered = Some(now);
        state.doubt.clear();
        let Down { since, failures, .. } = state.down.take()?;
        let up = Change::Up { after: now.saturating_duration_since(since), failures };
        std::mem::take(&mut state.report.down).then_some(up)
    }

    pub(super) fn shown(&self, now: Instant) -> ShownUpstream {
        let state = self.locked();
        let Some(down) = &state.down else {
            let state = if state.answered.is_some() { "up" } else { "untried" };
            let (down_seconds, failures, retry_seconds, error) = (None, None, None, None);
            return ShownUpstream { state, down_seconds, failures, retry_seconds, error };
        };
        ShownUpstream {
            state: "down",
            down_seconds: Some(now.saturating_duration_since(down.since).as_secs()),
            failures: Some(down.failures),
            retry_seconds: Some(down.due.saturating_duration_since(now).as_secs()),
            error: Some(down.error.clone()),
        }
    }

    fn locked(&self) -> MutexGuard<'_, HealthState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportState {
    /// The change to log at `now` for an upstream that is `down`: none if it was logged, or if the last one
    /// was logged less than [`REPORT_INTERVAL`] ago.
    fn down(&mut self, down: Option<&Down>, now: Instant) -> Option<Change> {
        let down = down?;
        let recent = |at| now.saturating_duration_since(at) < REPORT_INTERVAL;
        if self.down || self.at.is_some_and(recent) {
            return None;
        }
        // This time is counted in `unlogged`, and is logged now.
        let unlogged = self.unlogged.saturating_sub(1);
        *self = Self { at: Some(now), down: true, unlogged: 0 };
        Some(Change::Down { rest: down.due.saturating_duration_since(now), unlogged })
    }
}

/// How long it rests after so many failures: doubled each time up to [`LONGEST_REST`], with a jitter of
/// three quarters to five quarters, so that not all gateways return at once.
fn rest(failures: u32, dice: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let whole = (FIRST_REST * 2_u32.pow(doublings)).min(LONGEST_REST);
    whole * (192 + dice % 129) / 256
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use std::net::{IpAddr, Ipv4Addr};

    use super::{Change, Failed, Health, LONGEST_REST, REPORT_INTERVAL, Turn, rest};

    /// The die that gives no jitter.
    const PLAIN: u32 = 64;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail(health: &Health, at: Instant) -> Option<Change> {
        health.failed(at, at, PLAIN, Failed::Certain, "refused")
    }

    /// An upstream hung up on a request of that client.
    fn hang_up(health: &Health, client: u32, at: Instant) -> Option<Change> {
        let client = IpAddr::from(Ipv4Addr::from_bits(client)).into();
        health.failed(at, at, PLAIN, Failed::Doubtful(client), "hung up")
    }

    fn down(rest: u64, unlogged: u32) -> Change {
        Change::Down { rest: secs(rest), unlogged }
    }

    fn is_now(health: &Health, at: Instant) -> bool {
        health.turn(at, at) == Turn::Now
    }

    #[test]
    fn a_failed_upstream_is_tried_last_for_two_seconds() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(is_now(&health, start));
        assert_eq!(fail(&health, start), Some(down(2, 0)));
        let due = start + secs(2);
        assert_eq!(health.turn(start + secs(1), due), Turn::Later(due));
        assert!(is_now(&health, due));
    }

    #[test]
    fn rests_grow_and_each_change_is_reported_once() {
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
        assert_eq!(fail(&health, now + secs(1)), Some(down(2, 0)), "rests begin anew");
    }

    #[test]
    fn one_connection_tries_an_upstream_after_its_rest() {
        let (health, start) = (Health::default(), Instant::now());
        fail(&health, start);
        let (due, claim) = (start + secs(2), start + secs(3));
        assert_eq!(health.turn(due, claim), Turn::Now);
        assert_eq!(health.turn(due, claim), Turn::Later(claim), "another tries it");
        assert_eq!(health.turn(claim, claim), Turn::Now, "it never said what came of it");
    }

    /// A client cannot mark an upstream as down for others while it answers them.
    #[test]
    fn a_failure_that_is_older_than_an_answer_marks_nothing() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(health.answered(start + secs(3)), None);
        assert_eq!(health.failed(start, start + secs(5), PLAIN, Failed::Certain, "hung"), None);
        assert!(is_now(&health, start + secs(5)));
        let later = start + secs(4);
        assert!(health.failed(later, later + secs(5), PLAIN, Failed::Certain, "hung").is_some());
    }

    /// However often these clients repeat them.
    #[test]
    fn requests_that_fail_beside_others_that_are_answered_mark_nothing() {
        let (health, start) = (Health::default(), Instant::now());
        for tenth in 0..600 {
            let now = start + Duration::from_millis(tenth * 100);
            for client in 0..10 {
                assert_eq!(hang_up(&health, client, now), None);
                assert!(is_now(&health, now));
            }
            if tenth % 19 == 0 {
                assert_eq!(health.answered(now), None);
            }
        }
    }

    #[test]
    fn requests_that_fail_for_two_seconds_mark_an_upstream_and_any_connection_may_retry_it() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(hang_up(&health, 1, start), None);
        let mut now = start + secs(2);
        assert_eq!(hang_up(&health, 2, now), Some(down(2, 0)));
        for marks in 1..5 {
            assert_eq!(health.shown(now).failures, Some(marks));
            assert_eq!(health.turn(now, now), Turn::Later(now + secs(2)), "its rest does not grow");
            now += secs(2);
            for _ in 0..100 {
                assert_eq!(health.turn(now, now + secs(9)), Turn::Now, "it is nobody's own");
                assert_eq!(hang_up(&health, 1, now), None);
            }
            now += secs(2);
            assert_eq!(hang_up(&health, 1, now), None);
        }
        assert!(matches!(health.answered(now + secs(1)), Some(Change::Up { .. })));
        assert!(is_now(&health, now + secs(1)));
    }

    /// A client that causes failures does not keep an upstream down that refused connections a while ago.
    #[test]
    fn an_accepted_connection_ends_the_claim() {
        let (health, start) = (Health::default(), Instant::now());
        fail(&health, start);
        let due = start + secs(2);
        assert_eq!(health.turn(due, due + secs(9)), Turn::Now);
        assert_eq!(hang_up(&health, 1, due), None);
        assert_eq!(health.turn(due, due + secs(9)), Turn::Now);
        assert_eq!(health.turn(due, due + secs(9)), Turn::Now);
        fail(&health, due);
        assert_eq!(health.turn(due, due), Turn::Later(due + secs(4)), "it refuses again");
    }

    #[test]
    fn down_and_up_are_reported_once_per_interval() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(fail(&health, start), Some(down(2, 0)));
        assert!(health.answered(start + secs(1)).is_some());
        let mut now = start + secs(1);
        for _ in 0..5 {
            now += secs(1);
            assert_eq!(fail(&health, now), None);
            now += Duration::from_millis(500);
            assert_eq!(health.answered(now), None, "the log does not know that it was down");
        }
        let now = start + REPORT_INTERVAL;
        assert_eq!(fail(&health, now), Some(down(2, 5)));
        assert_eq!(health.answered(now), Some(Change::Up { after: secs(0), failures: 1 }));
    }

    /// The last log record must not say that it is up.
    #[test]
    fn an_upstream_that_stays_down_is_reported_after_the_interval() {
        let (health, start) = (Health::default(), Instant::now());
        fail(&health, start);
        health.answered(start + secs(1));
        assert_eq!(fail(&health, start + secs(9)), None);
        assert_eq!(fail(&health, start + REPORT_INTERVAL), Some(down(1, 0)), "even while it rests");
        assert_eq!(fail(&health, start + secs(11)), None);
        let up = health.answered(start + secs(12));
        assert_eq!(up, Some(Change::Up { after: secs(3), failures: 2 }));
    }

    /// Connections that were on their way together are one failure.
    #[test]
    fn failures_during_a_rest_do_not_lengthen_it() {
        let (health, start) = (Health::default(), Instant::now());
        fail(&health, start);
        for _ in 0..100 {
            assert_eq!(
                health.failed(start, start + secs(1), PLAIN, Failed::Certain, "refused"),
                None
            );
            assert_eq!(fail(&health, start + secs(1)), None);
        }
        assert!(is_now(&health, start + secs(2)));
    }

    #[test]
    fn status_shows_state_failures_and_error() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(health.shown(start).state, "untried");
        health.failed(start, start, PLAIN, Failed::Certain, "no route");
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

        /// After any history, an answer brings it back at once, and a rest ends in bounded time.
        #[test]
        fn an_upstream_is_always_retried_after_the_longest_rest(steps in prop::collection::vec((0_u64..40_000, 0..3), 0..50)) {
            let (health, mut now) = (Health::default(), Instant::now());
            for (pause, step) in steps {
                now += Duration::from_millis(pause);
                match step {
                    0 => drop(fail(&health, now)),
                    1 => drop(hang_up(&health, 1, now)),
                    _ => {
                        health.answered(now);
                        prop_assert_eq!(health.turn(now, now), Turn::Now);
                    }
                }
            }
            prop_assert_eq!(health.turn(now + LONGEST_REST * 5 / 4, now), Turn::Now);
        }
    }
}
