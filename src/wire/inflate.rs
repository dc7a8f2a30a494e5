//! The text of compressed messages (RFC 7692 section 7.2.2). A copy of the arriving bytes is inflated a
//! piece at a time and lent to the rules; of the text only the window is kept that later messages may
//! refer to.

use std::cell::RefCell;
use std::collections::VecDeque;

use flate2::{Decompress, FlushDecompress, Status};

use super::Rule;

/// Inflated at a time, on the stack. What a refused message cost is never more than this beyond
/// what it was allowed.
const PIECE: usize = 4 * 1024;

/// What the sender took off the end of a message (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A final block without data. Behind anything that ends where a block ends, it ends the stream.
const FINAL: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// Inflaters that a worker thread keeps for the next message.
const SPARE: usize = 4;

thread_local! {
    static INFLATERS: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// What a message of one direction may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Itself alone: its sender agreed to `no_context_takeover` (section 7.1.1).
    Anew,
    /// The messages before it, too, in a window of two to the power of this many bytes: 8 to 15
    /// (section 7.1.2).
    TakenOver(u8),
}

/// The compressed messages of one direction. While none is in progress it holds no inflater; with
/// [`Context::Anew`], nothing at all.
#[derive(Debug)]
pub(super) struct Inflation {
    /// While a message is in progress.
    stream: Option<InflateStream>,
    /// What the next message may refer to.
    window: Option<Window>,
    inflated: u64,
    /// Payload bytes of the message's frames that are over.
    packed: u64,
}

#[derive(Debug)]
struct InflateStream {
    /// Of a window of 15 bits, whatever was agreed: it reads the smaller ones, too.
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

    /// How many bytes were inflated so far.
    pub(super) fn inflated(&self) -> u64 {
        self.inflated
    }

    /// How many payload bytes the message in progress has on the wire, in frames that are over.
    pub(super) fn packed(&self) -> u64 {
        self.packed
    }

    /// A frame of the message, with so many payload bytes, is over.
    pub(super) fn end_frame(&mut self, length: u64) {
        self.packed = self.packed.saturating_add(length);
    }

    /// The next bytes of a message's payload, unmasked, of any of its frames. `take` gets what they
    /// inflate to, in pieces; the first error, its own or that of the data, is the outcome. What it
    /// gets and when it is an error depend on the bytes alone, not on how they were cut.
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

    /// The end of a message. It must be where a block ends.
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

    /// A message of its own, inflated whole; `None` if that is more than `most` bytes, or it is not
    /// valid.
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
            // Before a block of a raw stream these cannot fail. If they did, what refers to the
            // window would.
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
                // An inflater that goes on with the next message stops for good at a final block:
                // the application would no longer read the bytes that are checked here.
                Some(Status::StreamEnd) => return Err(Rule::DeflateFinal),
                Some(_) if rest.is_empty() && text.len() < PIECE => return Ok(()),
                Some(_) if read > 0 || !text.is_empty() => {}
                Some(_) | None => return Err(Rule::Deflate),
            }
        }
    }

    /// Inflates as much as one piece holds. Gives how it went, `None` being that the data is not
    /// valid, how many bytes were read, and what they came to.
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

    /// Whether what was read ends where a block does. The inflater is another message's then.
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
    /// Keeps the last bytes of all that was inflated.
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
