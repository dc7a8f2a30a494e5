//! A verified token.

use std::fmt;

use serde_json::{Map, Value};

use crate::values::Principal;

/// A verified token. Only verification creates it, so that code that has one need not verify again.
#[derive(Clone)]
pub struct VerifiedToken {
    principal: Principal,
    claims: Map<String, Value>,
}

impl VerifiedToken {
    pub(super) fn new(principal: Principal, claims: Map<String, Value>) -> Self {
        Self { principal, claims }
    }

    /// The subject of the token.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// All claims of the token.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// Leaves the user and the claims out, which are personal data.
impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.principal.user.issuer())
            .field("expires", &self.principal.expires)
            .finish_non_exhaustive()
    }
}
