//! The request head as it came, byte for byte: what an HTTP library folds away (a fragment in the
//! target, a repeated Content-Length, bare line feeds) must still be seen to be refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::asked::Asked;
use super::flaw::flaw;
use super::target::Target;
use crate::refusal::{Reason, Refusal};
use crate::spoken::{First, Spoken};
use crate::transport::Transport;

/// The largest request head in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// A stream that keeps a copy of the first head that is read from it.
#[derive(Debug)]
pub struct HeadTap {
    stream: Transport,
    head: RawHead,
}

/// The copy, shared with whoever judges it. At most [`MAX_HEAD`] bytes and one read beyond.
#[derive(Debug, Clone, Default)]
pub struct RawHead(Arc<Mutex<Copied>>);

#[derive(Debug, Default)]
struct Copied {
    bytes: Vec<u8>,
    /// A byte was read.
    begun: bool,
    /// Behind the empty line that ends the head.
    end: Option<usize>,
    /// What came first, empty lines included.
    first: First,
}

impl HeadTap {
    /// Copies what is read from `stream` until a head is complete.
    #[must_use]
    pub fn new(stream: Transport) -> (Self, RawHead) {
        let head = RawHead::default();
        (Self { stream, head: head.clone() }, head)
    }

    /// The stream itself.
    #[must_use]
    pub fn into_inner(self) -> Transport {
        self.stream
    }
}

impl RawHead {
    /// Whether the whole head was read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.locked().end.is_some()
    }

    /// What the client speaks, as far as its first bytes say.
    pub(crate) fn spoken(&self) -> Option<Spoken> {
        self.locked().first.spoken()
    }

    /// The request target of a complete head (RFC 9112 section 3) as it came, after the checks that
    /// need its raw bytes.
    pub fn judge(&self) -> Result<String, Refusal> {
        let copied = self.locked();
        judge(copied.bytes.get(..copied.end.unwrap_or(0)).unwrap_or_default())
            .map_err(|detail| Refusal::new(Reason::HandshakeMalformed, detail))
    }

    /// What is wrong with the request target of a head that the HTTP library refused; `None` if it
    /// refused another part.
    #[must_use]
    pub fn refused_target(&self) -> Option<Refusal> {
        let copied = self.locked();
        let line = copied.bytes.split(|byte| *byte == b'\n').next()?;
        let (_, target) = split(line.strip_suffix(b"\r").unwrap_or(line))?;
        let checked = Target::parse(target).and_then(|target| target.canonical_path());
        checked.err().map(Refusal::from)
    }

    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.locked().begun
    }

    /// Whether the head has something that no browser writes, whatever page it shows.
    #[must_use]
    pub fn is_forged(&self) -> bool {
        flaw(&self.locked().bytes).is_some()
    }

    /// What a head asked for that no request could be made of.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked::of_raw(&self.locked().bytes)
    }

    /// Gives the copy up, once the request is known to be well-formed.
    pub fn release(&self) {
        self.locked().bytes = Vec::new();
    }

    fn keep(&self, bytes: &[u8]) {
        let mut copied = self.locked();
        copied.begun |= !bytes.is_empty();
        if copied.end.is_some() || copied.bytes.len() > MAX_HEAD {
            return;
        }
        copied.first.note(bytes);
        let searched = copied.bytes.len().saturating_sub(3);
        copied.bytes.extend_from_slice(bytes);
        // RFC 9112 section 2.2: empty lines before the request line are not part of it.
        while copied.bytes.starts_with(b"\r\n") {
            copied.bytes.drain(..2);
        }
        let searched = searched.min(copied.bytes.len());
        let found = copied.bytes[searched..].windows(4).position(|end| end == b"\r\n\r\n");
        copied.end = found.map(|position| searched + position + 4);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Copied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The target, or what is wrong with the head.
fn judge(head: &[u8]) -> Result<String, &'static str> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or("a line of the head ends without CR LF")?;
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| match line.strip_suffix(b"\r") {
        Some(line) => line,
        None => line,
    });
    if text.iter().enumerate().any(|(at, byte)| *byte == b'\n' && !text[..at].ends_with(b"\r")) {
        return Err("a line of the head ends without CR LF");
    }
    let request_line = lines.next().unwrap_or_default();
    let mut lengths = 0;
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err("a header field is folded over two lines");
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        lengths += usize::from(name.eq_ignore_ascii_case(b"content-length"));
    }
    if lengths > 1 {
        return Err("Content-Length is given more than once");
    }
    let (_, target) = split(request_line).ok_or(REQUEST_LINE)?;
    Ok(target)
}

