//! What the admin client shows of an issuer's keys.

use std::time::Duration;

/// The keys of one issuer, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The NAME of `[jwt.NAME]`.
    pub issuer: String,
    /// Where its keys are from: `secret`, a file, or an address without its query.
    pub source: String,
    /// How many keys may verify its tokens; 0: none was fetched yet.
    pub keys: usize,
    /// How long ago a fetched set was last good; `None`: it is not fetched, or was never good.
    pub age: Option<Duration>,
    /// Why the last fetch failed, if it did.
    pub error: Option<String>,
}
