mod checks;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use std::net::{IpAddr, Ipv4Addr};

use super::report::REPORT_INTERVAL;
use super::{Change, Failed, Health, LONGEST_REST, Later, Turn, rest};

/// The die that gives no jitter.
const PLAIN: u32 = 64;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fail(health: &Health, at: Instant) -> Option<Change> {
    health.failed(at, at, PLAIN, Failed::Unconnected, "refused")
}

/// An upstream hung up on a request of that client.
fn hang_up(health: &Health, client: u32, at: Instant) -> Option<Change> {
    let client = IpAddr::from(Ipv4Addr::from_bits(client)).into();
    health.failed(at, at, PLAIN, Failed::Doubtful(client), "hung up")
}

fn down(rest: u64, unlogged: u32) -> Change {
    Change::Down { rest: Some(secs(rest)), unlogged }
}

fn later(due: Instant) -> Turn {
    Turn::Later(Later { is_failing: true, due })
}

fn doubted(due: Instant) -> Turn {
    Turn::Later(Later { is_failing: false, due })
}

fn turn(health: &Health, now: Instant, claim: Instant) -> Turn {
    health.turn(now, claim, false)
}

fn is_now(health: &Health, at: Instant) -> bool {
    turn(health, at, at) == Turn::Now
}

#[test]
fn a_failed_upstream_is_tried_last_for_two_seconds() {
    let (health, start) = (Health::default(), Instant::now());
    assert!(is_now(&health, start));
    assert_eq!(fail(&health, start), Some(down(2, 0)));
    let due = start + secs(2);
    assert_eq!(turn(&health, start + secs(1), due), later(due));
    assert!(is_now(&health, due));
}

#[test]
fn rests_grow_and_each_change_is_reported_once() {
    let (health, start) = (Health::default(), Instant::now());
    assert!(fail(&health, start).is_some());
    let mut now = start;
    for grown in [2, 4, 8, 16, 30, 30] {
        assert_eq!(turn(&health, now, now), later(now + secs(grown)));
        now += secs(grown);
        assert_eq!(turn(&health, now, now), Turn::Now);
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
    assert_eq!(turn(&health, due, claim), Turn::Now);
    assert_eq!(turn(&health, due, claim), later(claim), "another tries it");
    assert_eq!(turn(&health, claim, claim), Turn::Now, "it never said what came of it");
}

/// A client cannot mark an upstream as down for others while it answers them.
#[test]
fn a_failure_that_is_older_than_an_answer_marks_nothing() {
    let (health, start) = (Health::default(), Instant::now());
    assert_eq!(health.answered(start + secs(3)), None);
    assert_eq!(health.failed(start, start + secs(5), PLAIN, Failed::Unconnected, "hung"), None);
    assert!(is_now(&health, start + secs(5)));
    let later = start + secs(4);
    assert!(health.failed(later, later + secs(5), PLAIN, Failed::Unconnected, "hung").is_some());
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
        assert_eq!(turn(&health, now, now), doubted(now + secs(2)), "its rest does not grow");
        now += secs(2);
        for _ in 0..100 {
            assert_eq!(turn(&health, now, now + secs(9)), Turn::Now, "it is nobody's own");
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
    assert_eq!(turn(&health, due, due + secs(9)), Turn::Now);
    assert_eq!(hang_up(&health, 1, due), None);
    assert_eq!(turn(&health, due, due + secs(9)), Turn::Now);
    assert_eq!(turn(&health, due, due + secs(9)), Turn::Now);
    fail(&health, due);
    assert_eq!(turn(&health, due, due), later(due + secs(4)), "it refuses again");
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
            health.failed(start, start + secs(1), PLAIN, Failed::Unconnected, "refused"),
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
    health.failed(start, start, PLAIN, Failed::Unconnected, "no route");
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
                    prop_assert_eq!(turn(&health, now, now), Turn::Now);
                }
            }
        }
        prop_assert_eq!(turn(&health, now + LONGEST_REST * 5 / 4, now), Turn::Now);
    }
}