const REQUEST_LINE: &str = "the request line is not METHOD SP TARGET SP VERSION";

/// The method and the target of a request line, the target with every space that is not the first or
/// the last one. A byte that is not UTF-8 is replaced by a character that is not ASCII.
fn split(request_line: &[u8]) -> Option<(&[u8], String)> {
    let first = request_line.iter().position(|byte| *byte == b' ')?;
    let last = request_line.iter().rposition(|byte| *byte == b' ')?;
    let target = request_line.get(first + 1..last)?;
    Some((&request_line[..first], String::from_utf8_lossy(target).into_owned()))
}

impl AsyncRead for HeadTap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.head.keep(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeadTap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{RawHead, judge};

    #[test]
    fn the_target_comes_out_as_it_went_in() {
        let head = b"GET /ws/%77?q=%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(judge(head).unwrap(), "/ws/%77?q=%0d%0a");
        assert_eq!(judge(b"GET /w #s HTTP/1.1\r\n\r\n").unwrap(), "/w #s");
        assert_eq!(judge(b"GET  /ws HTTP/1.1\r\n\r\n").unwrap(), " /ws");
        assert_eq!(judge(b"GET /\xe9 HTTP/1.1\r\n\r\n").unwrap(), "/\u{fffd}");
    }

    #[test]
    fn a_target_that_the_library_refused_is_named() {
        for (head, detail) in [
            (&b"GET /w s HTTP/1.1\r\nHost"[..], "' ' at byte 3"),
            (b"GET /a`b HTTP/1.1\r\n", "'`' at byte 3"),
            (b"GET /\xff HTTP/1.1", "'\u{fffd}' at byte 2"),
            (b"GET http://127.1/ HTTP/1.1\r\n", "ends in a number"),
        ] {
            let raw = RawHead::default();
            raw.keep(head);
            let refusal = raw.refused_target().unwrap();
            assert!(refusal.detail.contains(detail), "{}", refusal.detail);
        }
        for head in [&b"GET /ws HTTP/1.1\r\nA B: c\r\n\r\n"[..], b"\x16\x03\x01", b""] {
            let raw = RawHead::default();
            raw.keep(head);
            assert_eq!(raw.refused_target(), None);
        }
    }

    #[test]
    fn what_a_library_would_fold_away_is_refused() {
        for (head, detail) in [
            ("GET HTTP/1.1\r\n\r\n", "METHOD SP TARGET"),
            ("GET\r\n\r\n", "METHOD SP TARGET"),
            ("GET /ws HTTP/1.1\nHost: a\r\n\r\n", "without CR LF"),
            ("GET /ws HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "folded"),
            (
                "GET /ws HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n",
                "more than once",
            ),
        ] {
            let error = judge(head.as_bytes()).unwrap_err();
            assert!(error.contains(detail), "{head:?}: {error}");
        }
    }

    #[test]
    fn the_copy_ends_with_the_head_however_it_arrives() {
        let stream = b"GET / HTTP/1.1\r\n\r\nearly";
        for cut in 0..stream.len() {
            let head = RawHead::default();
            head.keep(&stream[..cut]);
            head.keep(&stream[cut..]);
            assert!(head.is_complete());
            assert_eq!(head.judge().unwrap(), "/");
        }
    }

    #[test]
    fn empty_lines_before_the_request_are_no_head() {
        let head = RawHead::default();
        head.keep(b"\r\n\r\n");
        assert!(!head.is_complete());
        head.keep(b"\r");
        head.keep(b"\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!(head.judge().unwrap(), "/");
    }
}
