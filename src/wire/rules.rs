//! The rules for the frames of one direction (RFC 6455 sections 5 and 8.1), over headers and payloads. This
//! module does not know where bytes come from or when they are released.

use std::num::NonZeroU16;

use super::close::LONGEST_PAYLOAD;
use super::inflate::Inflation;
use super::utf8::Utf8;
use super::{Context, FrameLimits, HeaderBytes, Opcode, Rule, mask};
use crate::values::Endpoint;

/// A compressed payload is checked in blocks of this many bytes, so that the offset of a violation does not
/// depend on how the bytes were cut into reads.
pub(super) const BLOCK: u16 = 1024;

/// The size to which a compressed message may inflate at any ratio: short repetitive text is common and
/// harmless.
pub(super) const UNRATED: u64 = 64 * 1024;

/// The state that decides which frames one peer may send next.
#[derive(Debug)]
pub(super) struct FrameRules {
    sender: Endpoint,
    // The limits, one by one: a session has two of these, and so they are eight bytes smaller.
    max_fragments: u32,
    max_inflation_ratio: Option<NonZeroU16>,
    max_frame_size: u64,
    max_message_size: u64,
    message: Message,
    /// `None`: no compression was negotiated.
    inflation: Option<Box<Inflation>>,
}

/// The data message in progress; control frames in between leave it unchanged.
#[derive(Debug, Default)]
struct Message {
    /// True from the header of its first frame to the last byte of its final one.
    open: bool,
    text: bool,
    compressed: bool,
    /// Payload bytes declared so far or, of a compressed message, inflated; never above the limit.
    bytes: u64,
    /// Frames begun so far; never above the limit.
    fragments: u32,
    utf8: Utf8,
}

/// The bytes to which a compressed message may inflate, and the rule that it breaks beyond.
#[derive(Debug, Clone, Copy)]
struct Bound {
    bytes: u64,
    rule: Rule,
}

impl FrameRules {
    pub(super) fn new(sender: Endpoint, limits: FrameLimits) -> Self {
        Self {
            sender,
            max_fragments: limits.max_fragments,
            max_inflation_ratio: limits.max_inflation_ratio,
            max_frame_size: limits.max_frame_size,
            max_message_size: limits.max_message_size,
            message: Message::default(),
            inflation: None,
        }
    }

    /// Allows compressed messages from here on.
    pub(super) fn inflate(&mut self, context: Context) {
        self.inflation = Some(Box::new(Inflation::new(context)));
    }

    pub(super) fn inflates(&self) -> bool {
        self.inflation.is_some()
    }

    /// The number of bytes inflated so far.
    pub(super) fn inflated(&self) -> u64 {
        self.inflation.as_ref().map_or(0, |inflation| inflation.inflated())
    }

    /// Whether the data message in progress is compressed.
    #[inline]
    pub(super) fn message_compressed(&self) -> bool {
        self.message.compressed
    }

    pub(super) fn sender(&self) -> Endpoint {
        self.sender
    }

    pub(super) fn limit(&mut self, limits: FrameLimits) {
        let FrameLimits { max_frame_size, max_message_size, max_fragments, max_inflation_ratio } =
            limits;
        self.max_frame_size = max_frame_size;
        self.max_message_size = max_message_size;
        self.max_fragments = max_fragments;
        self.max_inflation_ratio = max_inflation_ratio;
    }

    /// Whether a data message is in progress, its first header checked.
    pub(super) fn message_open(&self) -> bool {
        self.message.open
    }

    /// Checks the first two bytes of a header.
    #[inline]
    pub(super) fn check_start(&self, head: &HeaderBytes) -> Result<(), Rule> {
        if head.rsv() != 0 {
            self.check_reserved(head)?;
        }
        let opcode = head.opcode();
        if matches!(opcode, Opcode::Reserved(_)) {
            return Err(Rule::ReservedOpcode);
        }
        match (self.sender, head.masked()) {
            (Endpoint::Client, false) => return Err(Rule::ClientUnmasked),
            (Endpoint::Upstream, true) => return Err(Rule::UpstreamMasked),
            _ => {}
        }
        if head.is_control() { check_control(head) } else { self.check_place(opcode) }
    }

    /// RFC 7692 section 6: RSV1 on a message's first frame marks the message as compressed.
    #[cold]
    fn check_reserved(&self, head: &HeaderBytes) -> Result<(), Rule> {
        match (&self.inflation, head.rsv(), head.opcode()) {
            (Some(_), 0b100, Opcode::Text | Opcode::Binary) => Ok(()),
            (Some(_), 0b100, _) => Err(Rule::CompressedBit),
            _ => Err(Rule::ReservedBits),
        }
    }

