//! Signs tokens for development and tests.

use std::path::{Path, PathBuf};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use super::key::{KeyError, jwa, strong};
use super::spki::{self, Private};
use crate::config::{Algorithm, Family};
use crate::tls::{PrivateKey, PrivateKeyForm};

/// The reason why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The secret is too weak.
    #[error(transparent)]
    Secret(#[from] KeyError),
    /// A secret signs with HS* only, a private key only with other algorithms.
    #[error("{} needs a {}, not a {}", .0.name(), family(*.0, false), family(*.0, true))]
    Family(Algorithm),
    /// The file has no private key in PEM.
    #[error("there is no private key in {}: give an unencrypted PEM file", .0.display())]
    NotPrivate(PathBuf),
    /// The key is in the SEC1 format, which older tools write for EC keys.
    #[error(
        "the key in {} is in the SEC1 format: convert it with `openssl pkcs8 -topk8 -nocrypt`",
        .0.display()
    )]
    Sec1(PathBuf),
    /// The key is not RSA, P-256, P-384 or Ed25519, or does not fit the algorithm.
    #[error("the key in {} cannot sign {algorithm}", path.display())]
    Mismatch {
        /// The path of the file.
        path: PathBuf,
        /// The requested algorithm.
        algorithm: &'static str,
    },
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

fn family(algorithm: Algorithm, other: bool) -> &'static str {
    let secret = algorithm.family() == Family::Hmac;
    if secret == other { "private key (--key)" } else { "secret (--secret)" }
}

/// Signs tokens with one algorithm.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    /// Signs with a secret, which must be strong enough for the algorithm.
    pub fn secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, MintError> {
        if algorithm.family() != Family::Hmac {
            return Err(MintError::Family(algorithm));
        }
        strong(secret, &[algorithm])?;
        Ok(Self { algorithm, key: EncodingKey::from_secret(secret) })
    }

    /// Signs with a private key in PEM, PKCS #8 or PKCS #1. The default algorithm is the usual one
    /// for the kind of key.
    pub fn pem(path: &Path, pem: &[u8], requested: Option<Algorithm>) -> Result<Self, MintError> {
        if let Some(algorithm) = requested.filter(|algorithm| algorithm.family() == Family::Hmac) {
            return Err(MintError::Family(algorithm));
        }
        let key = PrivateKey::from_pem(pem).map_err(|_| MintError::NotPrivate(path.to_owned()))?;
        let (usual, key) = match key.form() {
            PrivateKeyForm::Pkcs1(key) => (Algorithm::RS256, EncodingKey::from_rsa_der(key)),
            PrivateKeyForm::Pkcs8(key) => pkcs8(path, key, requested)?,
            PrivateKeyForm::Sec1 => return Err(MintError::Sec1(path.to_owned())),
        };
        let algorithm = requested.unwrap_or(usual);
        if algorithm != usual && (algorithm.family(), usual.family()) != (Family::Rsa, Family::Rsa)
        {
            return Err(mismatch(path, Some(algorithm)));
        }
        Ok(Self { algorithm, key })
    }

    /// The algorithm of the signatures.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs a token with `claims`.
    pub fn sign(
        &self,
        claims: &Map<String, Value>,
        kid: Option<&str>,
    ) -> Result<String, MintError> {
        let mut header = Header::new(jwa(self.algorithm));
        header.kid = kid.map(str::to_owned);
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}

fn pkcs8(
    path: &Path,
    der: &[u8],
    requested: Option<Algorithm>,
) -> Result<(Algorithm, EncodingKey), MintError> {
    match spki::private(der).ok_or_else(|| mismatch(path, requested))? {
        Private::Rsa(pkcs1) => Ok((Algorithm::RS256, EncodingKey::from_rsa_der(pkcs1))),
        Private::P256 => Ok((Algorithm::ES256, EncodingKey::from_ec_der(der))),
        Private::P384 => Ok((Algorithm::ES384, EncodingKey::from_ec_der(der))),
        Private::Ed25519 => Ok((Algorithm::EdDSA, EncodingKey::from_ed_der(der))),
    }
}

fn mismatch(path: &Path, algorithm: Option<Algorithm>) -> MintError {
    let algorithm = algorithm.map_or("any algorithm that is verified here", Algorithm::name);
    MintError::Mismatch { path: path.to_owned(), algorithm }
}
