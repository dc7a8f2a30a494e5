use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{RegistryEntry, SessionRecord, Sessions};
use crate::gateway::session::{Description, Filter, SessionTokens};
use crate::journal::RouteCounters;
use crate::policy::{Claims, HandshakeSnapshot};
use crate::state::store::{Kind, Revocation, RevocationStore, Revocations};
use crate::values::{Flow, Principal, Reason, UnixTime, UserKey};

fn tokens(user: &str, id: &str) -> SessionTokens {
    let (user, token_id) = (UserKey::new("main", user), Some(id.into()));
    let principal = Principal { user, token_id, expires: SystemTime::UNIX_EPOCH };
    SessionTokens::new(principal, Claims::new(&serde_json::Map::new()))
}

fn enter(sessions: &Sessions, id: &str) -> RegistryEntry {
    sessions.enter(Description::example(id))
}

/// The reason for which the session was told to end, once.
fn stop_reason(entry: &RegistryEntry) -> Option<Reason> {
    entry.record().mailbox.stopped().now_or_never()
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_sessions_over_the_spread_and_new_ones_at_once() {
    let sessions = Sessions::default();
    let entered: Vec<_> = (0..4).map(|_| enter(&sessions, "1")).collect();
    let gone = enter(&sessions, "2");
    drop(gone);
    assert_eq!(sessions.count(), 4);
    let start = Instant::now();
    sessions.end_all(Reason::Shutdown, Duration::from_secs(4)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(3), "the first at once, then each second");
    for entry in &entered {
        assert_eq!(stop_reason(entry), Some(Reason::Shutdown));
    }
    assert_eq!(stop_reason(&enter(&sessions, "3")), Some(Reason::Shutdown));
}

fn enter_at(sessions: &Sessions, server: &str) -> RegistryEntry {
    let upstream = Some(server.into());
    sessions.enter(Description { upstream, ..Description::example("1") })
}

fn of_server(server: &str) -> Filter {
    Filter { server: Some(server.to_owned()), ..Filter::default() }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_sessions_of_its_server_evenly_over_its_time() {
    let sessions = Sessions::default();
    let ending: Vec<_> = (0..4).map(|_| enter_at(&sessions, "ws://one")).collect();
    let stays = enter_at(&sessions, "ws://two");
    let (filter, reason) = (of_server("ws://one"), Reason::SessionDrained);
    let drain = sessions.drain(&filter, reason, Duration::from_secs(40));
    let start_of_test = Instant::now();
    let look = async {
        for (second, ended) in [(4, 0), (6, 1), (14, 1), (16, 2), (26, 3), (36, 4)] {
            tokio::time::sleep_until(start_of_test + Duration::from_secs(second)).await;
            let told = ending.iter().filter(|entry| entry.record().mailbox.is_stopped());
            assert_eq!(told.count(), ended, "after {second} s");
        }
        (enter_at(&sessions, "ws://one"), enter_at(&sessions, "ws://two"))
    };
    let (told, (late, other)) = tokio::join!(drain, look);
    assert_eq!((told, start_of_test.elapsed()), (5, Duration::from_secs(40)));
    for entry in ending.iter().chain([&late]) {
        assert_eq!(stop_reason(entry), Some(Reason::SessionDrained));
    }
    assert_eq!((stop_reason(&stays), stop_reason(&other)), (None, None));
    assert_eq!(stop_reason(&enter_at(&sessions, "ws://one")), None, "the drain is over");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_cancelled_leaves_the_sessions_that_were_not_told() {
    let sessions = Sessions::default();
    let entered: Vec<_> = (0..4).map(|_| enter_at(&sessions, "ws://one")).collect();
    let filter = of_server("ws://one");
    let drain = sessions.drain(&filter, Reason::UpstreamDraining, Duration::from_secs(40));
    tokio::time::timeout(Duration::from_secs(20), drain).await.unwrap_err();
    let told: Vec<_> = entered.iter().map(stop_reason).collect();
    let ended = Some(Reason::UpstreamDraining);
    assert_eq!(told, [ended, ended, None, None]);
    assert_eq!(sessions.list(&filter, 10).await.matching, 2);
}

/// Closes per second never exceed 1.5 times their mean.
#[tokio::test(start_paused = true)]
async fn two_thousand_sessions_end_at_an_even_pace() {
    let sessions = Sessions::default();
    let entered: Vec<_> = (0..2000).map(|_| enter(&sessions, "1")).collect();
    let start = Instant::now();
    let told = std::sync::Mutex::new(Vec::new());
    let told_at = entered.iter().map(|entry| async {
        entry.record().mailbox.stopped().await;
        told.lock().unwrap().push(start.elapsed().as_millis());
    });
    let spread = Duration::from_secs(60);
    tokio::join!(
        sessions.end_all(Reason::Shutdown, spread),
        futures_util::future::join_all(told_at)
    );
    let told = told.into_inner().unwrap();
    assert_eq!(told.len(), 2000);
    assert!(told.last() <= Some(&60_000) && told.last() >= Some(&59_900), "{:?}", told.last());
    for from in (0..60_000).step_by(100) {
        let within = told.iter().filter(|at| (from..from + 1000).contains(*at)).count();
        assert!(within * 60 <= 2000 * 3 / 2, "{within} in the second from {from} ms on");
    }
}

/// A spread may last for hours: a session is still kicked, listed and reviewed until its turn.
#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_its_turn_can_be_kicked() {
    let sessions = Sessions::default();
    let (first, second) = (enter(&sessions, "1"), enter(&sessions, "2"));
    let third = enter(&sessions, "3");
    let hours = Duration::from_secs(3 * 3600);
    let kick = async {
        tokio::time::sleep(hours / 2).await;
        assert_eq!(sessions.by_route().values().sum::<usize>(), 1);
        drop(second);
        assert_eq!(sessions.kick(&Filter::default(), Reason::BanActive), 1);
        assert_eq!(sessions.by_route().len(), 0);
    };
    tokio::join!(sessions.end_all(Reason::Shutdown, hours), kick);
    assert_eq!(stop_reason(&first), Some(Reason::Shutdown));
    assert_eq!(stop_reason(&third), Some(Reason::BanActive));
}

/// Revoked as the admin client does it: stored, then looked for.
fn revoke(sessions: &Sessions, token: &str) -> usize {
    let filter = Filter { token: Some(token.to_owned()), ..Filter::default() };
    sessions.kick(&filter, Reason::TokenRevoked)
}

#[tokio::test]
async fn revoking_any_earlier_token_ends_the_session() {
    for wanted in ["1", "2", "3"] {
        let sessions = Sessions::default();
        let entry = enter(&sessions, "a");
        entry.introduce(tokens("ada", "1"));
        for token in ["2", "2", "3"] {
            entry.record().renew(tokens("ada", token));
        }
        assert_eq!(revoke(&sessions, "4"), 0);
        assert_eq!(revoke(&sessions, wanted), 1, "{wanted}");
        assert_eq!(stop_reason(&entry), Some(Reason::TokenRevoked));
    }
}

#[tokio::test]
async fn a_session_ends_if_a_replaced_token_was_revoked() {
    let revocations = Revocations::in_memory();
    let entry = enter(&Sessions::default(), "a");
    entry.introduce(tokens("ada", "1"));
    entry.record().renew(tokens("ada", "2"));
    let now = UnixTime::from(SystemTime::UNIX_EPOCH);
    let until = now.after(Duration::from_secs(60));
    let first = Revocation { kind: Kind::Token, value: "1".into(), until, at: now, why: None };
    revocations.revoke(first, now).unwrap();
    entry.record().end_if_revoked(&revocations, now);
    assert_eq!(stop_reason(&entry), Some(Reason::TokenRevoked));
}

#[test]
fn the_first_and_the_latest_ids_are_kept_within_a_bound() {
    let mut held = tokens("ada", "0");
    for number in 1..=100 {
        let mut next = tokens("ada", &number.to_string());
        next.follow(held);
        held = next;
    }
    let ids: Vec<&str> = held.ids().collect();
    assert_eq!((ids.len(), ids[0], ids[1], ids[2], ids[32]), (33, "100", "0", "69", "99"));
    let mut next = tokens("ada", "x");
    next.follow(tokens("ada", &"y".repeat(1025)));
    assert_eq!(next.ids().collect::<Vec<_>>(), ["x"], "no such id can be revoked");
}

#[tokio::test]
async fn a_session_ends_when_its_client_certificate_expires() {
    let sessions = Sessions::default();
    let mut entered = Vec::new();
    for seconds in [20, 10, 30] {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let snapshot = HandshakeSnapshot::of("chat.example", "/ws").with_certificate_until(ends);
        entered.push(sessions.enter(Description { snapshot, ..Description::example("1") }));
    }
    let expire =
        |seconds| sessions.end_expired(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    drop(entered.remove(2));
    expire(9);
    assert_eq!(stop_reason(&entered[1]), None);
    expire(10);
    assert_eq!(stop_reason(&entered[1]), Some(Reason::CertificateExpired));
    assert_eq!(stop_reason(&entered[0]), None);
    expire(40);
    assert_eq!(stop_reason(&entered[0]), Some(Reason::CertificateExpired));
    drop(entered);
    assert!(sessions.locked().by_end.is_empty());
}

#[tokio::test]
async fn an_ending_session_is_not_listed_or_kicked_again() {
    let sessions = Sessions::default();
    let one = enter(&sessions, "1");
    let _two = enter(&sessions, "2");
    one.end(Reason::BanActive);
    let listing = sessions.list(&Filter::default(), 10).await;
    assert_eq!((listing.matching, listing.sessions.len()), (1, 1));
    assert_eq!(listing.sessions[0].id, "2");
    assert_eq!(sessions.by_route().values().sum::<usize>(), 1);
    assert_eq!(sessions.kick(&Filter::default(), Reason::SessionKicked), 1);
    assert_eq!(sessions.count(), 2, "both are still there");
}

#[tokio::test]
async fn a_live_session_gets_no_stop_signal() {
    let sessions = Sessions::default();
    let entry = enter(&sessions, "1");
    assert_eq!(stop_reason(&entry), None);
}

#[tokio::test]
async fn a_waiting_session_is_woken_and_keeps_the_first_reason() {
    let sessions = Sessions::default();
    let entry = enter(&sessions, "1");
    let record = Arc::clone(entry.record());
    let waiting = tokio::spawn(async move { record.mailbox.stopped().await });
    tokio::task::yield_now().await;
    assert_eq!(sessions.kick(&Filter::default(), Reason::SessionKicked), 1);
    sessions.end_all(Reason::Shutdown, Duration::ZERO).await;
    assert_eq!(waiting.await.unwrap(), Reason::SessionKicked);
    assert_eq!(sessions.kick(&Filter::default(), Reason::SessionKicked), 0, "it was told");
    drop(entry);
}

#[tokio::test(start_paused = true)]
async fn filters_match_sessions_by_every_given_field() {
    let sessions = Sessions::default();
    let _one = enter(&sessions, "1");
    let mut two = Description::example("2");
    two.peer = "[::ffff:198.51.100.9]:1".parse().unwrap();
    two.route = "feed".into();
    two.tokens = Some(tokens("ann", "t2"));
    let _two = sessions.enter(two);
    let mut three = Description::example("3");
    three.tokens = Some(tokens("ann", "t3"));
    three.upstream = Some("ws://one".into());
    let _three = sessions.enter(three);

    let cases: [(&str, &[&str]); 13] = [
        ("{}", &["1", "2", "3"]),
        (r#"{"user":"ann"}"#, &["2", "3"]),
        (r#"{"user":"Ann"}"#, &[]),
        (r#"{"user":"ann","route":"chat"}"#, &["3"]),
        (r#"{"server":"ws://one"}"#, &["3"]),
        (r#"{"server":"ws://one","route":"feed"}"#, &[]),
        (r#"{"token":"t2"}"#, &["2"]),
        (r#"{"id":"1"}"#, &["1"]),
        (r#"{"id":"1","user":"ann"}"#, &[]),
        (r#"{"ip":"192.0.2.7"}"#, &["1", "3"]),
        (r#"{"ip":"192.0.2.0/24","token":"t3"}"#, &["3"]),
        (r#"{"ip":"::ffff:198.51.100.9"}"#, &["2"]),
        (r#"{"ip":"2001:db8::/32"}"#, &[]),
    ];
    for (filter, wanted) in cases {
        let filter: Filter = serde_json::from_str(filter).unwrap();
        let listing = sessions.list(&filter, 10).await;
        let found: Vec<_> = listing.sessions.iter().map(|session| session.id.as_str()).collect();
        assert_eq!(found, wanted, "{filter:?}");
        assert_eq!(listing.matching, wanted.len());
    }
    let counts = sessions.by_route();
    assert_eq!((counts["chat"], counts["feed"]), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_bounded_and_does_not_wait_for_a_stuck_session() {
    let sessions = Sessions::default();
    let _entered: Vec<_> = (0..5).map(|_| enter(&sessions, "1")).collect();
    let start = Instant::now();
    let listing = sessions.list(&Filter::default(), 2).await;
    assert_eq!((listing.matching, listing.sessions.len()), (5, 2));
    assert!(start.elapsed() <= super::PUBLISH_WITHIN + super::LOOK_EVERY);
}

#[tokio::test(start_paused = true)]
async fn counters_of_a_route_are_the_sums_of_its_sessions() {
    let sessions = Sessions::default();
    let entered = [enter(&sessions, "1"), enter(&sessions, "2"), enter(&sessions, "3")];
    let [first, second, ending] = &entered;
    ending.end(Reason::BanActive);
    let publish = async {
        tokio::task::yield_now().await;
        let flow = |frames| Flow { frames, messages: 1, bytes: 10 };
        first.record().mailbox.publish(flow(1), flow(2));
        second.record().mailbox.publish(flow(3), flow(5));
    };
    let (counters, ()) = tokio::join!(sessions.counters(), publish);
    let chat = RouteCounters {
        sessions: 2,
        client: Flow { frames: 4, messages: 2, bytes: 20 },
        upstream: Flow { frames: 7, messages: 2, bytes: 20 },
    };
    assert_eq!(counters, [("chat".into(), chat)].into());
}

#[tokio::test]
async fn only_matching_sessions_are_kicked() {
    let sessions = Sessions::default();
    let (first, second) = (enter(&sessions, "1"), enter(&sessions, "2"));
    let filter = Filter { id: Some("2".to_owned()), ..Filter::default() };
    assert_eq!(sessions.kick(&filter, Reason::SessionKicked), 1);
    assert_eq!(stop_reason(&first), None);
    assert_eq!(stop_reason(&second), Some(Reason::SessionKicked));
    assert_eq!(sessions.count(), 2, "one that was told to end is still there");
}

#[tokio::test]
async fn a_session_that_enters_after_its_revocation_ends_at_once() {
    let sessions = Sessions::default();
    let revocations = Revocations::in_memory();
    let now = UnixTime::now();
    let revoked = Revocation {
        kind: Kind::User,
        value: "ann".to_owned(),
        until: now.after(Duration::from_secs(60)),
        at: now,
        why: None,
    };
    revocations.revoke(revoked, now).unwrap();
    let entry = enter(&sessions, "1");
    entry.record().end_if_revoked(&revocations, now);
    assert_eq!(stop_reason(&entry), None, "nobody's session");
    entry.record().renew(tokens("bob", "t1"));
    entry.record().end_if_revoked(&revocations, now);
    assert_eq!(stop_reason(&entry), None);
    entry.record().renew(tokens("ann", "t2"));
    entry.record().end_if_revoked(&revocations, now);
    assert_eq!(stop_reason(&entry), Some(Reason::TokenRevoked));
}

#[test]
fn a_session_is_small_in_the_registry() {
    assert!(size_of::<SessionTokens>() <= 72, "{}", size_of::<SessionTokens>());
    assert!(size_of::<SessionRecord>() <= 240, "{}", size_of::<SessionRecord>());
}
