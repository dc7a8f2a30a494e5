//! `[jwt.NAME]`: the issuers whose tokens a route accepts, the places of a token and its required claims.

use crate::values::TokenPlace;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::Roots;
use http::{HeaderName, Uri};

/// The most that `max_token` may be, in bytes.
pub const LONGEST_TOKEN: usize = 64 * 1024;

/// A `[jwt.NAME]` table, checked. `K` is its key: one that was read, unless the table is only checked so far.
#[derive(Debug, Clone)]
pub struct Issuer<K = KeySource> {
    /// The NAME.
    pub name: String,
    /// The algorithms that a token may be signed with; at least one, all of one family.
    pub algorithms: Vec<Algorithm>,
    /// What signatures are verified with.
    pub key: K,
    /// What `iss` must be; not checked if not given.
    pub issuer: Option<String>,
    /// One of which `aud` must name; not checked if empty.
    pub audience: Vec<String>,
    /// How far clocks may be apart, added to `exp` and the expiry timer and taken from `nbf`; at
    /// most 60 s.
    pub leeway: Duration,
    /// The claim that says who the user is.
    pub user_claim: String,
    /// Where a token may be; at least one. [`TokenPlace::Message`] stands alone.
    pub token_from: Vec<TokenPlace>,
    /// How long the first message may take, where the token is in it.
    pub message_deadline: Duration,
    /// Where the token is in the JSON object of the first message, as a JSON pointer; `None`: the message
    /// is the token, or an object with a member `token`.
    pub message_token: Option<String>,
    /// The longest token that is looked at, in bytes; at most [`LONGEST_TOKEN`].
    pub max_token: usize,
    /// Claims that must be there, and the values that are allowed.
    pub require: Vec<Requirement>,
    /// Header fields towards the upstream, and the claims they are made from.
    pub forward: Vec<(HeaderName, String)>,
    /// Whether the upstream gets the credential too.
    pub forward_token: bool,
    /// What happens to a session whose token expires.
    pub on_expiry: OnExpiry,
}

impl Issuer<()> {
    /// The issuer with its key.
    pub(super) fn with_key(self, key: KeySource) -> Issuer {
        Issuer {
            name: self.name,
            algorithms: self.algorithms,
            key,
            issuer: self.issuer,
            audience: self.audience,
            leeway: self.leeway,
            user_claim: self.user_claim,
            token_from: self.token_from,
            message_deadline: self.message_deadline,
            message_token: self.message_token,
            max_token: self.max_token,
            require: self.require,
            forward: self.forward,
            forward_token: self.forward_token,
            on_expiry: self.on_expiry,
        }
    }
}

/// The issuers whose tokens a route accepts, at least one. Of several, each has an `issuer` of its own, by
/// which a token's unverified `iss` picks the one that verifies it; where a token may be, and whether it is
/// forwarded, is the same for all of them.
#[derive(Debug, Clone)]
pub struct RouteIssuers {
    first: Arc<Issuer>,
    others: Arc<[Arc<Issuer>]>,
}

impl RouteIssuers {
    /// `first`, and `others` that can be told apart from it and from each other.
    #[must_use]
    pub fn new(first: Arc<Issuer>, others: &[Arc<Issuer>]) -> Self {
        Self { first, others: others.into() }
    }

    /// The first one: its keys hold for what is the same for all of them.
    #[must_use]
    pub fn first(&self) -> &Arc<Issuer> {
        &self.first
    }

    /// Every one, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// The one of `[jwt.NAME]`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.iter().find(|issuer| issuer.name == name)
    }

    /// The one whose `issuer` is `iss`.
    #[must_use]
    pub fn of(&self, iss: &str) -> Option<&Arc<Issuer>> {
        self.iter().find(|issuer| issuer.issuer.as_deref() == Some(iss))
    }

    /// The longest token that one of them looks at, in bytes.
    #[must_use]
    pub fn max_token(&self) -> usize {
        self.iter().map(|issuer| issuer.max_token).max().unwrap_or_default()
    }
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named by the RFCs")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Algorithms that share a kind of key; a set never mixes them.
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
    /// Every one of them.
    pub const ALL: [Self; 12] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The length of its hash.
    pub(super) fn hash_bits(self) -> usize {
        match self {
            Self::HS256 | Self::RS256 | Self::PS256 | Self::ES256 => 256,
            Self::HS384 | Self::RS384 | Self::PS384 | Self::ES384 => 384,
            Self::HS512 | Self::RS512 | Self::PS512 | Self::EdDSA => 512,
        }
    }

    /// The kind of key it needs.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => Family::Hmac,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => {
                Family::Rsa
            }
            Self::ES256 | Self::ES384 => Family::Ec,
            Self::EdDSA => Family::Ed,
        }
    }

    /// Whether `alg` may name it so: by its own name, or by the one that RFC 9864 section 2.2 gives
    /// to `EdDSA` with an Ed25519 key.
    #[must_use]
    pub fn is_named(self, alg: &str) -> bool {
        self.name() == alg || (self == Self::EdDSA && alg == "Ed25519")
    }

    /// Every name.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.into_iter().map(Self::name).collect()
    }

    /// The name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `secret`, `public_key` or `jwks`; exactly one of them.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// At least as many bytes as the hash of each algorithm (RFC 7518 section 3.2).
    Secret(Secret),
    /// A public key in PEM, of the family of the algorithms.
    PublicKey {
        /// The file, as the configuration resolved it.
        path: PathBuf,
        /// What was in it.
        pem: Vec<u8>,
    },
    /// A JWK Set (RFC 7517 section 5) in a file.
    JwksFile {
        /// The file, as the configuration resolved it.
        path: PathBuf,
        /// What was in it; at most 1 MiB.
        json: String,
    },
    /// A JWK Set at an address, fetched at start and then again and again.
    JwksUrl {
        /// `https://`, or `http://` where the configuration accepts it; with a host, no user, no fragment.
        url: Uri,
        /// What the server's certificate must chain to; of `http://` empty.
        roots: Roots,
    },
}

impl KeySource {
    /// The key of `[jwt.NAME]` that says it.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::PublicKey { .. } => "public_key",
            Self::JwksFile { .. } | Self::JwksUrl { .. } => "jwks",
        }
    }

    /// Whether both are a JWK Set at the same address, from a server with the same roots.
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

/// Bytes that are never shown.
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
    /// The session goes on.
    Ignore,
}

/// A claim of `require`. It matches when the claim equals one of the values, is a list that has one
/// of them, or is a text in which one of them stands as a space-separated word.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The claim's name.
    pub claim: String,
    /// The values that are allowed; at least one: texts, whole numbers or booleans.
    pub allowed: Vec<serde_json::Value>,
}
