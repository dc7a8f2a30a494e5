//! Keys and the algorithms that they may be used with. Each kind of key serves the algorithms of
//! one family and one curve; a public key cannot be used as an HMAC secret, because the match has
//! no arm for that.

use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm as Jwa, DecodingKey};

use super::jwks::SetError;
use super::spki;
use crate::config::Algorithm;
use crate::tls;

/// The allowed sizes of an RSA modulus: the minimum of RFC 7518 section 3.3, and a maximum that
/// bounds the computing time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The largest RSA exponent that the library supports, in bits.
const EXPONENT_BITS: usize = 33;

/// The reason why a key cannot verify the tokens of an issuer.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `algorithms` is empty, or has algorithms of several families.
    #[error(
        "algorithms must name at least one, all of one family: HS*, RS* and PS*, ES*, or EdDSA"
    )]
    Algorithms,
    /// The secret is shorter than the hash.
    #[error(
        "the secret has {bits} bits, and {algorithm} needs at least {wanted} (RFC 7518 section 3.2): \
         a shorter one can be guessed from any token. Make one with `openssl rand -base64 48`, give \
         it to the application that makes the tokens, too, and never use one from a tutorial"
    )]
    WeakSecret {
        /// The algorithm with the longest hash.
        algorithm: &'static str,
        /// The length of the secret.
        bits: usize,
        /// The required length.
        wanted: usize,
    },
    /// The file has no public key in PEM.
    #[error(
        "there is no public key in {}: give the PEM file of the issuer's public key (BEGIN PUBLIC \
         KEY), or its certificate", .0.display()
    )]
    NotPublic(PathBuf),
    /// The file has a private key instead of a public one.
    #[error(
        "{} has a private key, which a gateway must not have: give the public one, made with \
         `openssl pkey -in PRIVATE.pem -pubout`", .0.display()
    )]
    Private(PathBuf),
    /// No supported algorithm uses this kind of key.
    #[error(
        "the key in {} is of no kind that is verified with: RSA, EC on P-256 or P-384, or Ed25519",
        .0.display()
    )]
    KeyType(PathBuf),
    /// The configured algorithms do not use this kind of key.
    #[error("the key in {} is {kind}, which cannot verify {algorithm}", path.display())]
    Mismatch {
        /// The path of the file.
        path: PathBuf,
        /// The kind of the key.
        kind: &'static str,
        /// The configured algorithm.
        algorithm: &'static str,
    },
    /// The kind of key is supported, but signatures under this key prove nothing.
    #[error("the key in {} {source}: have the issuer make another one", path.display())]
    Weak {
        /// The path of the file.
        path: PathBuf,
        /// The weakness.
        source: Weakness,
    },
    /// The JWK Set in the file is not usable.
    #[error("{}: {source}", path.display())]
    Set {
        /// The path of the file.
        path: PathBuf,
        /// The error in the set.
        source: SetError,
    },
    /// The URL of the JWK Set cannot be fetched from.
    #[error("jwks must be an https:// or http:// address with a host and without a user name")]
    Url,
    /// TLS to the issuer's server cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The reason why a signature under a public key proves nothing, or cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// The RSA modulus has an unsupported size in bits.
    #[error("is an RSA key of {0} bits, and 2048 to 8192 are accepted (RFC 7518 section 3.3)")]
    RsaBits(usize),
    /// With the exponent 1 anyone can sign; with an even one no one can (RFC 8017 section 3.1).
    #[error(
        "is an RSA key whose exponent is not an odd number from 3 to 33 bits (RFC 8017 section 3.1)"
    )]
    RsaExponent,
    /// The RSA modulus is even, so it is not a product of two large primes.
    #[error("is an RSA key with an even modulus")]
    RsaModulus,
    /// The point has a small order, under which one signature fits many messages (RFC 8032 sections
    /// 8.4 and 5.1.3).
    #[error(
        "is an Ed25519 key of small order, or not in its canonical form (RFC 8032 section 5.1.3)"
    )]
    SmallOrder,
}

/// The material of a public key.
pub(super) enum Material {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    /// The 32 bytes of RFC 8032.
    Ed25519([u8; 32]),
}

impl Material {
    /// Takes modulus and exponent as DER or a JWK encodes them.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Rsa { modulus: trimmed(modulus), exponent: trimmed(exponent) }
    }
}

