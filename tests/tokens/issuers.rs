//! Several issuers on one route: the `iss` of a token picks the one that verifies it, and nothing else.

use serde_json::{Value, json};

use super::support::{Frame, GatewayBuilder, RawUpstream, Request, Session};
use super::{guarded, now, sign_with};

const MAIN: &[u8] = super::SECRET;
const STAFF: &[u8] = b"a secret of the staff that is long enough for SHA-256, too";

fn both(upstream: &RawUpstream, main: &str, staff: &str) -> GatewayBuilder {
    guarded(upstream, &format!("issuer = \"https://main.example\"\n{main}"))
        .auth_list(&["main", "staff"])
        .prepare(|folder, _| {
            std::fs::write(folder.join("secret"), MAIN).unwrap();
            std::fs::write(folder.join("staff"), STAFF).unwrap();
        })
        .more(&format!(
            "[jwt.staff]\nalgorithms = [\"HS256\"]\nsecret = \"file:staff\"\n\
             issuer = \"https://staff.example\"\n{staff}\n"
        ))
}

fn claims(issuer: &str, more: &Value) -> Value {
    let mut claims = json!({ "sub": "ada", "exp": now() + 3600, "iss": issuer });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

fn with(token: &str) -> Request {
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
}

#[test]
fn each_issuer_verifies_its_own_tokens_by_its_own_rules() {
    let upstream = RawUpstream::bind();
    let staff = "require = { role = \"admin\" }\nforward = { \"X-Staff\" = \"sub\" }";
    let gateway = both(&upstream, "forward = { \"X-User\" = \"sub\" }", staff).start();
    let (main, staff) = ("https://main.example", "https://staff.example");
    let admin = json!({ "role": "admin" });
    for (secret, issuer, field) in [(MAIN, main, "x-user"), (STAFF, staff, "x-staff")] {
        let token = sign_with(secret, &claims(issuer, &admin));
        let session = Session::open_with(&gateway, &upstream, &with(&token), "");
        let told: Vec<_> = ["x-user", "x-staff"]
            .into_iter()
            .filter(|name| session.request.only(name).is_some())
            .collect();
        assert_eq!(told, [field]);
        let (code, _) = gateway.explain(&["--path", "/ws", "--token", &token]);
        assert_eq!(code, Some(0));
    }
    for (secret, claims, reason) in [
        (MAIN, claims(staff, &admin), "token.invalid"),
        (STAFF, claims(main, &admin), "token.invalid"),
        (MAIN, claims("https://other.example", &admin), "token.invalid"),
        (MAIN, claims(main, &json!({ "iss": null })), "token.invalid"),
        (MAIN, claims(main, &json!({ "iss": [main, staff] })), "token.invalid"),
        (MAIN, json!({ "sub": "ada", "exp": now() + 3600 }), "token.invalid"),
        (STAFF, claims(staff, &json!({})), "claims.denied"),
    ] {
        let token = sign_with(secret, &claims);
        let status = if reason == "claims.denied" { 403 } else { 401 };
        gateway.expect_refusal(&with(&token), status, reason);
        let (code, text) = gateway.explain(&["--path", "/ws", "--token", &token]);
        assert!(code == Some(2) && text.contains(reason), "{text}");
    }
    for text in ["a.b.c", "a", "e30.W10.AA", "e30.e30.AA"] {
        gateway.expect_refusal(&with(text), 401, "token.invalid");
    }
    upstream.received_nothing();
}

#[test]
fn a_session_keeps_the_issuer_that_it_began_with() {
    let upstream = RawUpstream::bind();
    let gateway = both(&upstream, "", "on_expiry = \"ignore\"\nleeway = \"0s\"")
        .route("refresh = \"framewall\"")
        .websocket("max_lifetime = \"4s\"")
        .start();
    let soon = json!({ "exp": now() + 2 });
    let staff = sign_with(STAFF, &claims("https://staff.example", &soon));
    let mut lasting = Session::open_with(&gateway, &upstream, &with(&staff), "");
    let main = sign_with(MAIN, &claims("https://main.example", &json!({})));
    let mut session = Session::open_with(&gateway, &upstream, &with(&main), "");
    for (token, answer) in [(&staff, "claims.denied"), (&main, "expires")] {
        let message = json!({ "framewall": { "token": token } });
        session.client.say(Frame::text(message.to_string()));
        let told = String::from_utf8(session.client.read_frame().payload).unwrap();
        assert!(told.contains(answer), "{told}");
    }
    // What the first issuer says of expiry is not what the second says.
    assert_eq!(lasting.client.expect_close(), (1001, "lifetime.over".to_owned()));
}

#[test]
fn the_first_message_may_hold_a_token_of_any_issuer() {
    let upstream = RawUpstream::bind();
    let place = "token_from = [\"message\"]";
    let gateway = both(&upstream, place, place).start();
    for (secret, issuer) in [(MAIN, "https://main.example"), (STAFF, "https://staff.example")] {
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        assert_eq!(client.read_head().status(), 101);
        client.say(Frame::text(sign_with(secret, &claims(issuer, &json!({})))));
        let (mut application, _) = upstream.accept_upgrade("");
        client.say(Frame::text("there"));
        application.expect_frame(Frame::text("there"));
    }
}
