//! Each rule has a token that breaks only this rule, and a similar one that breaks none.

mod attacks;
mod claims;
mod keys;
mod refresh;
mod server;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Map, Value, json};

use super::{Signer, VerifiedToken, Verifier};
use crate::config::{Algorithm, Issuer, KeySource, OnExpiry, Secret};
use crate::values::TokenPlace;
use crate::values::{Reason, Refusal};

const SECRET: &[u8] = b"a secret of the tests that is long enough for HS512: 64 bytes!!!";

static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
static P256: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
static P384: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
static ED: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_ED25519).unwrap());

/// A fixed time, so that tests do not depend on a clock.
fn now() -> SystemTime {
    at(1_800_000_000)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn issuer(algorithms: &[Algorithm], key: KeySource) -> Issuer {
    Issuer {
        name: "main".to_owned(),
        algorithms: algorithms.to_vec(),
        key,
        issuer: None,
        audience: Vec::new(),
        leeway: Duration::from_secs(30),
        user_claim: "sub".to_owned(),
        token_from: vec![TokenPlace::Header],
        message_deadline: Duration::from_secs(5),
        message_token: None,
        max_token: 16 * 1024,
        require: Vec::new(),
        forward: Vec::new(),
        forward_token: false,
        on_expiry: OnExpiry::Close,
    }
}

fn hs256() -> Issuer {
    issuer(&[Algorithm::HS256], KeySource::Secret(Secret(SECRET.to_vec())))
}

fn public(pair: &KeyPair, algorithms: &[Algorithm]) -> Issuer {
    let pem = pair.public_key_pem().into_bytes();
    issuer(algorithms, KeySource::PublicKey { path: "issuer.pem".into(), pem })
}

fn jwks(keys: &Value, algorithms: &[Algorithm]) -> Issuer {
    let json = json!({ "keys": keys }).to_string();
    issuer(algorithms, KeySource::JwksFile { path: "keys.json".into(), json })
}

/// Claims with an `exp` an hour from `now`.
fn claims(more: &Value) -> Value {
    let mut claims = json!({"sub": "ann", "exp": 1_800_003_600});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn encode(part: &str) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A token with this header and payload, signed with HS256 and this secret in any case.
fn forged(header: &str, payload: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let signed =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{message}.{}", signed.unwrap())
}

fn hs256_token(claims: &Value) -> String {
    forged(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET)
}

fn signed(pair: &KeyPair, algorithm: Algorithm, kid: Option<&str>) -> String {
    let pem = pair.serialize_pem();
    let signer = Signer::pem("key.pem".as_ref(), pem.as_bytes(), Some(algorithm)).unwrap();
    signer.sign(&map(&claims(&json!({}))), kid).unwrap()
}

/// The result of a new verifier.
fn verify(issuer: &Issuer, token: &str) -> Result<VerifiedToken, Refusal> {
    let verifier = Verifier::new(&Arc::new(issuer.clone())).unwrap();
    verify_with(&verifier, token)
}

fn verify_with(verifier: &Verifier, token: &str) -> Result<VerifiedToken, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(verifier.verify(token, now()))
}

/// Asserts that the token is refused for this reason, with `says` in the detail.
#[track_caller]
fn refused(issuer: &Issuer, token: &str, reason: Reason, says: &str) {
    let refusal = verify(issuer, token).expect_err(says);
    assert_eq!(refusal.reason, reason, "{}", refusal.detail);
    assert!(refusal.detail.contains(says), "{:?} does not say {says:?}", refusal.detail);
}

/// The public key as a JWK.
fn jwk(pair: &KeyPair, kid: &str) -> Value {
    use super::key::Material;
    let spki = crate::tls::public_key(pair.public_key_pem().as_bytes()).unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = |crv: &str, point: &[u8]| {
        let (x, y) = point[1..].split_at(point.len() / 2);
        json!({"kty": "EC", "crv": crv, "x": text(x), "y": text(y), "kid": kid})
    };
    match super::spki::read(&spki).unwrap() {
        Material::Rsa { modulus, exponent } => {
            json!({"kty": "RSA", "n": text(&modulus), "e": text(&exponent), "kid": kid})
        }
        Material::P256(bytes) => point("P-256", &bytes),
        Material::P384(bytes) => point("P-384", &bytes),
        Material::Ed25519(x) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(&x), "kid": kid}),
    }
}

/// The value with the members of `more` added or, where they are null, removed.
fn with(value: &Value, more: &Value) -> Value {
    let mut value = value.clone();
    let object = value.as_object_mut().unwrap();
    for (name, member) in more.as_object().unwrap() {
        if member.is_null() {
            object.remove(name)
        } else {
            object.insert(name.clone(), member.clone())
        };
    }
    value
}

fn encode_bytes(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
