//! A second reading of RFC 6455, written to be plain and slow: the whole stream at once, each
//! frame cut out of it, each text joined and then checked. The gate is compared with it.

use super::super::Rule;
use super::*;

/// What the model makes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The rule, the frame's place, the proving byte's place.
    pub(crate) verdict: Option<(Rule, usize, usize)>,
    /// Without the gateway's own pongs.
    pub(crate) released: Vec<u8>,
    pub(crate) frames: u64,
    pub(crate) messages: u64,
}

struct Parsed<'a> {
    first: u8,
    second: u8,
    header: usize,
    length: u64,
    payload: Vec<u8>,
    wire: &'a [u8],
}

/// The frame at the front, as far as it is there; `None` before its second byte.
fn parse(stream: &[u8]) -> Option<Parsed<'_>> {
    let (&first, &second) = (stream.first()?, stream.get(1)?);
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let header = 2 + extended + if second & 0x80 == 0 { 0 } else { 4 };
    let bytes = stream.get(..header);
    let length = match extended {
        0 => u64::from(second & 0x7f),
        _ => bytes.map_or(0, |bytes| {
            bytes[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
        }),
    };
    let key: Vec<u8> = match bytes {
        Some(bytes) if second & 0x80 != 0 => bytes[header - 4..].to_vec(),
        _ => vec![0; 4],
    };
    let rest = stream.get(header..).unwrap_or_default();
    let end = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
    let payload = rest[..end].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
    let wire = &stream[..stream.len().min(header.saturating_add(end))];
    Some(Parsed { first, second, header, length, payload, wire })
}

impl Parsed<'_> {
    fn has_header(&self) -> bool {
        self.wire.len() >= self.header
    }

    fn is_whole(&self) -> bool {
        self.has_header() && self.payload.len() as u64 == self.length
    }

    fn start_rule(&self, sender: Endpoint, open: bool) -> Option<Rule> {
        let (fin, opcode, short) = (self.first >> 7 == 1, self.first & 15, self.second & 0x7f);
        let masked = self.second >> 7 == 1;
        let control = opcode >= 8;
        let checks = [
            (self.first & 0x70 != 0, Rule::ReservedBits),
            (![0, 1, 2, 8, 9, 10].contains(&opcode), Rule::ReservedOpcode),
            (sender == Endpoint::Client && !masked, Rule::ClientUnmasked),
            (sender == Endpoint::Upstream && masked, Rule::UpstreamMasked),
            (control && !fin, Rule::ControlFragmented),
            (control && short > 125, Rule::ControlLength),
            (opcode == 8 && short == 1, Rule::CloseLength),
            (opcode == 0 && !open, Rule::ContinuationAlone),
            ((opcode == 1 || opcode == 2) && open, Rule::MessageInterrupted),
        ];
        checks.into_iter().find_map(|(broken, rule)| broken.then_some(rule))
    }

    fn header_rule(&self, bytes: u64, fragments: u32) -> Option<Rule> {
        let (short, data) = (self.second & 0x7f, self.first & 8 == 0);
        let total = u128::from(bytes) + u128::from(self.length);
        let shortest = match self.length {
            0..=125 => short <= 125,
            126..=0xffff => short == 126,
            _ => short == 127,
        };
        let checks = [
            (!shortest, Rule::LengthForm),
            (self.length >> 63 == 1, Rule::LengthTopBit),
            (data && self.length > LIMITS.max_frame_size, Rule::FrameSize),
            (data && total > u128::from(LIMITS.max_message_size), Rule::MessageSize),
            (data && fragments + 1 > LIMITS.max_fragments, Rule::Fragments),
        ];
        checks.into_iter().find_map(|(broken, rule)| broken.then_some(rule))
    }

    fn close_rule(&self) -> Option<(Rule, usize)> {
        let reason = self.payload.get(2..)?;
        let code = u16::from_be_bytes([self.payload[0], self.payload[1]]);
        let allowed = (1000..=1014).contains(&code) && ![1004, 1005, 1006].contains(&code)
            || (3000..5000).contains(&code);
        if !allowed {
            return Some((Rule::CloseCode, 1));
        }
        let broken = first_broken(reason)
            .or_else(|| std::str::from_utf8(reason).is_err().then(|| reason.len() - 1));
        broken.map(|at| (Rule::CloseReason, at + 2))
    }
}