fn trimmed(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyType {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A key that verifies signatures of its kind.
pub(super) struct SigningKey {
    kind: KeyType,
    decoding: DecodingKey,
}

impl SigningKey {
    /// Takes a shared secret for all of `algorithms`; it must be at least as long as their longest
    /// hash.
    pub(super) fn secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        strong(secret, algorithms)?;
        Ok(Self { kind: KeyType::Secret, decoding: DecodingKey::from_secret(secret) })
    }

    /// Takes a secret of any length. Only for detecting that a token was signed with it, never for
    /// accepting one.
    pub(super) fn any_secret(secret: &[u8]) -> Self {
        Self { kind: KeyType::Secret, decoding: DecodingKey::from_secret(secret) }
    }

    /// Reads a public key in PEM, bare or in a certificate, for all of `algorithms`.
    pub(super) fn pem(path: &Path, pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        let spki = public_key(path, pem)?;
        let material = spki::read(&spki).ok_or_else(|| KeyError::KeyType(path.to_owned()))?;
        let key = Self::public(&material)
            .map_err(|source| KeyError::Weak { path: path.to_owned(), source })?;
        match algorithms.iter().find(|algorithm| !key.fits(**algorithm)) {
            None => Ok(key),
            Some(algorithm) => Err(KeyError::Mismatch {
                path: path.to_owned(),
                kind: key.kind_name(),
                algorithm: algorithm.name(),
            }),
        }
    }

    /// Takes a public key and checks that it is strong enough.
    pub(super) fn public(material: &Material) -> Result<Self, Weakness> {
        let (kind, decoding) = match material {
            Material::Rsa { modulus, exponent } => {
                check_rsa(modulus, exponent)?;
                (KeyType::Rsa, DecodingKey::from_rsa_raw_components(modulus, exponent))
            }
            Material::P256(point) => (KeyType::P256, DecodingKey::from_ec_der(point)),
            Material::P384(point) => (KeyType::P384, DecodingKey::from_ec_der(point)),
            Material::Ed25519(key) => {
                if is_of_small_order(key) {
                    return Err(Weakness::SmallOrder);
                }
                (KeyType::Ed25519, DecodingKey::from_ed_der(key))
            }
        };
        Ok(Self { kind, decoding })
    }

    /// Whether this kind of key can be used with this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512};
        use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match algorithm {
            HS256 | HS384 | HS512 => KeyType::Secret,
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => KeyType::Rsa,
            ES256 => KeyType::P256,
            ES384 => KeyType::P384,
            EdDSA => KeyType::Ed25519,
        };
        self.kind == kind
    }

    /// Whether `signature`, in base64url, is a signature of this key over `message`. The algorithm
    /// must fit the key.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        debug_assert!(self.fits(algorithm), "the caller selected a key that fits");
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, jwa(algorithm))
            .unwrap_or(false)
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            KeyType::Secret => "a secret",
            KeyType::Rsa => "an RSA key",
            KeyType::P256 => "an EC key on P-256",
            KeyType::P384 => "an EC key on P-384",
            KeyType::Ed25519 => "an Ed25519 key",
        }
    }
}

/// Refuses a secret that is shorter than the hash of one of `algorithms` (RFC 7518 section 3.2).
pub(super) fn strong(secret: &[u8], algorithms: &[Algorithm]) -> Result<(), KeyError> {
    let strongest = algorithms.iter().max_by_key(|algorithm| hash_bits(**algorithm));
    let strongest = strongest.ok_or(KeyError::Algorithms)?;
    let (bits, wanted) = (secret.len() * 8, hash_bits(*strongest));
    if bits < wanted {
        return Err(KeyError::WeakSecret { algorithm: strongest.name(), bits, wanted });
    }
    Ok(())
}

fn hash_bits(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 384,
        Algorithm::HS512 => 512,
        _ => 256,
    }
}

fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), Weakness> {
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !RSA_BITS.contains(&bits(modulus)) {
        return Err(Weakness::RsaBits(bits(modulus)));
    }
    if !is_odd(exponent) || exponent == [1] || bits(exponent) > EXPONENT_BITS {
        return Err(Weakness::RsaExponent);
    }
    if is_odd(modulus) { Ok(()) } else { Err(Weakness::RsaModulus) }
}

/// Whether the key is a point of order 1, 2, 4 or 8, or has a y that is not below p = 2^255 - 19.
/// The sign of x does not matter for either.
fn is_of_small_order(key: &[u8; 32]) -> bool {
    // The y of the points of order 8, little-endian (RFC 8032 section 5.1.2); their sum is p.
    const EIGHTH: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *key;
    y[31] &= 0x7f;
    let [first, middle @ .., last] = &y;
    // y is 0 for order 4, 1 for order 1, p - 1 for order 2; a y of p or above is not canonical.
    let below_two = *first <= 1 && middle.iter().all(|byte| *byte == 0) && *last == 0;
    let from_minus_one = *first >= 0xec && middle.iter().all(|byte| *byte == 0xff) && *last == 0x7f;
    below_two || from_minus_one || EIGHTH.contains(&y)
}

fn bits(modulus: &[u8]) -> usize {
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    modulus.len() * 8 - unused as usize
}

fn public_key(path: &Path, pem: &[u8]) -> Result<Vec<u8>, KeyError> {
    if let Some(spki) = tls::public_key(pem) {
        return Ok(spki);
    }
    let private = pem.windows(12).any(|window| window == b"PRIVATE KEY-");
    Err(if private { KeyError::Private } else { KeyError::NotPublic }(path.to_owned()))
}

/// The algorithm in the type of the crypto library.
pub(super) fn jwa(algorithm: Algorithm) -> Jwa {
    match algorithm {
        Algorithm::HS256 => Jwa::HS256,
        Algorithm::HS384 => Jwa::HS384,
        Algorithm::HS512 => Jwa::HS512,
        Algorithm::RS256 => Jwa::RS256,
        Algorithm::RS384 => Jwa::RS384,
        Algorithm::RS512 => Jwa::RS512,
        Algorithm::PS256 => Jwa::PS256,
        Algorithm::PS384 => Jwa::PS384,
        Algorithm::PS512 => Jwa::PS512,
        Algorithm::ES256 => Jwa::ES256,
        Algorithm::ES384 => Jwa::ES384,
        Algorithm::EdDSA => Jwa::EdDSA,
    }
}
