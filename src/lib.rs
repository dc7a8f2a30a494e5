//! A security gateway for WebSocket applications.

pub mod cli;
pub mod config;
pub mod handshake;
pub mod listener;
pub mod observe;
pub mod policy;
pub mod refusal;
pub mod relay;
pub mod tls;
pub mod transport;
pub mod upstream;
