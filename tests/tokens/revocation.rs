//! What an operator takes back: sessions that are open, and tokens that would open others.

use std::path::PathBuf;

use serde_json::json;

use super::support::{Frame, Gateway, RawUpstream, Request, Session};
use super::{admin, guarded, now, sign};

fn with(user: &str, id: &str) -> Request {
    let token = sign(&json!({ "sub": user, "exp": now() + 3600, "jti": id }));
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
}

const ADMIN: &str = "[admin]\nsocket = \"fw.sock\"\nrevocations = \"revoked.json\"\n";

fn start(upstream: &RawUpstream) -> Gateway {
    guarded(upstream, "").more(ADMIN).start()
}

fn revoked(session: &mut Session) {
    assert_eq!(session.client.expect_close(), (4403, "token.revoked".to_owned()));
    assert_eq!(session.upstream.expect_close(), (1001, "token.revoked".to_owned()));
    session.client.say(Frame::close(4403, ""));
    session.upstream.say(Frame::close(1001, ""));
}

#[test]
fn a_revoked_user_is_closed_and_refused() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    let mut ada = Session::open_with(&gateway, &upstream, &with("ada", "1"), "");
    let mut eve = Session::open_with(&gateway, &upstream, &with("eve", "2"), "");
    let (code, listed) = admin(&gateway, &["sessions", "--user", "eve", "--json"]);
    assert_eq!(code, Some(0));
    assert!(listed.contains(&eve.request_id()) && !listed.contains(&ada.request_id()), "{listed}");

    assert_eq!(admin(&gateway, &["revoke", "--user", "eve", "--for", "1h"]).0, Some(0));
    revoked(&mut eve);
    ada.prove_alive();
    gateway.expect_refusal(&with("eve", "3"), 403, "token.revoked");
    upstream.received_nothing();
    let kept = std::fs::read_to_string(gateway.folder().join("revoked.json")).unwrap();
    assert!(kept.contains("eve"), "{kept}");
}

#[test]
fn a_revoked_token_is_closed_and_its_user_admitted_with_another() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    let mut first = Session::open_with(&gateway, &upstream, &with("ada", "1"), "");
    let mut second = Session::open_with(&gateway, &upstream, &with("ada", "2"), "");
    assert_eq!(admin(&gateway, &["revoke", "--token", "1"]).0, Some(0));
    revoked(&mut first);
    second.prove_alive();
    gateway.expect_refusal(&with("ada", "1"), 403, "token.revoked");
    Session::open_with(&gateway, &upstream, &with("ada", "3"), "").prove_alive();
}

/// A token that was handed in later does not wash the one away that opened the session.
#[test]
fn revoking_an_earlier_token_ends_the_session() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").more(ADMIN).route("refresh = \"framewall\"").start();
    let mut sessions = ["1", "2", "3"].map(|wanted| {
        let first = format!("{wanted}-1");
        let mut session = Session::open_with(&gateway, &upstream, &with("ada", &first), "");
        for number in 2..4 {
            let claims = json!({
                "sub": "ada", "exp": now() + 3600, "jti": format!("{wanted}-{number}"),
            });
            let message = json!({ "framewall": { "token": sign(&claims) } });
            session.client.say(Frame::text(message.to_string()));
            let answer = String::from_utf8(session.client.read_frame().payload).unwrap();
            assert!(answer.contains("expires"), "{answer}");
        }
        session
    });
    for (session, number) in sessions.iter_mut().zip(1..4) {
        let id = format!("{number}-{number}");
        let (code, listed) = admin(&gateway, &["sessions", "--token", &id, "--json"]);
        assert!(code == Some(0) && listed.contains(&session.request_id()), "{listed}");
        assert_eq!(admin(&gateway, &["revoke", "--token", &id]).0, Some(0));
        revoked(session);
    }
}

#[test]
fn the_configuration_sets_the_socket() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    assert!(PathBuf::from(gateway.folder()).join("fw.sock").exists());
    let (code, status) = admin(&gateway, &["status", "--json"]);
    assert_eq!(code, Some(0));
    assert!(status.contains("\"main\""), "the issuer is shown: {status}");
}
