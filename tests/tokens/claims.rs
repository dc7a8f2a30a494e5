//! What a token must say, and what the upstream is told of it.

use serde_json::json;

use super::support::{RawUpstream, Request, Session};
use super::{guarded, now, sign};

fn with(claims: &serde_json::Value) -> Request {
    let mut claims = claims.clone();
    claims["exp"] = json!(now() + 3600);
    claims["sub"] = json!("ada");
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {}", sign(&claims)))
}

#[test]
fn required_claims_match_by_value_list_and_word() {
    let upstream = RawUpstream::bind();
    let gateway =
        guarded(&upstream, "require = { scope = \"chat\", tier = [\"gold\", 2] }").start();
    for good in [
        json!({ "scope": "chat", "tier": "gold" }),
        json!({ "scope": "mail chat", "tier": 2 }),
        json!({ "scope": ["mail", "chat"], "tier": ["silver", "gold"] }),
    ] {
        Session::open_with(&gateway, &upstream, &with(&good), "").prove_alive();
    }
    for bad in [
        json!({ "scope": "chatter", "tier": "gold" }),
        json!({ "scope": "chat", "tier": 3 }),
        json!({ "scope": "chat" }),
        json!({ "tier": "gold" }),
    ] {
        gateway.expect_refusal(&with(&bad), 403, "claims.denied");
    }
    upstream.received_nothing();
}

#[test]
fn claims_are_forwarded_in_fields_that_no_client_can_set() {
    let upstream = RawUpstream::bind();
    let lines = "forward = { \"X-User-Id\" = \"sub\", \"X-Tier\" = \"tier\" }";
    let open = "[routes.open]\npath = \"/open\"\nauth = \"none\"\n";
    let open = format!("{open}upstream = [\"ws://{}\"]\n", upstream.address());
    let gateway = guarded(&upstream, lines).more(&open).start();
    let forged = |request: Request| {
        request
            .and("x-USER-id", "root")
            .and("x_user_id", "root")
            .and("X.User.Id", "root")
            .and("X-Tier", "platinum")
    };
    let session =
        Session::open_with(&gateway, &upstream, &forged(with(&json!({ "scope": "x" }))), "");
    // In the gateway's letters, not in those that the client chose for its forged field.
    let field = ("X-User-Id".to_owned(), "ada".to_owned());
    assert!(session.request.fields.contains(&field), "{:?}", session.request.fields);
    assert_eq!(session.request.only("x-user-id"), Some("ada"));
    assert_eq!(session.request.only("x-tier"), None, "a claim that is absent is no field");
    let told = format!("{:?}", session.request.fields);
    assert!(!told.contains("root") && !told.contains("platinum"), "{told}");

    let session = Session::open_with(&gateway, &upstream, &forged(Request::upgrade("/open")), "");
    let told = format!("{:?}", session.request.fields);
    assert!(!told.contains("root") && !told.contains("platinum"), "on every route: {told}");
}

#[test]
fn a_claim_cannot_break_out_of_its_field() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "forward = { \"X-Name\" = \"name\" }").start();
    let request = with(&json!({ "name": "a\r\nX-Admin: 1" }));
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.only("x-admin"), None);
    let name = session.request.only("x-name").unwrap();
    assert!(name.starts_with('a') && name.contains("%0D%0A"), "{name}");
}

/// As Keycloak and Entra write them.
#[test]
fn claims_inside_others_are_reached_by_a_path() {
    let upstream = RawUpstream::bind();
    let lines = "user_claim = \"/user/id\"\n\
        require = { \"/realm_access/roles\" = [\"chat\", \"all\"] }\n\
        forward = { \"X-Roles\" = \"/realm_access/roles\", \"X-Mail\" = \"/user/mail\" }";
    let gateway = guarded(&upstream, lines).start();
    let said =
        json!({ "user": { "id": 7, "mail": "a@b" }, "realm_access": { "roles": ["x", "all"] } });
    let session = Session::open_with(&gateway, &upstream, &with(&said), "");
    assert_eq!(session.request.only("x-roles"), Some("x, all"));
    assert_eq!(session.request.only("x-mail"), Some("a@b"));
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(opened["user"], "7");
    for (bad, status, reason) in [
        (json!({ "user": { "id": 7 }, "realm_access": { "roles": ["x"] } }), 403, "claims.denied"),
        (json!({ "user": { "id": 7 }, "realm_access": ["all"] }), 403, "claims.denied"),
        (json!({ "user": { "id": 7 }, "/realm_access/roles": ["all"] }), 403, "claims.denied"),
        (json!({ "user": 7, "realm_access": { "roles": ["all"] } }), 401, "token.invalid"),
    ] {
        gateway.expect_refusal(&with(&bad), status, reason);
    }
    upstream.received_nothing();
}