/// The last byte of the shortest prefix that nothing can make valid.
fn first_broken(text: &[u8]) -> Option<usize> {
    let broken = |end: &usize| {
        let error = std::str::from_utf8(&text[..*end]).err();
        error.is_some_and(|error| error.error_len().is_some())
    };
    // All that is before the error the library reports is valid, so the search may begin there.
    let start = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
    (start..=text.len()).find(broken).map(|end| end - 1)
}

/// The data message in progress.
#[derive(Default)]
struct Message {
    open: bool,
    is_text: bool,
    bytes: u64,
    fragments: u32,
    text: Vec<u8>,
}

impl Message {
    /// Takes a data frame in, whole or not; the place in it that makes the text invalid.
    fn take(&mut self, frame: &Parsed<'_>) -> Option<usize> {
        if !self.open {
            let is_text = frame.first & 15 == 1;
            *self = Self { open: true, is_text, ..Self::default() };
        }
        self.bytes += frame.length;
        self.fragments += 1;
        let ends = frame.is_whole() && frame.first & 0x80 != 0;
        self.open = !ends;
        if !self.is_text {
            return None;
        }
        let before = self.text.len();
        self.text.extend(&frame.payload);
        let broken = first_broken(&self.text).map(|at| frame.header + at - before);
        let cut = ends && std::str::from_utf8(&self.text).is_err();
        broken.or_else(|| cut.then(|| frame.wire.len() - 1))
    }

    fn sizes(&self) -> (u64, u32) {
        if self.open { (self.bytes, self.fragments) } else { (0, 0) }
    }
}

/// Reads a whole stream; frames up to 16 KiB are released whole or not at all.
pub(crate) fn read(sender: Endpoint, stream: &[u8]) -> Reading {
    let mut reading = Reading { verdict: None, released: Vec::new(), frames: 0, messages: 0 };
    let mut message = Message::default();
    let mut at = 0;
    while let Some(frame) = parse(&stream[at..]) {
        let (end, broken) = read_frame(sender, &frame, &mut message);
        let small = frame.length.saturating_add(frame.header as u64) <= 16 * 1024;
        if broken.is_some() || !frame.is_whole() {
            let judged = frame.has_header() && end >= frame.header;
            if !small && judged {
                reading.released.extend(&frame.wire[..end]);
            }
            reading.verdict = broken.map(|rule| (rule, at, at + end));
            return reading;
        }
        at += frame.wire.len();
        if frame.first != 0x8a || frame.payload != OWN_PING {
            reading.released.extend(frame.wire);
            reading.frames += 1;
        }
        reading.messages += u64::from(frame.first & 0x88 == 0x80);
        if frame.first == 0x88 {
            return reading;
        }
    }
    reading
}

/// How many bytes of a frame are good, and the rule that the next one breaks.
fn read_frame(
    sender: Endpoint,
    frame: &Parsed<'_>,
    message: &mut Message,
) -> (usize, Option<Rule>) {
    let (bytes, fragments) = message.sizes();
    if let Some(rule) = frame.start_rule(sender, message.open) {
        return (1, Some(rule));
    }
    if !frame.has_header() {
        return (frame.wire.len(), None);
    }
    let rule = frame.header_rule(bytes, fragments);
    let reply = sender == Endpoint::Upstream && rule == Some(Rule::MessageSize);
    if let Some(rule) = if reply { Some(Rule::ReplySize) } else { rule } {
        return (frame.header - 1, Some(rule));
    }
    if frame.first & 8 == 0 {
        let broken = message.take(frame);
        return broken.map_or((frame.wire.len(), None), |at| (at, Some(Rule::Text)));
    }
    match frame.close_rule().filter(|_| frame.first == 0x88 && frame.is_whole()) {
        Some((rule, at)) => (frame.header + at, Some(rule)),
        None => (frame.wire.len(), None),
    }
}
