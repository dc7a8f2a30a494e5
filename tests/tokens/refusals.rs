//! Who is not let in, and why.

use std::process::Command;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::support::{Gateway, RawUpstream, Request, Response, Session};
use super::{SECRET, guarded, now, sign, sign_with, token};

fn with(token: &str) -> Request {
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
}

/// The refusal of a token, and what the log says of it.
#[track_caller]
fn refused(lines: &str, token: &str, status: u16, reason: &str) -> (Response, String) {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, lines).start();
    let response = gateway.expect_refusal(&with(token), status, reason);
    upstream.received_nothing();
    let record = gateway.wait_for_record(|record| record["reason"] == reason);
    (response, record["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn without_a_token_there_is_a_challenge() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").start();
    let response = gateway.expect_refusal(&Request::upgrade("/ws"), 401, "token.missing");
    assert_eq!(response.only("www-authenticate"), Some("Bearer"));
    let elsewhere = Request::upgrade(&format!("/ws?access_token={}", token("ada")));
    gateway.expect_refusal(&elsewhere, 401, "token.missing");
    upstream.received_nothing();
}

#[test]
fn a_token_must_be_signed_with_the_secret_and_be_whole() {
    let claims = json!({ "sub": "ada", "exp": now() + 3600 });
    let forged = sign_with(&[b'x'; 64], &claims);
    let (response, _) = refused("", &forged, 401, "token.invalid");
    assert_eq!(response.only("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    let good = sign(&claims);
    for broken in ["a.b", "a.b.c", "....", &good[..good.len() - 2], &format!("{good}.x")] {
        refused("", broken, 401, "token.invalid");
    }
}

#[test]
fn the_configuration_alone_selects_the_algorithm() {
    let claims = json!({ "sub": "ada", "exp": now() + 3600 });
    let key = EncodingKey::from_secret(SECRET);
    let other = encode(&Header::new(Algorithm::HS512), &claims, &key).unwrap();
    refused("", &other, 401, "token.invalid");
    // {"alg":"none"}
    let good = sign(&claims);
    let body = good.split('.').nth(1).unwrap();
    refused("", &format!("eyJhbGciOiJub25lIn0.{body}."), 401, "token.invalid");
}

#[test]
fn exp_is_required_and_enforced() {
    let (_, detail) = refused("", &sign(&json!({ "user_id": 7 })), 401, "token.invalid");
    assert!(detail.contains("exp"), "{detail}");
    refused("", &sign(&json!({ "sub": "ada", "exp": "soon" })), 401, "token.invalid");
    let over = json!({ "sub": "ada", "exp": now() - 100 });
    refused("", &sign(&over), 401, "token.expired");
    let early = json!({ "sub": "ada", "exp": now() + 3600, "nbf": now() + 1800 });
    refused("", &sign(&early), 401, "token.invalid");
}

#[test]
fn issuer_audience_and_user_are_checked() {
    let lines = "issuer = \"https://issuer.example\"\naudience = [\"chat\"]";
    let good = json!({
        "sub": "ada", "exp": now() + 3600, "iss": "https://issuer.example", "aud": ["chat", "x"],
    });
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, lines).start();
    Session::open_with(&gateway, &upstream, &with(&sign(&good)), "").prove_alive();
    for (claim, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", Value::Null),
        ("aud", json!("mail")),
        ("aud", Value::Null),
        ("sub", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[claim] = value;
        gateway.expect_refusal(&with(&sign(&bad)), 401, "token.invalid");
    }
    upstream.received_nothing();
}

#[test]
fn a_token_is_read_after_the_origin() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").start();
    let evil = with(&token("ada")).and("Origin", "https://evil.example");
    gateway.expect_refusal(&evil, 403, "origin.denied");
    upstream.received_nothing();
}

#[test]
fn a_token_longer_than_max_token_is_not_even_read() {
    let claims = |pad: usize| json!({ "sub": "ada", "exp": now() + 3600, "pad": "x".repeat(pad) });
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").start();
    let large = sign(&claims(9 * 1024));
    assert!(large.len() > 12 * 1024);
    Session::open_with(&gateway, &upstream, &with(&large), "").prove_alive();
    let (_, detail) = refused("max_token = \"8KiB\"", &large, 401, "token.invalid");
    assert!(detail.contains("max_token is 8192"), "{detail}");
    Session::open_with(&gateway, &upstream, &with(&sign(&claims(100))), "").prove_alive();
}

#[test]
fn a_padded_token_is_refused_with_a_hint() {
    let token = sign(&json!({ "sub": "ada", "exp": now() + 3600 }));
    let (_, detail) = refused("", &format!("{token}="), 401, "token.invalid");
    assert!(detail.contains("signature is padded with ="), "{detail}");
}

/// As `check` refuses it, before anything listens.
#[test]
fn keys_that_verify_nothing_are_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) }] });
    std::fs::write(folder.path().join("keys.json"), keys.to_string()).unwrap();
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.a]\n\
        path = \"/ws\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"main\"\n[jwt.main]\n\
        algorithms = [\"EdDSA\"]\njwks = \"keys.json\"\n";
    std::fs::write(folder.path().join("f.toml"), text).unwrap();
    let explain = ["explain", "--ip", "192.0.2.1", "--path", "/ws"];
    for command in [&["check"][..], &["run"], &explain] {
        let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
            .args(command)
            .args(["--config", "f.toml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command:?}: {told}");
        assert!(told.contains("[jwt.main]") && told.contains("small order"), "{told}");
    }
}

#[test]
fn a_route_without_authentication_ignores_tokens() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let session = Session::open_with(&gateway, &upstream, &with("a.b.c"), "");
    assert_eq!(session.request.only("authorization"), Some("Bearer a.b.c"));
}
