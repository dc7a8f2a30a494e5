//! The frame rules once more, over a whole stream at once and with no regard to speed: what
//! [`framewall::relay::Gate`] must release and refuse, however the stream arrives.

use framewall::relay::{CloseFrame, Endpoint, Limits, Rule};

/// Frames up to this size, header and payload, are released whole or not at all.
const WHOLE: u64 = 16 * 1024;

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
    declared: u64,
    fragments: u32,
    plain: Vec<u8>,
}

/// Reads `stream` from its beginning to its end.
#[must_use]
pub fn expected(sender: Endpoint, limits: Limits, own_ping: [u8; 8], stream: &[u8]) -> Expected {
    let mut out = Expected::default();
    let mut message = Message::default();
    let mut at = 0;
    while let [first, second, ..] = stream[at..] {
        let rest = &stream[at..];
        let refuse = |out: &mut Expected, rule, offset: u64| {
            out.violation = Some((rule, at as u64, at as u64 + offset));
        };
        if let Err(rule) = judge_start(sender, &message, first, second) {
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
        } else {
            frame.judge_text(&mut message, whole)
        };
        if let Err((rule, offset)) = verdict {
            if through {
                out.released.extend_from_slice(&rest[..frame.size + offset]);
            }
            // An empty final frame is proved wrong by the last byte of its header.
            let offset = (frame.size as u64).wrapping_add(offset as u64);
            refuse(&mut out, rule, if frame.length == 0 { frame.size as u64 - 1 } else { offset });
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
    out
}

fn judge_start(sender: Endpoint, message: &Message, first: u8, second: u8) -> Result<(), Rule> {
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let (masked, short) = (second & 0x80 != 0, second & 0x7f);
    match opcode {
        _ if first & 0x70 != 0 => Err(Rule::ReservedBits),
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

    fn judge_header(&self, message: &mut Message, limits: Limits) -> Result<(), Rule> {
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
            *message = Message { open: true, text, ..Message::default() };
        }
        message.fragments += 1;
        message.declared = message.declared.saturating_add(self.length);
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
