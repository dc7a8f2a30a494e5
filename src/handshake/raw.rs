//! Keeps the request head byte for byte. An HTTP library hides details that must be refused (a
//! fragment in the target, a repeated Content-Length, bare line feeds), so they are checked on the
//! raw bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunks::Chunks;
use super::flaw::flaw;
use super::heads::{HeadFault, HeadLimits, HeadShare};
use super::target::Target;
use super::written::Written;
use crate::tls::transport::Transport;
use crate::values::spoken::{FirstBytes, Spoken};
use crate::values::tight;
use crate::values::{Reason, Refusal, RequestSummary};

/// The largest request head in bytes if `[server] max_head` is not set.
pub const MAX_HEAD: usize = 64 * 1024;
/// No more is read behind a head, until it is answered, once this many bytes are kept.
const MAX_BEHIND: usize = 16 * 1024;

/// A stream that keeps a copy of the next head read from it. The HTTP library reads that head and its body, and no
/// byte behind them: those bytes belong to the session, or to the next request.
#[derive(Debug)]
pub struct HeadTap {
    stream: Transport,
    head: RawHead,
    /// How much of a gathered head the reader has received; `None` if it has all, or none was
    /// gathered.
    given: Option<usize>,
    /// The bytes after the gathered head.
    behind: Vec<u8>,
    /// The part of the request's body that the reader has not received.
    body: BodyLeft,
    /// The error with which the stream failed while gathering.
    failed: Option<io::Error>,
    /// Whether the answer to the head was written to its end.
    written: Written,
}

/// The part of a request's body that has not been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyLeft {
    /// This many bytes.
    Bytes(u64),
    /// Unknown: the body is chunked, and the HTTP library finds its end. It may read more bytes than the body has,
    /// so that the connection cannot carry another request.
    Chunked(Chunks),
}

/// The copied head, shared with its checks. At most [`MAX_HEAD`] bytes and one read beyond.
#[derive(Debug, Clone, Default)]
pub struct RawHead(Arc<Mutex<Copied>>);

#[derive(Debug)]
struct Copied {
    bytes: Vec<u8>,
    /// Whether a byte was read.
    begun: bool,
    /// The position after the empty line that ends the head.
    end: Option<usize>,
    /// The first bytes of the connection, including empty lines.
    first: FirstBytes,
    /// The limit of the kept bytes.
    most: usize,
    /// The number of line ends in the first `counted` bytes.
    lines: usize,
    counted: usize,
}

impl HeadTap {
    /// Copies the bytes read from `stream` until a head is complete. `early` are bytes that were read from
    /// it before.
    #[must_use]
    pub fn new(stream: Transport, early: Vec<u8>) -> Self {
        let head = RawHead::default();
        let written = Written::default();
        let body = BodyLeft::Bytes(0);
        Self { stream, head, given: None, behind: early, body, failed: None, written }
    }

    /// The copied head.
    #[must_use]
    pub fn head(&self) -> &RawHead {
        &self.head
    }

    /// Whether the answer to the head was written to its end.
    #[must_use]
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Waits for the first byte of the next head. Returns `false` if the stream ends without one.
    pub async fn awaken(&mut self) -> bool {
        let awoken = poll_fn(|cx| {
            let ended = self.poll_behind(cx);
            if self.behind.is_empty() { ended } else { Poll::Ready(Ok(())) }
        });
        awoken.await.is_ok() && !self.behind.is_empty()
    }

