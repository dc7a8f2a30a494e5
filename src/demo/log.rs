//! The gateway's latest log lines, kept for the page.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Lines that are kept; older ones are dropped.
const KEPT: usize = 500;

/// The longest line in bytes; a longer one is cut. The log bounds each value of a line itself.
const LONGEST: usize = 16 * 1024;

/// The latest lines of the log. Clones share them. As a [`Write`] it takes the log's output.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// The number of lines before the first kept one.
    dropped: u64,
    /// The beginning of an incomplete line.
    partial: Vec<u8>,
}

/// Lines from a position on, and the position after them.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) next: u64,
    pub(super) lines: Vec<String>,
}

impl LogLines {
    /// The kept lines from line number `from` on. Numbers start at 0 and count dropped lines, too.
    pub(super) fn tail(&self, from: u64) -> Tail {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = usize::try_from(from.saturating_sub(kept.dropped)).unwrap_or(usize::MAX);
        let lines: Vec<_> = kept.lines.iter().skip(skipped).cloned().collect();
        Tail { next: kept.dropped + kept.lines.len() as u64, lines }
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST.saturating_sub(kept.partial.len());
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            kept.partial.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < part.len() {
                kept.end_line();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn end_line(&mut self) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
            self.dropped += 1;
        }
        let line = std::mem::take(&mut self.partial);
        self.lines.push_back(String::from_utf8_lossy(&line).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{KEPT, LONGEST, LogLines};

    #[test]
    fn lines_are_read_once_from_the_readers_position() {
        let mut log = LogLines::default();
        log.write_all(b"one\ntw").unwrap();
        assert_eq!((log.tail(0).next, log.tail(0).lines), (1, vec!["one".to_owned()]));
        log.write_all(b"o\nthree\n").unwrap();
        assert_eq!(log.tail(1).lines, ["two", "three"]);
        assert_eq!((log.tail(3).next, log.tail(3).lines.len()), (3, 0));
    }

    #[test]
    fn old_lines_are_dropped_and_long_ones_cut() {
        let mut log = LogLines::default();
        for number in 0..KEPT + 10 {
            writeln!(log, "{number}").unwrap();
        }
        let tail = log.tail(0);
        assert_eq!((tail.next, tail.lines.len()), (KEPT as u64 + 10, KEPT));
        assert_eq!(tail.lines[0], "10");
        log.write_all(&vec![b'x'; LONGEST + 1]).unwrap();
        log.write_all(b"\n").unwrap();
        assert_eq!(log.tail(tail.next).lines[0].len(), LONGEST);
    }
}
