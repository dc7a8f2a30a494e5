//! Follows the packets of a peer whose messages are not judged.

use crate::wire::MessageFollower;

/// Counts the attachments that the last packet still has to come.
#[derive(Debug, Default)]
pub(in crate::message) struct Follower {
    due: u64,
    state: State,
}

/// How far the message in progress is read.
#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// The next byte is the first.
    First,
    /// It is a packet of Socket.IO.
    Packet,
    /// The number of its attachments so far.
    Number(u64),
    /// The rest does not matter.
    #[default]
    Rest,
}

impl MessageFollower for Follower {
    fn begin(&mut self, binary: bool) {
        self.state = if binary { State::Rest } else { State::First };
        self.due = self.due.saturating_sub(u64::from(binary));
    }

    fn read(&mut self, piece: &[u8]) {
        for byte in piece {
            self.state = match (self.state, byte) {
                (State::Rest, _) => return,
                (State::First, b'4') => State::Packet,
                (State::First, b'b') => {
                    self.due = self.due.saturating_sub(1);
                    State::Rest
                }
                (State::Packet, b'5' | b'6') => State::Number(0),
                (State::Packet, _) => {
                    self.due = 0;
                    State::Rest
                }
                (State::Number(number), b'0'..=b'9') => {
                    State::Number(number.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
                }
                (State::Number(number), _) => {
                    self.due = if *byte == b'-' { number } else { 0 };
                    State::Rest
                }
                (State::First, _) => State::Rest,
            };
        }
    }

    fn is_incomplete(&self) -> bool {
        self.due > 0
    }
}
