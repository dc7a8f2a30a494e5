//! What breaks, stalls or vanishes at either end, and the gateway's own end.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod deadlines;
mod shutdown;
mod slow;
mod upstream;
