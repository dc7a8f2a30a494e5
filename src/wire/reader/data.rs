//! Data frames: checks their payload, plain or in blocks, and ends them.

use super::super::inspect::{Decision, MessageInspector, Outcome, Verdict};
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

    /// Asks the inspectors after a piece of a data frame was read: ends the session, or cuts a large held
    /// frame through, as they decide.
    #[inline(never)]
    fn inspect(&mut self, run: &mut FrameRun) -> Option<GateEvent> {
        let verdict = self.verdict();
        if verdict == Verdict::Pass {
            self.release_large(run);
        }
        // Of a compressed message, the end may complete further text.
        let ends = self.frame.left == 0 && self.frame.head.fin();
        if ends && !self.rules.message_compressed() {
            self.show(verdict);
        }
        verdict.event()
    }

    /// Shows the message that the frame in progress ends to an observer, if there is one.
    fn show(&mut self, verdict: Verdict) {
        if let Some(messages) = &mut self.inspectors.messages {
            messages.end_message(verdict);
        }
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
            // The released bytes must not depend on how the frame was cut into reads.
            self.release_large(run);
            return Err(self.refuse_at(Rule::Text, done + at as u64, run));
        }
        if self.frame.through {
            run.safe = run.at;
        }
        Ok(())
    }

    /// Reads a block of a compressed frame, up to its end or the end of the input. If the frame is cut
    /// through, a block is released once all of it was checked.
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

    /// Whether `rest` begins a block of a compressed frame that is cut through, and does not hold all of
    /// it.
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
        let ended = if self.rules.message_compressed() {
            self.end_compressed()
        } else {
            self.rules.check_end(&self.frame.head)
        };
        let message_ends = match ended {
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
        if let Verdict::Refuse(reason) = verdict {
            // The text that only the end of a compressed message completes was too much.
            return Ok(Some(GateEvent::Refused(reason)));
        }
        if matches!(verdict, Verdict::Hold) && self.inspectors.assembles() {
            return Ok(self.end_held(input, run, message_ends));
        }
        self.flow.messages += u64::from(message_ends);
        if matches!(verdict, Verdict::Take) {
            return Ok(Some(self.take_frame(&input[run.safe..run.at])));
        }
        self.accept(run);
        Ok(None)
    }

    /// Ends a frame of a compressed message; returns `true` if the message ends, too.
    #[cold]
    fn end_compressed(&mut self) -> Result<bool, Rule> {
        let Self { rules, inspectors, frame: Frame { head, .. }, .. } = &mut *self;
        let see = |text: &[u8]| {
            if let Some(messages) = &mut inspectors.messages {
                messages.read_inflated(text);
            }
        };
        rules.end_compressed(head, see)?;
        let message_ends = rules.check_end(head)?;
        if message_ends {
            self.show(self.verdict());
        }
        Ok(message_ends)
    }

    /// Ends a frame of a message that is held until it is judged: keeps the frame, or judges the message.
    #[inline(never)]
    fn end_held(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
        message_ends: bool,
    ) -> Option<GateEvent> {
        let rest = &input[run.safe..run.at];
        if !message_ends {
            return Some(self.take_frame(rest));
        }
        let compressed = self.rules.message_compressed();
        let Some(MessageInspector::Assembler(assembler)) = self.inspectors.inspector_mut() else {
            return None;
        };
        let number = self.flow.messages + 1;
        match assembler.judge(number, &self.buffer, rest, compressed) {
            Decision::Keep => {
                self.flow.messages += 1;
                let event = self.take_frame(rest);
                if let Some(MessageInspector::Assembler(assembler)) =
                    self.inspectors.inspector_mut()
                {
                    assembler.keep_message();
                }
                Some(event)
            }
            Decision::Pass => {
                self.flow.messages += 1;
                self.accept(run);
                None
            }
            Decision::Judged(judgement, _) if judgement.outcome == Outcome::Report => {
                self.flow.messages += 1;
                self.accept(run);
                Some(GateEvent::Judged(judgement))
            }
            Decision::Judged(judgement, kept) => {
                self.flow.frames -= kept.frames;
                self.flow.messages -= kept.messages;
                self.drop_frame();
                Some(match judgement.outcome {
                    Outcome::Discard => GateEvent::Dropped,
                    _ => GateEvent::Judged(judgement),
                })
            }
        }
    }

    /// Takes a complete and valid frame for an inspector: the held bytes, then `rest`.
    #[cold]
    fn take_frame(&mut self, rest: &[u8]) -> GateEvent {
        debug_assert!(!self.frame.through, "a frame that may be taken is never cut through");
        let compressed = self.rules.message_compressed();
        let event = match &mut self.inspectors.messages {
            Some(messages) => messages.take(&self.frame, &mut self.buffer, rest, compressed),
            None => GateEvent::Dropped,
        };
        self.flow.frames += 1;
        self.drop_frame();
        event
    }

    /// The violation of a data frame; the last byte read proves it, `at` bytes into the payload.
    #[cold]
    fn refuse_at(&self, rule: Rule, at: u64, run: &mut FrameRun) -> Violation {
        // The refused block of a compressed frame is held, and is not released.
        if self.frame.through && !self.rules.message_compressed() {
            run.safe = run.at - 1;
        }
        self.refuse_payload(rule, at)
    }
}

impl Reader {
    /// Cuts a large frame through that is no longer held; a compressed one where a block ends.
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
    /// The number of payload bytes read, and the end of the block in progress. A block is released as one
    /// piece.
    fn block(&self) -> (u64, u64) {
        let done = self.head.declared() - self.left;
        let block = u64::from(BLOCK);
        (done, (done - done % block).saturating_add(block).min(self.head.declared()))
    }
}
