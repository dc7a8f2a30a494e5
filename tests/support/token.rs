//! Tokens with HS256 and one secret, and the file from which a gateway reads that secret.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::Authority;

/// Long enough for HS512.
pub const SECRET: &[u8] =
    b"a secret of the tests that is long enough for SHA-512, whatever it is 4";

/// Writes [`SECRET`] to the file `secret`.
pub fn write_secret(folder: &Path, _: &Authority) {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
}

/// The Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Signs claims with [`SECRET`].
pub fn sign(claims: &Value) -> String {
    sign_with(SECRET, claims)
}

/// Signs claims with `secret`.
pub fn sign_with(secret: &[u8], claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token of `user` that expires `seconds` from now.
pub fn token(user: &str, seconds: i64) -> String {
    sign(&json!({ "sub": user, "exp": now().checked_add_signed(seconds).unwrap() }))
}
