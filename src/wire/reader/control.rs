//! Control frames, which are checked once they are complete.

use super::super::close::LONGEST_PAYLOAD;
use super::super::inspect::Verdict;
use super::super::{CloseFrame, GateEvent, Opcode, Violation, mask};
use super::{FrameRun, Reader};

impl Reader {
    pub(in crate::wire) fn end_control(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
    ) -> Result<Option<GateEvent>, Violation> {
        let frame = &input[run.safe..run.at];
        let event = match self.frame.head.opcode() {
            Opcode::Pong if self.is_own_pong(frame) => {
                self.buffer.discard();
                self.frame.end();
                return Ok(Some(GateEvent::OwnPong));
            }
            Opcode::Close => Some(GateEvent::Close(self.check_close(frame)?)),
            Opcode::Ping => {
                self.activity += 1;
                None
            }
            _ => None,
        };
        if event.is_some() {
            self.accept(run);
            return Ok(event);
        }
        let verdict = self.inspectors.control_frame();
        match verdict {
            Verdict::Drop(_) => return Ok(Some(self.drop_frame())),
            Verdict::Take if self.frame.head.opcode() == Opcode::Pong => {
                return Ok(Some(self.drop_frame()));
            }
            Verdict::Take => {
                let length = usize::from(self.frame.head.short_length());
                let payload = self.control_payload(frame)[..length].into();
                self.drop_frame();
                return Ok(Some(GateEvent::Ping(payload)));
            }
            Verdict::Refuse(_) => {}
            Verdict::Pass | Verdict::Hold | Verdict::Wait(_) => self.accept(run),
        }
        Ok(verdict.event())
    }

    fn is_own_pong(&self, frame: &[u8]) -> bool {
        self.frame.head.declared() == self.own_ping.len() as u64
            && self.control_payload(frame)[..self.own_ping.len()] == self.own_ping
    }

    fn check_close(&self, frame: &[u8]) -> Result<CloseFrame, Violation> {
        let length = usize::from(self.frame.head.short_length());
        CloseFrame::check(&self.control_payload(frame)[..length]).map_err(|(rule, at)| {
            let header = self.frame.head.size() as u64;
            self.refuse(rule, self.frame.offset + header + at as u64)
        })
    }

    /// The unmasked payload of a complete control frame: held bytes, then `rest`.
    fn control_payload(&self, rest: &[u8]) -> [u8; LONGEST_PAYLOAD] {
        let head = &self.frame.head;
        let bytes = self.buffer.pending().iter().chain(rest).skip(head.size());
        let mut masked = [0; LONGEST_PAYLOAD];
        for (to, from) in masked.iter_mut().zip(bytes) {
            *to = *from;
        }
        let mut plain = [0; LONGEST_PAYLOAD];
        mask::unmask(&masked, head.key(), &mut plain);
        plain
    }
}
