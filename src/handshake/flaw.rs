//! Finds flaws that no page can make a browser write into a head. A page chooses methods, targets,
//! cookies, subprotocols and, with DNS names of its own, the Host; it can also have a TLS record or
//! a STUN message sent to an HTTP port. So only a head with a readable request line is checked, and
//! those choices are no flaws.

use crate::values::is_token_byte;

/// Returns the first flaw of a head, which may be truncated.
#[must_use]
pub(super) fn flaw(head: &[u8]) -> Option<&'static str> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').take_while(|line| ends(line));
    let line = lines.next()?;
    let (method, rest) = split_at_byte(content(line), b' ')?;
    if method.is_empty() || !method.iter().all(|byte| is_token_byte(*byte)) {
        return None;
    }
    let target = rest.strip_suffix(b" HTTP/1.1")?;
    if target.is_empty() {
        return None;
    }
    if !line.ends_with(b"\r\n") {
        return Some("a line ends without CR LF");
    }
    let mut seen = Seen::default();
    for line in lines {
        if matches!(line, b"\r\n" | b"\n") {
            return if line == b"\n" {
                Some("a line ends without CR LF")
            } else {
                seen.judge_whole(method)
            };
        }
        if let Some(flaw) = seen.judge_line(line) {
            return Some(flaw);
        }
    }
    None
}

#[derive(Debug, Default)]
struct Seen<'a> {
    hosts: usize,
    lengths: Vec<&'a [u8]>,
    transfer_encoding: bool,
    upgrades: bool,
    controls: bool,
    keys: Vec<&'a [u8]>,
    versions: usize,
}

impl<'a> Seen<'a> {
    fn judge_line(&mut self, line: &'a [u8]) -> Option<&'static str> {
        if !line.ends_with(b"\r\n") {
            return Some("a line ends without CR LF");
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Some("a header field is folded over two lines");
        }
        let Some((name, value)) = split_at_byte(content(line), b':') else {
            return Some("a header field has no colon");
        };
        if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
            return Some("the name of a header field is no token");
        }
        let value = value.trim_ascii();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // Pages set cookies, and some browsers let control characters into them.
        self.controls |= !is("cookie") && value.iter().any(|byte| *byte < b' ' && *byte != b'\t');
        self.hosts += usize::from(is("host"));
        self.versions += usize::from(is("sec-websocket-version"));
        self.transfer_encoding |= is("transfer-encoding");
        self.upgrades |= is("upgrade") && value.eq_ignore_ascii_case(b"websocket");
        if is("content-length") {
            self.lengths.push(value);
        }
        if is("sec-websocket-key") {
            self.keys.push(value);
        }
        if self.hosts > 1 {
            return Some("there is more than one Host");
        }
        None
    }

    /// Finds missing and contradicting fields, which only a complete head can show.
    fn judge_whole(&self, method: &[u8]) -> Option<&'static str> {
        let digits = |length: &&[u8]| length.iter().all(u8::is_ascii_digit) && !length.is_empty();
        if self.hosts == 0 {
            Some("there is no Host")
        } else if self.lengths.len() > 1 || !self.lengths.iter().all(digits) {
            Some("Content-Length is not one number")
        } else if self.transfer_encoding && !self.lengths.is_empty() {
            Some("there are both Content-Length and Transfer-Encoding")
        } else if method == b"GET" && (self.transfer_encoding || self.lengths.iter().any(is_some)) {
            Some("a GET has a body")
        } else if self.upgrades && self.controls {
            // `fetch` allows most control characters in values, and a page's own name may resolve
            // to this address; but no script can set fields of a WebSocket handshake.
            Some("a field of a handshake has a control character")
        } else if self.upgrades
            && (self.versions != 1 || !matches!(*self.keys, [key] if is_key(key)))
        {
            Some("the handshake has not one version and one key of 16 bytes")
        } else {
            None
        }
    }
}

fn is_some(length: &&[u8]) -> bool {
    length.iter().any(|digit| *digit != b'0')
}

/// Whether the key is valid (RFC 6455 section 4.2.1 item 5).
fn is_key(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").unwrap_or_default();
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == b'/';
    digits.len() == 22 && digits.iter().all(base64)
}

fn ends(line: &[u8]) -> bool {
    line.ends_with(b"\n")
}

fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn split_at_byte(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use proptest::{collection, sample};

    use super::flaw;

    const HANDSHAKE: &str = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn get(fields: &str) -> Option<&'static str> {
        flaw(format!("GET /ws HTTP/1.1\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn heads_that_no_browser_sends_are_flawed() {
        assert_eq!(get(HANDSHAKE), None);
        for (from, to, found) in [
            ("Host: a\r\n", "Host: a\nX: b\r\n", "without CR LF"),
            ("Host: a\r\n", "Host: a\n", "without CR LF"),
            ("Host: a\r\n", "Host: a\r\n more\r\n", "folded"),
            ("Host: a\r\n", "Host: a\r\nHost: a\r\n", "more than one Host"),
            ("Host: a\r\n", "Host: a\r\nhost: b\r\n", "more than one Host"),
            ("Host: a\r\n", "", "no Host"),
            ("Host: a\r\n", "Host: a\r\nX\r\n", "no colon"),
            ("Host: a\r\n", "Host: a\r\nX : b\r\n", "no token"),
            ("Host: a\r\n", "Host: a\r\nX: b\0\r\n", "control character"),
            ("Host: a\r\n", "Host: a\r\nX: b\rY: c\r\n", "control character"),
            ("Host: a\r\n", "Host: a\r\nX: b\u{1}\r\n", "control character"),
            ("Host: a\r\n", "Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n", "one number"),
            ("Host: a\r\n", "Host: a\r\nContent-Length: +0\r\n", "one number"),
            ("Host: a\r\n", "Host: a\r\nContent-Length: 5\r\n", "a GET has a body"),
            ("Host: a\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n", "a GET has a body"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "one key"),
            ("Version: 13\r\n", "Version: 13\r\nSec-WebSocket-Version: 13\r\n", "one version"),
        ] {
            let flaw = get(&HANDSHAKE.replace(from, to)).unwrap_or_else(|| panic!("{to:?}"));
            assert!(flaw.contains(found), "{to:?}: {flaw}");
        }
        let both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(flaw(both).unwrap().contains("both"));
        assert!(flaw(b"GET /ws HTTP/1.1\nHost: a\r\n").is_some(), "found in a truncated head, too");
    }

    #[test]
    fn heads_that_a_page_can_cause_are_not_flawed() {
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n\r\n";
        let stun = b"\x00\x03\x00\x0c\x21\x12\xa4\x42\n\n\r\n\r\n";
        for bytes in [&tls[..], stun, b"", b"\n", b"\r\n\r\n", b"GET / HTTP/1.0\n\n", b"GET /\n\n"]
        {
            assert_eq!(flaw(bytes), None, "{bytes:?}");
        }
        for fields in [
            "Host: a_b*\r\n",
            "Host: a.\r\n",
            "Host: \u{e4}\r\n",
            "Host: a\r\nCookie: s=\u{1}\u{e9};;=\r\n",
            "Host: a\r\nUpgrade: h2c\r\n",
            "Host: a\r\nX: \u{e9}\t.\r\n",
            "Host: a\r\nX: b\u{1}\r\n",
        ] {
            assert_eq!(get(fields), None, "{fields:?}");
        }
    }

    proptest! {
        /// None of the parts that a page chooses makes its browser's head flawed.
        #[test]
        fn no_head_of_a_page_is_flawed(
            method in sample::select(vec!["GET", "HEAD", "POST", "OPTIONS", "patch", "X!"]),
            target in "[!-~\u{80}-\u{ff}]{1,40}",
            host in "[!-9;-~]{1,20}(:[0-9]{1,5})?",
            subprotocol in "[!-~ ]{0,40}",
            cookie in collection::vec(any::<u8>(), 0..40),
            body in any::<u16>(),
        ) {
            use proptest::prop_assert_eq;
            let body = if ["GET", "HEAD"].contains(&method) { 0 } else { body };
            let mut head = format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {body}\r\n\
                 Origin: null\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Protocol: {subprotocol}\r\nCookie: "
            ).into_bytes();
            head.extend(cookie.iter().filter(|byte| !b"\r\n".contains(byte)));
            head.extend_from_slice(b"\r\n\r\n");
            prop_assert_eq!(flaw(&head), None);
            for cut in 0..head.len() {
                prop_assert_eq!(flaw(&head[..cut]), None);
            }
        }
    }
}
