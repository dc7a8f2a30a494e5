//! Reads frames, checks them against the rules, asks the inspectors, and decides how far the bytes are
//! released. This file has the steps that all frames share; `data` and `control` have those of either kind.

mod control;
mod data;

use super::frame_buffer::FrameBuffer;
use super::inspect::{Inspectors, Verdict};
use super::rules::FrameRules;
use super::{Context, FrameLimits, GateEvent, HeaderBytes, HoldBudget, Rule, Violation};
use crate::values::{Endpoint, Flow, Reason};

/// The largest frame, header and payload, that is held until it is complete. A larger one is cut through:
/// forwarded as it arrives, once its header was checked.
pub(super) const WHOLE: u64 = WHOLE_SIZE as u64;
pub(super) const WHOLE_SIZE: usize = 16 * 1024;

/// Reads the frames of one direction.
#[derive(Debug)]
pub(super) struct Reader {
    rules: FrameRules,
    pub(super) frame: Frame,
    pub(super) buffer: FrameBuffer,
    /// Frames and messages only; bytes are counted when they are released.
    pub(super) flow: Flow,
    pub(super) activity: u64,
    pub(super) own_ping: [u8; 8],
    pub(super) inspectors: Inspectors,
}

/// The frame in progress, or the position of the next one.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// The position of the frame's first byte in all bytes that the peer sent.
    pub(super) offset: u64,
    /// Payload bytes that are still to come; known once the header is complete.
    pub(super) left: u64,
    pub(super) head: HeaderBytes,
    /// True: the frame's bytes are forwarded as they arrive. False: all of them or none.
    pub(super) through: bool,
}

/// The position of a call in its input.
#[derive(Debug, Default)]
pub(super) struct FrameRun {
    /// Bytes that were read.
    pub(super) at: usize,
    /// Bytes that may be released. The bytes from here to `at` belong to an incomplete frame.
    pub(super) safe: usize,
}

impl Reader {
    pub(super) fn new(sender: Endpoint, limits: FrameLimits, own_ping: [u8; 8]) -> Self {
        Self {
            rules: FrameRules::new(sender, limits),
            frame: Frame::default(),
            buffer: FrameBuffer::default(),
            flow: Flow::default(),
            activity: 0,
            own_ping,
            inspectors: Inspectors::default(),
        }
    }

    pub(super) fn sender(&self) -> Endpoint {
        self.rules.sender()
    }

    pub(super) fn limit(&mut self, limits: FrameLimits) {
        self.rules.limit(limits);
    }

    /// Allows compressed messages from here on.
    pub(super) fn inflate(&mut self, context: Context) {
        self.rules.inflate(context);
    }

    pub(super) fn inflates(&self) -> bool {
        self.rules.inflates()
    }

    /// The number of bytes inflated so far.
    pub(super) fn inflated(&self) -> u64 {
        self.rules.inflated()
    }

    /// Whether a data message is in progress, the header of its first frame checked.
    pub(super) fn message_open(&self) -> bool {
        self.rules.message_open()
    }

    /// Reads up to the end of the input, an event, or a frame that has to wait.
    #[inline]
    pub(super) fn read(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
    ) -> Result<Option<GateEvent>, Violation> {
        while run.at < input.len() {
            if self.must_wait(&input[run.at..]) {
                break;
            }
            if let Some(event) = self.begin(input[run.at]) {
                return Ok(Some(event));
            }
            let event = self.read_frame(input, run)?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Whether reading must stop until the next call: the buffer still holds released bytes, so it can
    /// neither hold an incomplete frame nor an incomplete block of a compressed one.
    #[inline]
    fn must_wait(&self, rest: &[u8]) -> bool {
        if self.buffer.spent().is_empty() {
            false
        } else if self.frame.has_begun() {
            self.block_is_cut(rest)
        } else {
            // The assembler may keep a whole frame in the buffer.
            self.inspectors.has_assembler() || !is_whole_frame(rest)
        }
    }

    /// Asks the inspectors about a message at the first byte of its first frame, before any byte is
    /// consumed.
    #[inline]
    fn begin(&mut self, first: u8) -> Option<GateEvent> {
        self.inspectors.rates.as_ref()?;
        let begins = matches!(first & 0x0f, 0x1 | 0x2) && !self.rules.message_open();
        if self.frame.has_begun() || !begins {
            return None;
        }
        self.inspectors.begin().event()
    }

    /// The verdict of the inspectors on the frame in progress, given the bytes read so far.
    #[inline]
    fn verdict(&self) -> Verdict {
        if self.frame.head.is_control() {
            return Verdict::Pass;
        }
        self.inspectors.verdict(&self.frame)
    }

    /// Reads the frame in progress, up to its end or the end of the input.
    #[inline]
    fn read_frame(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
    ) -> Result<Option<GateEvent>, Violation> {
        if !self.frame.head.is_complete() {
            if !self.read_header(input, run)? {
                return Ok(None);
            }
            if let Some(event) = self.begin_frame(run) {
                return Ok(Some(event));
            }
        }
        if !self.frame.head.is_control() {
            return self.read_data(input, run);
        }
        self.skip_payload(input, run);
        if self.frame.left > 0 {
            return Ok(None);
        }
        self.end_control(input, run)
    }

    /// Asks the inspectors about a frame with a complete and valid header. A frame that is too large to be
    /// held is cut through from here, unless an inspector holds it.
    #[inline]
    fn begin_frame(&mut self, run: &mut FrameRun) -> Option<GateEvent> {
        if self.frame.head.is_control() {
            return None;
        }
        let verdict = self.inspectors.begin_frame(&self.frame, &mut self.buffer);
        if matches!(verdict, Verdict::Pass) && self.frame.is_large() {
            self.cut_through(run);
        }
        verdict.event()
    }

    /// Reads and checks the header; returns `true` once it is complete.
    #[inline]
    fn read_header(&mut self, input: &[u8], run: &mut FrameRun) -> Result<bool, Violation> {
        let head = &mut self.frame.head;
        if head.len() < 2 {
            run.at += head.fill(&input[run.at..], 2);
            if head.len() < 2 {
                return Ok(false);
            }
            self.rules.check_start(head).map_err(|rule| self.refuse_header(rule))?;
        }
        let head = &mut self.frame.head;
        let size = head.size();
        run.at += head.fill(&input[run.at..], size);
        if head.len() < size {
            return Ok(false);
        }
        self.rules.check_header(head).map_err(|rule| self.refuse_header(rule))?;
        self.frame.left = self.frame.head.declared();
        Ok(true)
    }

    /// Consumes the payload bytes that the input has of the frame.
    #[inline]
    fn skip_payload<'a>(&mut self, input: &'a [u8], run: &mut FrameRun) -> &'a [u8] {
        self.skip(input, run, self.frame.left)
    }

