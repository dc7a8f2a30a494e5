//! The operator's way in: a unix socket on which a client asks what is going on, ends sessions,
//! revokes tokens and bans addresses. It takes one request a connection and gives one answer, both of them JSON; what
//! they look like is in `docs/admin.md`.
//!
//! Whoever may open the socket may do all of it: its file is the owner's alone. Every request is
//! told in the log, with the user who made it.

mod act;
mod bans;
mod protocol;
mod serve;
mod socket;

pub use protocol::{BanRequest, Outcome, Request, RevokeRequest};
pub(crate) use serve::serve;
pub use socket::{AdminSocket, SocketError};
