//! Parses a JWK Set (RFC 7517 section 5) into the keys that may verify tokens of one family. Key
//! type, curve, `use`, `key_ops` and `alg` are checked here, once; a shared secret in a set is
//! never used, because others may read the set. A null member counts as absent, since some issuers
//! write it.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::key::{Material, SigningKey};
use crate::config::Algorithm;

/// The largest number of keys in a set.
const MAX_KEYS: usize = 256;
/// The number of keys that are tried if several may have signed a token.
const MOST_TRIED: usize = 8;
/// The longest `kid` of a key in bytes; the limit of tokens is the same.
const MAX_KID: usize = 256;
/// The number of key ids that the log names.
const SHOWN: usize = 4;
/// The number of keys for which the log gives the reason of their refusal.
const EXPLAINED: usize = 8;
/// Base64url without padding (RFC 7515 section 2), or with it, as some issuers write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The reason why a JWK Set is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The text is not JSON, or not an object with a list of keys.
    #[error("this is not a JWK Set: a JSON object with a list named keys (RFC 7517 section 5)")]
    NotASet,
    /// The set has too many keys.
    #[error("the JWK Set has {0} keys, and {MAX_KEYS} are accepted")]
    TooMany(usize),
    /// No key of the set can verify a token.
    #[error("no key of the JWK Set can verify {wanted}: {skipped}")]
    NoneUsable {
        /// The algorithms of the configuration.
        wanted: String,
        /// The reason why each key was refused.
        skipped: String,
    },
}

/// The keys of a set that may verify tokens.
pub(super) struct KeySet {
    keys: Vec<SetKey>,
}

struct SetKey {
    kid: Option<String>,
    /// The only algorithm that the key may be used with, if the set restricts it.
    algorithm: Option<Algorithm>,
    key: SigningKey,
}

impl SetKey {
    fn usable(&self, algorithm: Algorithm) -> bool {
        self.key.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// The reason why the set has no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// No key has the token's `kid`: the set may be outdated.
    Unknown(String),
    /// The set refuses the token; fetching a newer set would not help.
    Refused(String),
}

impl KeySet {
    /// Parses a set; at least one key must be usable with one of `algorithms`.
    pub(super) fn read(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, SetError> {
        let set: Map<String, Value> =
            serde_json::from_slice(json).map_err(|_| SetError::NotASet)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(SetError::NotASet)?;
        if list.len() > MAX_KEYS {
            return Err(SetError::TooMany(list.len()));
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, jwk) in list.iter().enumerate() {
            match read_key(jwk, algorithms) {
                Ok(key) => keys.push(key),
                Err(why) if skipped.len() < EXPLAINED => {
                    skipped.push(format!("key {} {why}", index + 1));
                }
                Err(_) => {}
            }
        }
        if keys.is_empty() {
            let wanted: Vec<_> = algorithms.iter().map(|one| one.name()).collect();
            let skipped = if skipped.is_empty() { vec!["it is empty".to_owned()] } else { skipped };
            let (wanted, skipped) = (wanted.join(", "), skipped.join("; "));
            return Err(SetError::NoneUsable { wanted, skipped });
        }
        Ok(Self { keys })
    }

    /// The candidate keys for a token with this `kid` and algorithm: at least one, and at most
    /// [`MOST_TRIED`], which bounds the signature checks that a token can cost. With more
    /// candidates the token is refused, since an untried key might be the right one.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&SigningKey>, Missing> {
        let named = |key: &&SetKey| kid.is_none() || key.kid.as_deref() == kid;
        let usable = self.keys.iter().filter(named).filter(|key| key.usable(algorithm));
        let found: Vec<&SigningKey> = usable.map(|key| &key.key).collect();
        if found.len() > MOST_TRIED {
            return Err(Missing::Refused(ambiguous(kid, algorithm, found.len())));
        }
        if !found.is_empty() {
            return Ok(found);
        }
        if self.keys.iter().any(|key| named(&key)) {
            return Err(Missing::Refused(format!(
                "the JWK Set does not give the token's key for {}",
                algorithm.name()
            )));
        }
        Err(Missing::Unknown(format!(
            "the JWK Set has no key with the token's kid; it has {}",
            self.names()
        )))
    }

