//! The frame rules once more, over a whole stream at once and with no regard to speed: what
//! [`framewall::wire::Gate`] must release and refuse, however the stream arrives.

use flate2::{Decompress, FlushDecompress, Status};
use framewall::values::Endpoint;
use framewall::wire::{CloseFrame, Context, FrameLimits, Rule};

/// Frames up to this size, header and payload, are released whole or not at all.
const WHOLE: u64 = 16 * 1024;
/// Compressed frames are judged in parts of this size.
const BLOCK: usize = 1024;
/// What a compressed message may come to whatever its ratio.
const UNRATED: u64 = 64 * 1024;

/// What becomes of a stream when there is memory for every frame that is held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// All bytes that go on.
    pub released: Vec<u8>,
    /// The rule that was broken, where the frame begins, and the byte that proved it.
    pub violation: Option<(Rule, u64, u64)>,
    /// Pongs to the gateway's own pings, which are taken out.
    pub own_pongs: u32,
    /// The Close that ended the stream.
    pub closed: Option<CloseFrame>,
}

struct Frame<'a> {
    first: u8,
    second: u8,
    size: usize,
    length: u64,
    key: [u8; 4],
    /// As much of the payload as the stream has.
    payload: &'a [u8],
}

#[derive(Default)]
struct Message {
    open: bool,
    text: bool,
    /// What it came to so far, where it is compressed.
    compressed: Option<Packed>,
    declared: u64,
    fragments: u32,
    plain: Vec<u8>,
}

/// A compressed message.
#[derive(Default)]
struct Packed {
    payload: Vec<u8>,
    size: u64,
}

/// One inflater for all messages, fed byte by byte, and all that it ever said.
struct Inflater {
    context: Context,
    decompress: Decompress,
    said: Vec<u8>,
}

impl Inflater {
    fn new(context: Context) -> Self {
        Self { context, decompress: Decompress::new(false), said: Vec::new() }
    }

    /// What one more byte says; what it is wrong for comes behind what it says.
    fn push(&mut self, byte: u8) -> (Vec<u8>, Option<Rule>) {
        let mut text = Vec::new();
        let (mut piece, mut rest) = ([0; 512], &[byte][..]);
        loop {
            let (read, written) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self.decompress.decompress(rest, &mut piece, FlushDecompress::None);
            rest = if self.decompress.total_in() > read { &[] } else { rest };
            let written = usize::try_from(self.decompress.total_out() - written).unwrap_or(0);
            text.extend_from_slice(&piece[..written]);
            self.said.extend_from_slice(&piece[..written]);
            match status {
                Err(_) => return (text, Some(Rule::Deflate)),
                Ok(Status::StreamEnd) => return (text, Some(Rule::DeflateFinal)),
                Ok(_) if rest.is_empty() && written < piece.len() => return (text, None),
                Ok(_) => {}
            }
        }
    }

    /// Whether the payload, its tail on, ends where a block does; and makes ready for the next.
    fn finish(&mut self, payload: &[u8], before: usize) -> bool {
        let mut again = Decompress::new(false);
        again.set_dictionary(self.window(before)).expect("a raw stream takes one");
        let whole = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
        let (mut rest, mut ends) = (whole.as_slice(), false);
        let mut piece = [0; 4096];
        while !rest.is_empty() {
            let read = again.total_in();
            let Ok(status) = again.decompress(rest, &mut piece, FlushDecompress::None) else {
                break;
            };
            rest = &rest[usize::try_from(again.total_in() - read).unwrap_or(0)..];
            if status == Status::StreamEnd {
                again = Decompress::new(false);
                ends = rest.is_empty();
            }
        }
        if self.context == Context::Anew {
            self.said.clear();
            self.decompress = Decompress::new(false);
        }
        ends
    }

    fn window(&self, end: usize) -> &[u8] {
        &self.said[end.saturating_sub(1 << 15)..end]
    }
}

