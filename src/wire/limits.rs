//! The settings of a gate, in protocol terms. The caller builds them from its configuration.

use std::num::NonZeroU16;

use crate::values::Rate;

/// The size limits for the frames and messages of one direction.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// Payload bytes of a data frame, as sent on the wire.
    pub max_frame_size: u64,
    /// Payload bytes of a message; a compressed message counts inflated.
    pub max_message_size: u64,
    /// Frames of a message, including empty ones; [`FrameLimits::ANY_NUMBER`] means no limit.
    pub max_fragments: u32,
    /// Bytes to which a compressed message may inflate for each byte of its payload on the wire; `None`:
    /// any number. The first 64 KiB are allowed at any ratio.
    pub max_inflation_ratio: Option<NonZeroU16>,
}

impl FrameLimits {
    /// The number of fragments that means no limit.
    pub const ANY_NUMBER: u32 = u32::MAX;
}

/// The rates that apply to one client; `None` is no rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientRates {
    /// Messages.
    pub messages: Option<Rate>,
    /// Bytes on the wire.
    pub bytes: Option<Rate>,
    /// Pings, and pongs that answer no ping of the gateway.
    pub control_frames: Option<Rate>,
    /// The action above a rate.
    pub above: AboveRate,
    /// Whether the client is to be read in small pieces: bytes read from a paused client sit in the shared
    /// budget, and a rate on bytes cannot stop bytes that were already read.
    pub small_reads: bool,
}

/// The action on a client that is above a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AboveRate {
    /// The session is closed.
    #[default]
    Close,
    /// The client is not read until it is within the rate again.
    Delay,
    /// The message or control frame is not forwarded.
    Drop,
    /// The excess is only counted.
    Report,
}