    /// Consumes at most `most` payload bytes of the frame.
    #[inline]
    fn skip<'a>(&mut self, input: &'a [u8], run: &mut FrameRun, most: u64) -> &'a [u8] {
        let rest = &input[run.at..];
        let len = usize::try_from(most).map_or(rest.len(), |most| most.min(rest.len()));
        run.at += len;
        self.frame.left -= len as u64;
        &rest[..len]
    }

    /// Drops a complete and valid frame: it is not forwarded.
    fn drop_frame(&mut self) -> GateEvent {
        self.buffer.discard();
        self.frame.end();
        GateEvent::Dropped
    }

    /// Releases a complete and valid frame.
    #[inline]
    fn accept(&mut self, run: &mut FrameRun) {
        self.flow.frames += 1;
        self.buffer.spend();
        run.safe = run.at;
        self.frame.end();
    }

    /// Forwards the frame as it arrives from here on.
    fn cut_through(&mut self, run: &mut FrameRun) {
        self.frame.through = true;
        self.buffer.spend();
        run.safe = run.at;
    }

    /// Holds the bytes of an incomplete frame. If the budget has no room, the frame is cut through; a frame
    /// that an inspector holds ends the session instead.
    #[inline]
    pub(super) fn keep(
        &mut self,
        input: &[u8],
        run: &mut FrameRun,
        budget: &HoldBudget,
    ) -> Option<GateEvent> {
        let rest = &input[run.safe..run.at];
        if rest.is_empty() {
            return None;
        }
        let verdict = self.verdict();
        if self.frame.head.is_complete() && matches!(verdict, Verdict::Drop(_)) {
            return None;
        }
        if !self.buffer.push(rest, budget) {
            if verdict != Verdict::Pass {
                return Some(GateEvent::Refused(Reason::Capacity));
            }
            self.cut_through(run);
        }
        None
    }

    /// The violation of a header; its last byte so far proves it.
    #[cold]
    fn refuse_header(&self, rule: Rule) -> Violation {
        self.refuse(rule, self.frame.offset + self.frame.head.len() as u64 - 1)
    }

    fn refuse_payload(&self, rule: Rule, at: u64) -> Violation {
        let payload = self.frame.offset + self.frame.head.size() as u64;
        self.refuse(rule, payload.wrapping_add(at))
    }

    fn refuse(&self, rule: Rule, offset: u64) -> Violation {
        Violation {
            rule,
            sender: self.rules.sender(),
            frame_offset: self.frame.offset,
            offset,
            header: self.frame.head,
        }
    }
}

impl Frame {
    pub(super) fn has_begun(&self) -> bool {
        self.head.len() > 0
    }

    /// Whether the frame is too large to be held until it is complete. Its header must be complete.
    #[inline]
    pub(super) fn is_large(&self) -> bool {
        self.head.len() as u64 + self.head.declared() > WHOLE
    }

    /// The number of bytes read of the frame, header included. Its header must be complete.
    pub(super) fn read(&self) -> u64 {
        self.head.len() as u64 + self.head.declared() - self.left
    }

    /// Moves on to the next frame.
    #[inline]
    fn end(&mut self) {
        let size = self.head.len() as u64 + self.head.declared();
        *self = Self { offset: self.offset + size, ..Self::default() };
    }
}

/// Whether `bytes` begin with a complete frame, valid or not.
fn is_whole_frame(bytes: &[u8]) -> bool {
    let head = HeaderBytes::read(bytes);
    head.is_complete() && head.declared() <= (bytes.len() - head.len()) as u64
}
