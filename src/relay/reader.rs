//! Reads frames under the rules, and says how far the bytes may be released.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::allowance::{Allowance, Ruling};
use super::close::LONGEST_PAYLOAD;
use super::hold::Hold;
use super::inflate::Inflation;
use super::rules::{BLOCK, Rules};
use super::{
    CloseFrame, Context, Endpoint, Event, HeaderBytes, HoldBudget, Limits, Rule, Violation, lease,
    mask,
};
use crate::observe::Flow;
use crate::refusal::Reason;

/// The largest frame, header and payload, that is held until it is whole. A larger one is cut
/// through: forwarded as it arrives, once its header was judged.
pub(super) const WHOLE: u64 = WHOLE_SIZE as u64;
const WHOLE_SIZE: usize = 16 * 1024;

/// Reads the frames of one direction.
#[derive(Debug)]
pub(super) struct Reader {
    rules: Rules,
    pub(super) frame: Frame,
    pub(super) hold: Hold,
    /// Without the bytes, which are counted when they are released.
    pub(super) flow: Flow,
    pub(super) activity: u64,
    pub(super) own_ping: [u8; 8],
    /// `None`: a client may not hand in a new token. Boxed, since few sessions have it.
    pub(super) handover: Option<Box<Handover>>,
    /// The rates of the sender; `None`: it has none.
    pub(super) allowance: Option<Box<Allowance>>,
}

/// The messages, of one frame each, in which a client hands in a new token.
#[derive(Debug)]
pub(super) struct Handover {
    /// The member of the JSON object that holds the token.
    pub(super) member: Arc<str>,
    /// How many there were; the flow has them, too.
    pub(super) taken: u64,
}

/// The frame that is being read, or the place of the next one.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Of its first byte, in all that the sender sent.
    pub(super) offset: u64,
    /// Payload bytes to come; known with the header.
    pub(super) left: u64,
    pub(super) head: HeaderBytes,
    /// Its bytes go on as they arrive; false: all of them or none.
    pub(super) through: bool,
}

/// How far a call has come in its input.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Bytes dealt with.
    pub(super) at: usize,
    /// Bytes that may be released. Those between here and `at` belong to a frame not yet whole.
    pub(super) safe: usize,
}

impl Reader {
    pub(super) fn new(sender: Endpoint, limits: Limits, own_ping: [u8; 8]) -> Self {
        Self {
            rules: Rules::new(sender, limits),
            frame: Frame::default(),
            hold: Hold::default(),
            flow: Flow::default(),
            activity: 0,
            own_ping,
            handover: None,
            allowance: None,
        }
    }

    pub(super) fn limit(&mut self, limits: Limits) {
        self.rules.limit(limits);
    }

    /// From here on messages may be compressed.
    pub(super) fn inflate(&mut self, context: Context) {
        self.rules.inflate(context);
    }

    pub(super) fn inflates(&self) -> bool {
        self.rules.inflates()
    }

    /// How many bytes of compressed messages were inflated so far.
    pub(super) fn inflated(&self) -> u64 {
        self.rules.inflated()
    }

    /// Whether a data message is in progress, the header of its first frame judged.
    pub(super) fn message_open(&self) -> bool {
        self.rules.message_open()
    }