/// Reads `stream` from its beginning to its end. With a context, messages may be compressed.
#[must_use]
pub fn expected(
    sender: Endpoint,
    limits: FrameLimits,
    own_ping: [u8; 8],
    context: Option<Context>,
    stream: &[u8],
) -> Expected {
    let mut out = Expected::default();
    let mut message = Message::default();
    let mut inflater = context.map(Inflater::new);
    let mut at = 0;
    while let [first, second, ..] = stream[at..] {
        let rest = &stream[at..];
        let refuse = |out: &mut Expected, rule, offset: u64| {
            out.violation = Some((rule, at as u64, at as u64 + offset));
        };
        if let Err(rule) = judge_start(sender, context.is_some(), &message, first, second) {
            refuse(&mut out, rule, 1);
            break;
        }
        let Some(frame) = Frame::read(rest) else {
            break;
        };
        if let Err(rule) = frame.judge_header(&mut message, limits) {
            refuse(&mut out, rule, frame.size as u64 - 1);
            break;
        }
        let whole = frame.payload.len() as u64 == frame.length;
        let end = frame.size + frame.payload.len();
        let through = frame.size as u64 + frame.length > WHOLE;
        let verdict = if frame.is_control() {
            if !whole {
                break;
            }
            frame.judge_control()
        } else if let (Some(inflater), true) = (&mut inflater, message.compressed.is_some()) {
            frame.judge_compressed(&mut message, inflater, whole, limits)
        } else {
            frame.judge_text(&mut message, whole)
        };
        // Of a compressed frame that is cut through, blocks go on whole.
        let blocks = message.compressed.is_some() && !frame.is_control();
        let judged = |offset: usize| if blocks { offset - offset % BLOCK } else { offset };
        if let Err((rule, offset)) = verdict {
            if through {
                out.released.extend_from_slice(&rest[..frame.size + judged(offset)]);
            }
            // An empty final frame is proved wrong by the last byte of its header.
            let offset = (frame.size as u64).wrapping_add(offset as u64);
            refuse(&mut out, rule, if frame.length == 0 { frame.size as u64 - 1 } else { offset });
            break;
        }
        if !whole && through && blocks {
            out.released.extend_from_slice(&rest[..frame.size + judged(frame.payload.len())]);
            break;
        }
        if whole || through {
            if frame.is_pong_to(own_ping) {
                out.own_pongs += 1;
            } else {
                out.released.extend_from_slice(&rest[..end]);
            }
        }
        if !whole {
            break;
        }
        if first & 0x0f == 0x8 {
            let code = frame.plain().first_chunk().map(|code| u16::from_be_bytes(*code));
            out.closed = Some(CloseFrame { code });
            break;
        }
        at += end;
    }
    if let (Endpoint::Upstream, Some((rule @ Rule::MessageSize, ..))) = (sender, &mut out.violation)
    {
        *rule = Rule::ReplySize;
    }
    out
}

fn judge_start(
    sender: Endpoint,
    deflate: bool,
    message: &Message,
    first: u8,
    second: u8,
) -> Result<(), Rule> {
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let (masked, short) = (second & 0x80 != 0, second & 0x7f);
    match opcode {
        _ if first & 0x30 != 0 || (first & 0x40 != 0 && !deflate) => Err(Rule::ReservedBits),
        _ if first & 0x40 != 0 && !matches!(opcode, 0x1 | 0x2) => Err(Rule::CompressedBit),
        0x3..=0x7 | 0xb..=0xf => Err(Rule::ReservedOpcode),
        _ if sender == Endpoint::Client && !masked => Err(Rule::ClientUnmasked),
        _ if sender == Endpoint::Upstream && masked => Err(Rule::UpstreamMasked),
        0x8..=0xa if !fin => Err(Rule::ControlFragmented),
        0x8..=0xa if short > 125 => Err(Rule::ControlLength),
        0x8 if short == 1 => Err(Rule::CloseLength),
        0x0 if !message.open => Err(Rule::ContinuationAlone),
        0x1 | 0x2 if message.open => Err(Rule::MessageInterrupted),
        _ => Ok(()),
    }
}

