//! Inflates compressed messages (RFC 7692 section 7.2.2). A copy of the arriving bytes is inflated in
//! pieces, which the rules check. Of the inflated text only the window is kept to which later messages may
//! refer.

use std::cell::RefCell;
use std::collections::VecDeque;

use flate2::{Decompress, FlushDecompress, Status};

use super::Rule;

/// The bytes inflated at a time, on the stack. A refused message costs at most this much beyond its limit.
const PIECE: usize = 4 * 1024;

/// The four bytes that the sender removed from the end of a message (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A final block without data. After data that ends at a block boundary, it ends the stream.
const FINAL: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// Inflaters that a worker thread keeps for later messages.
const SPARE: usize = 4;

thread_local! {
    static INFLATERS: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// The data to which a message of one direction may refer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Its own data alone: the sender agreed to `no_context_takeover` (section 7.1.1).
    Anew,
    /// Earlier messages, too, within a window of two to the power of this many bytes: 8 to 15 (section
    /// 7.1.2).
    TakenOver(u8),
}

/// Inflates the compressed messages of one direction. While none is in progress it holds no inflater and,
/// with [`Context::Anew`], no memory at all.
#[derive(Debug)]
pub(super) struct Inflation {
    /// `Some` while a message is in progress.
    stream: Option<InflateStream>,
    /// The inflated text to which the next message may refer.
    window: Option<Window>,
    inflated: u64,
    /// Payload bytes of the message's completed frames.
    packed: u64,
}

#[derive(Debug)]
struct InflateStream {
    /// Has a window of 15 bits, which also reads data for a smaller window.
    inflater: Decompress,
}

#[derive(Debug)]
struct Window {
    bytes: VecDeque<u8>,
    most: usize,
}

impl Inflation {
    pub(super) fn new(context: Context) -> Self {
        let window = match context {
            Context::Anew => None,
            Context::TakenOver(bits) => {
                Some(Window { bytes: VecDeque::new(), most: 1 << bits.clamp(8, 15) })
            }
        };
        Self { stream: None, window, inflated: 0, packed: 0 }
    }

    /// The number of bytes inflated so far.
    pub(super) fn inflated(&self) -> u64 {
        self.inflated
    }

    /// The payload bytes on the wire of the message in progress, in completed frames.
    pub(super) fn packed(&self) -> u64 {
        self.packed
    }

    /// Notes the end of a frame of the message, with `length` payload bytes.
    pub(super) fn end_frame(&mut self, length: u64) {
        self.packed = self.packed.saturating_add(length);
    }

    /// Inflates the next unmasked payload bytes of a message, of any of its frames. `take` gets the text in
    /// pieces; the outcome is the first error, of `take` or of the data. The text and the place of an error
    /// depend on the bytes alone, not on how they were cut.
    pub(super) fn push(
        &mut self,
        compressed: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Rule>,
    ) -> Result<(), Rule> {
        let Self { stream, window, inflated, .. } = self;
        let running = stream.get_or_insert_with(|| InflateStream::new(window.as_ref()));
        let outcome = running.push(compressed, |text| {
            *inflated += text.len() as u64;
            if let Some(window) = window {
                window.note(text);
            }
            take(text)
        });
        if outcome.is_err() {
            *stream = None;
        }
        outcome
    }

    /// Ends a message. It must end at a block boundary.
    pub(super) fn finish(
        &mut self,
        take: impl FnMut(&[u8]) -> Result<(), Rule>,
    ) -> Result<(), Rule> {
        self.push(&TAIL, take).map_err(|rule| match rule {
            Rule::Deflate => Rule::DeflateEnd,
            rule => rule,
        })?;
        self.packed = 0;
        let whole = self.stream.take().is_some_and(InflateStream::end);
        if whole { Ok(()) } else { Err(Rule::DeflateEnd) }
    }

    /// Inflates one message as a whole, without context; `None` if the text is longer than `most` bytes, or
    /// the data is not valid.
    #[cold]
    pub(super) fn whole(compressed: &[u8], most: usize) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        let mut message = Self::new(Context::Anew);
        let mut take = |text: &[u8]| {
            whole.extend_from_slice(text);
            if whole.len() > most { Err(Rule::MessageSize) } else { Ok(()) }
        };
        message.push(compressed, &mut take).ok()?;
        message.finish(&mut take).ok()?;
        Some(whole)
    }
}

impl InflateStream {
    fn new(window: Option<&Window>) -> Self {
        let spare = INFLATERS.with_borrow_mut(Vec::pop);
        let mut inflater = spare.unwrap_or_else(|| Decompress::new(false));
        if let Some(window) = window {
            let (older, newer) = window.bytes.as_slices();
            // Before a block of a raw stream these calls cannot fail. If they did, data that refers to the
            // window would fail to inflate.
            let _ = inflater.set_dictionary(older);
            let _ = inflater.set_dictionary(newer);
        }
        Self { inflater }
    }

    fn push(
        &mut self,
        mut rest: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Rule>,
    ) -> Result<(), Rule> {
        let mut piece = [0; PIECE];
        loop {
            let (outcome, read, text) = self.step(rest, &mut piece);
            rest = &rest[read..];
            if !text.is_empty() {
                take(text)?;
            }
            match outcome {
                // A peer that reuses its inflater for the next message stops reading at a final block: the
                // application would no longer read the bytes that are checked here.
                Some(Status::StreamEnd) => return Err(Rule::DeflateFinal),
                Some(_) if rest.is_empty() && text.len() < PIECE => return Ok(()),
                Some(_) if read > 0 || !text.is_empty() => {}
                Some(_) | None => return Err(Rule::Deflate),
            }
        }
    }

    /// Inflates as much as one piece holds. Returns the status (`None`: the data is not valid), the number
    /// of bytes read, and the text.
    fn step<'a>(
        &mut self,
        rest: &[u8],
        piece: &'a mut [u8; PIECE],
    ) -> (Option<Status>, usize, &'a [u8]) {
        let before = (self.inflater.total_in(), self.inflater.total_out());
        let outcome = self.inflater.decompress(rest, piece, FlushDecompress::None);
        let advanced = |now: u64, before: u64, most: usize| {
            usize::try_from(now - before).map_or(most, |advanced| advanced.min(most))
        };
        let read = advanced(self.inflater.total_in(), before.0, rest.len());
        let written = advanced(self.inflater.total_out(), before.1, PIECE);
        (outcome.ok(), read, &piece[..written])
    }

    /// Whether the data ends at a block boundary. Returns the inflater to the thread's spare ones.
    fn end(mut self) -> bool {
        let mut piece = [0; PIECE];
        let (outcome, read, text) = self.step(&FINAL, &mut piece);
        let ends = outcome == Some(Status::StreamEnd) && read == FINAL.len() && text.is_empty();
        self.inflater.reset(false);
        INFLATERS.with_borrow_mut(|spare| {
            if spare.len() < SPARE {
                spare.push(self.inflater);
            }
        });
        ends
    }
}

impl Window {
    /// Keeps the last bytes of all inflated text.
    fn note(&mut self, text: &[u8]) {
        let text = &text[text.len().saturating_sub(self.most)..];
        let size = self.bytes.len() + text.len();
        self.bytes.drain(..size.saturating_sub(self.most));
        if size > self.bytes.capacity() {
            let capacity = size.next_power_of_two().min(self.most);
            self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend(text);
    }
}

#[cfg(test)]
mod tests;
