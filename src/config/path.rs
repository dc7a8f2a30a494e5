//! The path part of a route, and the one canonical form that paths are compared in.

use std::fmt::{self, Write as _};

use super::kinds::Fault;

/// Why a path has no canonical form. Another server could read such a path as a different one
/// than this gateway does, so it is refused on every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with `/`.
    #[error("the path does not start with /")]
    Relative,
    /// A character that RFC 3986 section 3.3 does not allow in a path.
    #[error("the path has a character that must be percent-encoded")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path has a % that two hexadecimal digits do not follow")]
    Escape,
    /// A percent-encoded slash, backslash or control character.
    #[error("the path has a percent-encoded slash, backslash or control character")]
    Encoded,
    /// An empty, `.` or `..` segment.
    #[error("the path has an empty, . or .. segment")]
    Segment,
    /// `;`, which some servers cut off as a parameter.
    #[error("the path has a ;")]
    Parameter,
}

/// The canonical form of a request's path, without its query: unreserved characters decoded, the
/// digits of other escapes in upper case (RFC 3986 section 6.2.2). Only for comparing; what is
/// forwarded is the path as it came.
pub fn canonical_path(path: &str) -> Result<String, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Relative);
    }
    let mut canonical = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => push_escape(&mut canonical, bytes.next(), bytes.next())?,
            b';' => return Err(PathError::Parameter),
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b'=' => canonical.push(char::from(byte)),
            _ if is_unreserved(byte) => canonical.push(char::from(byte)),
            _ => return Err(PathError::Character),
        }
    }
    if has_odd_segment(&canonical) {
        return Err(PathError::Segment);
    }
    Ok(canonical)
}

fn push_escape(canonical: &mut String, high: Option<u8>, low: Option<u8>) -> Result<(), PathError> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return Err(PathError::Escape);
    };
    // Two hexadecimal digits: at most 255.
    let decoded = u8::try_from(high * 16 + low).map_err(|_| PathError::Escape)?;
    match decoded {
        b'/' | b'\\' | 0..0x20 | 0x7f => Err(PathError::Encoded),
        b';' => Err(PathError::Parameter),
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

/// Whether a segment is `.` or `..`, or one that is not the last is empty.
fn has_odd_segment(path: &str) -> bool {
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment == "." || segment == ".." || (segment.is_empty() && !last) {
            return true;
        }
    }
    false
}

/// `routes.*.path`, in the canonical form that requests are compared in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// The whole path.
    Exact(String),
    /// `PREFIX/*`: everything below the prefix, which ends in `/`, but not the prefix itself.
    Below(String),
}

impl PathPattern {
    /// Reads an exact path, or `PREFIX/*`, in canonical form.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let (path, below) = match text.strip_suffix("/*") {
            Some(_) => (&text[..text.len() - 1], true),
            None => (text, false),
        };
        if path.contains('*') {
            let fault = Fault::new(format!("\"{text}\" has a * that is not its last segment"));
            return Err(fault.help("only a whole last segment can be *, as in \"/ws/*\""));
        }
        let canonical = canonical_path(path).map_err(|error| Fault::new(error.to_string()))?;
        if canonical != path {
            let star = if below { "*" } else { "" };
            let fault = Fault::new(format!("\"{text}\" is not in its canonical form"));
            return Err(fault.help(format!("write \"{canonical}{star}\"")));
        }
        Ok(if below { Self::Below(canonical) } else { Self::Exact(canonical) })
    }

    /// Whether `path`, in canonical form, matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(whole) => whole == path,
            Self::Below(prefix) => path.len() > prefix.len() && path.starts_with(prefix.as_str()),
        }
    }

    /// How specific the pattern is: an exact path before any prefix, a longer prefix before a
    /// shorter one.
    #[must_use]
    pub fn specificity(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Below(prefix) => prefix.len(),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Below(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PathError, PathPattern, canonical_path};

    #[test]
    fn patterns_are_read_in_canonical_form_alone() {
        assert_eq!(PathPattern::parse("/ws"), Ok(PathPattern::Exact("/ws".into())));
        assert_eq!(PathPattern::parse("/"), Ok(PathPattern::Exact("/".into())));
        assert_eq!(PathPattern::parse("/ws/*"), Ok(PathPattern::Below("/ws/".into())));
        assert_eq!(PathPattern::parse("/*"), Ok(PathPattern::Below("/".into())));
        for text in [
            "", "ws", "*", "/ws*", "/*/ws", "/ws/**", "/a//b", "/a/../b", "/a//*", "/%77s", "/%e4",
            "/a?b", "/a;b", "/a b",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for text in ["/", "/ws", "/ws/", "/*", "/ws/*"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn equal_paths_have_one_form() {
        assert_eq!(canonical_path("/%77s/%7Ea%e4").unwrap(), "/ws/~a%E4");
        assert_eq!(canonical_path("/").unwrap(), "/");
        assert_eq!(canonical_path("/ws/").unwrap(), "/ws/");
    }

    #[test]
    fn a_path_that_another_server_could_read_otherwise_is_refused() {
        for (path, error) in [
            ("ws", PathError::Relative),
            ("", PathError::Relative),
            ("/a b", PathError::Character),
            ("/a#b", PathError::Character),
            ("/a\\b", PathError::Character),
            ("/a?b", PathError::Character),
            ("/\u{e4}", PathError::Character),
            ("/a%", PathError::Escape),
            ("/a%2", PathError::Escape),
            ("/a%+1", PathError::Escape),
            ("/a%zz", PathError::Escape),
            ("/a%2fb", PathError::Encoded),
            ("/a%5Cb", PathError::Encoded),
            ("/a%00", PathError::Encoded),
            ("/a%0d%0a", PathError::Encoded),
            ("/a/../b", PathError::Segment),
            ("/a/%2e%2E/b", PathError::Segment),
            ("/./a", PathError::Segment),
            ("//a", PathError::Segment),
            ("/a//b", PathError::Segment),
            ("/a/..", PathError::Segment),
            ("/a;b=c", PathError::Parameter),
            ("/a%3bb", PathError::Parameter),
        ] {
            assert_eq!(canonical_path(path), Err(error), "{path}");
        }
    }

    #[test]
    fn below_is_not_the_prefix_itself() {
        let pattern = PathPattern::Below("/ws/".into());
        assert!(pattern.matches("/ws/a") && pattern.matches("/ws/a/b"));
        assert!(!pattern.matches("/ws") && !pattern.matches("/ws/") && !pattern.matches("/wsx"));
        assert!(PathPattern::Exact("/".into()).specificity() > pattern.specificity());
    }
}
