//! Keys at an address: fetched, rotated, and kept while they cannot be had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use super::support::{
    Gateway, Https, HttpsPort, RawUpstream, Request, Response, Session, answer, eventually,
};
use super::{admin, now};

/// A key of the issuer's, by its id.
struct Key {
    kid: &'static str,
    pair: KeyPair,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        Self { kid, pair: KeyPair::generate().unwrap() }
    }

    /// Its public half (RFC 7518 section 6.2.1). The raw form is 4, x and y.
    fn jwk(&self) -> Value {
        let (x, y) = self.pair.der_bytes()[1..].split_at(32);
        let text = |coordinate| URL_SAFE_NO_PAD.encode(coordinate);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": text(x), "y": text(y) })
    }

    /// A handshake with a token that it signed.
    fn request(&self) -> Request {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        let claims = json!({ "sub": "ada", "exp": now() + 3600 });
        let key = EncodingKey::from_ec_der(self.pair.serialized_der());
        let token = encode(&header, &claims, &key).unwrap();
        Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
    }
}

fn set_of(keys: &[&Key]) -> Vec<u8> {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    answer(
        "200 OK",
        "Content-Type: application/jwk-set+json\r\n",
        &json!({ "keys": keys }).to_string(),
    )
}

/// What the issuer answers, and which requests it had.
#[derive(Clone, Default)]
struct Issuer(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    /// `None`: it hangs up.
    answer: Option<Vec<u8>>,
    requests: Vec<String>,
}

impl Issuer {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, answer: Option<Vec<u8>>) {
        self.script().answer = answer;
    }

    fn requests(&self) -> Vec<String> {
        self.script().requests.clone()
    }

    fn serve(&self, port: HttpsPort, gateway: &Gateway) -> Https {
        let issuer = self.clone();
        port.serve(gateway.folder(), "site0", move |request: &Response| {
            let mut script = issuer.script();
            script.requests.push(request.line.clone());
            script.answer.clone()
        })
    }
}

/// A gateway that fetches its keys from a port where nobody answers yet.
fn start(upstream: &RawUpstream) -> (Gateway, HttpsPort) {
    let port = HttpsPort::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .auth("main")
        .more(&format!(
            "[jwt.main]\nalgorithms = [\"ES256\"]\njwks = \"{}/keys?v=1\"\njwks_ca = \"ca.pem\"\n\
             [admin]\nsocket = \"fw.sock\"\n",
            port.origin()
        ))
        .start();
    (gateway, port)
}

/// A gateway that has fetched `keys`, and the issuer that it has them from.
fn with_keys(upstream: &RawUpstream, keys: &[&Key]) -> (Gateway, Issuer, Https) {
    let (gateway, port) = start(upstream);
    let issuer = Issuer::default();
    issuer.publish(Some(set_of(keys)));
    let server = issuer.serve(port, &gateway);
    gateway.wait_for_record(|record| record["event"] == "jwks.refreshed");
    (gateway, issuer, server)
}

/// What `status` says of the issuer.
fn status(gateway: &Gateway) -> Value {
    let (code, printed) = admin(gateway, &["status", "--json"]);
    assert_eq!(code, Some(0), "{printed}");
    let status: Value = serde_json::from_str(&printed).unwrap();
    status["issuers"][0].clone()
}

fn admitted(gateway: &Gateway, upstream: &RawUpstream, key: &Key) {
    Session::open_with(gateway, upstream, &key.request(), "").prove_alive();
}

#[test]
fn before_the_first_set_no_token_is_verified() {
    let (upstream, key) = (RawUpstream::bind(), Key::new("a"));
    let (gateway, port) = start(&upstream);
    gateway.expect_refusal(&key.request(), 503, "token.unverifiable");
    gateway.wait_for_error(|record| record["reason"] == "token.unverifiable");
    upstream.received_nothing();
    let shown = status(&gateway);
    assert_eq!((&shown["keys"], shown.get("age_seconds")), (&json!(0), None), "{shown}");

    let issuer = Issuer::default();
    issuer.publish(Some(set_of(&[&key])));
    let _server = issuer.serve(port, &gateway);
    let fetched = gateway.wait_for_record(|record| record["event"] == "jwks.refreshed");
    assert_eq!((&fetched["issuer"], &fetched["keys"]), (&json!("main"), &json!(1)));
    assert!(!fetched["source"].as_str().unwrap().contains("v=1"), "{fetched}");
    admitted(&gateway, &upstream, &key);
}

