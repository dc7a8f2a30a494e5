//! The subject of a verified token.

use std::time::SystemTime;

use super::UserKey;

/// The subject of a verified token: the policy, sessions and revocations take it from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The NAME of the `[jwt.NAME]` that verified the token, and the value of its `user_claim`.
    pub user: UserKey,
    /// The claim `jti` (RFC 7519 section 4.1.7).
    pub token_id: Option<Box<str>>,
    /// The end of the token's validity: `exp` plus the leeway.
    pub expires: SystemTime,
}
