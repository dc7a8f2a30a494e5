//! Reads frames under the rules, and says how far the bytes may be released. Here is what all frames
//! have in common; `data` and `control` go on with either kind, `handover` takes the gateway's own.

mod control;
mod data;
mod form;
mod handover;

use super::allowance::Allowance;
use super::hold::Hold;
use super::rules::Rules;
use super::{Context, Event, FrameLimits, HeaderBytes, HoldBudget, Rule, Violation};
use crate::values::Endpoint;
use crate::values::Flow;
use crate::values::Reason;
pub(in crate::wire) use handover::Handover;

/// The largest frame, header and payload, that is held until it is whole. A larger one is cut
/// through: forwarded as it arrives, once its header was judged.
pub(crate) const WHOLE: u64 = WHOLE_SIZE as u64;
const WHOLE_SIZE: usize = 16 * 1024;

/// Reads the frames of one direction.
#[derive(Debug)]
pub(crate) struct Reader {
    rules: Rules,
    pub(crate) frame: Frame,
    pub(crate) hold: Hold,
    /// Without the bytes, which are counted when they are released.
    pub(crate) flow: Flow,
    pub(crate) activity: u64,
    pub(crate) own_ping: [u8; 8],
    /// `None`: a client may not hand in a new token. Boxed, since few sessions have it.
    pub(in crate::wire) handover: Option<Box<Handover>>,
    /// The rates of the sender; `None`: it has none.
    pub(crate) allowance: Option<Box<Allowance>>,
}

/// The frame that is being read, or the place of the next one.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Of its first byte, in all that the sender sent.
    pub(crate) offset: u64,
    /// Payload bytes to come; known with the header.
    pub(crate) left: u64,
    pub(crate) head: HeaderBytes,
    /// Its bytes go on as they arrive; false: all of them or none.
    pub(crate) through: bool,
}

/// How far a call has come in its input.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Bytes dealt with.
    pub(crate) at: usize,
    /// Bytes that may be released. Those between here and `at` belong to a frame not yet whole.
    pub(crate) safe: usize,
}

impl Reader {
    pub(crate) fn new(sender: Endpoint, limits: FrameLimits, own_ping: [u8; 8]) -> Self {
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

    pub(crate) fn sender(&self) -> Endpoint {
        self.rules.sender()
    }

    pub(crate) fn limit(&mut self, limits: FrameLimits) {
        self.rules.limit(limits);
    }

    /// From here on messages may be compressed.
    pub(crate) fn inflate(&mut self, context: Context) {
        self.rules.inflate(context);
    }

    pub(crate) fn inflates(&self) -> bool {
        self.rules.inflates()
    }

    /// How many bytes of compressed messages were inflated so far.
    pub(crate) fn inflated(&self) -> u64 {
        self.rules.inflated()
    }

    /// Whether a data message is in progress, the header of its first frame judged.
    pub(crate) fn message_open(&self) -> bool {
        self.rules.message_open()
    }

    /// Reads to the end of the input, to an event, or to a frame that has to wait.
    #[inline]
    pub(crate) fn read(&mut self, input: &[u8], run: &mut Run) -> Result<Option<Event>, Violation> {
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
        if let Some(handover) = &mut self.handover {
            handover.begin(&self.frame.head);
        }
        if self.frame.is_large() && !self.may_hand_in() && self.dropped().is_none() {
            self.cut_through(run);
        }
        Ok(true)
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

    /// Holds back what belongs to a frame that is not whole. Where the budget does not allow it the
    /// frame is cut through; one that may hand in a token ends the session instead.
    #[inline]
    pub(crate) fn keep(
        &mut self,
        input: &[u8],
        run: &mut Run,
        budget: Option<&HoldBudget>,
    ) -> Option<Event> {
        let rest = &input[run.safe..run.at];
        let data = self.frame.head.is_complete() && !self.frame.head.is_control();
        if data && self.dropped().is_some() {
            return None;
        }
        if rest.is_empty() {
            return None;
        }
        let granted = match budget {
            Some(budget) => self.hold.push(rest, budget),
            None => !data && self.hold.push_small(rest),
        };
        if !granted {
            if self.may_hand_in() {
                return Some(Event::Exceeded(Reason::Capacity));
            }
            self.cut_through(run);
        }
        None
    }

    /// A header, proved wrong by its last byte so far.
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
    pub(crate) fn has_begun(&self) -> bool {
        self.head.len() > 0
    }

    /// Whether it is too large to be held until it is whole. Its header is complete.
    #[inline]
    fn is_large(&self) -> bool {
        self.head.size() as u64 + self.head.declared() > WHOLE
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
