//! Which keys verify what.

use std::sync::Arc;

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::{ED, P256, P384, RSA, SECRET, hs256, issuer, jwk, jwks, map, public, refused, signed};
use super::{verify, with};
use crate::config::Algorithm::{self, ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, RS256};
use crate::config::{Issuer, KeySource, Secret};
use crate::refusal::Reason::TokenInvalid;
use crate::token::{Signer, Verifier, Verifiers};

/// Every asymmetric algorithm and a key for it.
fn pairs() -> [(Algorithm, &'static KeyPair); 9] {
    use Algorithm::{PS384, PS512, RS384, RS512};
    [
        (RS256, &RSA),
        (RS384, &RSA),
        (RS512, &RSA),
        (PS256, &RSA),
        (PS384, &RSA),
        (PS512, &RSA),
        (ES256, &P256),
        (ES384, &P384),
        (EdDSA, &ED),
    ]
}

#[track_caller]
fn unusable(issuer: Issuer, says: &str) {
    let error = Verifier::new(&Arc::new(issuer)).expect_err(says).to_string();
    assert!(error.starts_with("[jwt.main]: ") && error.contains(says), "{error}");
}

#[test]
fn each_algorithm_verifies_its_own_and_no_other() {
    for (algorithm, pair) in pairs() {
        let token = signed(pair, algorithm, Some("k"));
        let set = json!([with(&jwk(pair, "k"), &json!({"alg": algorithm.name(), "use": "sig"}))]);
        for issuer in [public(pair, &[algorithm]), jwks(&set, &[algorithm])] {
            assert!(verify(&issuer, &token).is_ok(), "{algorithm:?}");
            let mut tampered = token.clone().into_bytes();
            let middle = token.find('.').unwrap() + 10;
            tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(tampered).unwrap();
            refused(&issuer, &tampered, TokenInvalid, "signature");
        }
        for (other, with) in pairs() {
            if other != algorithm && with.algorithm() == pair.algorithm() {
                let issuer = public(pair, &[other]);
                refused(&issuer, &token, TokenInvalid, "algorithms allows");
            }
        }
    }
    for algorithm in [HS256, HS384, HS512] {
        let key = Signer::secret(SECRET, algorithm).unwrap();
        let token = key.sign(&map(&super::claims(&json!({}))), None).unwrap();
        let issuer = issuer(&[algorithm], KeySource::Secret(Secret(SECRET.to_vec())));
        assert!(verify(&issuer, &token).is_ok());
    }
}

#[test]
fn a_secret_is_as_long_as_the_hash() {
    let with = |bytes: usize, algorithms: &[Algorithm]| {
        issuer(algorithms, KeySource::Secret(Secret(SECRET[..bytes].to_vec())))
    };
    for (algorithm, bytes) in [(HS256, 32), (HS384, 48), (HS512, 64)] {
        assert!(Verifier::new(&Arc::new(with(bytes, &[algorithm]))).is_ok());
        unusable(with(bytes - 1, &[algorithm]), "bits, and HS");
    }
    unusable(with(32, &[HS256, HS512]), "the secret has 256 bits, and HS512 needs at least 512");
    let tutorial = issuer(&[HS256], KeySource::Secret(Secret(b"secret_key".to_vec())));
    unusable(tutorial, "the secret has 80 bits, and HS256 needs at least 256");
}

#[test]
fn algorithms_are_of_one_family() {
    unusable(issuer(&[], hs256().key), "algorithms must name at least one");
    unusable(issuer(&[HS256, RS256], hs256().key), "all of one family");
    unusable(public(&RSA, &[RS256, ES256]), "all of one family");
    assert!(Verifier::new(&Arc::new(public(&RSA, &[RS256, PS256]))).is_ok());
}

#[test]
fn a_public_key_is_for_the_algorithms() {
    unusable(public(&P256, &[ES384]), "the key in issuer.pem is an EC key on P-256, which cannot");
    unusable(public(&P256, &[ES256, ES384]), "cannot verify ES384");
    unusable(public(&RSA, &[ES256]), "an RSA key, which cannot verify ES256");
    unusable(public(&ED, &[RS256]), "an Ed25519 key, which cannot verify RS256");
    unusable(public(&P384, &[HS256]), "cannot verify HS256");
    let pem = |pem: &str| {
        let pem = pem.as_bytes().to_vec();
        issuer(&[ES256], KeySource::PublicKey { path: "f.pem".into(), pem })
    };
    unusable(pem(&P256.serialize_pem()), "f.pem has a private key, which a gateway must not have");
    unusable(pem(""), "no public key in f.pem");
    unusable(pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "of no kind");
    let certificate = rcgen::CertificateParams::default().self_signed(&*P256).unwrap();
    let certified = pem(&certificate.pem());
    assert!(verify(&certified, &signed(&P256, ES256, None)).is_ok());
}

#[test]
fn an_rsa_key_has_2048_bits() {
    let sized = |bytes: usize| {
        let n = [&[0x80][..], &vec![1; bytes - 1]].concat();
        let key = json!({"kty": "RSA", "n": super::encode_bytes(&n), "e": "AQAB"});
        jwks(&json!([key]), &[RS256])
    };
    assert!(Verifier::new(&Arc::new(sized(256))).is_ok());
    assert!(Verifier::new(&Arc::new(sized(1024))).is_ok());
    unusable(sized(255), "key 1 is an RSA key of 2040 bits");
    unusable(sized(1025), "key 1 is an RSA key of 8200 bits");
}

#[test]
fn a_set_gives_only_what_its_keys_are_for() {
    let key = jwk(&P256, "a");
    let cases = [
        (json!({"use": "enc"}), "not for signatures (use)"),
        (json!({"use": 1}), "not for signatures (use)"),
        (json!({"key_ops": ["sign"]}), "not for verifying (key_ops)"),
        (json!({"key_ops": "verify"}), "not for verifying (key_ops)"),
        (json!({"alg": "ES384"}), "is for other algorithms"),
        (json!({"alg": "ECDH-ES"}), "is for an algorithm that is not verified here"),
        (json!({"alg": 1}), "is for an algorithm that is not verified here"),
        (json!({"crv": "P-384"}), "coordinates of the wrong length"),
        (json!({"crv": "P-521"}), "on a curve that is not verified with"),
        (json!({"x": "AA"}), "coordinates of the wrong length"),
        (json!({"x": null}), "has no x in base64url"),
        (json!({"kty": "oct", "k": "AAAA"}), "is a shared secret (oct)"),
        (json!({"kty": "new"}), "of a type that is not verified with"),
        (json!({"kty": null}), "of a type that is not verified with"),
        (json!({"kid": 1}), "has a kid that is no text"),
    ];
    for (more, says) in cases {
        unusable(jwks(&json!([with(&key, &more)]), &[ES256]), says);
    }
    unusable(jwks(&json!([1]), &[ES256]), "key 1 is not an object");
    unusable(jwks(&json!([]), &[ES256]), "no key of the JWK Set can verify ES256: it is empty");
    let fine = json!([with(&key, &json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256"}))]);
    assert!(verify(&jwks(&fine, &[ES256]), &signed(&P256, ES256, Some("a"))).is_ok());
}

/// A secret in a set is not one, even where HS256 is what the configuration allows.
#[test]
fn a_set_has_no_secrets() {
    let oct = json!({"kty": "oct", "kid": "a", "k": super::encode_bytes(SECRET)});
    unusable(jwks(&json!([oct]), &[HS256]), "a shared secret (oct), which a JWK Set must not show");
}

#[test]
fn a_set_is_a_list_of_at_most_64_keys() {
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[", "<html>"] {
        let key = KeySource::JwksFile { path: "keys.json".into(), json: text.to_owned() };
        unusable(issuer(&[ES256], key), "keys.json: this is not a JWK Set");
    }
    let many = |count: usize| {
        let keys: Vec<Value> = (0..count).map(|index| jwk(&P256, &index.to_string())).collect();
        jwks(&json!(keys), &[ES256])
    };
    assert!(verify(&many(64), &signed(&P256, ES256, Some("63"))).is_ok());
    unusable(many(65), "has 65 keys, and 64 are accepted");
}

#[test]
fn without_a_kid_there_must_be_one_key() {
    let (one, other) = (jwk(&P256, "a"), jwk(&KeyPair::generate().unwrap(), "b"));
    let token = signed(&P256, ES256, None);
    let unrelated = json!([one, jwk(&RSA, "r"), jwk(&P384, "p"), {"kty": "new"}]);
    assert!(verify(&jwks(&unrelated, &[ES256, ES384]), &token).is_ok());
    let two = jwks(&json!([one, other]), &[ES256]);
    refused(&two, &token, TokenInvalid, "no kid, and the JWK Set has more than one ES256 key");
    let nameless = json!([with(&one, &json!({"kid": null}))]);
    assert!(verify(&jwks(&nameless, &[ES256]), &token).is_ok());
    let named = signed(&P256, ES256, Some("a"));
    refused(&jwks(&nameless, &[ES256]), &named, TokenInvalid, "no key with the token's kid");
}

#[test]
fn a_kid_names_one_key_for_the_algorithm() {
    let twice = json!([jwk(&P256, "a"), jwk(&KeyPair::generate().unwrap(), "a")]);
    let token = signed(&P256, ES256, Some("a"));
    refused(
        &jwks(&twice, &[ES256]),
        &token,
        TokenInvalid,
        "more than one ES256 key with the token's",
    );
    let curves = json!([jwk(&P256, "a"), jwk(&P384, "a")]);
    assert!(verify(&jwks(&curves, &[ES256, ES384]), &token).is_ok());
    let bound = json!([with(&jwk(&RSA, "a"), &json!({"alg": "RS256"}))]);
    let ps256 = signed(&RSA, PS256, Some("a"));
    refused(
        &jwks(&bound, &[RS256, PS256]),
        &ps256,
        TokenInvalid,
        "does not give the token's key for",
    );
}

#[test]
fn a_configuration_has_a_verifier_for_each_issuer() {
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.a]\npath = \"/\"\n\
        upstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n";
    let mut config = crate::config::parse(text, "f.toml".as_ref()).unwrap().config;
    let named = |name: &str, issuer: Issuer| Arc::new(Issuer { name: name.to_owned(), ..issuer });
    let set = jwks(&json!([jwk(&P256, "a"), jwk(&P384, "b")]), &[ES256, ES384]);
    config.issuers = vec![named("b", set), named("a", hs256()), named("c", public(&ED, &[EdDSA]))];
    let verifiers = Verifiers::new(&config, None).unwrap();
    assert!(verifiers.get("a").is_some() && verifiers.get("d").is_none());
    let status: Vec<_> = verifiers
        .status()
        .into_iter()
        .map(|one| {
            format!("{} {} {} {:?} {:?}", one.issuer, one.source, one.keys, one.age, one.error)
        })
        .collect();
    let expected = ["a secret 1 None None", "b keys.json 2 None None", "c issuer.pem 1 None None"];
    assert_eq!(status, expected);
    config.issuers.push(named("weak", issuer(&[HS256], KeySource::Secret(Secret(vec![0; 31])))));
    let error = Verifiers::new(&config, None).unwrap_err().to_string();
    assert!(error.starts_with("[jwt.weak]: the secret has 248 bits"), "{error}");
}
