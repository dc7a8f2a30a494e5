//! State that outlives a connection and a reload: bans, strikes, revocations and limits.

pub mod bans;
pub mod limits;
pub mod store;
