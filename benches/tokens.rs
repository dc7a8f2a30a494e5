//! What verifying one token costs, by algorithm: `cargo bench --bench tokens`.
//!
//! The whole way of a handshake's token is timed, JSON and claims included, on one thread. The best
//! of a few rounds is shown: the others only measure who else used the machine.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use framewall::config::{Algorithm, Issuer, KeySource, OnExpiry, Secret};
use framewall::policy::token::{Signer, Verifier};
use framewall::values::TokenPlace;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::json;

const SECRET: &[u8] = b"a secret of the benchmark that is long enough";
const ROUNDS: usize = 5;
const PER_ROUND: u32 = 2000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!("{:8} {:>10}", "", "ns/verify");
    let rows = [
        (Algorithm::HS256, None),
        (Algorithm::RS256, Some(&PKCS_RSA_SHA256)),
        (Algorithm::PS256, Some(&PKCS_RSA_SHA256)),
        (Algorithm::ES256, Some(&PKCS_ECDSA_P256_SHA256)),
        (Algorithm::ES384, Some(&PKCS_ECDSA_P384_SHA384)),
        (Algorithm::EdDSA, Some(&PKCS_ED25519)),
    ];
    for (algorithm, kind) in rows {
        let (token, verifier) = prepare(algorithm, kind);
        let best = (0..ROUNDS).map(|_| runtime.block_on(round(&verifier, &token))).min();
        let best = best.unwrap_or_default();
        println!("{:8} {:>10}", algorithm.name(), best.as_nanos());
    }
}

/// The mean of a round.
async fn round(verifier: &Verifier, token: &str) -> Duration {
    let (begun, now) = (Instant::now(), SystemTime::now());
    for _ in 0..PER_ROUND {
        let identity = verifier.verify(black_box(token), now).await;
        black_box(identity.expect("the token is good"));
    }
    begun.elapsed() / PER_ROUND
}

fn prepare(
    algorithm: Algorithm,
    kind: Option<&'static rcgen::SignatureAlgorithm>,
) -> (String, Verifier) {
    let (signer, key) = match kind {
        None => (Signer::secret(SECRET, algorithm), KeySource::Secret(Secret(SECRET.to_vec()))),
        Some(kind) => {
            let pair = KeyPair::generate_for(kind).expect("a key");
            let pem = pair.serialize_pem();
            let signer = Signer::pem("key.pem".as_ref(), pem.as_bytes(), Some(algorithm));
            let pem = pair.public_key_pem().into_bytes();
            (signer, KeySource::PublicKey { path: "key.pem".into(), pem })
        }
    };
    let exp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let claims = json!({
        "sub": "018f2f3e-7c1b-7a4e-9d5a-6b1f0c2d3e4f", "iss": "https://issuer.example",
        "aud": ["chat"], "exp": exp.as_secs() + 3600, "iat": exp.as_secs(), "scope": "chat files",
    });
    let claims = claims.as_object().expect("an object");
    let token = signer.and_then(|signer| signer.sign(claims, None)).expect("a token");
    (token, Verifier::new(&Arc::new(issuer(algorithm, key))).expect("a good key"))
}

fn issuer(algorithm: Algorithm, key: KeySource) -> Issuer {
    Issuer {
        name: "main".to_owned(),
        algorithms: vec![algorithm],
        key,
        issuer: Some("https://issuer.example".to_owned()),
        audience: vec!["chat".to_owned()],
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
