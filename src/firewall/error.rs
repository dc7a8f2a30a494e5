//! Errors of building the rules.

use maxminddb::MaxMindDbError;

use super::rules::MAX_PREFIXES;

/// The reason why a list or a database cannot be used. The messages follow the name of the entry or
/// file at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All lists together have more than [`MAX_PREFIXES`] entries, or more than 2^32 - 1 lines.
    #[error("makes the lists longer than {MAX_PREFIXES} entries in all")]
    TooLong,
    /// Not a file in the MaxMind DB format, or a broken one.
    #[error("is not a readable MaxMind DB file: {0}")]
    NotADatabase(#[source] Box<MaxMindDbError>),
}

impl From<MaxMindDbError> for Error {
    fn from(error: MaxMindDbError) -> Self {
        Self::NotADatabase(Box::new(error))
    }
}