    /// The number of keys that may verify tokens.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key ids, for the log.
    pub(super) fn names(&self) -> String {
        let name = |key: &SetKey| {
            let kid = key.kid.as_deref().unwrap_or("(without kid)");
            kid.chars().take(64).collect::<String>()
        };
        let mut names: Vec<String> = self.keys.iter().take(SHOWN).map(name).collect();
        if self.keys.len() > SHOWN {
            names.push(format!("and {} more", self.keys.len() - SHOWN));
        }
        names.join(", ")
    }
}

fn ambiguous(kid: Option<&str>, algorithm: Algorithm, count: usize) -> String {
    let name = algorithm.name();
    let tried = format!("at most {MOST_TRIED} are tried");
    match kid {
        Some(_) => format!("the JWK Set has {count} {name} keys with the token's kid, and {tried}"),
        None => format!("the token has no kid, and the JWK Set has {count} {name} keys; {tried}"),
    }
}

/// A member that is present and not null.
fn member<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    jwk.get(name).filter(|value| !value.is_null())
}

fn read_key(jwk: &Value, algorithms: &[Algorithm]) -> Result<SetKey, String> {
    let jwk = jwk.as_object().ok_or("is not an object")?;
    let material = material(jwk)?;
    purpose(jwk)?;
    let algorithm = only_algorithm(jwk)?;
    let kid = match member(jwk, "kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
        Some(_) => return Err("has a kid that is no text, or too long".to_owned()),
    };
    let key = SigningKey::public(&material).map_err(|weakness| weakness.to_string())?;
    let key = SetKey { kid, algorithm, key };
    if algorithms.iter().any(|algorithm| key.usable(*algorithm)) {
        Ok(key)
    } else {
        Err("is for other algorithms".to_owned())
    }
}

/// Parses the key material (RFC 7518 section 6, RFC 8037 section 2).
fn material(jwk: &Map<String, Value>) -> Result<Material, String> {
    let curve = jwk.get("crv").and_then(Value::as_str).unwrap_or_default();
    match (jwk.get("kty").and_then(Value::as_str).unwrap_or_default(), curve) {
        ("RSA", _) => Ok(Material::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?)),
        ("EC", "P-256") => point(jwk, 32).map(Material::P256),
        ("EC", "P-384") => point(jwk, 48).map(Material::P384),
        ("OKP", "Ed25519") => {
            let key = bytes(jwk, "x")?.try_into();
            key.map(Material::Ed25519).map_err(|_| "has an x of the wrong length".to_owned())
        }
        ("oct", _) => Err("is a shared secret (oct), which a JWK Set must not show".to_owned()),
        ("EC" | "OKP", _) => Err("is on a curve that is not verified with".to_owned()),
        _ => Err("is of a type that is not verified with".to_owned()),
    }
}

/// Builds an uncompressed point from coordinates of full length (RFC 7518 section 6.2.1.2).
fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, String> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return Err("has coordinates of the wrong length".to_owned());
    }
    Ok([&[4], &x[..], &y[..]].concat())
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = jwk.get(name).and_then(Value::as_str);
    let bytes = text.and_then(|text| BASE64.decode(text).ok());
    bytes.filter(|bytes| !bytes.is_empty()).ok_or_else(|| format!("has no {name} in base64url"))
}

/// Checks `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3), if present.
fn purpose(jwk: &Map<String, Value>) -> Result<(), String> {
    if member(jwk, "use").is_some_and(|purpose| purpose != "sig") {
        return Err("is not for signatures (use)".to_owned());
    }
    let verifies =
        |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if member(jwk, "key_ops").is_some_and(|ops| !verifies(ops)) {
        return Err("is not for verifying (key_ops)".to_owned());
    }
    Ok(())
}

fn only_algorithm(jwk: &Map<String, Value>) -> Result<Option<Algorithm>, String> {
    let Some(name) = member(jwk, "alg") else {
        return Ok(None);
    };
    let name = name.as_str().unwrap_or_default();
    let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.is_named(name));
    found.map(Some).ok_or_else(|| "is for an algorithm that is not verified here".to_owned())
}
