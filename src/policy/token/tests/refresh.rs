//! When a set is fetched, and which set is used during an outage. The tests use a paused clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{P256, P384, encode, forged, issuer, jwk, now, signed};
use crate::config::Algorithm::{ES256, ES384};
use crate::config::{Issuer, KeySource};
use crate::journal::Journal;
use crate::policy::token::Verifier;
use crate::policy::token::fetch::{FetchError, Fetched};
use crate::values::Reason::{TokenInvalid, TokenUnverifiable};

/// An issuer with scripted answers; without a scripted answer it fails with 500.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Fetched>>,
    asked: Mutex<Vec<Instant>>,
    takes: Mutex<Duration>,
}

impl Script {
    fn publish(&self, keys: &[Value], max_age: Option<u64>) {
        let body = Bytes::from(json!({ "keys": keys }).to_string());
        let max_age = max_age.map(Duration::from_secs);
        self.answers.lock().unwrap().push_back(Fetched { body, max_age });
    }

    fn times(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The seconds between successive requests.
    fn pauses(&self) -> Vec<f64> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect()
    }

    async fn fetch(&self) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(Instant::now());
        let takes = *self.takes.lock().unwrap();
        sleep(takes).await;
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or(FetchError::Status(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

fn remote() -> Issuer {
    let url = "https://issuer.example/keys".parse().unwrap();
    let roots = crate::tls::Roots::empty();
    issuer(&[ES256, ES384], KeySource::JwksUrl { url, roots })
}

/// A verifier that fetches its set from a script, in a separate task.
fn start() -> (Arc<Verifier>, Arc<Script>) {
    let verifier = Arc::new(Verifier::new(&Arc::new(remote())).unwrap());
    let script = Arc::new(Script::default());
    let (task, answers) = (Arc::clone(&verifier), Arc::clone(&script));
    tokio::spawn(
        async move { task.remote().keep_fresh(&Journal::default(), || answers.fetch()).await },
    );
    (verifier, script)
}

/// Lets all due tasks run.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

fn about(seconds: f64, pause: f64) -> bool {
    (0.9 * seconds..=1.1 * seconds + 0.1).contains(&pause)
}

#[tokio::test(start_paused = true)]
async fn no_token_verifies_before_the_first_set() {
    let (verifier, script) = start();
    let token = signed(&P256, ES256, Some("a"));
    let early = verifier.verify(&token, now()).await.unwrap_err();
    assert_eq!(early.reason, TokenUnverifiable);
    assert!(early.detail.contains("not fetched yet"), "{}", early.detail);
    settle().await;
    let failed = verifier.verify(&token, now()).await.unwrap_err();
    assert_eq!(failed.reason, TokenUnverifiable);
    assert!(failed.detail.contains("500"), "{}", failed.detail);
    assert_eq!((verifier.status().keys, verifier.status().age), (0, None));
    script.publish(&[jwk(&P256, "a")], None);
    sleep(Duration::from_secs(6)).await;
    assert!(verifier.verify(&token, now()).await.is_ok());
    assert_eq!((verifier.status().keys, verifier.status().error), (1, None));
}

#[tokio::test(start_paused = true)]
async fn max_age_sets_the_refresh_interval_within_bounds() {
    let cases = [(None, 600.0), (Some(300), 300.0), (Some(0), 60.0), (Some(86_400), 3600.0)];
    for (max_age, expected) in cases {
        let (_verifier, script) = start();
        for _ in 0..3 {
            script.publish(&[jwk(&P256, "a")], max_age);
        }
        sleep(Duration::from_secs(12_000)).await;
        let pauses = script.pauses();
        assert!(
            about(expected, pauses[0]) && about(expected, pauses[1]),
            "{max_age:?}: {pauses:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_keep_the_last_good_set() {
    let (verifier, script) = start();
    script.publish(&[jwk(&P256, "a")], None);
    script.answers.lock().unwrap().push_back(Fetched { body: "<html>".into(), max_age: None });
    sleep(Duration::from_secs(4000)).await;
    let pauses = script.pauses();
    let expected = [600.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0];
    for (expected, pause) in expected.into_iter().zip(&pauses) {
        assert!(about(expected, *pause), "{pauses:?}");
    }
    assert!(verifier.verify(&signed(&P256, ES256, Some("a")), now()).await.is_ok());
    let status = verifier.status();
    assert_eq!(status.keys, 1);
    assert!(status.age.unwrap() > Duration::from_secs(3990));
    assert!(status.error.unwrap().contains("500"));
    let shown = format!("{verifier:?}");
    assert!(shown.contains("issuer.example") && !shown.contains("DecodingKey"), "{shown}");

    script.publish(&[jwk(&P384, "b")], None);
    sleep(Duration::from_secs(331)).await;
    assert!(verifier.verify(&signed(&P384, ES384, Some("b")), now()).await.is_ok());
    sleep(Duration::from_secs(661)).await;
    let last = script.pauses();
    assert!(about(600.0, last[pauses.len() + 1]), "the back-off starts again: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_fetched_early_and_once() {
    let (verifier, script) = start();
    script.publish(&[jwk(&P256, "a")], None);
    settle().await;
    *script.takes.lock().unwrap() = Duration::from_secs(2);
    script.publish(&[jwk(&P256, "a"), jwk(&P384, "b")], None);
    let token = signed(&P384, ES384, Some("b"));
    let begun = Instant::now();
    let (one, other) = tokio::join!(verifier.verify(&token, now()), verifier.verify(&token, now()));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(script.times(), 2, "one fetch for both");
}

#[tokio::test(start_paused = true)]
async fn unknown_kids_cause_one_request_a_minute() {
    let (verifier, script) = start();
    for _ in 0..4 {
        script.publish(&[jwk(&P256, "a")], None);
    }
    settle().await;
    for round in 1..=3 {
        for index in 0..100 {
            let token = signed(&P256, ES256, Some(&format!("x{index}")));
            let refusal = verifier.verify(&token, now()).await.unwrap_err();
            assert_eq!(refusal.reason, TokenInvalid);
            assert!(refusal.detail.contains("no key with the token's kid; it has a"));
        }
        sleep(Duration::from_secs(59)).await;
        let token = signed(&P256, ES256, Some("y"));
        assert_eq!(verifier.verify(&token, now()).await.unwrap_err().reason, TokenInvalid);
        assert_eq!(script.times(), 1 + round);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Tokens without a `kid`, and tokens refused before the key look-up, cause no fetch.
#[tokio::test(start_paused = true)]
async fn other_invalid_tokens_cause_no_request() {
    let (verifier, script) = start();
    script.publish(&[jwk(&P256, "a"), jwk(&KeyPair::generate().unwrap(), "b")], None);
    settle().await;
    let bad = [
        signed(&P384, ES384, None),
        signed(&KeyPair::generate().unwrap(), ES256, None),
        signed(&P256, ES256, Some("b")),
        forged(r#"{"alg":"HS256","kid":"x"}"#, "{}", b"k"),
        format!("{}.e30.AA", encode(r#"{"alg":"none","kid":"x"}"#)),
        format!("{}.e30.AA", encode(r#"{"alg":"ES256","kid":"x","crit":["x"]}"#)),
    ];
    for token in bad {
        assert_eq!(verifier.verify(&token, now()).await.unwrap_err().reason, TokenInvalid);
    }
    assert_eq!(script.times(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_in_an_outage_is_not_the_clients_fault() {
    let (verifier, script) = start();
    script.publish(&[jwk(&P256, "a")], None);
    settle().await;
    let refusal = verifier.verify(&signed(&P384, ES384, Some("b")), now()).await.unwrap_err();
    assert_eq!(refusal.reason, TokenUnverifiable, "{}", refusal.detail);
    assert!(verifier.verify(&signed(&P256, ES256, Some("a")), now()).await.is_ok());
    assert_eq!(script.times(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_early_fetch_that_does_not_end_is_waited_for_ten_seconds() {
    let (verifier, script) = start();
    script.publish(&[jwk(&P256, "a")], None);
    settle().await;
    *script.takes.lock().unwrap() = Duration::from_secs(100);
    let begun = Instant::now();
    let refusal = verifier.verify(&signed(&P256, ES256, Some("x")), now()).await.unwrap_err();
    assert_eq!(refusal.reason, TokenInvalid);
    assert_eq!(begun.elapsed().as_secs(), 10);
}

/// A fetch that began before the token arrived may have missed its key.
#[tokio::test(start_paused = true)]
async fn a_fetch_under_way_is_not_early_enough() {
    let (verifier, script) = start();
    script.publish(&[jwk(&P256, "a")], Some(60));
    settle().await;
    *script.takes.lock().unwrap() = Duration::from_secs(3);
    script.publish(&[jwk(&P256, "a")], None);
    script.publish(&[jwk(&P384, "b")], None);
    while script.times() < 2 {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(verifier.verify(&signed(&P384, ES384, Some("b")), now()).await.is_ok());
    assert_eq!(script.times(), 3);
}
