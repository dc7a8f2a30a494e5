//! Keeps the letter case of field names. HTTP/1.1 ignores the case (RFC 9110 section 5.1), but
//! chargers, game clients and small servers compare it. The fields of RFC 6455 and those that the
//! gateway sets have one spelling, and every other field keeps the case it came with.
//!
//! hyper keeps the case of a head in an extension of its own ([`Letters`]), which can be moved from
//! a request to a request and from an answer to an answer, but not set. [`Respelled`] therefore
//! changes the case in the head that hyper writes; lengths stay the same.

use std::io::{self, BufRead};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Extensions, HeaderName};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The spelling of the fields of RFC 6455, and of those that the gateway sets itself.
const SPELLED: [&str; 18] = [
    "Connection",
    "Host",
    "Origin",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "Upgrade",
    "Client-Cert",
    "Client-Cert-Chain",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-Id",
];

/// hyper's spelling of a field that the gateway sets, and the right one. Only hyper's spelling is
/// replaced, since an application's answer may spell the field in another way.
const RESPELLED: (&[u8], &[u8]) = (b"Www-Authenticate", b"WWW-Authenticate");

/// The letter case of the names in a head, as hyper keeps it.
#[derive(Debug, Clone, Default)]
pub struct Letters(Extensions);

/// Names of fields that the gateway spells itself, in addition to those of RFC 6455.
#[derive(Debug, Clone, Default)]
pub struct Spelling(Vec<String>);

impl Letters {
    /// Takes the letters out of the extensions of a message that hyper read.
    #[must_use]
    pub fn take(extensions: &mut Extensions) -> Self {
        let mut letters = std::mem::take(extensions);
        letters.remove::<OnUpgrade>();
        letters.remove::<ReasonPhrase>();
        Self(letters)
    }

    /// Adds them to the extensions of a message that hyper will write.
    pub fn give(self, extensions: &mut Extensions) {
        extensions.extend(self.0);
    }
}

impl Spelling {
    /// Spells these names with a capital letter at the start of each word.
    #[must_use]
    pub fn of<'a>(names: impl Iterator<Item = &'a HeaderName>) -> Self {
        Self(names.map(capitalized).collect())
    }
}

fn capitalized(name: &HeaderName) -> String {
    let mut begins = true;
    let letter = |letter: char| {
        let begun = std::mem::replace(&mut begins, letter == '-');
        if begun { letter.to_ascii_uppercase() } else { letter }
    };
    name.as_str().chars().map(letter).collect()
}

/// A stream that respells the first head written to it. The head must come in a single write, as
/// hyper writes it; that write is kept until it is sent.
#[derive(Debug)]
pub struct Respelled<S> {
    stream: S,
    spelling: Spelling,
    head: Head,
}

#[derive(Debug)]
enum Head {
    /// Nothing has been written yet.
    Awaited,
    /// The first write, respelled, and how much of it is sent.
    Sending { bytes: Vec<u8>, sent: usize },
    /// The first write is sent.
    Sent,
}

impl<S> Respelled<S> {
    /// Respells the head that is written to `stream`.
    #[must_use]
    pub fn new(stream: S, spelling: Spelling) -> Self {
        Self { stream, spelling, head: Head::Awaited }
    }

    /// Returns the inner stream.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// Respells the field names of a head, which has a start line and fields.
fn respell(message: &mut [u8], spelling: &Spelling) {
    const END: &[u8] = b"\r\n\r\n";
    // Most heads have no body behind them.
    if !message.ends_with(END) && !message.windows(END.len()).any(|bytes| bytes == END) {
        return;
    }
    let mut next = line_length(message);
    loop {
        let length = line_length(&message[next..]);
        let line = &mut message[next..next + length];
        next += length;
        if matches!(&*line, b"" | b"\r\n") {
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = &mut line[..colon];
        let fixed = SPELLED.iter().copied().chain(spelling.0.iter().map(String::as_str));
        let mut fixed = fixed.map(str::as_bytes);
        if let Some(spelled) = fixed.find(|spelled| spelled.eq_ignore_ascii_case(name)) {
            name.copy_from_slice(spelled);
        } else if name == RESPELLED.0 {
            name.copy_from_slice(RESPELLED.1);
        }
    }
}

/// The length of the first line, with its end.
fn line_length(mut bytes: &[u8]) -> usize {
    bytes.skip_until(b'\n').unwrap_or(bytes.len())
}

impl<S: AsyncRead + Unpin> AsyncRead for Respelled<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Respelled<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if matches!(this.head, Head::Awaited) {
            let mut bytes = buf.to_vec();
            respell(&mut bytes, &this.spelling);
            this.head = Head::Sending { bytes, sent: 0 };
        }
        let Head::Sending { bytes, sent } = &mut this.head else {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        };
        // The caller writes the unsent rest again, which has the same length in both spellings.
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &bytes[*sent..]))?;
        *sent += written;
        if *sent == bytes.len() {
            this.head = Head::Sent;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Respelled, Spelling};

    const WRITTEN: &[u8] = b"GET /Sec-Websocket-Key:HOST HTTP/1.1\r\nhost: HOST: a\r\n\
        Sec-Websocket-Key: Sec-Websocket-Key:\r\nX-camelCase-ID: 1\r\nx-real-ip: 2\r\n\
        X-USER-ID: 3\r\nWww-Authenticate: 4\r\nwww-authenticate: 5\r\n\r\nhost: body\r\n\r\n";
    const SENT: &[u8] = b"GET /Sec-Websocket-Key:HOST HTTP/1.1\r\nHost: HOST: a\r\n\
        Sec-WebSocket-Key: Sec-Websocket-Key:\r\nX-camelCase-ID: 1\r\nX-Real-IP: 2\r\n\
        X-User-Id: 3\r\nWWW-Authenticate: 4\r\nwww-authenticate: 5\r\n\r\nhost: body\r\n\r\n";

    /// Writes `WRITTEN` and `more` to a peer that reads at most `most` bytes at once; returns the
    /// bytes that arrive.
    async fn sent(most: usize, more: &[u8]) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(most);
        let names = [HeaderName::from_static("x-user-id")];
        let mut stream = Respelled::new(near, Spelling::of(names.iter()));
        let mut arrived = Vec::new();
        let write = async {
            stream.write_all(WRITTEN).await.unwrap();
            stream.write_all(more).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let ((), read) = tokio::join!(write, far.read_to_end(&mut arrived));
        read.unwrap();
        arrived
    }

    #[tokio::test]
    async fn names_of_the_first_head_get_their_letters_and_nothing_else_changes() {
        for most in [1, 7, 64, 4096] {
            let more = b"host: later\r\n\r\n";
            assert_eq!(sent(most, more).await, [SENT, more].concat(), "{most} bytes at once");
        }
    }

    #[test]
    fn bytes_that_are_no_head_are_unchanged() {
        for text in ["", "\r\n", "host", "GET / HTTP/1.1\r\nhost: a\r\n"] {
            let mut bytes = text.as_bytes().to_vec();
            super::respell(&mut bytes, &Spelling::default());
            assert_eq!(bytes, text.as_bytes());
        }
    }
}
