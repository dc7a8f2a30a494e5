//! The demo's secret, which is new in each run, and a valid, an expired and a forged token.

use std::time::{Duration, SystemTime, SystemTimeError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::config::Algorithm;
use crate::policy::token::{MintError, Signer};

/// The user in the tokens.
pub(super) const USER: &str = "ada";
/// The audience of the tokens.
pub(super) const AUDIENCE: &str = "demo";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The reason why the tokens could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokensError {
    #[error("there is no randomness for a secret: {0}")]
    Random(#[from] getrandom::Error),
    #[error("this machine's clock is before 1970: {0}")]
    Clock(#[from] SystemTimeError),
    #[error(transparent)]
    Mint(#[from] MintError),
}

pub(super) struct Tokens {
    /// The secret of the issuer, in a file that only this user can read.
    pub(super) secret: String,
    /// Valid for a day.
    pub(super) valid: String,
    /// Expired an hour ago.
    pub(super) expired: String,
    /// The claims of the valid token, signed with another secret.
    pub(super) forged: String,
}

impl Tokens {
    pub(super) fn make() -> Result<Self, TokensError> {
        let (secret, other) = (random_secret()?, random_secret()?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self {
            valid: sign(&secret, now + DAY)?,
            expired: sign(&secret, now.saturating_sub(HOUR))?,
            forged: sign(&other, now + DAY)?,
            secret,
        })
    }
}

/// Makes a secret of the length that `openssl rand -base64 48` prints.
fn random_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// Signs a token that expires at `expires`, counted from 1970.
fn sign(secret: &str, expires: Duration) -> Result<String, MintError> {
    let claims: Map<String, Value> = [
        ("sub".to_owned(), json!(USER)),
        ("aud".to_owned(), json!(AUDIENCE)),
        ("exp".to_owned(), json!(expires.as_secs())),
    ]
    .into_iter()
    .collect();
    Signer::secret(secret.as_bytes(), Algorithm::HS256)?.sign(&claims, None)
}
