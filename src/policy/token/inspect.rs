//! Shows the content of a token and its problems, independent of any issuer's configuration. For
//! display only: the gateway decides with [`super::Verifier`].

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::claims::time;
use super::compact::{self, invalid};
use super::key::{KeyError, SigningKey};
use crate::config::{Algorithm, Family, LONGEST_TOKEN};
use crate::values::Refusal;

/// Well-known secrets of tutorials and examples.
const TUTORIAL_SECRETS: [&str; 12] = [
    "secret",
    "secret_key",
    "secretkey",
    "secret-key",
    "SECRET_KEY",
    "mysecret",
    "my_secret_key",
    "your-secret-key",
    "your_secret_key",
    "your-256-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "changeme",
];

/// A token that was parsed and not verified.
#[derive(Debug)]
pub struct Inspection {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
    /// The reasons why no configuration accepts the token, each with a remedy.
    pub problems: Vec<String>,
}

/// Parses a token as far as possible. Fails if its header or claims cannot be read.
pub fn inspect(token: &str, now: SystemTime) -> Result<Inspection, Refusal> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else {
        return Err(invalid("this is not a JWT: three base64url parts with dots between"));
    };
    compact::check_length(token, LONGEST_TOKEN)?;
    let header = compact::object(header, "header")?;
    let claims = compact::object(claims, "claims")?;
    let outside = compact::Unverified::read(token, &Algorithm::ALL, LONGEST_TOKEN)
        .map(|token| tutorial(&token));
    let outside = match outside {
        Ok(found) => found,
        Err(refusal) => Some(unsigned(&header, refusal.detail)),
    };
    let inside = [expiry(&claims, now), beginning(&claims, now)];
    let problems = outside.into_iter().chain(inside.into_iter().flatten()).collect();
    Ok(Inspection { header, claims, problems })
}

fn unsigned(header: &Map<String, Value>, detail: String) -> String {
    let none = header.get("alg").and_then(Value::as_str);
    if none.is_some_and(|alg| alg.eq_ignore_ascii_case("none")) {
        return "its alg is none, so nobody signed it and anybody can write one: sign it, with a \
            secret (HS256) or a private key (ES256, EdDSA, RS256)"
            .to_owned();
    }
    detail
}

/// Reports a token that is signed with a well-known secret, since anyone can sign with it.
fn tutorial(token: &compact::Unverified<'_>) -> Option<String> {
    if token.algorithm.family() != Family::Hmac {
        return None;
    }
    let known = TUTORIAL_SECRETS.into_iter().find(|secret| {
        SigningKey::any_secret(secret.as_bytes()).verifies(
            token.algorithm,
            token.message,
            token.signature,
        )
    })?;
    let bits = known.len() * 8;
    let weak = super::key::strong(known.as_bytes(), &[token.algorithm]);
    Some(match weak {
        Err(KeyError::WeakSecret { algorithm, wanted, .. }) => format!(
            "it is signed with the well-known secret {known:?}, so anybody can make one; it has {bits} \
             bits, and {algorithm} needs at least {wanted} (RFC 7518 section 3.2): make another with \
             `openssl rand -base64 48`"
        ),
        _ => format!(
            "it is signed with the well-known secret {known:?}, so anybody can make one: make another \
             with `openssl rand -base64 48`"
        ),
    })
}

fn expiry(claims: &Map<String, Value>, now: SystemTime) -> Option<String> {
    match claims.get("exp") {
        None => Some(super::claims::NO_EXP.to_owned()),
        Some(exp) => match time("exp", exp) {
            Err(refusal) => Some(refusal.detail),
            Ok(end) if end <= now => Some("it has expired: get a new one".to_owned()),
            Ok(_) => None,
        },
    }
}

fn beginning(claims: &Map<String, Value>, now: SystemTime) -> Option<String> {
    match time("nbf", claims.get("nbf")?) {
        Err(refusal) => Some(refusal.detail),
        Ok(begin) if begin > now => Some("it is not valid yet (nbf)".to_owned()),
        Ok(_) => None,
    }
}
