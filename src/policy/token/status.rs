//! The status of an issuer's keys for the admin client.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The current keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The NAME of `[jwt.NAME]`.
    pub issuer: String,
    /// The source of the keys: `secret`, a file, or a URL without its query.
    pub source: String,
    /// The number of keys that may verify tokens; 0 before the first successful fetch.
    pub keys: usize,
    /// The time since the last successful fetch; `None` if the keys are not fetched, or no fetch
    /// succeeded yet.
    #[serde(
        rename = "age_seconds",
        serialize_with = "seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub age: Option<Duration>,
    /// The error of the last fetch, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[allow(clippy::ref_option, reason = "the shape that serde asks for")]
fn seconds<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs()).serialize(serializer)
}
