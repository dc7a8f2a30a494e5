//! Detects the protocol of a peer from the first bytes of its connection if it is not the expected
//! one, so that the log can say which setting to change.

/// The longest prefix that is checked.
const ENOUGH: usize = 16;

/// The first bytes of a connection, as far as they have arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FirstBytes {
    bytes: [u8; ENOUGH],
    length: usize,
}

/// A protocol that can be recognised by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// A TLS record (RFC 8446 section 5.1).
    Tls,
    /// A PROXY protocol header, version 1 or 2.
    ProxyHeader,
    /// A request of HTTP/1 (RFC 9112 section 3).
    HttpRequest,
    /// An HTTP/1 response (RFC 9112 section 4).
    HttpAnswer,
    /// The preface of an HTTP/2 client, or the SETTINGS frame with which an HTTP/2 server starts
    /// (RFC 9113 section 3.4).
    Http2,
}

impl FirstBytes {
    /// Adds bytes that were read, until the prefix is complete.
    pub(crate) fn note(&mut self, read: &[u8]) {
        let more = read.len().min(ENOUGH - self.length);
        self.bytes[self.length..self.length + more].copy_from_slice(&read[..more]);
        self.length += more;
    }

    /// The protocol that the peer speaks, if recognised.
    pub(crate) fn spoken(&self) -> Option<Spoken> {
        let first = &self.bytes[..self.length];
        if matches!(first, [0x14..=0x17, 3, 0..=4, ..]) {
            Some(Spoken::Tls)
        } else if first.starts_with(b"PROXY ") || first.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
            Some(Spoken::ProxyHeader)
        } else if first.starts_with(b"HTTP/") {
            Some(Spoken::HttpAnswer)
        } else if first.starts_with(b"PRI * HTTP/2.0") || is_settings(first) {
            Some(Spoken::Http2)
        } else if is_request(first) {
            Some(Spoken::HttpRequest)
        } else {
            None
        }
    }
}

/// A SETTINGS frame: a 24-bit length below 256, type 4, no flags but ACK, stream 0.
fn is_settings(first: &[u8]) -> bool {
    matches!(first, [0, 0, _, 4, 0 | 1, 0, 0, 0, 0, ..])
}

/// A method: letters, then a space.
fn is_request(first: &[u8]) -> bool {
    let letters = first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    letters > 0 && first.get(letters) == Some(&b' ')
}

#[cfg(test)]
mod tests {
    use super::{FirstBytes, Spoken};

    fn spoken(bytes: &[u8]) -> Option<Spoken> {
        let mut first = FirstBytes::default();
        for byte in bytes {
            first.note(&[*byte]);
        }
        let mut whole = FirstBytes::default();
        whole.note(bytes);
        assert_eq!(first.spoken(), whole.spoken(), "independent of the sizes of the reads");
        whole.spoken()
    }

    #[test]
    fn protocols_are_known_by_their_first_bytes() {
        for (bytes, known) in [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), Some(Spoken::Tls)),
            (b"\x15\x03\x03\x00\x02\x02\x46", Some(Spoken::Tls)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Some(Spoken::ProxyHeader)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Some(Spoken::ProxyHeader)),
            (b"GET / HTTP/1.1\r\n", Some(Spoken::HttpRequest)),
            (b"PROPFIND / HTTP/1.1\r\n", Some(Spoken::HttpRequest)),
            (b"HTTP/1.1 400 Bad Request\r\n", Some(Spoken::HttpAnswer)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Spoken::Http2)),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(Spoken::Http2)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", None),
            (b"220 mail.example ESMTP\r\n", None),
            (b"\r\n\r\nGET / HTTP/1.1", None),
            (b"PROX", None),
            (b"", None),
        ] {
            assert_eq!(spoken(bytes), known, "{}", bytes.escape_ascii());
        }
    }
}