    /// Reads to the end of the input, to an event, or to a frame that has to wait.
    pub(super) fn read(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
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

    /// The buffer is being handed out, so that a frame that needs holding, or a block of a
    /// compressed one, has to wait for the next call.
    #[inline]
    fn must_wait(&self, rest: &[u8]) -> bool {
        !self.hold.spent().is_empty()
            && if self.frame.has_begun() { self.block_is_cut(rest) } else { !is_whole_frame(rest) }
    }

    /// Whether a block of a compressed frame that is cut through begins with `rest` and is not
    /// there to its end.
    #[cold]
    fn block_is_cut(&self, rest: &[u8]) -> bool {
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

    /// Charges a message with the first byte of its first frame, before anything of it is taken.
    #[inline]
    fn begin(&mut self, first: u8) -> Option<Event> {
        let allowance = self.allowance.as_mut()?;
        let begins = matches!(first & 0x0f, 0x1 | 0x2) && !self.rules.message_open();
        if self.frame.has_begun() || !begins {
            return None;
        }
        allowance.begin().event()
    }

    /// Reads on in the frame, to its end or the end of the input.
    #[inline]
    fn read_frame(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
        if !self.frame.head.is_complete() && !self.read_header(input, run)? {
            return Ok(None);
        }
        if !self.frame.head.is_control() {
            if let Some(reason) = self.dropped()
                && self.frame.head.declared() > WHOLE
            {
                return Ok(Some(Event::Exceeded(reason)));
            }
            return self.read_data(input, run);
        }
        self.skip_payload(input, run);
        if self.frame.left > 0 {
            return Ok(None);
        }
        self.end_control(input, run)
    }

    /// `true` once the header is complete and was judged.
    #[inline]
    fn read_header(&mut self, input: &[u8], run: &mut Run) -> Result<bool, Violation> {
        let head = &mut self.frame.head;
        if head.len() < 2 {
            run.at += head.fill(&input[run.at..], 2);
            if head.len() < 2 {
                return Ok(false);
            }
            self.rules.judge_start(head).map_err(|rule| self.refuse_header(rule))?;
        }
        let head = &mut self.frame.head;
        run.at += head.fill(&input[run.at..], head.size());
        if !head.is_complete() {
            return Ok(false);
        }
        self.rules.judge_header(head).map_err(|rule| self.refuse_header(rule))?;
        self.frame.left = self.frame.head.declared();
        if self.frame.is_large() && self.dropped().is_none() {
            self.cut_through(run);
        }
        Ok(true)
    }

    fn read_data(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
        if self.rules.message_compressed() {
            self.read_block(input, run)?;
        } else {
            self.read_plain(input, run)?;
        }
        if self.frame.left == 0 {
            return self.end_data(input, run);
        }
        Ok(None)
    }

    #[inline]
    fn read_plain(&mut self, input: &[u8], run: &mut Run) -> Result<(), Violation> {
        let done = self.frame.head.declared() - self.frame.left;
        let start = run.at;
        let piece = self.skip_payload(input, run);
        if let Err(at) = self.rules.judge_payload(&self.frame.head, done, piece) {
            run.at = start + at + 1;
            return Err(self.refuse_at(Rule::Text, done + at as u64, run));
        }
        if self.frame.through {
            run.safe = run.at;
        }
        Ok(())
    }

    /// Reads on in a block of a compressed frame, to its end or the end of the input. Where the
    /// frame is cut through, the block is passed on when all of it was judged.
    #[inline(never)]
    fn read_block(&mut self, input: &[u8], run: &mut Run) -> Result<(), Violation> {
        if self.must_wait(&input[run.at..]) {
            return Ok(());
        }
        let (done, end) = self.frame.block();
        let weighed = if self.frame.is_large() { end } else { self.frame.head.declared() };
        let piece = self.skip(input, run, end - done);
        if let Err(rule) = self.rules.judge_compressed(&self.frame.head, done, weighed, piece) {
            return Err(self.refuse_payload(rule, end.wrapping_sub(1)));
        }
        if self.frame.through && self.frame.left > 0 && done + piece.len() as u64 == end {
            self.hold.spend();
            run.safe = run.at;
        }
        Ok(())
    }

    /// Takes what the input has of the frame's payload.
    #[inline]
    fn skip_payload<'a>(&mut self, input: &'a [u8], run: &mut Run) -> &'a [u8] {
        self.skip(input, run, self.frame.left)
    }

