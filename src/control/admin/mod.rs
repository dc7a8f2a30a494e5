//! The admin socket: a unix socket through which a client reads the status, ends sessions, revokes
//! tokens and bans addresses. A connection carries one request and one answer, both in JSON;
//! `docs/admin.md` describes them.
//!
//! Access to the socket gives full control, so the file permits only its owner. Every request is
//! logged, with the user id of the caller.

mod act;
mod bans;
mod drain;
mod observe;
mod older;
mod protocol;
mod serve;
mod socket;

pub(super) use act::{Running, act};
pub use protocol::{BanRequest, DrainSelector, ObserveRequest, Outcome, Request, RevokeRequest};
pub(super) use serve::serve;
pub(super) use socket::Listening;
pub use socket::{AdminSocket, SocketError};
