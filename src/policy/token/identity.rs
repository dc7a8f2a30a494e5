//! Who a verified token says is there.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::values::UserKey;

/// What a token proved. Only verification makes one, so that whoever has it need not ask again.
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

    /// Both, as limits know the user.
    #[must_use]
    pub fn key(&self) -> &UserKey {
        &self.key
    }

    /// The token's own id (`jti`), if it has one.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// When the token is over: `exp` and the leeway.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// Everything that the token says.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// Claims are the user's own: none is shown.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
