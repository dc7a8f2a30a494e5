//! The identity that a verified token proves.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::values::UserKey;

/// The identity in a token. Only verification creates it, so that code that has one need not verify
/// again.
#[derive(Clone)]
pub struct Identity {
    key: UserKey,
    token_id: Option<String>,
    expires: SystemTime,
    claims: Map<String, Value>,
}

impl Identity {
    pub(super) fn new(
        issuer: &str,
        user: &str,
        token_id: Option<String>,
        expires: SystemTime,
        claims: Map<String, Value>,
    ) -> Self {
        Self { key: UserKey::new(issuer, user), token_id, expires, claims }
    }

    /// The NAME of the `[jwt.NAME]` that verified the token.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.key.issuer()
    }

    /// The user, unique within the issuer; not empty.
    #[must_use]
    pub fn user(&self) -> &str {
        self.key.user()
    }

    /// The issuer and the user, as the key of limits.
    #[must_use]
    pub fn key(&self) -> &UserKey {
        &self.key
    }

    /// The token's id (`jti`), if it has one.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// The end of the token's validity: `exp` plus the leeway.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// All claims of the token.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// Leaves the claims out, which are personal data.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
