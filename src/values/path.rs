//! The path part of a route, and the canonical form in which paths are compared.

use std::fmt::Write as _;

/// The reason why a path has no canonical form. Another server could read such a path differently
/// than this gateway, so every route refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not start with `/`.
    #[error("the path does not start with /")]
    Relative,
    /// A character that RFC 3986 section 3.3 does not allow in a path.
    #[error("the path has {character:?} at byte {place}, which must be percent-encoded")]
    Character {
        /// The first such character.
        character: char,
        /// Where it is, counted from 1, as in the other variants.
        place: usize,
    },
    /// `%` without two hexadecimal digits.
    #[error("the path has a % at byte {place} that two hexadecimal digits do not follow")]
    Escape {
        /// The position of the `%`.
        place: usize,
    },
    /// A percent-encoded slash, backslash or control character.
    #[error("the path has a percent-encoded slash, backslash or control character at byte {place}")]
    Encoded {
        /// The position of the `%`.
        place: usize,
    },
    /// Two slashes in a row.
    #[error("the path has // at byte {place}")]
    Empty {
        /// The position of the second slash.
        place: usize,
    },
    /// A segment that is, or decodes to, `.` or `..`.
    #[error("the path has the segment . or .. at byte {place}")]
    Dots {
        /// The position at which the segment starts.
        place: usize,
    },
    /// `;`, which some servers cut off as a parameter.
    #[error("the path has a ; at byte {place}")]
    Parameter {
        /// The position of the `;` or of its `%`.
        place: usize,
    },
}

/// The canonical form of a request's path, without its query: unreserved characters decoded, the
/// digits of other escapes in upper case (RFC 3986 section 6.2.2). Used only for comparing; the
/// path is forwarded as it came.
pub fn canonical_path(path: &str) -> Result<String, PathError> {
    normalized(path, true)
}

/// The canonical form. If the path need not have one reading alone, `//`, `;` and escapes of `/` and `;` stay in it.
fn normalized(path: &str, is_strict: bool) -> Result<String, PathError> {
    let mut canonical = String::with_capacity(path.len());
    let mut bytes = path.bytes().zip(1..);
    if bytes.next().map(|(byte, _)| byte) != Some(b'/') {
        return Err(PathError::Relative);
    }
    canonical.push('/');
    let mut segment = Segment { place: 2, start: 1 };
    while let Some((byte, place)) = bytes.next() {
        match byte {
            b'/' if is_strict && segment.text(&canonical).is_empty() => {
                return Err(PathError::Empty { place });
            }
            b'/' => {
                segment.check(&canonical)?;
                canonical.push('/');
                segment = Segment { place: place + 1, start: canonical.len() };
            }
            b'%' => {
                let mut digit = || bytes.next().map(|(byte, _)| byte);
                push_escape(&mut canonical, place, [digit(), digit()], is_strict)?;
            }
            b';' if is_strict => return Err(PathError::Parameter { place }),
            b';' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b'=' => {
                canonical.push(char::from(byte));
            }
            _ if is_unreserved(byte) => canonical.push(char::from(byte)),
            // All bytes before this one are ASCII, so that a character starts here.
            _ => {
                let character = path[place - 1..].chars().next().unwrap_or_default();
                return Err(PathError::Character { character, place });
            }
        }
    }
    segment.check(&canonical)?;
    Ok(canonical)
}

/// A path that servers read in different ways: they may merge `//`, cut off `;` and what follows it in a segment, decode
/// an escaped slash or `;`, and take `//` at the beginning for the mark of a host (RFC 3986 section 4.2), as URL parsers
/// do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmbiguousPath {
    /// The first part with several readings.
    pub fault: PathError,
    /// Every form in which a server may compare the path. In the first, nothing is merged, cut off or decoded.
    pub readings: Vec<String>,
}

impl AmbiguousPath {
    /// The readings of a path for which [`canonical_path`] gave `fault`.
    ///
    /// # Errors
    /// The path has another fault, or the segment `.` or `..` in one of its readings.
    pub fn new(path: &str, fault: PathError) -> Result<Self, PathError> {
        let literal = normalized(path, false)?;
        let mut readings = Vec::new();
        for choice in 0_u8..32 {
            let may = |bit: u8| choice & (1 << bit) != 0;
            let mut reading = literal.clone();
            for (bit, escape, byte) in [(0, "%2F", "/"), (1, "%3B", ";")] {
                if may(bit) {
                    reading = reading.replace(escape, byte);
                }
            }
            if may(2) {
                let uncut =
                    |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
                reading = reading.split('/').map(uncut).collect::<Vec<_>>().join("/");
            }
            if may(4)
                && let Some(rest) = reading.strip_prefix("//")
            {
                reading = format!("/{}", rest.split_once('/').unwrap_or_default().1);
            }
            while may(3) && reading.contains("//") {
                reading = reading.replace("//", "/");
            }
            if reading.split('/').any(|segment| matches!(segment, "." | "..")) {
                return Err(fault);
            }
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
        Ok(Self { fault, readings })
    }
}

/// The segment that the parser is in.
struct Segment {
    /// Where the segment starts in the original path, counted from 1.
    place: usize,
    /// Where the segment starts in the canonical form.
    start: usize,
}

impl Segment {
    fn text<'a>(&self, canonical: &'a str) -> &'a str {
        &canonical[self.start..]
    }

    fn check(&self, canonical: &str) -> Result<(), PathError> {
        match self.text(canonical) {
            "." | ".." => Err(PathError::Dots { place: self.place }),
            _ => Ok(()),
        }
    }
}