    /// Whether the next byte of the stream belongs to the next request: the whole body was read, and no more.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.body == BodyLeft::Bytes(0)
    }

    /// Returns the inner stream, and the bytes after the head.
    #[must_use]
    pub fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.stream, self.behind)
    }

    /// Reads a whole head, which the HTTP library then receives at once: the library would hold
    /// larger buffers while it waits. Bytes that the library refuses at their beginning, and a head
    /// cut short by the end of the stream, are handed to it as they are.
    ///
    /// # Errors
    /// The head is too large, or `share` has no room for it.
    pub async fn gather(
        &mut self,
        limits: HeadLimits,
        share: &mut HeadShare,
    ) -> Result<(), HeadFault> {
        self.head.locked().most = limits.bytes;
        self.head.keep(&std::mem::take(&mut self.behind));
        if self.failed.is_none() && !self.head.locked().check(limits, share)? {
            poll_fn(|cx| self.poll_gather(cx, limits, share)).await?;
        }
        let mut copied = self.head.locked();
        if let Some(end) = copied.end {
            self.behind = copied.bytes.split_off(end);
            self.body = body_of(&copied.bytes);
        }
        self.given = Some(0);
        Ok(())
    }

    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        share: &mut HeadShare,
    ) -> Poll<Result<(), HeadFault>> {
        let Self { stream, head, failed, .. } = self;
        loop {
            let lent = stream.poll_few(cx, |_, bytes| {
                head.keep(bytes);
                head.locked().check(limits, share)
            });
            match ready!(lent) {
                Ok(Some(Ok(false))) => {}
                Ok(Some(outcome)) => return Poll::Ready(outcome.map(drop)),
                // The library then reads the end of the stream itself.
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => {
                    *failed = Some(error);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Copies gathered bytes to `buf`; returns whether there were any.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let before = buf.filled().len();
        if let Some(given) = self.given {
            let copied = self.head.locked();
            let head = &copied.bytes[..copied.end.unwrap_or(copied.bytes.len())];
            let rest = head.get(given..).unwrap_or_default();
            let taken = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..taken]);
            self.given = (taken < rest.len()).then_some(given + taken);
        }
        buf.filled().len() > before
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.give(buf) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if self.head.is_complete() {
            return match self.body {
                BodyLeft::Bytes(0) => self.poll_behind(cx),
                _ => self.poll_body(cx, buf),
            };
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.head.keep(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }

    /// Copies bytes of the body to `buf`.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let most = match self.body {
            BodyLeft::Bytes(left) => room.min(usize::try_from(left).unwrap_or(room)),
            BodyLeft::Chunked(_) => room,
        };
        let before = buf.filled().len();
        if !self.behind.is_empty() {
            let taken = self.behind.len().min(most);
            buf.put_slice(&self.behind[..taken]);
            self.behind.drain(..taken);
        } else if most == room {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
        }
        let read = &buf.filled()[before..];
        Poll::Ready(match &mut self.body {
            BodyLeft::Bytes(left) => {
                *left -= read.len() as u64;
                Ok(())
            }
            BodyLeft::Chunked(chunks) => chunks
                .check(read)
                .map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed)),
        })
    }

    /// Reads on behind the request, up to a bound, so that the end of the stream is seen while the request is
    /// answered. Ready when the stream has ended.
    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, behind, .. } = self;
        while behind.len() < MAX_BEHIND {
            let lent = stream.poll_few(cx, |_, bytes| tight::extend(behind, bytes));
            if ready!(lent)?.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }
}

impl RawHead {
    /// Whether the whole head was read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.locked().end.is_some()
    }

    /// The protocol that the client speaks, if its first bytes show one.
    pub(crate) fn spoken(&self) -> Option<Spoken> {
        self.locked().first.spoken()
    }

    /// Checks a complete head and returns its request target (RFC 9112 section 3) in its original
    /// spelling.
    pub fn judge(&self) -> Result<String, Refusal> {
        let copied = self.locked();
        judge(copied.bytes.get(..copied.end.unwrap_or(0)).unwrap_or_default())
            .map_err(|detail| Refusal::new(Reason::HandshakeMalformed, detail))
    }

    /// The flaw in the request target of a head that the HTTP library refused; `None` if it refused
    /// another part.
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

    /// Whether the head has a flaw that no browser writes, for any page.
    #[must_use]
    pub fn is_forged(&self) -> bool {
        flaw(&self.locked().bytes).is_some()
    }

    /// Summarizes a head that is not a valid request.
    #[must_use]
    pub fn summary(&self) -> RequestSummary {
        RequestSummary::of_raw(&self.locked().bytes)
    }

    /// Frees the copy, once the request is known to be well-formed.
    pub fn release(&self) {
        self.locked().bytes = Vec::new();
    }

    fn keep(&self, bytes: &[u8]) {
        let mut copied = self.locked();
        copied.begun |= !bytes.is_empty();
        if copied.end.is_some() || copied.bytes.len() > copied.most {
            return;
        }
        copied.first.note(bytes);
        let searched = copied.bytes.len().saturating_sub(3);
        tight::extend(&mut copied.bytes, bytes);
        // RFC 9112 section 2.2: empty lines may precede the request line.
        let empty = copied.bytes.chunks(2).take_while(|line| *line == b"\r\n").count();
        copied.bytes.drain(..2 * empty);
        let searched = searched.min(copied.bytes.len());
        let found = copied.bytes[searched..].windows(4).position(|end| end == b"\r\n\r\n");
        copied.end = found.map(|position| searched + position + 4);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Copied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Copied {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            begun: false,
            first: FirstBytes::default(),
            end: None,
            most: MAX_HEAD,
            lines: 0,
            counted: 0,
        }
    }
}

impl Copied {
    /// Checks the bytes that came since the last call; returns whether reading can stop.
    fn check(&mut self, limits: HeadLimits, share: &mut HeadShare) -> Result<bool, HeadFault> {
        let length = self.end.unwrap_or(self.bytes.len());
        let mut over = self.end.is_some();
        let start = self.counted.min(length);
        for at in (start..length).filter(|at| self.bytes[*at] == b'\n') {
            let line = &self.bytes[..at];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // An empty line ends a head, also with bare line feeds, which are refused later.
            over |= line.ends_with(b"\n");
            over |= self.lines == 0 && !is_request_line(line);
            self.lines += 1;
        }
        over |= self.lines == 0 && self.bytes[start..length].iter().any(|byte| is_noise(*byte));
        self.counted = length;
        // Neither the request line nor the empty line is a field.
        let fields = self.lines.saturating_sub(1 + usize::from(self.end.is_some()));
        if length > limits.bytes {
            return Err(HeadFault::Bytes(limits.bytes));
        }
        if fields > limits.fields {
            return Err(HeadFault::Fields(limits.fields));
        }
        share.cover(self.bytes.len())?;
        Ok(over)
    }
}

