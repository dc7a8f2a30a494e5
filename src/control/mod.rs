//! What operators do to a running gateway.

pub mod admin;