    /// The same, at most `most` bytes.
    #[inline]
    fn skip<'a>(&mut self, input: &'a [u8], run: &mut Run, most: u64) -> &'a [u8] {
        let rest = &input[run.at..];
        let len = usize::try_from(most).map_or(rest.len(), |most| most.min(rest.len()));
        run.at += len;
        self.frame.left -= len as u64;
        &rest[..len]
    }

    fn end_data(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
        match self.rules.judge_end(&self.frame.head) {
            Ok(message_ends) => {
                self.activity += 1;
                if self.dropped().is_some() {
                    return Ok(Some(self.drop_frame()));
                }
                self.flow.messages += u64::from(message_ends);
                if let Some(token) = self.handed_over(&input[run.safe..run.at]) {
                    self.flow.frames += 1;
                    self.hold.discard();
                    self.frame.end();
                    return Ok(Some(Event::Token(token)));
                }
                self.accept(run);
                Ok(None)
            }
            Err(rule) => {
                let length = self.frame.head.declared();
                Err(self.refuse_at(rule, length.wrapping_sub(1), run))
            }
        }
    }

    /// Takes the token of a text message of one frame, where such are looked for: held bytes,
    /// then `rest`.
    fn handed_over(&mut self, rest: &[u8]) -> Option<String> {
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

    fn end_control(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
        let frame = &input[run.safe..run.at];
        let event = match self.frame.head.opcode() {
            OpCode::Control(Control::Pong) if self.is_own_pong(frame) => {
                self.hold.discard();
                self.frame.end();
                return Ok(Some(Event::OwnPong));
            }
            OpCode::Control(Control::Close) => Some(Event::Close(self.judge_close(frame)?)),
            OpCode::Control(Control::Ping) => {
                self.activity += 1;
                None
            }
            _ => None,
        };
        if event.is_some() {
            self.accept(run);
            return Ok(event);
        }
        let ruling = self.allowance.as_mut().map_or(Ruling::Pass, |rates| rates.control_frame());
        match ruling {
            Ruling::Drop(_) => return Ok(Some(self.drop_frame())),
            Ruling::Refuse(_) => {}
            Ruling::Pass | Ruling::Wait(_) => self.accept(run),
        }
        Ok(ruling.event())
    }

    /// The rate that the message of the data frame in progress is above, so that it is not passed
    /// on.
    fn dropped(&self) -> Option<Reason> {
        let dropping = self.allowance.as_ref()?.dropping();
        dropping.filter(|_| !self.frame.head.is_control())
    }

    /// The frame is whole and good, and is not passed on.
    fn drop_frame(&mut self) -> Event {
        self.hold.discard();
        self.frame.end();
        Event::Dropped
    }

    fn is_own_pong(&self, frame: &[u8]) -> bool {
        self.frame.head.declared() == self.own_ping.len() as u64
            && self.control_payload(frame)[..self.own_ping.len()] == self.own_ping
    }

    fn judge_close(&self, frame: &[u8]) -> Result<CloseFrame, Violation> {
        let length = usize::from(self.frame.head.short_length());
        CloseFrame::judge(&self.control_payload(frame)[..length]).map_err(|(rule, at)| {
            let header = self.frame.head.size() as u64;
            self.refuse(rule, self.frame.offset + header + at as u64)
        })
    }

    /// The unmasked payload of a control frame that is whole: held bytes, then `rest`.
    fn control_payload(&self, rest: &[u8]) -> [u8; LONGEST_PAYLOAD] {
        let head = &self.frame.head;
        let bytes = self.hold.pending().iter().chain(rest).skip(head.size());
        let mut masked = [0; LONGEST_PAYLOAD];
        for (to, from) in masked.iter_mut().zip(bytes) {
            *to = *from;
        }
        let mut plain = [0; LONGEST_PAYLOAD];
        mask::unmask(&masked, head.key(), &mut plain);
        plain
    }

    /// The frame is whole and good.
    #[inline]
    fn accept(&mut self, run: &mut Run) {
        self.flow.frames += 1;
        self.hold.spend();
        run.safe = run.at;
        self.frame.end();
    }

    /// From here on the frame goes on as it arrives.
    fn cut_through(&mut self, run: &mut Run) {
        self.frame.through = true;
        self.hold.spend();
        run.safe = run.at;
    }

    /// Holds back what belongs to a frame that is not whole, if the budget allows.
    pub(super) fn keep(&mut self, input: &[u8], run: &mut Run, budget: &HoldBudget) {
        let rest = &input[run.safe..run.at];
        if self.dropped().is_some() && self.frame.head.is_complete() {
            return;
        }
        if !rest.is_empty() && !self.hold.push(rest, budget) {
            self.cut_through(run);
        }
    }

    /// A header, proved wrong by its last byte so far.
    #[cold]
    fn refuse_header(&self, rule: Rule) -> Violation {
        self.refuse(rule, self.frame.offset + self.frame.head.len() as u64 - 1)
    }

    /// A data frame, proved wrong by the byte that was read last, `at` bytes into the payload.
    #[cold]
    fn refuse_at(&self, rule: Rule, at: u64, run: &mut Run) -> Violation {
        // Of a compressed frame, the block that is refused is held.
        if self.frame.through && !self.rules.message_compressed() {
            run.safe = run.at - 1;
        }
        self.refuse_payload(rule, at)
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

    /// Whether it is too large to be held until it is whole. Its header is complete.
    #[inline]
    fn is_large(&self) -> bool {
        self.head.size() as u64 + self.head.declared() > WHOLE
    }

    /// How many bytes of the payload were read, and where the block ends that comes next: what is
    /// there of it belongs together.
    fn block(&self) -> (u64, u64) {
        let done = self.head.declared() - self.left;
        let block = u64::from(BLOCK);
        (done, (done - done % block).saturating_add(block).min(self.head.declared()))
    }

    /// The next frame begins.
    #[inline]
    fn end(&mut self) {
        let size = self.head.size() as u64 + self.head.declared();
        *self = Self { offset: self.offset + size, ..Self::default() };
    }
}

/// Whether the bytes begin with a frame, broken or not, that is there to its end.
fn is_whole_frame(bytes: &[u8]) -> bool {
    let mut head = HeaderBytes::default();
    let read = head.fill(bytes, 2);
    if read < 2 {
        return false;
    }
    head.fill(&bytes[read..], head.size());
    let payload = (bytes.len() - head.len()) as u64;
    head.is_complete() && head.declared() <= payload
}
