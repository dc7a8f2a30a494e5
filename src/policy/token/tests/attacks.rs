//! Known attacks on token verification, and malformed tokens.

use serde_json::json;

use super::{P256, RSA, SECRET, claims, encode, forged, hs256, jwk, jwks, public, refused, signed};
use super::{verify, with};
use crate::config::Algorithm::{ES256, HS256, RS256};
use crate::values::Reason::TokenInvalid;

fn header(more: &str) -> String {
    forged(&format!(r#"{{"alg":"HS256"{more}}}"#), &claims(&json!({})).to_string(), SECRET)
}

#[test]
fn the_configuration_alone_selects_the_algorithm() {
    let payload = encode(&claims(&json!({})).to_string());
    for alg in ["none", "None", "NONE", "nOnE"] {
        let head = encode(&format!(r#"{{"alg":"{alg}"}}"#));
        refused(&hs256(), &format!("{head}.{payload}."), TokenInvalid, "no signature");
        refused(&hs256(), &format!("{head}.{payload}.AA"), TokenInvalid, "alg is none; algorithms");
    }
    let hs512 = forged(r#"{"alg":"HS512"}"#, &claims(&json!({})).to_string(), SECRET);
    refused(&hs256(), &hs512, TokenInvalid, "alg is HS512; algorithms allows HS256");
    let odd = forged("{\"alg\":\"x\\nlog\"}", "{}", SECRET);
    refused(&hs256(), &odd, TokenInvalid, "alg is another algorithm");
    for head in [r#"{"typ":"JWT"}"#, r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":1}"#] {
        refused(&hs256(), &forged(head, "{}", SECRET), TokenInvalid, "no alg that is a text");
    }
}

/// CVE-2016-10555: a public key must not be used as a secret.
#[test]
fn a_public_key_is_never_a_secret() {
    let payload = claims(&json!({})).to_string();
    let pem = RSA.public_key_pem();
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), RSA.public_key_raw()] {
        let token = forged(r#"{"alg":"HS256"}"#, &payload, secret);
        refused(
            &public(&RSA, &[RS256]),
            &token,
            TokenInvalid,
            "alg is HS256; algorithms allows RS256",
        );
        let lying = forged(r#"{"alg":"RS256"}"#, &payload, secret);
        refused(&public(&RSA, &[RS256]), &lying, TokenInvalid, "signature");
        refused(&jwks(&json!([jwk(&RSA, "a")]), &[RS256]), &lying, TokenInvalid, "signature");
    }
}

/// CVE-2018-0114: a token must not supply its own key.
#[test]
fn keys_in_the_header_are_not_looked_at() {
    let stranger = rcgen::KeyPair::generate().unwrap();
    let theirs = jwk(&stranger, "theirs");
    let pem = stranger.serialize_pem();
    let key = jsonwebtoken::EncodingKey::from_ec_der(&stranger.serialize_der());
    for more in [
        json!({"jwk": theirs}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": [pem]}),
    ] {
        let head = with(&json!({"alg": "ES256"}), &more).to_string();
        let message = format!("{}.{}", encode(&head), encode(&claims(&json!({})).to_string()));
        let es256 = jsonwebtoken::Algorithm::ES256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, es256).unwrap();
        let token = format!("{message}.{signature}");
        refused(&public(&P256, &[ES256]), &token, TokenInvalid, "signature");
        refused(&jwks(&json!([jwk(&P256, "a")]), &[ES256]), &token, TokenInvalid, "signature");
    }
    let good = header(r#","jwk":{"kty":"oct","k":"AA"},"jku":"http://a.example","x5c":[],"x5u":1"#);
    assert!(verify(&hs256(), &good).is_ok());
}

#[test]
fn a_kid_is_looked_up_and_nothing_else() {
    let issuer = jwks(&json!([jwk(&P256, "a"), jwk(&RSA, "b")]), &[ES256]);
    assert!(verify(&issuer, &signed(&P256, ES256, Some("a"))).is_ok());
    let evil = ["", "A", "a\0", "../../dev/null", "a' OR '1'='1", "/etc/passwd", "a|id", "b"];
    for kid in evil {
        let token = signed(&P256, ES256, Some(kid));
        refused(&issuer, &token, TokenInvalid, "no key with the token's kid; it has a");
    }
    let longest = "k".repeat(256);
    refused(&issuer, &signed(&P256, ES256, Some(&longest)), TokenInvalid, "no key with");
    let longer = "k".repeat(257);
    refused(&issuer, &signed(&P256, ES256, Some(&longer)), TokenInvalid, "kid is over 256 bytes");
    let number = forged(r#"{"alg":"ES256","kid":1}"#, "{}", SECRET);
    refused(&issuer, &number, TokenInvalid, "kid is not a text");
}

#[test]
fn extensions_are_refused() {
    let cases = [
        (r#","crit":["b64"]"#, "has crit"),
        (r#","crit":["http://example.com/x"],"http://example.com/x":1"#, "has crit"),
        (r#","crit":[]"#, "has crit"),
        (r#","crit":null"#, "has crit"),
        (r#","b64":false"#, "b64 other than true"),
        (r#","b64":"false""#, "b64 other than true"),
        (r#","zip":"DEF""#, "compressed"),
        (r#","cty":"JWT""#, "another token is inside"),
        (r#","cty":"application/jwt""#, "another token is inside"),
        (r#","cty":1"#, "another token is inside"),
    ];
    for (more, says) in cases {
        refused(&hs256(), &header(more), TokenInvalid, says);
    }
    for more in ["", r#","typ":"JWT""#, r#","b64":true"#, r#","cty":"json""#, r#","x":1"#] {
        assert!(verify(&hs256(), &header(more)).is_ok(), "{more}");
    }
}

#[test]
fn a_name_stands_once() {
    let payload = claims(&json!({})).to_string();
    let twice = |payload: &str| forged(r#"{"alg":"HS256"}"#, payload, SECRET);
    let head = forged(r#"{"alg":"HS256","alg":"HS256"}"#, &payload, SECRET);
    refused(&hs256(), &head, TokenInvalid, "header has the same name twice");
    let sub = twice(r#"{"sub":"ann","sub":"root","exp":1800003600}"#);
    refused(&hs256(), &sub, TokenInvalid, "claims has the same name twice");
    let deep = twice(r#"{"sub":"ann","exp":1800003600,"o":{"a":1,"\u0061":2}}"#);
    refused(&hs256(), &deep, TokenInvalid, "claims has the same name twice");
}

#[test]
fn a_token_is_three_parts_of_canonical_base64url() {
    let good = header("");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = message.split_once('.').unwrap();
    assert!(verify(&hs256(), &good).is_ok());
    let not_three = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        message.to_owned(),
        format!(".{payload}.{signature}"),
        format!("{head}..{signature}"),
        format!("{good}.{signature}"),
        format!("{good}."),
    ];
    for token in not_three {
        assert_eq!(verify(&hs256(), &token).unwrap_err().reason, TokenInvalid, "{token:?}");
    }
    refused(&hs256(), &format!("{message}."), TokenInvalid, "no signature");
    refused(&hs256(), "e30.e30.e30.e30.e30", TokenInvalid, "encrypted (JWE)");
    refused(&hs256(), &format!(" {good}"), TokenInvalid, "not base64url");
    for bad in [format!("{good}\n"), format!("{message}.{}", &signature[1..])] {
        refused(&hs256(), &bad, TokenInvalid, "signature");
    }
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for (bad, what) in [
        (format!("{header}=.{payload}.{signature}"), "the token's header is padded with ="),
        (format!("{header}.{payload}==.{signature}"), "the token's claims is padded with ="),
        (format!("{good}="), "the token's signature is padded with ="),
        (format!("{header}.{payload}.{signature}+/"), "the token's signature has + or / in it"),
    ] {
        refused(&hs256(), &bad, TokenInvalid, what);
        let told = crate::policy::token::inspect(&bad, super::now());
        let told = told.map_or_else(|refusal| refusal.detail, |found| found.problems.join(" "));
        assert!(told.contains(what), "{told}");
    }
    // The last character of 32 bytes has two unused bits: only one spelling is accepted.
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let others = alphabet.chars().filter(|other| *other != last);
    for other in others {
        let bent = format!("{}{other}", &good[..good.len() - 1]);
        refused(&hs256(), &bent, TokenInvalid, "signature");
    }
}

#[test]
fn a_token_has_a_bound() {
    let sized = |pad: usize| super::hs256_token(&claims(&json!({"pad": "x".repeat(pad)})));
    let fits = (11_000..13_000).rev().map(sized).find(|token| token.len() <= 16 * 1024).unwrap();
    assert!(fits.len() > 16 * 1024 - 4);
    assert!(verify(&hs256(), &fits).is_ok());
    refused(&hs256(), &sized(12_400), TokenInvalid, "bytes, and max_token is 16384");
    let small = crate::config::Issuer { max_token: 1024, ..hs256() };
    refused(&small, &sized(1024), TokenInvalid, "max_token is 1024");
    assert_eq!(hs256().algorithms, [HS256]);
}
