//! Tokens that other libraries make: each one verifies with its own key, and no changed one does.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framewall::config::{Algorithm, Issuer, KeySource, OnExpiry, Secret};
use framewall::policy::token::{TokenError, Verifier};
use framewall::values::Reason;
use framewall::values::TokenPlace;
use serde_json::{Value, json};
use support::{Tool, run_program};

fn issuer(algorithm: Algorithm, key: KeySource) -> Arc<Issuer> {
    Arc::new(Issuer {
        name: "main".to_owned(),
        algorithms: vec![algorithm],
        key,
        issuer: Some("https://a.example".to_owned()),
        audience: vec!["chat".to_owned()],
        leeway: Duration::ZERO,
        user_claim: "sub".to_owned(),
        token_from: vec![TokenPlace::Header],
        message_deadline: Duration::from_secs(5),
        message_token: None,
        max_token: 16 * 1024,
        require: Vec::new(),
        forward: Vec::new(),
        forward_token: false,
        on_expiry: OnExpiry::Close,
    })
}

/// The same key in every form in which the line has it.
fn verifiers(line: &Value, algorithm: Algorithm) -> Vec<Result<Verifier, TokenError>> {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let mut sources = Vec::new();
    sources.extend(text("secret").map(|secret| KeySource::Secret(Secret(secret.into_bytes()))));
    sources.extend(
        text("pem").map(|pem| KeySource::PublicKey { path: "k.pem".into(), pem: pem.into_bytes() }),
    );
    if let Some(jwk) = line["jwk"].as_object() {
        let mut jwk = jwk.clone();
        jwk.insert("kid".to_owned(), json!("k"));
        let json = json!({"keys": [{"kty": "oct", "k": "AA"}, jwk]}).to_string();
        sources.push(KeySource::JwksFile { path: "keys.json".into(), json });
    }
    sources.into_iter().map(|source| Verifier::new(&issuer(algorithm, source))).collect()
}

/// Every token with one character changed, part by part; the last one of a part may be padding.
fn tampered(token: &str) -> Vec<String> {
    let changed = |at: usize| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    (0..token.len()).filter(|at| token.as_bytes()[*at] != b'.').map(changed).collect()
}

async fn check(line: &Value) -> bool {
    let (alg, token) = (line["alg"].as_str().unwrap(), line["token"].as_str().unwrap());
    let now = SystemTime::now();
    let Some(algorithm) = Algorithm::ALL.into_iter().find(|algorithm| algorithm.is_named(alg))
    else {
        // Nothing here is called so: whatever is configured, the token is refused.
        for algorithm in Algorithm::ALL {
            for verifier in verifiers(line, algorithm).into_iter().flatten() {
                let refusal = verifier.verify(token, now).await.unwrap_err();
                assert_eq!(refusal.reason, Reason::TokenInvalid, "{line}");
            }
        }
        return false;
    };
    let verifiers = verifiers(line, algorithm);
    if line["jwk"]["crv"] == "Ed448" {
        assert!(verifiers.iter().all(Result::is_err), "{line}");
        return false;
    }
    assert!(!verifiers.is_empty(), "{line}");
    for verifier in verifiers {
        let verifier = verifier.unwrap();
        let outcome = verifier.verify(token, now).await;
        let outcome = outcome.unwrap_or_else(|refusal| panic!("{}: {line}", refusal.detail));
        assert_eq!(outcome.principal().user.user(), "ann");
        for token in tampered(token) {
            let refusal = verifier.verify(&token, now).await.unwrap_err();
            assert_eq!(refusal.reason, Reason::TokenInvalid, "{token}");
        }
    }
    true
}

async fn table(tool: Tool, expected: &[&str]) {
    let lines = run_program(tool, "mint_tokens", &[]);
    let mut accepted = Vec::new();
    for line in &lines {
        if check(line).await {
            accepted.push(line["alg"].as_str().unwrap());
        }
    }
    accepted.sort_unstable();
    assert_eq!(accepted, expected);
}

const COMMON: [&str; 12] = [
    "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512", "PS256", "PS384", "PS512", "RS256",
    "RS384", "RS512",
];

#[tokio::test]
#[ignore = "needs PyJWT and jose"]
async fn tokens_of_pyjwt_verify_and_tampered_ones_do_not() {
    table(Tool::Python, &COMMON).await;
}

#[tokio::test]
#[ignore = "needs PyJWT and jose"]
async fn tokens_of_jose_verify_and_tampered_ones_do_not() {
    let mut expected = COMMON.to_vec();
    expected.insert(2, "Ed25519");
    table(Tool::Node, &expected).await;
}
