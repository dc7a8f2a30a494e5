//! Marks by the active check, beside those by clients.

use std::time::{Duration, Instant};

use super::{PLAIN, fail, is_now, secs};
use crate::config::{CheckKind, HealthCheck};
use crate::gateway::upstream::health::{
    Change, CheckFault, Failed, Health, LONGEST_REST, Standing, Turn,
};

fn checked_health(down_after: u32, up_after: u32) -> Health {
    let check = HealthCheck {
        kind: CheckKind::Http("/healthz".into()),
        host: None,
        interval: secs(5),
        timeout: secs(2),
        down_after,
        up_after,
    };
    Health::new(Some(&check), None)
}

fn fault(connected: bool) -> CheckFault {
    let detail = if connected { "the status is 500" } else { "refused" };
    CheckFault { connected, detail: detail.to_owned() }
}

#[test]
fn only_failures_in_a_row_mark_an_upstream_and_only_passes_in_a_row_clear_it() {
    let (health, start) = (checked_health(3, 2), Instant::now());
    let mut now = start;
    let mut step = |fails: bool| {
        now += secs(5);
        let change = health.checked(now, fails.then(|| fault(true)));
        (change, health.is_checked_down())
    };
    for fails in [true, true, false, true, true, false, false] {
        assert_eq!(step(fails), (None, false), "no three in a row");
    }
    assert_eq!(step(true), (None, false));
    assert_eq!(step(true), (None, false));
    assert_eq!(step(true), (Some(Change::Down { rest: None, unlogged: 0 }), true));
    for fails in [true, false, true, false] {
        assert_eq!(step(fails), (None, true), "no two in a row");
    }
    let up = Change::Up { after: secs(25), failures: 5 };
    assert_eq!(step(false), (Some(up), false));
    assert_eq!(step(false), (None, false));
}

#[test]
fn an_answered_client_does_not_clear_the_mark_of_a_check() {
    let (health, now) = (checked_health(1, 1), Instant::now());
    assert!(health.checked(now, Some(fault(true))).is_some());
    assert_eq!(health.answered(now), None);
    assert!(!is_now(&health, now + LONGEST_REST * 2), "no client tries it");
    assert!(matches!(health.checked(now, None), Some(Change::Up { .. })));
    assert!(is_now(&health, now));
}

#[test]
fn passes_clear_a_refused_connection_and_not_a_handshake_without_an_answer() {
    for (failed, is_cleared) in [(Failed::Unconnected, true), (Failed::Unanswered, false)] {
        let (health, now) = (checked_health(3, 2), Instant::now());
        for _ in 0..10 {
            assert_eq!(health.checked(now, None), None);
        }
        health.failed(now, now, PLAIN, failed, "x");
        assert_eq!(health.checked(now, None), None);
        assert!(!is_now(&health, now), "passes before the failure do not count");
        assert_eq!(health.checked(now, None).is_some(), is_cleared, "{failed:?}");
        assert_eq!(is_now(&health, now), is_cleared, "{failed:?}");
    }
}

#[test]
fn a_check_without_a_connection_is_certain_and_another_failure_is_not() {
    let (health, now) = (checked_health(2, 1), Instant::now());
    assert_eq!(health.standing(now), Standing::Up);
    health.checked(now, Some(fault(true)));
    let marked = now + secs(5);
    health.checked(marked, Some(fault(true)));
    assert_eq!(health.standing(marked), Standing::Doubted(marked));
    health.checked(marked + secs(5), Some(fault(false)));
    assert_eq!(health.standing(marked), Standing::Failing);
}

#[test]
fn a_kept_upstream_is_tried_in_its_place_until_it_refuses() {
    let (health, now) = (checked_health(1, 1), Instant::now());
    health.checked(now, Some(fault(true)));
    assert_eq!(health.turn(now, now, true), Turn::Now);
    assert!(matches!(health.turn(now, now, false), Turn::Later(later) if !later.is_failing));
    fail(&health, now);
    assert!(matches!(health.turn(now, now, true), Turn::Later(later) if later.is_failing));
    let due = now + secs(2);
    assert_eq!(health.standing(due), Standing::Doubted(now), "its rest is over");
    assert_eq!(health.turn(due, due + secs(1), true), Turn::Now);
    assert!(matches!(health.turn(due, due, true), Turn::Later(_)), "one client tries it");
}

#[test]
fn a_flapping_check_makes_one_pair_of_records_in_ten_seconds() {
    let (health, mut now) = (checked_health(1, 1), Instant::now());
    let mut logged = Vec::new();
    for _ in 0..100 {
        logged.extend(health.checked(now, Some(fault(true))));
        now += Duration::from_millis(250);
        logged.extend(health.checked(now, None));
        now += Duration::from_millis(250);
    }
    assert_eq!(logged.len(), 10, "{logged:?}");
    assert!(logged.contains(&Change::Down { rest: None, unlogged: 19 }), "{logged:?}");
}

#[test]
fn a_slow_start_begins_when_both_marks_are_cleared() {
    let (health, start) = (checked_health(1, 1), Instant::now());
    assert_eq!(health.came_up(), None);
    health.checked(start, Some(fault(true)));
    health.failed(start, start, PLAIN, Failed::Unanswered, "hung");
    health.checked(start + secs(5), None);
    assert_eq!(health.came_up(), None);
    health.answered(start + secs(6));
    assert_eq!(health.came_up(), Some(start + secs(6)));
}

#[test]
fn status_shows_the_check_its_last_result_and_since_when() {
    let (health, start) = (checked_health(2, 1), Instant::now());
    let shown = |now| serde_json::to_value(health.shown(now)).unwrap();
    let pending = serde_json::json!({ "check": "http", "result": "pending" });
    assert_eq!(shown(start), serde_json::json!({ "state": "untried", "health": pending }));
    health.checked(start, None);
    health.checked(start + secs(5), None);
    let passed = serde_json::json!({ "check": "http", "result": "passed", "seconds": 7 });
    assert_eq!(shown(start + secs(7)), serde_json::json!({ "state": "up", "health": passed }));
    health.checked(start + secs(10), Some(fault(true)));
    assert_eq!(shown(start + secs(10))["state"], "up");
    health.checked(start + secs(15), Some(fault(true)));
    let failed = serde_json::json!({
        "check": "http", "result": "failed", "seconds": 6, "error": "the status is 500"
    });
    let wanted = serde_json::json!({
        "state": "down", "down_seconds": 1, "failures": 2, "error": "the status is 500", "health": failed
    });
    assert_eq!(shown(start + secs(16)), wanted, "no client is going to try it");
}
