//! A session lasts as long as its token, or a newer one.

use serde_json::{Value, json};

use super::support::{Frame, Gateway, RawUpstream, Request, Session, Wire};
use super::{guarded, now, sign, token};

/// Seconds until a token that the test sees expire does so: long enough that a busy machine opens
/// the session before.
const SOON: u64 = 4;

fn with(claims: &Value) -> Request {
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {}", sign(claims)))
}

fn lasting(user: &str, seconds: u64) -> Value {
    json!({ "sub": user, "exp": now() + seconds })
}

#[test]
fn a_session_ends_with_its_token_on_a_frame_boundary() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "leeway = \"0s\"").start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", SOON)), "");
    session.prove_alive();
    let id = session.request_id();
    assert_eq!(session.client.expect_close(), (4401, "token.expired".to_owned()));
    assert_eq!(session.upstream.expect_close(), (1001, "token.expired".to_owned()));
    session.client.say(Frame::close(4401, ""));
    session.upstream.say(Frame::close(1001, ""));
    let ended = gateway
        .wait_for_record(|record| record["event"] == "session.ended" && record["request_id"] == id);
    assert_eq!((&ended["by"], &ended["code"]), (&json!("gateway"), &json!(4401)));
}

#[test]
fn the_leeway_counts_for_the_end_too() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "leeway = \"60s\"").start();
    let just_over = with(&json!({ "sub": "ada", "exp": now() - 5 }));
    Session::open_with(&gateway, &upstream, &just_over, "").prove_alive();
}

#[test]
fn on_expiry_ignore_keeps_the_session() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "leeway = \"0s\"\non_expiry = \"ignore\"")
        .websocket("max_lifetime = \"7s\"")
        .start();
    let session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", SOON)), "");
    let Session { mut client, .. } = session;
    assert_eq!(client.expect_close(), (1001, "lifetime.over".to_owned()));
}

fn renewable(upstream: &RawUpstream) -> Gateway {
    guarded(upstream, "leeway = \"0s\"").route("refresh = \"framewall\"").start()
}

fn hand_in(client: &mut Wire, token: &str) -> Value {
    client.say(Frame::text(json!({ "framewall": { "token": token } }).to_string()));
    let answer: Value = serde_json::from_slice(&client.read_frame().payload).unwrap();
    answer["framewall"].clone()
}

#[test]
fn a_newer_token_extends_the_session_and_is_not_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = renewable(&upstream);
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", SOON)), "");
    let later = now() + SOON + 3;
    let answer = hand_in(&mut session.client, &sign(&json!({ "sub": "ada", "exp": later })));
    assert_eq!(answer, json!({ "expires": later }));
    session.prove_alive();
    assert_eq!(session.client.expect_close(), (4401, "token.expired".to_owned()));
    assert!(now() >= later, "not before the newer token is over");
    gateway.wait_for_record(|record| {
        record["event"] == "token.renewal" && record["result"] == "renewed"
    });
    session.client.say(Frame::close(4401, ""));
    session.upstream.expect_closing(1001, "token.expired");
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    let client = (&ended["client_messages"], &ended["upstream_messages"]);
    assert_eq!(client, (&json!(1), &json!(1)), "the handover and its answer are not counted");
}

#[test]
fn a_token_that_is_refused_changes_nothing() {
    let upstream = RawUpstream::bind();
    let gateway = renewable(&upstream);
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", 3600)), "");
    for (token, error) in [
        (token("eve"), "claims.denied"),
        ("a.b.c".to_owned(), "token.invalid"),
        (sign(&json!({ "sub": "ada", "exp": now() - 10 })), "token.expired"),
    ] {
        assert_eq!(hand_in(&mut session.client, &token), json!({ "error": error }));
    }
    session.prove_alive();
}

/// What a session's ends are told when the client sends these frames, and what reached the application.
#[track_caller]
fn told(frames: &[Frame], code: u16, reason: &str) -> Vec<u8> {
    let upstream = RawUpstream::bind();
    let gateway = renewable(&upstream);
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", 3600)), "");
    let id = session.request_id();
    for frame in frames {
        session.client.say(frame.clone());
    }
    assert_eq!(session.client.expect_close(), (code, reason.to_owned()));
    gateway.wait_for_record(|record| {
        record["event"] == "connection.error" || record["event"] == "limited"
    });
    gateway.wait_for_reason(&id, reason);
    session.upstream.say(Frame::text("too late"));
    session.upstream.expect_gone()
}

