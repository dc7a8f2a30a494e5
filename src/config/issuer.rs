//! `[jwt.NAME]`: the issuers whose tokens a route accepts, the places of a token and its required claims.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::tls::Roots;
use http::Uri;

use super::keys::Issuer;

/// The upper bound of `max_token`, in bytes.
pub const LONGEST_TOKEN: usize = 64 * 1024;

/// The issuers whose tokens a route accepts, at least one. If there are several, each has a distinct
/// `issuer`, and the unverified `iss` of a token selects the issuer that verifies it; the token places
/// and `forward_token` are the same for all of them.
#[derive(Debug, Clone)]
pub struct RouteIssuers {
    first: Arc<Issuer>,
    others: Arc<[Arc<Issuer>]>,
}

impl RouteIssuers {
    /// Joins `first` and `others`. The caller has checked that the issuers have distinct `issuer` values.
    #[must_use]
    pub fn new(first: Arc<Issuer>, others: &[Arc<Issuer>]) -> Self {
        Self { first, others: others.into() }
    }

    /// The first issuer. The settings that are the same for all issuers are read from it.
    #[must_use]
    pub fn first(&self) -> &Arc<Issuer> {
        &self.first
    }

    /// All issuers, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// Whether there is more than one issuer.
    #[must_use]
    pub fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// The issuer of the table `[jwt.NAME]`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.iter().find(|issuer| issuer.name == name)
    }

    /// The issuer whose `issuer` equals `iss`.
    #[must_use]
    pub fn of(&self, iss: &str) -> Option<&Arc<Issuer>> {
        self.iter().find(|issuer| issuer.issuer.as_deref() == Some(iss))
    }

    /// The largest `max_token` of these issuers, in bytes.
    #[must_use]
    pub fn max_token(&self) -> usize {
        self.iter().map(|issuer| issuer.max_token).max().unwrap_or_default()
    }
}

macro_rules! algorithms {
    ($($name:ident $family:ident $bits:literal;)*) => {
        /// A signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "named by the RFCs")]
        pub enum Algorithm {
            $($name,)*
        }

        impl Algorithm {
            /// All algorithms.
            pub const ALL: [Self; 12] = [$(Self::$name,)*];

            /// The name in a token's header.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The kind of key that the algorithm uses.
            #[must_use]
            pub fn family(self) -> Family {
                match self {
                    $(Self::$name => Family::$family,)*
                }
            }

            /// The length of the hash of the algorithm.
            pub(super) fn hash_bits(self) -> usize {
                match self {
                    $(Self::$name => $bits,)*
                }
            }
        }
    };
}

algorithms! {
    HS256 Hmac 256;
    HS384 Hmac 384;
    HS512 Hmac 512;
    RS256 Rsa 256;
    RS384 Rsa 384;
    RS512 Rsa 512;
    PS256 Rsa 256;
    PS384 Rsa 384;
    PS512 Rsa 512;
    ES256 Ec 256;
    ES384 Ec 384;
    EdDSA Ed 512;
}

/// Algorithms that use the same kind of key; the algorithms of one issuer are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// HS*: a shared secret.
    Hmac,
    /// RS* and PS*.
    Rsa,
    /// ES*.
    Ec,
    /// `EdDSA`: Ed25519.
    Ed,
}

impl Algorithm {
    /// Whether `alg` in a token names this algorithm: by its own name or, for `EdDSA` with an Ed25519
    /// key, by the name that RFC 9864 section 2.2 defines.
    #[must_use]
    pub fn is_named(self, alg: &str) -> bool {
        self.name() == alg || (self == Self::EdDSA && alg == "Ed25519")
    }

    /// The names of all algorithms.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.into_iter().map(Self::name).collect()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The source of the verification key: exactly one of `secret`, `public_key` and `jwks`.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A shared secret, at least as long as the hash of each algorithm (RFC 7518 section 3.2).
    Secret(Secret),
    /// A public key in PEM, of the family of the algorithms.
    PublicKey {
        /// The path of the file, resolved against the configuration's folder.
        path: PathBuf,
        /// The content of the file.
        pem: Vec<u8>,
    },
    /// A JWK Set (RFC 7517 section 5) in a file.
    JwksFile {
        /// The path of the file, resolved against the configuration's folder.
        path: PathBuf,
        /// The content of the file; at most 1 MiB.
        json: String,
    },
    /// A JWK Set at a URL, fetched at start and then refreshed.
    JwksUrl {
        /// An `https://` URL, or `http://` where the configuration accepts it; with a host, without
        /// user info or fragment.
        url: Uri,
        /// The roots that the server's certificate must chain to; empty for `http://`.
        roots: Roots,
    },
}

impl KeySource {
    /// The name of the key in `[jwt.NAME]` that gives this source.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::PublicKey { .. } => "public_key",
            Self::JwksFile { .. } | Self::JwksUrl { .. } => "jwks",
        }
    }

    /// Whether both sources are the same JWK Set URL with the same roots.
    #[must_use]
    pub fn is_same_url(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::JwksUrl { url, roots }, Self::JwksUrl { url: other, roots: others }) => {
                url == other && roots == others
            }
            _ => false,
        }
    }
}

/// Bytes that `Debug` output and messages do not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// `[jwt.NAME] on_expiry`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpiry {
    /// The session is closed with 4401.
    Close,
    /// The session continues.
    Ignore,
}
