//! Checks the claims of a verified token (RFC 7519 section 4.1): times, issuer, audience, user, and
//! the claims that the configuration requires. A claim of the wrong type is refused, never treated
//! as absent.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::compact::invalid;
use super::forward;
use super::verified::VerifiedToken;
use crate::config::Issuer;
use crate::values::{Principal, Reason, Refusal, Requirement, UserKey, claims};

/// The last second of the year 9999.
const LAST: f64 = 253_402_300_799.0;
/// The number of claims that the log names if the user's is missing.
const SHOWN: usize = 8;

/// The error text for a token without `exp`, with the remedy.
pub(super) const NO_EXP: &str = "the token has no exp claim, so it would never expire: give it one \
    where it is made, the Unix time in seconds at which it ends (PyJWT: \"exp\": int(time.time()) + \
    3600)";

type ClaimsObject = Map<String, Value>;

/// Checks the claims at `now` and returns the verified token.
pub(super) fn identify(
    issuer: &Issuer,
    claims: ClaimsObject,
    now: SystemTime,
) -> Result<VerifiedToken, Refusal> {
    let expires = expires(issuer, &claims, now)?;
    not_before(issuer, &claims, now)?;
    issued_by(issuer, &claims)?;
    audience(issuer, &claims)?;
    let user = UserKey::new(&issuer.name, &user(issuer, &claims)?);
    let token_id = token_id(&claims)?.map(String::into_boxed_str);
    Ok(VerifiedToken::new(Principal { user, token_id, expires }, claims))
}

/// Checks the claims against the requirements of the configuration.
pub(super) fn authorize(issuer: &Issuer, claims: &ClaimsObject) -> Result<(), Refusal> {
    required(&issuer.require, claims)?;
    forward::check(&issuer.forward, claims)
}

/// Repeats the checks that do not depend on the time: `iss`, `aud` and the required claims.
pub(super) fn review(issuer: &Issuer, claims: &ClaimsObject) -> Result<(), Refusal> {
    issued_by(issuer, claims)?;
    audience(issuer, claims)?;
    required(&issuer.require, claims)
}

fn expires(issuer: &Issuer, claims: &ClaimsObject, now: SystemTime) -> Result<SystemTime, Refusal> {
    let exp = claims.get("exp").ok_or_else(|| invalid(NO_EXP))?;
    let expires = time("exp", exp)? + issuer.leeway;
    if now < expires {
        return Ok(expires);
    }
    let ago = now.duration_since(expires).unwrap_or_default() + issuer.leeway;
    let detail = format!("the token expired {} s ago, by this machine's clock", ago.as_secs());
    Err(Refusal::new(Reason::TokenExpired, detail).by("leeway"))
}

fn not_before(issuer: &Issuer, claims: &ClaimsObject, now: SystemTime) -> Result<(), Refusal> {
    let Some(nbf) = claims.get("nbf") else {
        return Ok(());
    };
    let begins = time("nbf", nbf)?;
    match begins.duration_since(now + issuer.leeway) {
        Ok(wait) if !wait.is_zero() => {
            let wait = (wait + issuer.leeway).as_secs();
            Err(invalid(format!(
                "the token is valid only in {wait} s (nbf): are both machines' clocks right?"
            ))
            .by("leeway"))
        }
        _ => Ok(()),
    }
}

/// Parses a `NumericDate` (RFC 7519 section 2): seconds since 1970, with or without a fraction, up
/// to the year 9999.
pub(super) fn time(claim: &str, value: &Value) -> Result<SystemTime, Refusal> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(_) => {
            return Err(invalid(format!(
                "the token's {claim} is a text: make it a number, Unix time in seconds"
            )));
        }
        _ => None,
    };
    let seconds = seconds.ok_or_else(|| invalid(format!("the token's {claim} is not a number")))?;
    if !(0.0..=LAST).contains(&seconds) {
        let hint = if seconds > LAST { "; is it in milliseconds?" } else { "" };
        return Err(invalid(format!("the token's {claim} is not between 1970 and 9999{hint}")));
    }
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

fn issued_by(issuer: &Issuer, claims: &ClaimsObject) -> Result<(), Refusal> {
    let Some(wanted) = &issuer.issuer else {
        return Ok(());
    };
    let what = match claims.get("iss") {
        Some(Value::String(iss)) if iss == wanted => return Ok(()),
        Some(_) => format!("the token's iss is not {wanted:?}"),
        None => format!("the token has no iss; it must be {wanted:?}"),
    };
    Err(invalid(what).by("issuer"))
}

/// Checks `aud`, which is a text or a list of texts (RFC 7519 section 4.1.3).
fn audience(issuer: &Issuer, claims: &ClaimsObject) -> Result<(), Refusal> {
    if issuer.audience.is_empty() {
        return Ok(());
    }
    let accepted = |aud: &str| issuer.audience.iter().any(|wanted| wanted == aud);
    let wanted = issuer.audience.join(", ");
    let refused = |what: String| Err(invalid(what).by("audience"));
    let texts = match claims.get("aud") {
        None => return refused(format!("the token has no aud; it must name {wanted}")),
        Some(Value::String(aud)) => Some(vec![aud.as_str()]),
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect(),
        Some(_) => None,
    };
    match texts {
        Some(texts) if texts.iter().any(|aud| accepted(aud)) => Ok(()),
        Some(_) => {
            refused(format!("the token is for somebody else: its aud does not name {wanted}"))
        }
        None => refused("the token's aud is neither a text nor texts".to_owned()),
    }
}

fn user(issuer: &Issuer, claims: &ClaimsObject) -> Result<String, Refusal> {
    let name = &issuer.user_claim;
    let what = match claims::find(claims, name) {
        Some(Value::String(user)) if !user.is_empty() => return Ok(user.clone()),
        Some(Value::Number(user)) if !user.is_f64() => return Ok(user.to_string()),
        Some(_) => format!(
            "the token's {name} says no user: it must be a text that is not empty, or a whole number"
        ),
        None => format!(
            "the token has no {name} claim, which says who the user is; it has {}. Add it where the \
             token is made, or name another with user_claim",
            names(claims)
        ),
    };
    Err(invalid(what).by("user_claim"))
}

fn names(claims: &ClaimsObject) -> String {
    let mut names: Vec<String> =
        claims.keys().take(SHOWN).map(|name| name.chars().take(64).collect()).collect();
    if claims.len() > SHOWN {
        names.push(format!("{} more", claims.len() - SHOWN));
    }
    names.join(", ")
}

fn token_id(claims: &ClaimsObject) -> Result<Option<String>, Refusal> {
    match claims.get("jti") {
        None => Ok(None),
        Some(Value::String(id)) => Ok(Some(id.clone())),
        Some(_) => Err(invalid("the token's jti is not a text (RFC 7519 section 4.1.7)")),
    }
}

fn required(require: &[Requirement], claims: &ClaimsObject) -> Result<(), Refusal> {
    for requirement in require {
        let name = &requirement.claim;
        let denied = |detail: String| Err(Refusal::new(Reason::ClaimsDenied, detail).by("require"));
        match claims::find(claims, name) {
            None => return denied(format!("the token has no {name} claim, and require names it")),
            Some(value) if !requirement.is_met_by(value) => {
                return denied(format!("the token's {name} has no value that require allows"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
