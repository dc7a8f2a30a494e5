//! The rules of one direction (RFC 6455 sections 5 and 8.1), over the headers and payloads of its
//! frames. It knows neither where bytes come from nor when they may go on.

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::close::LONGEST_PAYLOAD;
use super::utf8::Utf8;
use super::{Endpoint, HeaderBytes, Rule, mask};
use crate::config::WebSocket;

/// How large the messages of one direction may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Payload bytes of a data frame.
    pub max_frame_size: u64,
    /// Payload bytes of a message.
    pub max_message_size: u64,
    /// Frames of a message, empty ones counted.
    pub max_fragments: u32,
}

impl From<&WebSocket> for Limits {
    fn from(config: &WebSocket) -> Self {
        Self {
            max_frame_size: config.max_frame_size,
            max_message_size: config.max_message_size,
            max_fragments: config.max_fragments,
        }
    }
}

/// What one endpoint may send next.
#[derive(Debug)]
pub(super) struct Rules {
    sender: Endpoint,
    limits: Limits,
    message: Message,
}

/// The data message in progress; it survives the control frames in between.
#[derive(Debug, Default)]
struct Message {
    /// From the header of its first frame to the last byte of its final one.
    open: bool,
    text: bool,
    /// Payload bytes declared so far; never above the limit.
    bytes: u64,
    /// Frames begun so far; never above the limit.
    fragments: u32,
    utf8: Utf8,
}

impl Rules {
    pub(super) fn new(sender: Endpoint, limits: Limits) -> Self {
        Self { sender, limits, message: Message::default() }
    }

    pub(super) fn sender(&self) -> Endpoint {
        self.sender
    }

    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether a data message is in progress, its first header judged.
    pub(super) fn message_open(&self) -> bool {
        self.message.open
    }

    /// What the first two bytes of a header decide, whatever follows them.
    #[inline]
    pub(super) fn judge_start(&self, head: &HeaderBytes) -> Result<(), Rule> {
        if head.rsv() != 0 {
            return Err(Rule::ReservedBits);
        }
        let opcode = head.opcode();
        if matches!(opcode, OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)))
        {
            return Err(Rule::ReservedOpcode);
        }
        match (self.sender, head.masked()) {
            (Endpoint::Client, false) => return Err(Rule::ClientUnmasked),
            (Endpoint::Upstream, true) => return Err(Rule::UpstreamMasked),
            _ => {}
        }
        match opcode {
            OpCode::Control(control) => judge_control(control, head),
            OpCode::Data(data) => self.judge_place(data),
        }
    }

    /// RFC 6455 section 5.4: where a data frame may stand.
    fn judge_place(&self, data: Data) -> Result<(), Rule> {
        match (data, self.message.open) {
            (Data::Continue, false) => Err(Rule::ContinuationAlone),
            (Data::Text | Data::Binary, true) => Err(Rule::MessageInterrupted),
            _ => Ok(()),
        }
    }

    /// The rest, of a header that is complete and whose start was judged. A data frame that
    /// passes is part of its message from here on.
    #[inline]
    pub(super) fn judge_header(&mut self, head: &HeaderBytes) -> Result<(), Rule> {
        let length = head.declared();
        judge_length(head.short_length(), length)?;
        if head.is_control() {
            return Ok(());
        }
        self.judge_size(length)?;
        if !self.message.open {
            let text = head.opcode() == OpCode::Data(Data::Text);
            self.message = Message { open: true, text, ..Message::default() };
        }
        self.message.bytes += length;
        self.message.fragments += 1;
        Ok(())
    }

    /// The limits, as if the frame were already part of the message.
    fn judge_size(&self, length: u64) -> Result<(), Rule> {
        let Self { limits, message, .. } = self;
        let (bytes, fragments) =
            if message.open { (message.bytes, message.fragments) } else { (0, 0) };
        if length > limits.max_frame_size {
            Err(Rule::FrameSize)
        } else if bytes.checked_add(length).is_none_or(|sum| sum > limits.max_message_size) {
            Err(Rule::MessageSize)
        } else if fragments >= limits.max_fragments {
            Err(Rule::Fragments)
        } else {
            Ok(())
        }
    }

    /// The next piece of a data frame's payload, `done` bytes into it. An error is the place in
    /// `piece` of the byte that made the text invalid.
    #[inline]
    pub(super) fn judge_payload(
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

    /// The end of a data frame; `true` if it is the end of its message too.
    #[inline]
    pub(super) fn judge_end(&mut self, head: &HeaderBytes) -> Result<bool, Rule> {
        if !head.fin() {
            return Ok(false);
        }
        if self.message.text && !self.message.utf8.is_whole() {
            return Err(Rule::Text);
        }
        self.message.open = false;
        Ok(true)
    }
}

/// RFC 6455 section 5.5 and, for the length of a Close, section 5.5.1.
fn judge_control(control: Control, head: &HeaderBytes) -> Result<(), Rule> {
    if !head.fin() {
        Err(Rule::ControlFragmented)
    } else if usize::from(head.short_length()) > LONGEST_PAYLOAD {
        Err(Rule::ControlLength)
    } else if control == Control::Close && head.short_length() == 1 {
        Err(Rule::CloseLength)
    } else {
        Ok(())
    }
}

/// RFC 6455 section 5.2: "the minimal number of bytes MUST be used to encode the length".
fn judge_length(form: u8, length: u64) -> Result<(), Rule> {
    match form {
        126 if length < 126 => Err(Rule::LengthForm),
        127 if length < 0x1_0000 => Err(Rule::LengthForm),
        127 if length > i64::MAX as u64 => Err(Rule::LengthTopBit),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, HeaderBytes, Limits, Rule, Rules};

    /// Reached with headers alone; a sender would have to send 2^63 bytes in between.
    #[test]
    fn the_sum_of_a_message_does_not_wrap() {
        let limits = Limits {
            max_frame_size: u64::MAX,
            max_message_size: u64::MAX,
            max_fragments: u32::MAX,
        };
        let mut rules = Rules::new(Endpoint::Upstream, limits);
        let mut declare = |first: u8| {
            let bytes = [&[first, 127], i64::MAX.to_be_bytes().as_slice()].concat();
            let mut head = HeaderBytes::default();
            head.fill(&bytes, bytes.len());
            rules.judge_header(&head)
        };
        assert_eq!(declare(0x02), Ok(()));
        assert_eq!(declare(0x00), Ok(()), "2^64 - 2");
        assert_eq!(declare(0x00), Err(Rule::MessageSize));
    }
}
