//! A security gateway for WebSocket applications: one binary and one TOML file in front of any
//! WebSocket server.
//!
//! The folders are layers, and an import points down this list: [`values`] is shared by all; [`wire`] holds
//! the frame rules, [`message`] the rules of messages, [`firewall`] the address rules; [`config`] reads the file; [`tls`] secures a
//! connection; [`handshake`] reads a request; [`journal`] writes records; [`state`] outlives
//! connections; [`policy`] decides; [`gateway`] accepts, connects and relays; [`control`] is what operators
//! reach; [`cli`] is the command line.

pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod firewall;
pub mod gateway;
pub mod handshake;
pub mod journal;
pub mod message;
pub mod policy;
pub mod state;
pub mod tls;
pub mod values;
pub mod wire;
