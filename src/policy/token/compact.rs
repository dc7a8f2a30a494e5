//! Parses a token in JWS compact serialization (RFC 7515 section 7.1) and its header. Nothing read
//! here is verified: it only selects a key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::config::Algorithm;
use crate::values::json;
use crate::values::{Reason, Refusal};

/// The longest `kid`, in bytes.
const MAX_KID: usize = 256;

/// A well-formed token whose header names an algorithm that the configuration allows. The header is
/// not verified.
pub(super) struct Unverified<'a> {
    /// The bytes that the signature covers.
    pub(super) message: &'a [u8],
    /// The signature in base64url.
    pub(super) signature: &'a str,
    /// One of the algorithms of the configuration.
    pub(super) algorithm: Algorithm,
    /// The id of the key in a set.
    pub(super) kid: Option<String>,
    payload: &'a str,
}

impl<'a> Unverified<'a> {
    /// Parses a token of at most `longest` bytes. `jwk`, `jku`, `x5u` and `x5c` are ignored: a
    /// token must not supply its own key.
    pub(super) fn read(
        token: &'a str,
        allowed: &[Algorithm],
        longest: usize,
    ) -> Result<Self, Refusal> {
        check_length(token, longest)?;
        let (message, header, payload, signature) = split(token)?;
        let header = object(header, "header")?;
        let algorithm = algorithm(&header, allowed)?;
        extensions(&header)?;
        let kid = kid(&header)?;
        Ok(Self { message, signature, algorithm, kid, payload })
    }

    /// Parses the claims. Must be called only after the signature was verified.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        object(self.payload, "claims")
    }
}

/// Refuses a token that is too long to be parsed.
pub(super) fn check_length(token: &str, longest: usize) -> Result<(), Refusal> {
    if token.len() > longest {
        let what = format!("the token has {} bytes, and max_token is {longest}", token.len());
        return Err(invalid(what).by("max_token"));
    }
    Ok(())
}

fn split(token: &str) -> Result<(&[u8], &str, &str, &str), Refusal> {
    let parts: Vec<&str> = token.split('.').collect();
    match parts[..] {
        [header, payload, signature] if parts.iter().all(|part| !part.is_empty()) => {
            for (part, what) in [(header, "header"), (payload, "claims"), (signature, "signature")]
            {
                check_alphabet(part, what)?;
            }
            let message = &token.as_bytes()[..header.len() + 1 + payload.len()];
            Ok((message, header, payload, signature))
        }
        [_, _, ""] => Err(invalid("the token has no signature: whoever makes it must sign it")),
        [_, _, _, _, _] => Err(invalid("the token is encrypted (JWE); signed ones are accepted")),
        _ => Err(invalid("the token is not a JWT: three base64url parts with dots between")),
    }
}

/// Reads `iss` from an unverified token. It only selects the verifier, which then requires the same
/// `iss`; it must not be used for anything else.
pub(super) fn unverified_issuer(token: &str, longest: usize) -> Result<String, Refusal> {
    check_length(token, longest)?;
    let (_, _, payload, _) = split(token)?;
    match object(payload, "claims")?.remove("iss") {
        Some(Value::String(iss)) => Ok(iss),
        Some(_) => Err(invalid("the token's iss is not a text").by("issuer")),
        None => {
            Err(invalid("the token has no iss, and the route has several issuers").by("issuer"))
        }
    }
}

/// Refuses characters outside the base64url of RFC 7515 section 2: other encoders write them, and
/// such tokens never verify.
fn check_alphabet(part: &str, what: &str) -> Result<(), Refusal> {
    if !has_foreign(part) {
        return Ok(());
    }
    if part.contains('=') {
        return Err(invalid(format!(
            "the token's {what} is padded with =: its parts are base64url without padding (RFC 7515 \
             section 2); make it with a JWT library"
        )));
    }
    Err(invalid(format!(
        "the token's {what} has + or / in it: its parts are base64url, with - and _ (RFC 7515 section \
         2); make it with a JWT library"
    )))
}

/// Whether `part` has a `=`, `+` or `/`. Not inlined, since the caller's branches would change the loop.
#[expect(clippy::needless_bitwise_bool, reason = "a loop without branches is vectorized")]
#[inline(never)]
fn has_foreign(part: &str) -> bool {
    let is_foreign = |byte| (byte == b'=') | (byte == b'+') | (byte == b'/');
    part.bytes().fold(false, |foreign, byte| foreign | is_foreign(byte))
}

/// Parses the JSON object in one part of a token.
pub(super) fn object(part: &str, what: &str) -> Result<Map<String, Value>, Refusal> {
    check_alphabet(part, what)?;
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| invalid(format!("the token's {what} is not base64url without padding")))?;
    json::object(&bytes).map_err(|error| {
        // Line and column have no meaning in base64, and other parts of the text could contain a
        // claim's value.
        let twice = error.to_string().contains("the same name twice");
        let why = if twice { "has the same name twice" } else { "is not a JSON object" };
        invalid(format!("the token's {what} {why}"))
    })
}

fn algorithm(header: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Algorithm, Refusal> {
    let name = header.get("alg").and_then(Value::as_str);
    let name = name.ok_or_else(|| invalid("the token's header has no alg that is a text"))?;
    let found = allowed.iter().find(|algorithm| algorithm.is_named(name));
    found.copied().ok_or_else(|| {
        let allowed: Vec<_> = allowed.iter().map(|algorithm| algorithm.name()).collect();
        let shown = known(name).unwrap_or("another algorithm");
        invalid(format!("the token's alg is {shown}; algorithms allows {}", allowed.join(", ")))
            .by("algorithms")
    })
}

/// The name of an `alg` of RFC 7518, RFC 8037 or RFC 8812. Other names are not repeated in the log.
fn known(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 17] = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
        "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "none",
    ];
    NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

/// Refuses header parameters that change the meaning of the token and are not implemented.
fn extensions(header: &Map<String, Value>) -> Result<(), Refusal> {
    if header.contains_key("crit") {
        let detail = "the token's header has crit: extensions are not understood here, and RFC 7515 \
            section 4.1.11 asks to refuse it";
        return Err(invalid(detail));
    }
    if header.get("b64").is_some_and(|b64| *b64 != Value::Bool(true)) {
        return Err(invalid("the token's header has b64 other than true (RFC 7797)"));
    }
    if header.contains_key("zip") {
        return Err(invalid("the token's header has zip: compressed tokens are not accepted"));
    }
    match header.get("cty") {
        Some(Value::String(cty)) if !is_jwt(cty) => Ok(()),
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(invalid("the token's cty says that another token is inside")),
    }
}

/// Whether the media type is that of a JWT; its prefix may be omitted (RFC 7515 section 4.1.10).
fn is_jwt(cty: &str) -> bool {
    let bare = cty.split(';').next().unwrap_or(cty).trim();
    let kind = bare.rsplit('/').next().unwrap_or(bare);
    kind.eq_ignore_ascii_case("jwt")
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match header.get("kid") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Ok(Some(kid.clone())),
        Some(Value::String(_)) => Err(invalid(format!("the token's kid is over {MAX_KID} bytes"))),
        Some(_) => Err(invalid("the token's kid is not a text")),
    }
}

/// A refusal for [`Reason::TokenInvalid`].
pub(super) fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::TokenInvalid, detail)
}
