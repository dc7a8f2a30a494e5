//! Drives the rules over what one endpoint sends, and says what of it may go on.

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

use super::close::LONGEST_PAYLOAD;
use super::hold::Hold;
use super::rules::Rules;
use super::{CloseFrame, Endpoint, HeaderBytes, HoldBudget, Limits, Rule, Violation, mask};
use crate::observe::Flow;

/// The largest frame, header and payload, that is held until it is whole. A larger one is cut
/// through: forwarded as it arrives, once its header was judged.
const WHOLE: u64 = 16 * 1024;

/// Judges what one endpoint sends after the handshake.
///
/// A frame of at most 16 KiB is released whole or not at all, as long as the [`HoldBudget`]
/// lasts; a control frame always. The verdict and its place depend on the bytes alone, not on how
/// they were cut into reads, and within the budget so do the released bytes.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    frame: Frame,
    hold: Hold,
    flow: Flow,
    activity: u64,
    own_ping: [u8; 8],
    state: State,
}

/// The frame that is being read, or the place of the next one.
#[derive(Debug, Default)]
struct Frame {
    /// Of its first byte, in all that the sender sent.
    offset: u64,
    /// Payload bytes to come; known with the header.
    left: u64,
    head: HeaderBytes,
    /// Its bytes go on as they arrive; false: all of them or none.
    through: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A Close was released.
    Closed,
    /// A violation was found.
    Refused,
}

/// What became of a chunk.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Bytes of the input that were dealt with. The caller passes the rest in again, unless the
    /// event is a violation.
    pub consumed: usize,
    /// Bytes to forward now, in this order: some that were held, then some of the input. Either
    /// may be empty. To be forwarded before the event is acted on.
    pub release: [&'a [u8]; 2],
    /// What ended the run before the end of the input, if anything.
    pub event: Option<Event>,
}

/// What the caller has to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer to the gateway's own ping. It was taken out of the stream.
    OwnPong,
    /// A valid Close, released with this call.
    Close(CloseFrame),
    /// The frame is refused; nothing of this endpoint is released any more.
    Violation(Box<Violation>),
}

/// How far a call has come in its input.
#[derive(Debug, Default)]
struct Run {
    /// Bytes dealt with.
    at: usize,
    /// Bytes that may be released. Those between here and `at` belong to a frame not yet whole.
    safe: usize,
}

impl Gate {
    /// A gate for what `sender` sends. `own_ping` is the payload of the gateway's own pings to it.
    #[must_use]
    pub fn new(sender: Endpoint, limits: Limits, own_ping: [u8; 8]) -> Self {
        Self {
            rules: Rules::new(sender, limits),
            frame: Frame::default(),
            hold: Hold::default(),
            flow: Flow::default(),
            activity: 0,
            own_ping,
            state: State::Open,
        }
    }

    /// Judges the next bytes. Runs of whole frames are released in one piece, straight from the
    /// input. Allocates only to hold a frame that is not whole, and not then if it has before
    /// and [`Gate::release_memory`] was not called since.
    ///
    /// After a Close was released, bytes are consumed and dropped. After a violation the gate
    /// must not be asked again; it would do the same.
    pub fn judge<'a>(&'a mut self, input: &'a [u8], budget: &HoldBudget) -> Judged<'a> {
        debug_assert_ne!(self.state, State::Refused, "a refused stream is not read on");
        self.hold.forget_spent();
        if self.state != State::Open {
            return Judged { consumed: input.len(), release: [&[], &[]], event: None };
        }
        let mut run = Run::default();
        let event = self.read(input, &mut run).unwrap_or_else(|violation| {
            self.state = State::Refused;
            self.hold.discard();
            Some(Event::Violation(Box::new(violation)))
        });
        if event.is_none() {
            self.keep(input, &mut run, budget);
        }
        let release = [self.hold.spent(), &input[..run.safe]];
        self.flow.bytes += (release[0].len() + release[1].len()) as u64;
        Judged { consumed: run.at, release, event }
    }

    /// Whether all that was released so far ends where a frame ends, so that a control frame of
    /// the gateway's own may follow. False inside a frame that is cut through, also for good when
    /// it was refused there.
    #[must_use]
    pub fn released_boundary(&self) -> bool {
        !self.frame.through
    }

