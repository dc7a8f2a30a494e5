//! Data frames: their payload is checked, plain or in blocks, and their end carried out.

use super::super::inspect::Verdict;
use super::super::rules::BLOCK;
use super::super::{GateEvent, Rule, Violation};
use super::{Frame, FrameRun, Reader};

impl Reader {
    #[inline]
    pub(in crate::wire) fn read_data(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
    ) -> Result<Option<GateEvent>, Violation> {
        if self.rules.message_compressed() {
            self.read_block(input, run)?;
        } else {
            self.read_plain(input, run)?;
        }
        if self.inspectors.messages.is_some()
            && let Some(event) = self.inspect(run)
        {
            return Ok(Some(event));
        }
        if self.frame.left == 0 {
            return self.end_data(input, run);
        }
        Ok(None)
    }

    /// After a piece of a data frame was read: ends the session, or lets a large frame go on that was held,
    /// where an inspector says so.
    #[inline(never)]
    fn inspect(&mut self, run: &mut FrameRun) -> Option<GateEvent> {
        let verdict = self.verdict();
        if verdict == Verdict::Pass {
            self.release_large(run);
        }
        verdict.event()
    }

    #[inline]
    fn read_plain(&mut self, input: &[u8], run: &mut FrameRun) -> Result<(), Violation> {
        let done = self.frame.head.declared() - self.frame.left;
        let start = run.at;
        let piece = self.skip_payload(input, run);
        let checked = self.rules.check_payload(&self.frame.head, done, piece);
        if let Some(messages) = &mut self.inspectors.messages {
            let good = checked.err().unwrap_or(piece.len());
            messages.read(&self.frame.head, done, &piece[..good]);
        }
        if let Err(at) = checked {
            run.at = start + at + 1;
            // Where it is refused must not depend on how it was cut into reads.
            self.release_large(run);
            return Err(self.refuse_at(Rule::Text, done + at as u64, run));
        }
        if self.frame.through {
            run.safe = run.at;
        }
        Ok(())
    }

    /// Reads on in a block of a compressed frame, to its end or the end of the input. Where the
    /// frame is cut through, the block is passed on when all of it was checked.
    #[inline(never)]
    fn read_block(&mut self, input: &[u8], run: &mut FrameRun) -> Result<(), Violation> {
        if self.must_wait(&input[run.at..]) {
            return Ok(());
        }
        let (done, end) = self.frame.block();
        let weighed = if self.frame.is_large() { end } else { self.frame.head.declared() };
        let piece = self.skip(input, run, end - done);
        let Self { rules, inspectors, frame: Frame { head, .. }, .. } = self;
        let see = |text: &[u8]| {
            if let Some(messages) = &mut inspectors.messages {
                messages.read_inflated(text);
            }
        };
        if let Err(rule) = rules.check_compressed(head, done, weighed, piece, see) {
            return Err(self.refuse_payload(rule, end.wrapping_sub(1)));
        }
        if self.frame.through && self.frame.left > 0 && done + piece.len() as u64 == end {
            self.buffer.spend();
            run.safe = run.at;
        }
        Ok(())
    }

    /// Whether a block of a compressed frame that is cut through begins with `rest` and is not
    /// there to its end.
    #[cold]
    pub(in crate::wire) fn block_is_cut(&self, rest: &[u8]) -> bool {
        let Frame { head, left, through, .. } = &self.frame;
        let compressed =
            head.is_complete() && !head.is_control() && self.rules.message_compressed();
        let (done, end) = self.frame.block();
        *through
            && compressed
            && *left > 0
            && done.is_multiple_of(BLOCK.into())
            && (rest.len() as u64) < end - done
    }

    #[inline]
    fn end_data(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
    ) -> Result<Option<GateEvent>, Violation> {
        let message_ends = match self.rules.check_end(&self.frame.head) {
            Ok(message_ends) => message_ends,
            Err(rule) => {
                let length = self.frame.head.declared();
                return Err(self.refuse_at(rule, length.wrapping_sub(1), run));
            }
        };
        self.activity += 1;
        let verdict = self.verdict();
        if matches!(verdict, Verdict::Drop(_)) {
            return Ok(Some(self.drop_frame()));
        }
        self.flow.messages += u64::from(message_ends);
        if matches!(verdict, Verdict::Take) {
            return Ok(Some(self.take_frame(&input[run.safe..run.at])));
        }
        self.accept(run);
        Ok(None)
    }

    /// The frame is whole and good, and an inspector takes it: the bytes that are held, then `rest`.
    #[cold]
    fn take_frame(&mut self, rest: &[u8]) -> GateEvent {
        debug_assert!(!self.frame.through, "a frame that may be taken is never cut through");
        let compressed = self.rules.message_compressed();
        let event = match &mut self.inspectors.messages {
            Some(messages) => messages.take(&self.frame.head, &mut self.buffer, rest, compressed),
            None => GateEvent::Dropped,
        };
        self.flow.frames += 1;
        self.drop_frame();
        event
    }

    /// A data frame, proved wrong by the byte that was read last, `at` bytes into the payload.
    #[cold]
    fn refuse_at(&self, rule: Rule, at: u64, run: &mut FrameRun) -> Violation {
        // Of a compressed frame, the block that is refused is held.
        if self.frame.through && !self.rules.message_compressed() {
            run.safe = run.at - 1;
        }
        self.refuse_payload(rule, at)
    }
}

impl Reader {
    /// Lets a large frame go on that is not held any more; a compressed one where a block ends.
    #[cold]
    fn release_large(&mut self, run: &mut FrameRun) {
        if !self.frame.is_large() || self.frame.through || self.verdict() != Verdict::Pass {
            return;
        }
        let (done, _) = self.frame.block();
        let mid_block = self.frame.left == 0 || !done.is_multiple_of(BLOCK.into());
        if !self.rules.message_compressed() || !mid_block {
            self.cut_through(run);
        }
    }
}

impl Frame {
    /// How many bytes of the payload were read, and where the block ends that comes next: what is
    /// there of it belongs together.
    fn block(&self) -> (u64, u64) {
        let done = self.head.declared() - self.left;
        let block = u64::from(BLOCK);
        (done, (done - done % block).saturating_add(block).min(self.head.declared()))
    }
}