impl<'a> Frame<'a> {
    /// `None` while its header is not whole.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (length, mut size) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let mut key = [0; 4];
        if second & 0x80 != 0 {
            key = *bytes.get(size..)?.first_chunk()?;
            size += 4;
        }
        let payload = &bytes[size..];
        let there = usize::try_from(length).map_or(payload.len(), |len| len.min(payload.len()));
        Some(Self { first, second, size, length, key, payload: &payload[..there] })
    }

    fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }

    fn is_pong_to(&self, own_ping: [u8; 8]) -> bool {
        self.first & 0x0f == 0xa && self.plain() == own_ping
    }

    fn plain(&self) -> Vec<u8> {
        self.payload.iter().enumerate().map(|(i, byte)| byte ^ self.key[i % 4]).collect()
    }

    fn judge_header(&self, message: &mut Message, limits: FrameLimits) -> Result<(), Rule> {
        match (self.second & 0x7f, self.length) {
            (126, 0..126) | (127, 0..0x1_0000) => return Err(Rule::LengthForm),
            (127, 0x8000_0000_0000_0000..) => return Err(Rule::LengthTopBit),
            _ => {}
        }
        if self.is_control() {
            return Ok(());
        }
        if !message.open {
            let text = self.first & 0x0f == 1;
            let compressed = (self.first & 0x40 != 0).then(Packed::default);
            *message = Message { open: true, text, compressed, ..Message::default() };
        }
        message.fragments += 1;
        if message.compressed.is_none() {
            message.declared = message.declared.saturating_add(self.length);
        }
        if self.length > limits.max_frame_size {
            Err(Rule::FrameSize)
        } else if message.declared > limits.max_message_size {
            Err(Rule::MessageSize)
        } else if message.fragments > limits.max_fragments {
            Err(Rule::Fragments)
        } else {
            Ok(())
        }
    }

    /// An error is the rule and the place in the payload of the byte that broke it.
    fn judge_text(&self, message: &mut Message, whole: bool) -> Result<(), (Rule, usize)> {
        let before = message.plain.len();
        let last = whole && self.first & 0x80 != 0;
        message.open = !last;
        if !message.text {
            return Ok(());
        }
        message.plain.extend(self.plain());
        match first_impossible(&message.plain) {
            Some(at) => Err((Rule::Text, at - before)),
            None if last && std::str::from_utf8(&message.plain).is_err() => {
                Err((Rule::Text, self.payload.len().saturating_sub(1)))
            }
            None => Ok(()),
        }
    }

    /// An error is the rule and the place in the payload of the last byte of its block.
    fn judge_compressed(
        &self,
        message: &mut Message,
        inflater: &mut Inflater,
        whole: bool,
        limits: FrameLimits,
    ) -> Result<(), (Rule, usize)> {
        let last = whole && self.first & 0x80 != 0;
        message.open = !last;
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        let mut packed = message.compressed.take().unwrap_or_default();
        let before = packed.payload.len();
        let large = self.size as u64 + self.length > WHOLE;
        let mut result = Ok(());
        for (at, byte) in self.plain().into_iter().enumerate() {
            let (text, wrong) = inflater.push(byte);
            packed.payload.push(byte);
            let end = (at - at % BLOCK).saturating_add(BLOCK).min(length);
            // A frame that is not cut through weighs what it declares, there or not.
            let most = most(limits, before.saturating_add(if large { end } else { length }));
            if let Err(rule) = message.take(&text, wrong, &mut packed.size, most) {
                result = Err((rule, end - 1));
                break;
            }
        }
        if result.is_ok() && last {
            let end = message.end(&mut packed, inflater, most(limits, before + length));
            result = end.map_err(|rule| (rule, length.saturating_sub(1)));
        }
        message.compressed = Some(packed);
        result
    }

    fn judge_control(&self) -> Result<(), (Rule, usize)> {
        let plain = self.plain();
        let (0x8, Some((code, reason))) = (self.first & 0x0f, plain.split_first_chunk()) else {
            return Ok(());
        };
        if !matches!(u16::from_be_bytes(*code), 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err((Rule::CloseCode, 1));
        }
        match first_impossible(reason) {
            Some(at) => Err((Rule::CloseReason, 2 + at)),
            None if std::str::from_utf8(reason).is_err() => {
                Err((Rule::CloseReason, plain.len() - 1))
            }
            None => Ok(()),
        }
    }
}

impl Message {
    /// What one byte of a compressed message came to: its text, as far as it is within the limit;
    /// the limit; then what is wrong with the data.
    fn take(
        &mut self,
        text: &[u8],
        wrong: Option<Rule>,
        size: &mut u64,
        (most, above): (u64, Rule),
    ) -> Result<(), Rule> {
        let left = usize::try_from(most - *size).unwrap_or(usize::MAX);
        let within = &text[..text.len().min(left)];
        *size += within.len() as u64;
        if self.text {
            self.plain.extend_from_slice(within);
            if first_impossible(&self.plain).is_some() {
                return Err(Rule::Text);
            }
            // What is whole need not be looked at again.
            let cut = std::str::from_utf8(&self.plain).map_or_else(|e| e.valid_up_to(), str::len);
            self.plain.drain(..cut);
        }
        if within.len() < text.len() {
            return Err(above);
        }
        wrong.map_or(Ok(()), Err)
    }

    fn end(
        &mut self,
        packed: &mut Packed,
        inflater: &mut Inflater,
        most: (u64, Rule),
    ) -> Result<(), Rule> {
        let before = inflater.said.len() - usize::try_from(packed.size).unwrap_or(0);
        for byte in [0, 0, 0xff, 0xff] {
            let (text, wrong) = inflater.push(byte);
            let wrong =
                wrong.map(|rule| if rule == Rule::Deflate { Rule::DeflateEnd } else { rule });
            self.take(&text, wrong, &mut packed.size, most)?;
        }
        if !inflater.finish(&packed.payload, before) {
            return Err(Rule::DeflateEnd);
        }
        if self.text && !self.plain.is_empty() { Err(Rule::Text) } else { Ok(()) }
    }
}

/// What a compressed message may come to with so many bytes of payload, and the rule beyond that.
fn most(limits: FrameLimits, payload: usize) -> (u64, Rule) {
    let ratio = limits.max_inflation_ratio.map(|ratio| u64::from(ratio.get()));
    let rated = ratio.map_or(u64::MAX, |ratio| ratio.saturating_mul(payload as u64).max(UNRATED));
    if rated < limits.max_message_size {
        (rated, Rule::InflationRatio)
    } else {
        (limits.max_message_size, Rule::MessageSize)
    }
}

/// The place of the first byte that no valid text has there, whatever were to follow.
fn first_impossible(text: &[u8]) -> Option<usize> {
    let valid = std::str::from_utf8(text).err()?.valid_up_to();
    (valid..text.len()).find(|&last| {
        std::str::from_utf8(&text[valid..=last]).is_err_and(|error| {
            // A byte that may begin a character is wrong only once the next one is there.
            error.error_len().is_some()
        })
    })
}
