//! The opening handshake (RFC 6455 section 4.2) and plain requests (RFC 9112): parses a request once and
//! strictly, builds the answers, and selects the header fields that are forwarded to the upstream. It checks
//! that a request is well-formed; the policy decides who may connect.

mod address;
mod answer;
mod chunks;
mod client_cert;
mod deflate;
mod engine;
mod extensions;
pub(crate) mod fields;
mod flaw;
mod forward;
mod forwarded;
mod heads;
pub(crate) mod interim;
mod letters;
mod raw;
mod request;
mod target;
mod written;

pub use address::{ClientAddress, Peer, request_id};
pub use answer::{
    Body, Persistence, forwarded, health, polled, problem, problem_bytes, redirect, relayed,
    switching_protocols,
};
pub use deflate::{Deflate, DeflateOffer};
pub use engine::{EngineQuery, EngineQueryError, EngineTransport};
pub use forward::{Provenance, end_to_end, plain_request, upstream_request};
pub use heads::{HeadBudget, HeadFault, HeadLimits, HeadShare, OWN_HEAD};
pub use letters::{Letters, Respelled, Spelling};
pub use raw::{HeadTap, MAX_HEAD, RawHead};
pub(crate) use request::check_framing;
pub use request::{PlainRequest, RequestHead, UpgradeRequest, request_kind};
pub use written::{WatchedBody, Written};
