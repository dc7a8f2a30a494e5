//! The tokens that clients show: one a user, signed by a key of the benchmark's own. RS256, which
//! most identity providers sign with.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use framewall::config::Algorithm;
use framewall::policy::token::Signer;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use crate::Outcome;

/// The file with the key that verifies them, in the folder of the configurations.
pub(crate) const PUBLIC_KEY: &str = "issuer.pem";
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "chat";
/// Longer than any run.
const LIFETIME: u64 = 24 * 60 * 60;

/// Makes a key, writes its public half to `folder`, and gives a token for each of `users` users.
pub(crate) fn mint(folder: &Path, users: u32) -> Outcome<Vec<String>> {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    fs::write(folder.join(PUBLIC_KEY), pair.public_key_pem())?;
    let pem = pair.serialize_pem();
    let signer = Signer::pem("issuer".as_ref(), pem.as_bytes(), Some(Algorithm::RS256))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let mut tokens = Vec::new();
    for user in 0..users {
        let claims = json!({
            "sub": format!("user-{user}"), "iss": ISSUER, "aud": [AUDIENCE],
            "iat": now, "exp": now + LIFETIME, "scope": "chat files",
        });
        tokens.push(signer.sign(claims.as_object().ok_or("no claims")?, None)?);
    }
    Ok(tokens)
}
