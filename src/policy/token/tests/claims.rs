//! The claims that a verified token must have.

use std::time::Duration;

use serde_json::json;

use super::{at, claims, forged, hs256, hs256_token, now, refused, verify, with};
use crate::values::Reason::{ClaimsDenied, TokenExpired, TokenInvalid};
use crate::values::Requirement;

#[test]
fn a_valid_token_gives_its_principal_and_claims() {
    let token = hs256_token(&claims(&json!({"jti": "t1", "exp": 1_800_003_600.5})));
    let verified = verify(&hs256(), &token).unwrap();
    let principal = verified.principal();
    assert_eq!(principal.user.issuer(), "main");
    assert_eq!(principal.user.user(), "ann");
    assert_eq!(principal.token_id.as_deref(), Some("t1"));
    assert_eq!(principal.expires, at(1_800_003_630) + Duration::from_millis(500));
    assert_eq!(verified.claims()["sub"], "ann");
    let shown = format!("{verified:?}");
    assert!(!shown.contains("ann") && !shown.contains("t1"), "{shown}");
}

#[test]
fn exp_is_there_and_a_time() {
    let issuer = hs256();
    let invalid = |more, says| {
        refused(&issuer, &hs256_token(&with(&claims(&json!({})), &more)), TokenInvalid, says);
    };
    invalid(
        json!({"exp": null}),
        "no exp claim, so it would never expire: give it one where it is",
    );
    invalid(json!({"exp": "1800003600"}), "exp is a text: make it a number");
    invalid(json!({"exp": true}), "exp is not a number");
    invalid(json!({"exp": [1_800_003_600]}), "exp is not a number");
    invalid(json!({"exp": -1}), "not between 1970 and 9999");
    invalid(json!({"exp": 253_402_300_800_u64}), "not between 1970 and 9999; is it in milli");
    invalid(json!({"exp": 1e300}), "not between 1970 and 9999");
    invalid(json!({"exp": u64::MAX}), "not between 1970 and 9999");
    let null = r#"{"sub":"ann","exp":null}"#;
    refused(&issuer, &forged(r#"{"alg":"HS256"}"#, null, super::SECRET), TokenInvalid, "number");
    assert!(verify(&issuer, &hs256_token(&claims(&json!({"exp": 253_402_300_799_u64})))).is_ok());
}

#[test]
fn a_token_ends_with_its_leeway() {
    let issuer = hs256();
    let ending = |exp: u64| hs256_token(&claims(&json!({ "exp": exp })));
    assert!(verify(&issuer, &ending(1_799_999_971)).is_ok());
    refused(&issuer, &ending(1_799_999_970), TokenExpired, "the token expired 30 s ago");
    refused(&issuer, &ending(0), TokenExpired, "ago, by this machine's clock");
}

#[test]
fn nbf_is_checked_with_leeway_and_iat_is_ignored() {
    let issuer = hs256();
    let beginning = |nbf| hs256_token(&claims(&json!({ "nbf": nbf })));
    assert!(verify(&issuer, &beginning(json!(1_800_000_030))).is_ok());
    refused(&issuer, &beginning(json!(1_800_000_031)), TokenInvalid, "only in 31 s (nbf)");
    refused(&issuer, &beginning(json!("1800000000")), TokenInvalid, "nbf is a text");
    let iat = |iat| hs256_token(&claims(&json!({ "iat": iat })));
    assert!(verify(&issuer, &iat(json!(4_000_000_000_u64))).is_ok());
}

#[test]
fn iss_is_the_configured_one() {
    let mut issuer = hs256();
    let token = |iss| hs256_token(&claims(&json!({ "iss": iss })));
    assert!(verify(&issuer, &token(json!("anybody"))).is_ok());
    issuer.issuer = Some("https://a.example".to_owned());
    assert!(verify(&issuer, &token(json!("https://a.example"))).is_ok());
    for iss in
        [json!("https://a.example/"), json!("HTTPS://a.example"), json!(["https://a.example"])]
    {
        refused(&issuer, &token(iss), TokenInvalid, "iss is not \"https://a.example\"");
    }
    refused(&issuer, &hs256_token(&claims(&json!({}))), TokenInvalid, "no iss");
}

#[test]
fn aud_names_one_of_the_configured() {
    let mut issuer = hs256();
    let token = |aud| hs256_token(&claims(&json!({ "aud": aud })));
    assert!(verify(&issuer, &token(json!("anybody"))).is_ok());
    issuer.audience = vec!["chat".to_owned(), "news".to_owned()];
    for aud in [json!("chat"), json!("news"), json!(["x", "chat"])] {
        assert!(verify(&issuer, &token(aud)).is_ok());
    }
    for aud in [json!("Chat"), json!("chat news"), json!([]), json!(["x"])] {
        refused(&issuer, &token(aud), TokenInvalid, "aud does not name chat, news");
    }
    for aud in [json!(1), json!({"chat": true}), json!(["chat", 1])] {
        refused(&issuer, &token(aud), TokenInvalid, "neither a text nor texts");
    }
    refused(&issuer, &hs256_token(&claims(&json!({}))), TokenInvalid, "no aud");
}

#[test]
fn the_user_is_a_text_or_a_whole_number() {
    let mut issuer = hs256();
    issuer.user_claim = "user_id".to_owned();
    let token = |user| hs256_token(&claims(&json!({ "user_id": user })));
    assert_eq!(verify(&issuer, &token(json!(42))).unwrap().principal().user.user(), "42");
    assert_eq!(verify(&issuer, &token(json!("b"))).unwrap().principal().user.user(), "b");
    for user in [json!(""), json!(1.5), json!(true), json!(["b"]), json!({})] {
        refused(&issuer, &token(user), TokenInvalid, "user_id says no user");
    }
    let missing = hs256_token(&claims(&json!({"uid": 7})));
    refused(
        &issuer,
        &missing,
        TokenInvalid,
        "no user_id claim, which says who the user is; it has",
    );
    let detail = verify(&issuer, &missing).unwrap_err().detail;
    assert!(detail.contains("uid") && !detail.contains('7'), "{detail}");
    refused(&hs256(), &hs256_token(&claims(&json!({"jti": 1}))), TokenInvalid, "jti is not a text");
}

#[test]
fn a_required_claim_matches_by_value_list_or_word() {
    let mut issuer = hs256();
    let claim = "scope".to_owned();
    issuer.require =
        vec![Requirement { claim, allowed: vec![json!("chat"), json!(7), json!(true)] }];
    let token = |scope| hs256_token(&claims(&json!({ "scope": scope })));
    for scope in
        [json!("chat"), json!("a chat b"), json!(["chat"]), json!(7), json!([7]), json!(true)]
    {
        assert!(verify(&issuer, &token(scope.clone())).is_ok(), "{scope}");
    }
    let bad =
        [json!("chatter"), json!("Chat"), json!("7"), json!(7.0), json!([["chat"]]), json!("")];
    for scope in bad {
        refused(&issuer, &token(scope), ClaimsDenied, "scope has no value that require allows");
    }
    refused(&issuer, &hs256_token(&claims(&json!({}))), ClaimsDenied, "no scope claim");
}

#[test]
fn forwarded_fields_are_the_tokens() {
    let mut issuer = hs256();
    let field = |name: &'static str, claim: &str| (name.parse().unwrap(), claim.to_owned());
    issuer.forward =
        vec![field("x-user", "sub"), field("x-none", "none"), field("x-roles", "roles")];
    let token = hs256_token(&claims(&json!({"roles": ["a", "b"]})));
    let verifier = super::Verifier::new(&std::sync::Arc::new(issuer.clone())).unwrap();
    let trusted = super::verify_with(&verifier, &token).unwrap();
    let fields: Vec<_> = verifier
        .forwarded(&trusted)
        .into_iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(fields, ["x-user: ann", "x-roles: a, b"]);
    let long = hs256_token(&claims(&json!({"roles": "x".repeat(4097)})));
    refused(&issuer, &long, TokenInvalid, "roles makes a header of over 4096 bytes");
}

#[test]
fn claims_are_checked_after_the_signature() {
    let expired = json!({"sub": "ann", "exp": 1}).to_string();
    for payload in [expired.as_str(), "{}", "not JSON"] {
        let token = forged(r#"{"alg":"HS256"}"#, payload, b"another");
        refused(&hs256(), &token, TokenInvalid, "signature is not one of the secret of [jwt.main]");
    }
    assert!(now() > at(1));
}
