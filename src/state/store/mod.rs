//! State that outlives a connection: the revoked users and tokens, and the banned addresses. It is
//! behind two traits, so that several gateways can share one store; the current stores are in
//! memory, with an optional file.
//!
//! The stores only compare names and addresses. They do not decide on bans and never close a
//! session.

mod bans;
mod file;
mod revocations;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::values::{Principal, UnixTime};
pub use bans::{Author, Ban, BanError, BanStore, BanTable, MAX_BANS};
pub use file::{Contents, StoreError};
pub use revocations::{MAX_REVOCATIONS, Revocations};

/// The longest value of a revocation, in bytes.
pub const MAX_VALUE: usize = 1024;
/// The longest remark in bytes.
pub const MAX_WHY: usize = 256;

/// Stores revocations and looks tokens up.
pub trait RevocationStore: Send + Sync + std::fmt::Debug {
    /// Whether a revocation names this value. Called for each admission and answered from memory: a
    /// shared store keeps a local copy.
    fn is_revoked(&self, kind: Kind, value: &str, now: UnixTime) -> bool;

    /// Whether the user or the token is revoked.
    fn revokes(&self, principal: &Principal, now: UnixTime) -> bool {
        let Principal { user, token_id, .. } = principal;
        self.is_revoked(Kind::User, user.user(), now)
            || token_id.as_deref().is_some_and(|id| self.is_revoked(Kind::Token, id, now))
    }

    /// Stores a revocation. If there is one already, the later end applies. May block while a disk
    /// or another machine is slow, so call it from a thread that may block.
    ///
    /// [`RevokeError::Unsaved`] means that the revocation is in force but will not outlive this
    /// process.
    fn revoke(&self, revocation: Revocation, now: UnixTime) -> Result<(), RevokeError>;

    /// The number of revocations in force.
    fn count(&self, now: UnixTime) -> usize;

    /// Saves, and leaves the persistent state to another process. Returns all revocations. May block.
    fn hand_over(&self, now: UnixTime) -> Handed<Revocation>;

    /// Saves again, after the other process has failed.
    fn take_back(&self);

    /// Takes over the revocations of another process as far as there is room, and saves them. May block.
    ///
    /// # Errors
    /// They are in force but not saved.
    fn adopt(&self, handed: Handed<Revocation>, now: UnixTime) -> Result<(), StoreError>;
}

/// The entries of a store on their way to another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed<T> {
    /// The file that has them, too. A store of the same file has no entries but these.
    pub file: Option<PathBuf>,
    /// All entries.
    pub entries: Vec<T>,
}

/// The kind of name in a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Revokes every token of a user.
    User,
    /// Revokes the token with this `jti`.
    Token,
}

impl Kind {
    /// The name: "user" or "token".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
        }
    }
}

/// A revocation of tokens for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The kind of `value`.
    pub kind: Kind,
    /// The exact user or `jti`; 1 to [`MAX_VALUE`] bytes.
    pub value: String,
    /// The first moment at which the revocation is over.
    pub until: UnixTime,
    /// When the revocation was made.
    pub at: UnixTime,
    /// An operator's remark; at most [`MAX_WHY`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Revocation {
    /// Whether the texts are within their bounds.
    fn is_bounded(&self) -> bool {
        let why = self.why.as_ref().map_or(0, String::len);
        (1..=MAX_VALUE).contains(&self.value.len()) && why <= MAX_WHY
    }
}

/// The reason why a revocation is not stored, or not saved.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The store is full.
    #[error(
        "{MAX_REVOCATIONS} revocations are in force, and no more are kept: revoke users instead of single tokens, or take away the issuer's key"
    )]
    Full,
    /// A text is too long, or the value is empty.
    #[error(
        "a revocation names a user or a token in 1 to {MAX_VALUE} bytes, with a remark of at most {MAX_WHY}"
    )]
    Unbounded,
    /// The revocation is over already.
    #[error("its end {0} is not in the future")]
    Over(UnixTime),
    /// The revocation is in force but not saved, so that it ends with this process.
    #[error("it is in force, but will be forgotten when the gateway stops: {0}")]
    Unsaved(#[from] StoreError),
}
