//! Parses public keys in X.509's `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7) and the outer
//! structure of private keys in PKCS #8 (RFC 5958), with only the DER that these need. Unusual
//! encodings are refused.

use super::key::Material;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Parses a key that a supported algorithm can use; `None` if it is of another kind, or broken.
pub(super) fn read(spki: &[u8]) -> Option<Material> {
    let (info, rest) = take(SEQUENCE, spki)?;
    let (algorithm, bits) = take(SEQUENCE, info)?;
    let (bits, after) = take(BIT_STRING, bits)?;
    let (kind, parameters) = take(OID, algorithm)?;
    let (unused, key) = bits.split_first()?;
    if !rest.is_empty() || !after.is_empty() || *unused != 0 {
        return None;
    }
    match kind {
        RSA => rsa(key),
        EC => match take(OID, parameters)? {
            (P256, []) => point(key, 32).map(Material::P256),
            (P384, []) => point(key, 48).map(Material::P384),
            _ => None,
        },
        ED25519 => key.try_into().ok().map(Material::Ed25519),
        _ => None,
    }
}

/// The kind of a private key.
pub(super) enum Private<'a> {
    /// The `RSAPrivateKey` (RFC 8017 appendix A.1.2) inside.
    Rsa(&'a [u8]),
    P256,
    P384,
    Ed25519,
}

/// Finds the kind of a private key in PKCS #8.
pub(super) fn private(pkcs8: &[u8]) -> Option<Private<'_>> {
    let (info, _) = take(SEQUENCE, pkcs8)?;
    let (_version, rest) = take(INTEGER, info)?;
    let (algorithm, rest) = take(SEQUENCE, rest)?;
    let (key, _attributes) = take(OCTET_STRING, rest)?;
    let (kind, parameters) = take(OID, algorithm)?;
    match kind {
        RSA => Some(Private::Rsa(key)),
        EC => match take(OID, parameters)?.0 {
            P256 => Some(Private::P256),
            P384 => Some(Private::P384),
            _ => None,
        },
        ED25519 => Some(Private::Ed25519),
        _ => None,
    }
}

/// An `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa(key: &[u8]) -> Option<Material> {
    let (numbers, rest) = take(SEQUENCE, key)?;
    let (modulus, exponent) = take(INTEGER, numbers)?;
    let (exponent, after) = take(INTEGER, exponent)?;
    (rest.is_empty() && after.is_empty()).then(|| Material::rsa(modulus, exponent))
}

/// An uncompressed point (SEC 1 section 2.3.3).
fn point(key: &[u8], coordinate: usize) -> Option<Vec<u8>> {
    (key.len() == 1 + 2 * coordinate && key[0] == 4).then(|| key.to_vec())
}

/// Returns the contents of the first element, which must have this tag, and the rest of the input.
fn take(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ ..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)), rest.get(2..)?),
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}
