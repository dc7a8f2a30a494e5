//! The kinds of keys, and the algorithms that they verify.

use std::sync::Arc;

use base64::Engine;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::{ED, P256, P384, RSA, SECRET, encode, hs256, issuer, jwk, jwks, map, public, refused};
use super::{signed, verify, with};
use crate::config::Algorithm::{self, ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, RS256};
use crate::config::{Issuer, KeySource, Secret};
use crate::policy::token::{Signer, Verifier, Verifiers};
use crate::values::Reason::TokenInvalid;

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
fn each_algorithm_verifies_only_its_own_signatures() {
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
fn keys_of_a_set_are_used_only_as_they_state() {
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

/// A secret in a set is ignored, even if the configuration allows HS256.
#[test]
fn a_set_has_no_secrets() {
    let oct = json!({"kty": "oct", "kid": "a", "k": super::encode_bytes(SECRET)});
    unusable(jwks(&json!([oct]), &[HS256]), "a shared secret (oct), which a JWK Set must not show");
}

/// RFC 8017 section 3.1: with the exponent 1 a signature is just the padded hash.
#[test]
fn an_rsa_key_has_an_odd_modulus_and_an_odd_exponent_from_3() {
    let key = |last: u8, e: &[u8]| {
        let n = [&[0x80][..], &[1; 254], &[last]].concat();
        let key = json!({"kty": "RSA", "n": super::encode_bytes(&n), "e": super::encode_bytes(e)});
        jwks(&json!([key]), &[RS256])
    };
    for good in [&[3][..], &[0, 0, 3], &[1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
        assert!(Verifier::new(&Arc::new(key(1, good))).is_ok(), "{good:?}");
    }
    for bad in [&[0][..], &[1], &[0, 1], &[2], &[4], &[1, 0], &[3, 0, 0, 0, 1]] {
        unusable(key(1, bad), "exponent is not an odd number from 3");
    }
    unusable(key(2, &[1, 0, 1]), "even modulus");
}

/// Under a point of small order one signature fits many messages, and some signatures fit all.
#[test]
fn an_ed25519_key_is_not_of_small_order() {
    let eighth = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let other = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let of_hex = |text: &str| -> Vec<u8> {
        (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let low = |first: u8| [&[first][..], &[0; 31]].concat();
    let high = |first: u8| [&[first][..], &[0xff; 30], &[0x7f]].concat();
    let mut points = vec![low(0), low(1), of_hex(eighth), of_hex(other)];
    points.extend((0xec..=0xff).map(high));
    let set = |key: &[u8]| {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": super::encode_bytes(key)});
        jwks(&json!([key]), &[EdDSA])
    };
    for mut point in points {
        unusable(set(&point), "Ed25519 key of small order");
        point[31] |= 0x80;
        unusable(set(&point), "Ed25519 key of small order");
        // SubjectPublicKeyInfo of RFC 8410 section 4.
        let prefix = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        let der = base64::engine::general_purpose::STANDARD.encode([&prefix[..], &point].concat());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let key = KeySource::PublicKey { path: "f.pem".into(), pem: pem.into_bytes() };
        unusable(issuer(&[EdDSA], key), "the key in f.pem is an Ed25519 key of small order");
    }
    for near in [low(2), high(0xeb)] {
        assert!(Verifier::new(&Arc::new(set(&near))).is_ok(), "{near:?}");
    }
    assert!(verify(&set_of(&ED), &signed(&ED, EdDSA, None)).is_ok());
}

fn set_of(pair: &KeyPair) -> Issuer {
    jwks(&json!([jwk(pair, "k")]), &[EdDSA])
}

/// Some issuers write their sets with nulls and padding.
#[test]
fn null_members_are_absent_and_padding_is_ignored() {
    let null = json!({"use": null, "alg": null, "kid": null, "key_ops": null});
    for (pair, algorithm) in [(&*P256, ES256), (&*P384, ES384), (&*ED, EdDSA), (&*RSA, RS256)] {
        let mut key = jwk(pair, "k");
        let members = key.as_object_mut().unwrap();
        members.extend(null.as_object().unwrap().clone());
        for name in ["x", "y", "n", "e"] {
            if let Some(Value::String(text)) = members.get_mut(name) {
                let padding = (4 - text.len() % 4) % 4;
                text.push_str(&"=".repeat(padding));
            }
        }
        let set = jwks(&json!([key]), &[algorithm]);
        assert!(verify(&set, &signed(pair, algorithm, None)).is_ok(), "{algorithm:?}");
    }
    let token = format!("{}.{}", encode(r#"{"alg":"HS256","kid":null,"cty":null}"#), "e30");
    let mac = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let mac = jsonwebtoken::crypto::sign(token.as_bytes(), &mac, jsonwebtoken::Algorithm::HS256);
    let token = format!("{token}.{}", mac.unwrap());
    refused(&hs256(), &token, TokenInvalid, "has no exp");
}

#[test]
fn a_set_is_a_list_of_at_most_256_keys() {
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[", "<html>"] {
        let key = KeySource::JwksFile { path: "keys.json".into(), json: text.to_owned() };
        unusable(issuer(&[ES256], key), "keys.json: this is not a JWK Set");
    }
    let many = |count: usize| {
        let keys: Vec<Value> = (0..count).map(|index| jwk(&P256, &index.to_string())).collect();
        jwks(&json!(keys), &[ES256])
    };
    assert!(verify(&many(256), &signed(&P256, ES256, Some("255"))).is_ok());
    unusable(many(257), "has 257 keys, and 256 are accepted");
}

#[test]
fn without_a_kid_at_most_8_keys_are_tried() {
    let other = || jwk(&KeyPair::generate().unwrap(), "b");
    let one = jwk(&P256, "a");
    let token = signed(&P256, ES256, None);
    let unrelated = json!([one, jwk(&RSA, "r"), jwk(&P384, "p"), {"kty": "new"}]);
    assert!(verify(&jwks(&unrelated, &[ES256, ES384]), &token).is_ok());
    let mut keys: Vec<Value> = (0..7).map(|_| other()).collect();
    let others = jwks(&json!(keys), &[ES256]);
    refused(&others, &token, TokenInvalid, "signature is not one of the key of the JWK Set");
    keys.push(one.clone());
    assert!(verify(&jwks(&json!(keys), &[ES256]), &token).is_ok());
    keys.insert(0, other());
    let nine = jwks(&json!(keys), &[ES256]);
    refused(&nine, &token, TokenInvalid, "no kid, and the JWK Set has 9 ES256 keys; at most 8");
    assert!(verify(&nine, &signed(&P256, ES256, Some("a"))).is_ok());
    let nameless = json!([with(&one, &json!({"kid": null}))]);
    assert!(verify(&jwks(&nameless, &[ES256]), &token).is_ok());
    let named = signed(&P256, ES256, Some("a"));
    refused(&jwks(&nameless, &[ES256]), &named, TokenInvalid, "no key with the token's kid");
}

#[test]
fn a_kid_names_keys_for_the_algorithm() {
    let other = || jwk(&KeyPair::generate().unwrap(), "a");
    let token = signed(&P256, ES256, Some("a"));
    let mut keys = vec![other(), jwk(&P256, "a")];
    assert!(verify(&jwks(&json!(keys), &[ES256]), &token).is_ok());
    keys.resize_with(9, other);
    let nine = jwks(&json!(keys), &[ES256]);
    refused(&nine, &token, TokenInvalid, "has 9 ES256 keys with the token's kid");
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