    /// RFC 6455 section 5.4: checks a data frame against the message in progress.
    fn check_place(&self, opcode: Opcode) -> Result<(), Rule> {
        match (opcode, self.message.open) {
            (Opcode::Continuation, false) => Err(Rule::ContinuationAlone),
            (Opcode::Text | Opcode::Binary, true) => Err(Rule::MessageInterrupted),
            _ => Ok(()),
        }
    }

    /// Checks the rest of a complete header with a checked start. A data frame that passes is part of its
    /// message from here on.
    #[inline]
    pub(super) fn check_header(&mut self, head: &HeaderBytes) -> Result<(), Rule> {
        let length = head.declared();
        check_length(head.short_length(), length)?;
        if head.is_control() {
            return Ok(());
        }
        self.check_size(head, length)?;
        if !self.message.open {
            let text = head.opcode() == Opcode::Text;
            let compressed = head.rsv() != 0;
            self.message = Message { open: true, text, compressed, ..Message::default() };
        }
        if !self.message.compressed {
            self.message.bytes += length;
        }
        self.message.fragments = self.message.fragments.saturating_add(1);
        Ok(())
    }

    /// Checks the limits as if the frame were already part of the message. The length of a compressed frame
    /// says nothing about the inflated size, which is checked with the payload.
    fn check_size(&self, head: &HeaderBytes, length: u64) -> Result<(), Rule> {
        let message = &self.message;
        let (bytes, fragments) =
            if message.open { (message.bytes, message.fragments) } else { (0, 0) };
        let compressed = if message.open { message.compressed } else { head.rsv() != 0 };
        let sum = if compressed { Some(bytes) } else { bytes.checked_add(length) };
        if length > self.max_frame_size {
            Err(Rule::FrameSize)
        } else if sum.is_none_or(|sum| sum > self.max_message_size) {
            Err(self.size_rule())
        } else if fragments >= self.max_fragments && self.max_fragments != FrameLimits::ANY_NUMBER {
            Err(Rule::Fragments)
        } else {
            Ok(())
        }
    }

    /// The rule that a message above the size limit breaks.
    fn size_rule(&self) -> Rule {
        match self.sender {
            Endpoint::Client => Rule::MessageSize,
            Endpoint::Upstream => Rule::ReplySize,
        }
    }

    /// Checks the next piece of a data frame's payload, `done` bytes into it. The error is the position in
    /// `piece` of the byte that made the text invalid.
    #[inline]
    pub(super) fn check_payload(
        &mut self,
        head: &HeaderBytes,
        done: u64,
        piece: &[u8],
    ) -> Result<(), usize> {
        let Message { text, utf8, .. } = &mut self.message;
        match (*text, head.masked()) {
            (false, _) => Ok(()),
            (true, false) => utf8.push(piece),
            (true, true) => utf8.push_masked(piece, mask::key_at(head.key(), done)),
        }
    }

    /// Checks the next piece of a compressed frame's payload, `done` bytes into it and at most [`BLOCK`]
    /// long. The ratio allows as many bytes as the first `weighed` bytes of the payload may inflate to,
    /// whether or not they have arrived: the offset of a violation must not depend on how the frame was cut
    /// into reads. `see` gets the inflated text.
    pub(super) fn check_compressed(
        &mut self,
        head: &HeaderBytes,
        done: u64,
        weighed: u64,
        piece: &[u8],
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), Rule> {
        let bound = self.bound(weighed);
        let Self { message, inflation: Some(inflation), .. } = self else {
            return Err(Rule::ReservedBits);
        };
        let mut unmasked = [0; BLOCK as usize];
        let plain = &mut unmasked[..piece.len()];
        mask::unmask(piece, mask::key_at(head.key(), done), plain);
        inflation.push(plain, |text| {
            see(text);
            message.take(text, bound)
        })
    }

    /// The bytes to which a compressed message may inflate, given `weighed` payload bytes of the frame in
    /// progress and all frames before it.
    fn bound(&self, weighed: u64) -> Bound {
        let size = Bound { bytes: self.max_message_size, rule: self.size_rule() };
        let (Some(ratio), Some(inflation)) = (self.max_inflation_ratio, &self.inflation) else {
            return size;
        };
        let packed = inflation.packed().saturating_add(weighed);
        let rated = packed.saturating_mul(ratio.get().into()).max(UNRATED);
        if rated < size.bytes { Bound { bytes: rated, rule: Rule::InflationRatio } } else { size }
    }

