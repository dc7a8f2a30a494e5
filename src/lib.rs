//! A security gateway for WebSocket applications.

pub mod cli;
pub mod config;
pub mod demo;

pub mod observe;
pub mod refusal;
pub mod relay;
