//! Frames that break RFC 6455, as either end may send them.

use super::support::Frame;

/// Frames that are in order, then bytes that are not.
pub(crate) struct Offence {
    pub name: String,
    pub before: Vec<Frame>,
    pub bad: Vec<u8>,
    pub code: u16,
    pub reason: &'static str,
}

impl Offence {
    fn new(name: impl Into<String>, bad: Vec<u8>) -> Self {
        let (code, reason) = (1002, "frame.protocol");
        Self { name: name.into(), before: Vec::new(), bad, code, reason }
    }

    fn behind(self, before: Vec<Frame>) -> Self {
        Self { before, ..self }
    }

    fn utf8(name: impl Into<String>, bad: Vec<u8>) -> Self {
        Self { code: 1007, reason: "frame.utf8", ..Self::new(name, bad) }
    }
}

/// RFC 6455 section 5.2: reserved bits, reserved opcodes, masks, the form of lengths.
pub(crate) fn headers(masked: bool) -> Vec<Offence> {
    let frame = |opcode| Frame::new(opcode, "hello").masked(masked);
    let encoded = |opcode| frame(opcode).encode();
    let rsv = |bits| Offence::new(format!("RSV {bits:03b}"), frame(1).with_rsv(bits).encode());
    let mut offences: Vec<_> = (1..8).map(rsv).collect();
    offences.extend(
        [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf]
            .map(|opcode| Offence::new(format!("opcode {opcode:#x}"), encoded(opcode))),
    );
    for opcode in [1, 2, 8, 9, 0xa] {
        let payload = if opcode == 8 { &b"\x03\xe8"[..] } else { b"hello" };
        let wrong = Frame::new(opcode, payload).masked(!masked).encode();
        offences.push(Offence::new(format!("mask of opcode {opcode:#x}"), wrong));
    }
    let whole = frame(2);
    let long = Frame::binary([0; 200]).masked(masked);
    let huge = (1_u64 << 63).to_be_bytes();
    offences.extend([
        Offence::new("5 in 16 bits", whole.encode_with(126, &5_u16.to_be_bytes())),
        Offence::new("5 in 64 bits", whole.encode_with(127, &5_u64.to_be_bytes())),
        Offence::new("200 in 64 bits", long.encode_with(127, &200_u64.to_be_bytes())),
        Offence::new("the top bit of a length", whole.encode_with(127, &huge)),
        Offence::new("every bit of a length", whole.encode_with(127, &[0xff; 8])),
    ]);
    offences
}

/// RFC 6455 sections 5.4 and 5.5: fragments and control frames.
pub(crate) fn structure(masked: bool) -> Vec<Offence> {
    let encoded = |frame: Frame| frame.masked(masked).encode();
    let started = || vec![Frame::text("one ").unfinished()];
    let after_message = || vec![Frame::text("one"), Frame::ping("")];
    let mut offences = vec![
        Offence::new("a continuation of nothing", encoded(Frame::continuation("a"))),
        Offence::new("a continuation that is to go on", {
            encoded(Frame::continuation("a").unfinished())
        }),
        Offence::new("a continuation of what is over", encoded(Frame::continuation("a")))
            .behind(after_message()),
        Offence::new("a text within a message", encoded(Frame::text("two"))).behind(started()),
        Offence::new("a binary within a message", encoded(Frame::binary("two").unfinished()))
            .behind(started()),
    ];
    for opcode in [8, 9, 0xa] {
        let payload = if opcode == 8 { &b"\x03\xe8"[..] } else { b"" };
        let fragment = Frame::new(opcode, payload).unfinished();
        offences.push(Offence::new(format!("a fragment of {opcode:#x}"), encoded(fragment)));
        let long = Frame::new(opcode, [0x03; 126]);
        offences.push(Offence::new(format!("126 bytes of {opcode:#x}"), encoded(long)));
        let header = Frame::new(opcode, "").masked(masked);
        let declared = header.encode_with(127, &1_000_000_u64.to_be_bytes());
        offences.push(Offence::new(format!("a declared megabyte of {opcode:#x}"), declared));
    }
    offences
}

/// RFC 6455 sections 5.5.1 and 7.4: what a Close may say.
pub(crate) fn closes(masked: bool) -> Vec<Offence> {
    let encoded = |frame: Frame| frame.masked(masked).encode();
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let close = |code| Offence::new(format!("code {code}"), encoded(Frame::close(code, "why")));
    let mut offences: Vec<_> = codes.map(close).into();
    offences.push(Offence::new("one byte", encoded(Frame::new(8, [0x03]))));
    for reason in [&b"\xff"[..], b"caf\xc3", b"\xed\xa0\x80"] {
        let payload = [&1000_u16.to_be_bytes(), reason].concat();
        let bad = encoded(Frame::new(8, payload));
        offences.push(Offence::utf8(format!("the reason {reason:x?}"), bad));
    }
    offences
}

/// RFC 6455 section 8.1: text is UTF-8, over all frames of a message.
pub(crate) fn text(masked: bool) -> Vec<Offence> {
    let encoded = |frame: Frame| frame.masked(masked).encode();
    let texts: [(&str, &[u8]); 8] = [
        ("a lone continuation byte", b"a\x80"),
        ("a byte that is never UTF-8", b"a\xffb"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xe0\x80\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        ("an end within a character", b"caf\xc3"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ];
    let whole = |(name, text): (&str, &[u8])| Offence::utf8(name, encoded(Frame::text(text)));
    let mut offences: Vec<_> = texts.map(whole).into();
    let split = || vec![Frame::text(b"caf\xc3").unfinished()];
    offences.extend([
        Offence::utf8("a wrong byte in the next frame", encoded(Frame::continuation("a")))
            .behind(split()),
        Offence::utf8("a character that never ends", encoded(Frame::continuation("")))
            .behind(split()),
        Offence::utf8("a wrong byte behind a ping", encoded(Frame::continuation(b"\xa9\xff")))
            .behind([split(), vec![Frame::ping("in between")]].concat()),
    ]);
    offences
}
