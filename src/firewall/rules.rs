//! The networks that are allowed and denied.

/// Allowed and denied networks; the most specific one decides, and deny wins a tie.
#[derive(Debug, Default)]
pub struct Rules {}
