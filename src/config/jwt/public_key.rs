//! `public_key`: one public key or certificate in PEM, of the family of the algorithms.

use std::path::Path;

use super::super::files::{self, Help, contains, not_pem};
use super::super::issuer::Algorithm;
use super::super::kinds::Fault;
use crate::tls::{Certificate, PemError, public_keys};

const FILE: Help = Help {
    missing: "correct the path, which is relative to this file's folder",
    wrong: "give the PEM file of the issuer's public key (BEGIN PUBLIC KEY) or certificate",
};

/// `AlgorithmIdentifier`s of public keys (RFC 5480 section 2.1.1, RFC 8410 section 3, RFC 3279 section
/// 2.3.1), without the header of the SEQUENCE.
const ECDSA_P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];
const ECDSA_P384: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const RSA_ENCRYPTION: &[u8] =
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The shortest accepted RSA key, in bits (RFC 7518 section 3.3).
const LEAST_RSA: usize = 2048;

/// Reads a PEM file with one public key that at least one of `algorithms` can use.
pub(super) fn read(path: &Path, algorithms: &[Algorithm]) -> Result<Vec<u8>, Fault> {
    let pem = files::read(path, &FILE)?;
    let name = path.display();
    if contains(&pem, "PRIVATE KEY-----") {
        return Err(Fault::new(format!("{name} is a private key")).help(format!(
            "anybody who reads it can sign tokens: keep it with the issuer alone, and give the \
             public key here: openssl pkey -in {name} -pubout"
        )));
    }
    if contains(&pem, "BEGIN RSA PUBLIC KEY-----") {
        return Err(Fault::new(format!("{name} is a PKCS#1 key"))
            .help(format!("convert it: openssl rsa -RSAPublicKey_in -in {name} -pubout")));
    }
    let info = key_info(path, &pem)?;
    check_usable(path, &FoundKey::of(&info), algorithms)?;
    Ok(pem)
}

/// Extracts the single key of the file.
fn key_info(path: &Path, pem: &[u8]) -> Result<Vec<u8>, Fault> {
    let name = path.display();
    let broken = |error: PemError| not_pem(path, &error).help(FILE.wrong);
    let mut keys = public_keys(pem).map_err(broken)?;
    for certificate in Certificate::from_pem(pem).map_err(broken)? {
        keys.push(certificate.public_key().ok_or_else(|| {
            Fault::new(format!("{name} is not a valid X.509 certificate")).help(FILE.wrong)
        })?);
    }
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (None, _) => Err(Fault::new(format!("there is no public key in {name}")).help(FILE.wrong)),
        (_, before) => {
            let what = format!("there are {} public keys in {name}", before + 1);
            Err(Fault::new(what)
                .help("give the file of one; several keys are a JWK Set, in `jwks`"))
        }
    }
}

fn check_usable(path: &Path, found: &FoundKey, algorithms: &[Algorithm]) -> Result<(), Fault> {
    let name = path.display();
    if let FoundKey::Rsa(bits) = *found
        && bits < LEAST_RSA
    {
        let what = format!("the RSA key in {name} has {bits} bits, and {LEAST_RSA} are needed");
        return Err(Fault::new(what).help("have the issuer make a longer key"));
    }
    match algorithms.first() {
        Some(wanted) if !algorithms.iter().any(|one| found.serves(*one)) => {
            let what =
                format!("{name} has {}, and {wanted} needs {}", found.words(), needs(*wanted));
            Err(Fault::new(what)
                .help("give the key of this algorithm, or name the key's algorithm"))
        }
        _ => Ok(()),
    }
}

/// The type of a public key.
enum FoundKey {
    /// An RSA key with this many bits.
    Rsa(usize),
    P256,
    P384,
    Ed25519,
    Other,
}

impl FoundKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    fn of(info: &[u8]) -> Self {
        let parts = element(info).and_then(|(_, info, _)| {
            let (_, algorithm, rest) = element(info)?;
            Some((algorithm, element(rest)?.1))
        });
        let Some((algorithm, key)) = parts else {
            return Self::Other;
        };
        match algorithm {
            ECDSA_P256 => Self::P256,
            ECDSA_P384 => Self::P384,
            ED25519 => Self::Ed25519,
            RSA_ENCRYPTION => modulus_bits(key).map_or(Self::Other, Self::Rsa),
            _ => Self::Other,
        }
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        self.words() == needs(algorithm)
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::Ed25519 => "an Ed25519 key",
            Self::Other => "a key of another kind",
        }
    }
}

fn needs(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "a P-256 key",
        Algorithm::ES384 => "a P-384 key",
        Algorithm::EdDSA => "an Ed25519 key",
        _ => "an RSA key",
    }
}

/// The bit length of the modulus of an `RSAPublicKey` (RFC 8017 appendix A.1.1) in a BIT STRING.
fn modulus_bits(bit_string: &[u8]) -> Option<usize> {
    let (_, key, _) = element(bit_string.strip_prefix(&[0])?)?;
    let (_, modulus, _) = element(key)?;
    let start = modulus.iter().position(|byte| *byte != 0)?;
    let zeros = modulus[start].leading_zeros() as usize;
    Some((modulus.len() - start) * 8 - zeros)
}

/// Splits off the first DER element: its tag, its content, and the rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let shift = |sum: usize, byte: &u8| Some(sum.checked_mul(256)? + usize::from(*byte));
        (bytes.iter().try_fold(0, shift)?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::element;

    #[test]
    fn der_is_read_within_its_bounds() {
        assert_eq!(element(&[2, 1, 7, 9]), Some((2, &[7][..], &[9][..])));
        assert_eq!(element(&[4, 0x81, 2, 1, 2]), Some((4, &[1, 2][..], &[][..])));
        let huge = [&[4, 0xff][..], &[0xff; 200]].concat();
        for broken in [&[][..], &[2], &[2, 2, 1], &[4, 0x82, 1], &huge] {
            assert_eq!(element(broken), None);
        }
    }
}
