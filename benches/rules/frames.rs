//! Streams of frames as a client sends them.

/// Bytes of one stream, about; small enough for a cache, so that memory is not what is measured.
const STREAM: usize = 256 * 1024;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const KINDS: [Kind; 6] = [
    Kind { name: "64 B text", text: true, ascii: true, size: 64 },
    Kind { name: "125 B text, not ASCII", text: true, ascii: false, size: 125 },
    Kind { name: "4 KiB text", text: true, ascii: true, size: 4096 },
    Kind { name: "4 KiB text, not ASCII", text: true, ascii: false, size: 4096 },
    Kind { name: "1 MiB text, not ASCII", text: true, ascii: false, size: 1 << 20 },
    Kind { name: "1 MiB binary", text: false, ascii: false, size: 1 << 20 },
];

/// What the frames of a stream are.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) text: bool,
    pub(crate) ascii: bool,
    pub(crate) size: usize,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Equal frames, one after the other.
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: usize,
}

impl Stream {
    /// About 256 KiB of them, at least one.
    pub(crate) fn new(kind: Kind) -> Self {
        let frames = (STREAM / kind.size).max(1);
        let first = if kind.text { 0x81 } else { 0x82 };
        Self { bytes: frame(first, &payload(kind, |_| String::new())).repeat(frames), frames }
    }
}

/// Lines of a chat, each behind its mark.
pub(crate) fn payload(kind: Kind, mark: impl Fn(usize) -> String) -> Vec<u8> {
    let line = if kind.ascii { "a line of a chat\n" } else { "Zeilen über Zeilen\n" };
    let lines = (0..kind.size).flat_map(|number| (mark(number) + line).into_bytes());
    let mut payload: Vec<u8> = lines.take(kind.size).collect();
    // Nothing is cut within a character.
    let end = payload.len() - payload.len().min(4);
    payload[end..].fill(b'.');
    if let Err(error) = std::str::from_utf8(&payload) {
        payload[error.valid_up_to()..].fill(b'.');
    }
    payload
}

/// A final frame, masked.
pub(crate) fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap_or_default()),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 0x7e);
            frame.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
