//! Messages that are the gateway's: a client hands in a new token.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::super::inflate::Inflation;
use super::super::{lease, mask};
use super::{Reader, WHOLE_SIZE};

/// The messages, of one frame each, in which a client hands in a new token.
#[derive(Debug)]
pub(in crate::relay) struct Handover {
    /// The member of the JSON object that holds the token.
    pub(in crate::relay) member: Arc<str>,
    /// How many there were; the flow has them, too.
    pub(in crate::relay) taken: u64,
}

impl Reader {
    /// Takes the token of a text message of one frame, where such are looked for: held bytes,
    /// then `rest`.
    pub(super) fn handed_over(&mut self, rest: &[u8]) -> Option<String> {
        let handover = self.handover.as_mut()?;
        let head = &self.frame.head;
        let alone = head.fin() && head.opcode() == OpCode::Data(Data::Text);
        if !alone || self.frame.through {
            return None;
        }
        let bytes = self.hold.pending().iter().chain(rest).skip(head.size());
        let masked: Vec<u8> = bytes.copied().collect();
        let mut message = vec![0; masked.len()];
        mask::unmask(&masked, head.key(), &mut message);
        if self.rules.message_compressed() {
            // No longer than one that is not compressed could be.
            message = Inflation::whole(&message, WHOLE_SIZE)?;
        }
        let token = lease::token_in(&handover.member, &message)?;
        handover.taken += 1;
        Some(token)
    }
}
