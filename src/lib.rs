//! A security gateway for WebSocket applications: one binary and one TOML file in front of any
//! WebSocket server.
//!
//! The journey of a connection, a room a step: [`listener`] accepts it and finds out who it is,
//! [`tls`] secures it, [`handshake`] reads its one request strictly, [`policy`] admits it to a route
//! (and asks [`token`] who is there),
//! [`upstream`] connects it to the application and verifies the answer; then [`session`] owns it while
//! [`relay`] passes checked frames both ways, and [`observe`] says what happened. [`config`] is what all
//! of them work from, [`refusal`] names every reason to say no, [`firewall`] bans who offends and [`limits`]
//! counts who is there and how often, [`store`] keeps what was revoked and who is banned,
//! [`admin`] lets an operator look and step in, and [`gateway`] holds it together.

pub mod admin;
pub mod cli;
pub mod config;
mod connection;
pub mod demo;
mod file;
pub mod firewall;
pub mod gateway;
pub mod handshake;
mod interim;
pub mod limits;
pub mod listener;
pub mod moment;
pub mod network;
pub mod observe;
pub mod policy;
pub mod refusal;
pub mod relay;
pub mod session;
pub mod spoken;
pub mod store;
mod tight;
pub mod tls;
pub mod token;
pub mod transport;
pub mod upstream;