    /// How many bytes the sender owes until what was released ends where a frame ends; 0 at a
    /// boundary. Where a frame was refused in its middle there is no such place any more: at
    /// least 1, for good.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        if self.released_boundary() { 0 } else { self.frame.left.max(1) }
    }

    /// Whether the sender is inside a frame: at least one byte of its header was taken, and its
    /// last byte was not.
    #[must_use]
    pub fn in_frame(&self) -> bool {
        self.frame.has_begun()
    }

    /// The number, from 1, of the data message in progress; `None` if none is. A message is in
    /// progress from the first byte of its first frame, whose opcode says data (0x0 to 0x7,
    /// allowed or not), to the last byte of its final frame; control frames and pauses between
    /// its frames included.
    #[must_use]
    pub fn message_begun(&self) -> Option<u64> {
        let begins = self.frame.has_begun() && !self.frame.head.is_control();
        (begins || self.rules.message_open()).then_some(self.flow.messages + 1)
    }

    /// A number for the control frame in progress, different for each; `None` if none is. It is
    /// in progress from its first byte, whose opcode says control (0x8 to 0xF), to its last.
    #[must_use]
    pub fn control_begun(&self) -> Option<u64> {
        let begun = self.frame.has_begun() && self.frame.head.is_control();
        begun.then_some(self.frame.offset)
    }

    /// What was accepted: frames and messages that were whole, and bytes that were released. The
    /// answers to the gateway's own pings are not among them.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Data frames and pings so far, each counted with its last byte. Pongs and Closes do not
    /// count.
    #[must_use]
    pub fn activity(&self) -> u64 {
        self.activity
    }

    /// Whether a valid Close was released. Whatever follows it is dropped.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Frees the buffer that frames are held in, unless one is held now. For a session that goes
    /// idle.
    pub fn release_memory(&mut self) {
        self.hold.free();
    }

    fn read(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
        while run.at < input.len() {
            if self.must_wait(&input[run.at..]) {
                break;
            }
            let event = self.read_frame(input, run)?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// The buffer is being handed out, so that a frame that needs holding has to wait for the
    /// next call.
    fn must_wait(&self, rest: &[u8]) -> bool {
        !self.hold.spent().is_empty() && !self.frame.has_begun() && !is_whole_frame(rest)
    }

    /// Reads on in the frame, to its end or the end of the input.
    #[inline]
    fn read_frame(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
        if !self.frame.head.is_complete() && !self.read_header(input, run)? {
            return Ok(None);
        }
        if !self.frame.head.is_control() {
            return self.read_data(input, run).map(|()| None);
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
        if self.frame.head.size() as u64 + self.frame.left > WHOLE {
            self.cut_through(run);
        }
        Ok(true)
    }

    fn read_data(&mut self, input: &[u8], run: &mut Run) -> Result<(), Violation> {
        let done = self.frame.head.declared() - self.frame.left;
        let start = run.at;
        let piece = self.skip_payload(input, run);
        if let Err(at) = self.rules.judge_payload(&self.frame.head, done, piece) {
            run.at = start + at + 1;
            return Err(self.refuse_at(Rule::Text, done + at as u64, run));
        }
        if self.frame.left == 0 {
            return self.end_data(run);
        }
        if self.frame.through {
            run.safe = run.at;
        }
        Ok(())
    }

    /// Takes what the input has of the frame's payload.
    #[inline]
    fn skip_payload<'a>(&mut self, input: &'a [u8], run: &mut Run) -> &'a [u8] {
        let rest = &input[run.at..];
        let len = usize::try_from(self.frame.left).map_or(rest.len(), |left| left.min(rest.len()));
        run.at += len;
        self.frame.left -= len as u64;
        &rest[..len]
    }

    fn end_data(&mut self, run: &mut Run) -> Result<(), Violation> {
        match self.rules.judge_end(&self.frame.head) {
            Ok(message_ends) => {
                self.flow.messages += u64::from(message_ends);
                self.activity += 1;
                self.accept(run);
                Ok(())
            }
            Err(rule) => {
                let length = self.frame.head.declared();
                Err(self.refuse_at(rule, length.wrapping_sub(1), run))
            }
        }
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
        self.accept(run);
        if event.is_some() {
            self.state = State::Closed;
        }
        Ok(event)
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
    fn keep(&mut self, input: &[u8], run: &mut Run, budget: &HoldBudget) {
        let rest = &input[run.safe..run.at];
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
        if self.frame.through {
            run.safe = run.at - 1;
        }
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
    fn has_begun(&self) -> bool {
        self.head.len() > 0
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { max_frame_size: 1 << 20, max_message_size: 1 << 20, max_fragments: 16 };

    /// What an idle session holds for each direction.
    #[test]
    fn a_gate_is_small() {
        assert!(size_of::<Gate>() <= 160, "{}", size_of::<Gate>());
        assert!(size_of::<Event>() <= 16, "{}", size_of::<Event>());
    }

    #[test]
    fn a_whole_frame_is_released_straight_from_the_input() {
        let budget = HoldBudget::new(0);
        let mut gate = Gate::new(Endpoint::Upstream, LIMITS, *b"ownping!");
        let input = b"\x81\x05Hello\x81\x05Hello";
        let judged = gate.judge(input, &budget);
        assert_eq!(judged.consumed, input.len());
        assert!(std::ptr::eq(judged.release[1], input.as_slice()), "one slice, not copied");
        assert_eq!(gate.flow(), Flow { frames: 2, messages: 2, bytes: 14 });
        assert!(gate.hold.spent().is_empty() && gate.hold.pending().is_empty());
    }
}