#[test]
fn a_token_that_cannot_be_removed_ends_the_session_and_is_not_forwarded() {
    let token = token("ada");
    let message = json!({ "framewall": { "token": token } }).to_string();
    let (first, second) = message.split_at(message.find(&token).unwrap() + 3);
    let fragments = [Frame::text(first).unfinished(), Frame::continuation(second)];
    let reached = told(&fragments, 1009, "message.fragments");
    assert!(!reached.windows(3).any(|bytes| bytes == &token.as_bytes()[..3]));

    let (first, second) = message.split_at(message.find(&token).unwrap());
    let fragments = [Frame::text(first).unfinished(), Frame::continuation(second)];
    let reached = told(&fragments, 1009, "message.fragments");
    assert!(!reached.windows(3).any(|bytes| bytes == &token.as_bytes()[..3]));

    let large = Frame::text(message.replace(&token, &format!("{token}{}", "x".repeat(17_000))));
    let reached = told(&[large], 1009, "message.too_big");
    assert!(!reached.windows(9).any(|bytes| bytes == b"framewall"));
}

/// What a client sends behind its Close is read and thrown away, whatever it looks like.
#[test]
fn a_token_after_the_close_is_ignored() {
    let upstream = RawUpstream::bind();
    let gateway = renewable(&upstream);
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", SOON)), "");
    assert_eq!(session.client.expect_close(), (4401, "token.expired".to_owned()));
    let begun = json!({ "framewall": { "token": "a.b.c" } }).to_string();
    let late = [Frame::text(begun).unfinished(), Frame::continuation(vec![b' '; 200_000])];
    let late: Vec<u8> = late.into_iter().flat_map(|frame| frame.masked(true).encode()).collect();
    session.client.send(&late);
    session.upstream.expect_closing(1001, "token.expired");
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    assert_eq!(ended["reason"], "token.expired", "{ended}");
    let records = gateway.log_records();
    assert!(records.iter().all(|record| record["reason"] != "internal"), "{records:#?}");
}

#[test]
fn a_token_message_with_other_members_is_invalid_and_a_list_is_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = renewable(&upstream);
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", 3600)), "");
    let token = token("ada");
    for beside in [
        format!("{{\"framewall\":{{\"token\":\"{token}\",\"x\":1}}}}"),
        format!("{{\"framewall\":{{\"token\":\"{token}\"}},\"x\":1}}"),
        format!("{{\"framewall\":{{\"token\":\"x\"}},\"framewall\":{{\"token\":\"{token}\"}}}}"),
    ] {
        session.client.say(Frame::text(beside));
        let answer: Value = serde_json::from_slice(&session.client.read_frame().payload).unwrap();
        assert_eq!(answer, json!({ "framewall": { "error": "token.invalid" } }));
    }
    let list = json!({ "framewall": [token] }).to_string();
    let large = json!({ "data": "x".repeat(20_000) }).to_string();
    for message in [list, large] {
        session.client.say(Frame::text(&message));
        session.upstream.expect_frame(Frame::text(&message));
    }
}

#[test]
fn a_newer_token_sets_no_end_where_expiry_is_ignored() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "leeway = \"0s\"\non_expiry = \"ignore\"")
        .route("refresh = \"framewall\"")
        .websocket("max_lifetime = \"7s\"")
        .start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", 60)), "");
    let soon = now() + 1;
    let answer = hand_in(&mut session.client, &sign(&json!({ "sub": "ada", "exp": soon })));
    assert_eq!(answer, json!({ "expires": soon }));
    assert_eq!(session.client.expect_close(), (1001, "lifetime.over".to_owned()));
}

#[test]
fn without_refresh_a_token_message_is_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&lasting("ada", 60)), "");
    let message = json!({ "framewall": { "token": "a.b.c" } }).to_string();
    session.client.say(Frame::text(&message));
    session.upstream.expect_frame(Frame::text(&message));
}

#[test]
fn a_client_that_sent_no_token_yet_is_told_when_to_come_back() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "token_from = [\"message\"]")
        .websocket("retry_hint = \"7s..7s\"")
        .start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    assert_eq!(client.read_head().status(), 101);
    gateway.terminate();
    assert_eq!(client.expect_close(), (1001, "shutdown retry=7s".to_owned()));
}