/// The length of the body that the fields of a head announce. A head whose fields are in doubt is refused by its
/// checks, and its connection closed.
fn body_of(head: &[u8]) -> BodyLeft {
    let mut body = BodyLeft::Bytes(0);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return BodyLeft::Chunked(Chunks::default());
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = parts.next().unwrap_or_default().trim_ascii();
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            body = BodyLeft::Bytes(length.unwrap_or(u64::MAX));
        }
    }
    body
}

/// Whether the first line is a request line; if not, reading stops.
fn is_request_line(line: &[u8]) -> bool {
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// Whether the byte cannot occur in a request line. TLS and other binary protocols start with such
/// bytes.
fn is_noise(byte: u8) -> bool {
    (byte < b' ' && byte != b'\r') || byte == 0x7f
}

/// Returns the target, or the flaw of the head.
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
    let (mut lengths, mut codings) = (0, 0);
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err("a header field is folded over two lines");
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        lengths += usize::from(name.eq_ignore_ascii_case(b"content-length"));
        codings += usize::from(name.eq_ignore_ascii_case(b"transfer-encoding"));
    }
    if lengths > 1 {
        return Err("Content-Length is given more than once");
    }
    // The HTTP library takes the length out of such a head.
    if lengths > 0 && codings > 0 {
        return Err("there are both Content-Length and Transfer-Encoding");
    }
    let (_, target) = split(request_line).ok_or(REQUEST_LINE)?;
    Ok(target)
}

const REQUEST_LINE: &str = "the request line is not METHOD SP TARGET SP VERSION";

/// Splits a request line into the method and the target; the target keeps all spaces between the
/// first and the last one. Bytes that are not UTF-8 are replaced by a character that is not ASCII.
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
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.poll_next(cx, buf);
        this.written.read(&read, this.behind.len() < MAX_BEHIND);
        read
    }
}

impl AsyncWrite for HeadTap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written.wrote(&wrote);
        wrote
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.written.flushed(&flushed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::super::heads::{HeadBudget, HeadFault, HeadLimits};
    use super::{HeadTap, Transport};

    const LIMITS: HeadLimits = HeadLimits { bytes: 100, fields: 3 };

    /// Gathers the sent bytes and reads all of them again.
    async fn gather(sent: &[u8], open: bool) -> Result<(bool, Vec<u8>), HeadFault> {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut tap = HeadTap::new(Transport::Unix(server), Vec::new());
        let head = tap.head().clone();
        let mut share = HeadBudget::new(0, 0).share(None);
        client.write_all(sent).await.unwrap();
        let kept = open.then_some(client);
        tap.gather(LIMITS, &mut share).await?;
        drop(kept);
        let mut seen = Vec::new();
        tap.read_to_end(&mut seen).await.unwrap();
        seen.extend(tap.into_parts().1);
        Ok((head.is_complete(), seen))
    }

    #[tokio::test]
    async fn a_whole_head_is_given_on_with_what_came_behind_it() {
        let sent = b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\nbehind";
        assert_eq!(gather(sent, true).await, Ok((true, sent.to_vec())));
    }

    #[tokio::test]
    async fn what_no_request_begins_with_and_what_ends_is_not_waited_for() {
        for sent in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"HELO example\r\n",
            b"GET / HTTP/3.0\r\n",
            b"GET / HTTP/1.1\nA: 1\n\n",
            b"GET / HTTP/1.1\r\nA: 1\n\r\n",
        ] {
            assert_eq!(gather(sent, true).await, Ok((false, sent.to_vec())));
        }
        let part = b"GET / HTTP/1.1\r\nA:";
        assert_eq!(gather(part, false).await, Ok((false, part.to_vec())));
        assert_eq!(gather(b"", false).await, Ok((false, Vec::new())));
    }

    #[tokio::test]
    async fn a_head_has_a_bound_to_the_byte_and_to_the_field() {
        let head = |fields: usize, bytes: usize| {
            let mut head = b"GET / HTTP/1.1\r\n".to_vec();
            head.extend(b"A: 1\r\n".repeat(fields - 1));
            let filler = bytes - head.len() - b"A: \r\n\r\n".len();
            head.extend([&b"A: "[..], &vec![b'x'; filler], b"\r\n\r\n"].concat());
            head
        };
        for early in [0, 200] {
            let with = |head: Vec<u8>| [head, vec![b'x'; early]].concat();
            assert!(gather(&with(head(3, 100)), true).await.unwrap().0);
            assert_eq!(gather(&with(head(3, 101)), true).await, Err(HeadFault::Bytes(100)));
            assert_eq!(gather(&with(head(4, 90)), true).await, Err(HeadFault::Fields(3)));
        }
        // Refused before the head ends.
        assert_eq!(gather(&head(1, 120)[..110], true).await, Err(HeadFault::Bytes(100)));
        assert_eq!(gather(&head(6, 90)[..80], true).await, Err(HeadFault::Fields(3)));
    }

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