fn push_escape(
    canonical: &mut String,
    place: usize,
    digits: [Option<u8>; 2],
    is_strict: bool,
) -> Result<(), PathError> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let [Some(high), Some(low)] = digits.map(digit) else {
        return Err(PathError::Escape { place });
    };
    // Two hexadecimal digits: at most 255.
    let decoded = u8::try_from(high * 16 + low).map_err(|_| PathError::Escape { place })?;
    match decoded {
        b'/' | b';' if !is_strict => {
            // Writing to a String cannot fail.
            let _ = write!(canonical, "%{decoded:02X}");
            Ok(())
        }
        b'/' | b'\\' | 0..0x20 | 0x7f => Err(PathError::Encoded { place }),
        b';' => Err(PathError::Parameter { place }),
        _ if is_unreserved(decoded) => {
            canonical.push(char::from(decoded));
            Ok(())
        }
        _ => {
            // Writing to a String cannot fail.
            let _ = write!(canonical, "%{decoded:02X}");
            Ok(())
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{AmbiguousPath, PathError, canonical_path};

    #[test]
    fn equal_paths_have_one_form() {
        assert_eq!(canonical_path("/%77s/%7Ea%e4").unwrap(), "/ws/~a%E4");
        assert_eq!(canonical_path("/a/%5bid%5D").unwrap(), "/a/%5Bid%5D");
        assert_eq!(canonical_path("/").unwrap(), "/");
        assert_eq!(canonical_path("/ws/").unwrap(), "/ws/");
    }

    #[test]
    fn a_path_that_another_server_could_read_otherwise_is_refused() {
        let character = |character, place| PathError::Character { character, place };
        for (path, error) in [
            ("ws", PathError::Relative),
            ("", PathError::Relative),
            ("/a b", character(' ', 3)),
            ("/a#b", character('#', 3)),
            ("/a\\b", character('\\', 3)),
            ("/a?b", character('?', 3)),
            ("/%61|", character('|', 5)),
            ("/a/\"", character('"', 4)),
            ("/\u{e4}", character('\u{e4}', 2)),
            ("/a%", PathError::Escape { place: 3 }),
            ("/a%2", PathError::Escape { place: 3 }),
            ("/a%+1", PathError::Escape { place: 3 }),
            ("/a%zz", PathError::Escape { place: 3 }),
            ("/a%2fb", PathError::Encoded { place: 3 }),
            ("/%61%5Cb", PathError::Encoded { place: 5 }),
            ("/a%00", PathError::Encoded { place: 3 }),
            ("/a%0d%0a", PathError::Encoded { place: 3 }),
            ("/a/../b", PathError::Dots { place: 4 }),
            ("/%61/%2e%2E/b", PathError::Dots { place: 6 }),
            ("/./a", PathError::Dots { place: 2 }),
            ("/a/..", PathError::Dots { place: 4 }),
            ("//a", PathError::Empty { place: 2 }),
            ("//", PathError::Empty { place: 2 }),
            ("/%61//b", PathError::Empty { place: 6 }),
            ("/a;b=c", PathError::Parameter { place: 3 }),
            ("/a%3bb", PathError::Parameter { place: 3 }),
        ] {
            assert_eq!(canonical_path(path), Err(error), "{path}");
        }
        assert_eq!(canonical_path("/..a/.b/c."), Ok("/..a/.b/c.".to_owned()));
    }

    #[test]
    fn an_ambiguous_path_has_all_its_readings() {
        let read = |path| AmbiguousPath::new(path, canonical_path(path).unwrap_err());
        for (path, readings) in [
            ("//a", &["//a", "/a", "/"][..]),
            ("//a/b", &["//a/b", "/a/b", "/b"]),
            ("/%2fa//b", &["/%2Fa//b", "//a//b", "/%2Fa/b", "/a/b", "//b", "/b"]),
            ("/%61//", &["/a//", "/a/"]),
            ("/a;b=%7e/c", &["/a;b=~/c", "/a/c"]),
            ("/a%2fb", &["/a%2Fb", "/a/b"]),
            ("/a%3bb", &["/a%3Bb", "/a;b", "/a"]),
            ("/a/;b/c", &["/a/;b/c", "/a//c", "/a/c"]),
            ("/a%2f;b", &["/a%2F;b", "/a/;b", "/a%2F", "/a/"]),
            ("/a%252f//", &["/a%252f//", "/a%252f/"]),
        ] {
            assert_eq!(read(path).unwrap().readings, readings, "{path}");
        }
        for path in [
            "/a;/../b",
            "/a/..;x/b",
            "/a%2f..%2Fb",
            "/a/.%3B/b",
            "//..",
            "/a//.",
            "/..%2f",
            "/%2e%2e//",
            "/a//%5cb",
            "/a;%00",
            "/a//%4",
            "/a;b c",
            "a//b",
            "/a\\b",
            "/a%5cb",
            "/a/../b",
            "/a|",
        ] {
            assert!(read(path).is_err(), "{path}");
        }
    }
}
