//! The settings of a gate, in the terms of the protocol. Whoever reads a configuration makes them.

use std::num::NonZeroU16;

use crate::values::Rate;

/// The sizes that the frames and messages of one direction are held to.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// Payload bytes of a data frame, as it is on the wire.
    pub max_frame_size: u64,
    /// Payload bytes of a message, those of a compressed one counted when it is inflated.
    pub max_message_size: u64,
    /// Frames of a message, empty ones counted; [`FrameLimits::ANY_NUMBER`] does not limit them.
    pub max_fragments: u32,
    /// Bytes that a compressed message may inflate to for each byte of its payload on the wire;
    /// `None`: any number. Up to 64 KiB are allowed however few bytes say them.
    pub max_inflation_ratio: Option<NonZeroU16>,
}

impl FrameLimits {
    /// The number of fragments that does not limit a message.
    pub const ANY_NUMBER: u32 = u32::MAX;
}

/// The rates that one client is held to; `None` is no rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientRates {
    /// Messages.
    pub messages: Option<Rate>,
    /// Bytes on the wire.
    pub bytes: Option<Rate>,
    /// Pings and pongs of the client's own.
    pub control_frames: Option<Rate>,
    /// What happens above a rate.
    pub above: AboveRate,
    /// Whether the client is to be read a little at a time: bytes that were read of a paused client
    /// sit in the shared budget, and bytes that were read above their rate have passed.
    pub small_reads: bool,
}

/// What happens to a client that is above a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AboveRate {
    /// The session is closed.
    #[default]
    Close,
    /// The client is not read until it is within the rate again.
    Delay,
    /// The message or control frame is not passed on.
    Drop,
    /// Nothing, but that it is counted.
    Report,
}