#[test]
fn a_rotated_key_is_fetched_early_and_once() {
    let (upstream, old, new) = (RawUpstream::bind(), Key::new("old"), Key::new("new"));
    let (gateway, issuer, _server) = with_keys(&upstream, &[&old]);
    admitted(&gateway, &upstream, &old);
    assert_eq!(issuer.requests(), ["GET /keys?v=1 HTTP/1.1"]);

    issuer.publish(Some(set_of(&[&old, &new])));
    admitted(&gateway, &upstream, &new);
    admitted(&gateway, &upstream, &old);
    assert_eq!(status(&gateway)["keys"], 2);
    let stranger = Key::new("stranger");
    gateway.expect_refusal(&stranger.request(), 401, "token.invalid");
    gateway.expect_refusal(&Key::new("new").request(), 401, "token.invalid");
    assert_eq!(issuer.requests().len(), 2, "made-up ids cost the issuer nothing more");
}

/// A key that is not in the last good set makes the gateway look, which fails as it is said.
#[track_caller]
fn last_good_set_holds(outage: Option<Vec<u8>>, error: &str) {
    let (upstream, known) = (RawUpstream::bind(), Key::new("known"));
    let (gateway, issuer, _server) = with_keys(&upstream, &[&known]);
    issuer.publish(outage);
    gateway.expect_refusal(&Key::new("new").request(), 503, "token.unverifiable");
    upstream.received_nothing();
    let stale = gateway.wait_for_record(|record| record["event"] == "jwks.stale");
    assert!(stale["error"].as_str().unwrap().contains(error), "{stale}");

    admitted(&gateway, &upstream, &known);
    let shown = status(&gateway);
    assert_eq!(shown["keys"], 1, "{shown}");
    assert!(shown["age_seconds"].is_u64(), "{shown}");
    assert!(shown["error"].as_str().unwrap().contains(error), "{shown}");

    issuer.publish(Some(set_of(&[&known])));
    let recovered = eventually(|| status(&gateway).get("error").is_none().then_some(()));
    recovered.expect("the error goes when the issuer is back");
}

#[test]
fn a_failing_issuer_does_not_affect_known_keys() {
    last_good_set_holds(None, "no answer");
}

#[test]
fn an_answer_that_is_too_large_does_not_replace_the_last_good_set() {
    let key = Key::new("new").jwk();
    let set = json!({ "keys": [key], "padding": "x".repeat(1 << 20) }).to_string();
    last_good_set_holds(Some(answer("200 OK", "", &set)), "larger than 1 MiB");
}

#[test]
fn an_answer_that_is_no_set_does_not_replace_the_last_good_set() {
    last_good_set_holds(Some(answer("200 OK", "", "<html>")), "not a JWK Set");
}

#[test]
fn an_error_does_not_replace_the_last_good_set() {
    last_good_set_holds(Some(answer("500 Internal Server Error", "", "")), "500");
}

/// The issuer on the same machine, as a sidecar or a development server is.
#[test]
fn keys_come_over_http_from_this_machine() {
    let (upstream, issuer, key) = (RawUpstream::bind(), RawUpstream::bind(), Key::new("a"));
    let gateway = Gateway::to(&[upstream.address()])
        .auth("main")
        .more(&format!(
            "[jwt.main]\nalgorithms = [\"ES256\"]\njwks = \"http://{}/keys\"\n",
            issuer.address()
        ))
        .start();
    let mut wire = issuer.accept();
    assert_eq!(wire.read_head().line, "GET /keys HTTP/1.1");
    wire.send(&set_of(&[&key]));
    drop(wire);
    gateway.wait_for_record(|record| record["event"] == "jwks.refreshed");
    admitted(&gateway, &upstream, &key);
}
