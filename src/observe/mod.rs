//! What the gateway says about what it did: one record when a session opens, one when it ends, one
//! for each refusal, and the protocol and connection errors alone in a file of their own. It never
//! writes a payload, a token or a query string, and writing never blocks a session.

mod record;

pub use record::{Ended, Flow, Subject};
