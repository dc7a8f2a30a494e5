//! Counters of one direction of a session.

use std::ops::AddAssign;

use serde::Serialize;

/// Counts the frames of one peer that passed the frame rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Frames, control frames included.
    pub frames: u64,
    /// Whole data messages.
    pub messages: u64,
    /// Bytes on the WebSocket wire, frame headers included.
    pub bytes: u64,
}

impl AddAssign for Flow {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}
