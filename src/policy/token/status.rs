//! What the admin client shows of an issuer's keys.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The keys of one issuer, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The NAME of `[jwt.NAME]`.
    pub issuer: String,
    /// Where its keys are from: `secret`, a file, or an address without its query.
    pub source: String,
    /// How many keys may verify its tokens; 0: none was fetched yet.
    pub keys: usize,
    /// How long ago a fetched set was last good; `None`: it is not fetched, or was never good.
    #[serde(
        rename = "age_seconds",
        serialize_with = "seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub age: Option<Duration>,
    /// Why the last fetch failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[allow(clippy::ref_option, reason = "the shape that serde asks for")]
fn seconds<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs()).serialize(serializer)
}
