//! What outlives a connection: which users and tokens were revoked, and which addresses are banned. A
//! room behind two traits, so that several gateways can share one store; a file and this process's
//! memory are what there is now.
//!
//! It never decides whom a revocation concerns beyond comparing names, who is banned or for how long,
//! and it never ends a session.

mod bans;
mod file;
mod revocations;

use serde::{Deserialize, Serialize};

use crate::values::UnixTime;
pub use bans::{Author, Ban, BanError, BanStore, BanTable, MAX_BANS};
pub use file::{Contents, StoreError};
pub use revocations::{MAX_REVOCATIONS, Revocations};

/// The longest value of a revocation, in bytes.
pub const MAX_VALUE: usize = 1024;
/// The longest remark of one, in bytes.
pub const MAX_WHY: usize = 256;

/// Keeps revocations, and answers whether a token is among them.
pub trait RevocationStore: Send + Sync + std::fmt::Debug {
    /// Whether a token of this bearer is refused. Asked for each admission and answered from
    /// memory: a store that is shared keeps a copy at hand.
    fn is_revoked(&self, bearer: Bearer<'_>, now: UnixTime) -> bool;

    /// Keeps a revocation. The later end counts if there is one already. May block for as long as a
    /// disk or another machine takes, so it is called from a thread that may.
    ///
    /// [`RevokeError::Unsaved`] means that it is in force here, and will not outlive this process.
    fn revoke(&self, revocation: Revocation, now: UnixTime) -> Result<(), RevokeError>;

    /// How many revocations are in force.
    fn count(&self, now: UnixTime) -> usize;
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'a> {
    /// The issuer's `user_claim`.
    pub user: Option<&'a str>,
    /// The claim `jti` (RFC 7519 section 4.1.7).
    pub token_id: Option<&'a str>,
}

/// What a revocation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Every token of a user.
    User,
    /// The one token with this `jti`.
    Token,
}

impl Kind {
    /// "user" or "token".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
        }
    }
}

/// Tokens that are refused for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What `value` is.
    pub kind: Kind,
    /// The user or the `jti`, exactly; 1 to [`MAX_VALUE`] bytes.
    pub value: String,
    /// The first moment at which it is over.
    pub until: UnixTime,
    /// When it was made.
    pub at: UnixTime,
    /// A remark for people; at most [`MAX_WHY`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Revocation {
    /// Whether its texts keep their bounds.
    fn is_bounded(&self) -> bool {
        let why = self.why.as_ref().map_or(0, String::len);
        (1..=MAX_VALUE).contains(&self.value.len()) && why <= MAX_WHY
    }
}

/// Why a revocation is not kept as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There is no room.
    #[error(
        "{MAX_REVOCATIONS} revocations are in force, and no more are kept: revoke users instead of single tokens, or take away the issuer's key"
    )]
    Full,
    /// Its texts are too long, or it names nobody.
    #[error(
        "a revocation names a user or a token in 1 to {MAX_VALUE} bytes, with a remark of at most {MAX_WHY}"
    )]
    Unbounded,
    /// It is over already.
    #[error("its end {0} is not in the future")]
    Over(UnixTime),
    /// It is in force, and would be forgotten with this process.
    #[error("it is in force, but will be forgotten when the gateway stops: {0}")]
    Unsaved(#[from] StoreError),
}
