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
    let mut canonical = String::with_capacity(path.len());
    let mut bytes = path.bytes().zip(1..);
    if bytes.next().map(|(byte, _)| byte) != Some(b'/') {
        return Err(PathError::Relative);
    }
    canonical.push('/');
    let mut segment = Segment { place: 2, start: 1 };
    while let Some((byte, place)) = bytes.next() {
        match byte {
            b'/' if segment.text(&canonical).is_empty() => return Err(PathError::Empty { place }),
            b'/' => {
                segment.check(&canonical)?;
                canonical.push('/');
                segment = Segment { place: place + 1, start: canonical.len() };
            }
            b'%' => {
                let mut digit = || bytes.next().map(|(byte, _)| byte);
                push_escape(&mut canonical, place, digit(), digit())?;
            }
            b';' => return Err(PathError::Parameter { place }),
            b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => {
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
    high: Option<u8>,
    low: Option<u8>,
) -> Result<(), PathError> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return Err(PathError::Escape { place });
    };
    // Two hexadecimal digits: at most 255.
    let decoded = u8::try_from(high * 16 + low).map_err(|_| PathError::Escape { place })?;
    match decoded {
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
    use super::{PathError, canonical_path};

    #[test]
    fn equal_paths_have_one_form() {
        assert_eq!(canonical_path("/%77s/%7Ea%e4").unwrap(), "/ws/~a%E4");
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
}