    /// Ends a data frame; returns `true` if its message ends, too. If the message is compressed,
    /// [`end_compressed`](Self::end_compressed) comes first.
    #[inline]
    pub(super) fn check_end(&mut self, head: &HeaderBytes) -> Result<bool, Rule> {
        if !head.fin() {
            return Ok(false);
        }
        if self.message.text && !self.message.utf8.is_whole() {
            return Err(Rule::Text);
        }
        self.message.open = false;
        Ok(true)
    }

    /// Ends a frame of a compressed message. `see` gets the text that only the end of the message completes.
    #[cold]
    pub(super) fn end_compressed(
        &mut self,
        head: &HeaderBytes,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), Rule> {
        let bound = self.bound(head.declared());
        let Self { message, inflation: Some(inflation), .. } = self else {
            return Err(Rule::ReservedBits);
        };
        if head.fin() {
            return inflation.finish(|text| {
                see(text);
                message.take(text, bound)
            });
        }
        inflation.end_frame(head.declared());
        Ok(())
    }
}

impl Message {
    /// Checks the next inflated piece of the message; text above the bound is not checked as UTF-8.
    fn take(&mut self, text: &[u8], most: Bound) -> Result<(), Rule> {
        let left = most.bytes.saturating_sub(self.bytes);
        let within = usize::try_from(left).map_or(text.len(), |left| left.min(text.len()));
        if self.text {
            self.utf8.push(&text[..within]).map_err(|_| Rule::Text)?;
        }
        self.bytes += within as u64;
        if within < text.len() { Err(most.rule) } else { Ok(()) }
    }
}

/// RFC 6455 section 5.5; for the length of a Close, section 5.5.1.
fn check_control(head: &HeaderBytes) -> Result<(), Rule> {
    if !head.fin() {
        Err(Rule::ControlFragmented)
    } else if usize::from(head.short_length()) > LONGEST_PAYLOAD {
        Err(Rule::ControlLength)
    } else if head.opcode() == Opcode::Close && head.short_length() == 1 {
        Err(Rule::CloseLength)
    } else {
        Ok(())
    }
}

/// RFC 6455 section 5.2: "the minimal number of bytes MUST be used to encode the length".
fn check_length(form: u8, length: u64) -> Result<(), Rule> {
    match form {
        126 if length < 126 => Err(Rule::LengthForm),
        127 if length < 0x1_0000 => Err(Rule::LengthForm),
        127 if length > i64::MAX as u64 => Err(Rule::LengthTopBit),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, FrameLimits, FrameRules, HeaderBytes, Rule};

    /// Reached with headers alone: a sender would have to send 2^63 bytes in between.
    #[test]
    fn the_sum_of_a_message_does_not_wrap() {
        let limits = FrameLimits {
            max_frame_size: u64::MAX,
            max_message_size: u64::MAX,
            max_fragments: u32::MAX,
            max_inflation_ratio: None,
        };
        let mut rules = FrameRules::new(Endpoint::Upstream, limits);
        let mut declare = |first: u8| {
            let bytes = [&[first, 127], i64::MAX.to_be_bytes().as_slice()].concat();
            let mut head = HeaderBytes::default();
            head.fill(&bytes, bytes.len());
            rules.check_header(&head)
        };
        assert_eq!(declare(0x02), Ok(()));
        assert_eq!(declare(0x00), Ok(()), "2^64 - 2");
        assert_eq!(declare(0x00), Err(Rule::ReplySize));
    }

    #[test]
    fn any_number_of_fragments_has_no_bound() {
        let limits = FrameLimits {
            max_frame_size: u64::MAX,
            max_message_size: u64::MAX,
            max_fragments: FrameLimits::ANY_NUMBER,
            max_inflation_ratio: None,
        };
        let mut rules = FrameRules::new(Endpoint::Upstream, limits);
        let declare = |rules: &mut FrameRules, first: u8| {
            let mut head = HeaderBytes::default();
            head.fill(&[first, 0], 2);
            rules.check_header(&head)
        };
        assert_eq!(declare(&mut rules, 0x02), Ok(()));
        rules.message.fragments = u32::MAX - 1;
        for first in [0x00, 0x00, 0x80] {
            assert_eq!(declare(&mut rules, first), Ok(()));
        }
    }
}
