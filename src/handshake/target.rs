//! The request target (RFC 9112 section 3.2): a path and query, optionally after an authority.

use crate::values::{AmbiguousPath, Authority, HostError, PathError, canonical_path};
use crate::values::{Reason, Refusal};

/// The schemes of an absolute-form target. They all mean the same: the scheme of the connection is
/// known.
const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

/// A request target with checked characters and form; the path is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Path and query in their original spelling: the target in origin-form.
    pub(super) text: String,
    /// The authority of an absolute-form target, which replaces the Host header (RFC 9112 section
    /// 3.2.2).
    pub(super) authority: Option<Authority>,
}

/// The reason why a request target is refused. Any page can make a browser send most of these
/// targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    /// A character that is not allowed in a target.
    #[error("the request target has {character:?} at byte {place}, which must be percent-encoded")]
    Character {
        character: char,
        /// The position, counted from 1.
        place: usize,
    },
    /// Neither origin-form nor absolute-form.
    #[error(
        "the request target is neither a path that starts with / nor an http, https, ws or wss URI"
    )]
    Form,
    /// The authority of an absolute-form target is invalid.
    #[error("the host in the request target has no canonical form: {0}")]
    Host(HostError),
    /// Servers could read the path in different ways.
    #[error(transparent)]
    Path(PathError),
}

impl Target {
    /// Parses a target; bytes that are not UTF-8 may have been replaced.
    pub(super) fn parse(text: String) -> Result<Self, TargetError> {
        check_characters(&text)?;
        if text.starts_with('/') {
            return Ok(Self { text, authority: None });
        }
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::Form)?;
        if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(TargetError::Form);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = Authority::parse(authority).map_err(TargetError::Host)?;
        // RFC 9112 section 3.2.1: an empty path is sent as /.
        let slash = if rest.starts_with('/') { "" } else { "/" };
        Ok(Self { text: format!("{slash}{rest}"), authority: Some(authority) })
    }

    /// The same target with `[` and `]` of its path escaped. Browsers send them as they are in plain requests, for
    /// example for the script `[id].js` of a page, and servers read both spellings alike.
    pub(super) fn with_escaped_brackets(&self) -> Self {
        let text = self.path().replace('[', "%5B").replace(']', "%5D");
        Self { text, authority: None }
    }

    /// The canonical form of the path, without the query.
    pub(super) fn canonical_path(&self) -> Result<String, TargetError> {
        canonical_path(self.path()).map_err(TargetError::Path)
    }

    /// The readings of the path, if it has several.
    pub(super) fn ambiguous_path(&self) -> Result<Option<AmbiguousPath>, TargetError> {
        let read = |fault| AmbiguousPath::new(self.path(), fault).map(Some);
        canonical_path(self.path()).map_or_else(read, |_| Ok(None)).map_err(TargetError::Path)
    }

    fn path(&self) -> &str {
        self.text.split('?').next().unwrap_or_default()
    }
}

/// Never a strike: any page can make its visitors' browsers send such a target.
impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        Self::new(Reason::HandshakeMalformed, error.to_string())
    }
}

/// Checks the characters. RFC 3986 section 3.4 allows fewer in a query; the HTTP library accepts
/// these.
fn check_characters(text: &str) -> Result<(), TargetError> {
    let refused = |byte: u8| !byte.is_ascii_graphic() || b"\"#<>".contains(&byte);
    let Some(place) = text.bytes().position(refused) else {
        return Ok(());
    };
    // All bytes before this one are ASCII, so that a character starts here.
    let character = text[place..].chars().next().unwrap_or_default();
    Err(TargetError::Character { character, place: place + 1 })
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};
    use crate::values::HostError;

    fn parse(text: &str) -> Result<Target, TargetError> {
        Target::parse(text.to_owned())
    }

    #[test]
    fn an_absolute_target_is_taken_apart() {
        for (text, authority, target) in [
            ("http://host/ws", "host", "/ws"),
            ("HTTPS://Host.:443/ws?a=b", "host:443", "/ws?a=b"),
            ("ws://[0:0::1]/", "[::1]", "/"),
            ("wss://host", "host", "/"),
            ("http://host:?a", "host", "/?a"),
            ("http://host/a/http://other/b?c=http://d/", "host", "/a/http://other/b?c=http://d/"),
        ] {
            let found = parse(text).unwrap();
            assert_eq!(found.authority.unwrap().to_string(), authority, "{text}");
            assert_eq!(found.text, target, "{text}");
        }
        for text in ["/ws", "//host/ws", "/http://host/ws"] {
            assert_eq!(parse(text), Ok(Target { text: text.to_owned(), authority: None }));
        }
        assert_eq!(parse("/%61?b/../c?d").unwrap().canonical_path(), Ok("/a".to_owned()));
        assert_eq!(parse("http://host?b").unwrap().canonical_path(), Ok("/".to_owned()));
        let bracketed = parse("/a/[id]?[x]").unwrap();
        assert!(bracketed.canonical_path().is_err());
        let escaped = bracketed.with_escaped_brackets();
        assert_eq!(escaped.canonical_path(), Ok("/a/%5Bid%5D".to_owned()));
    }

    #[test]
    fn another_form_is_refused() {
        for text in ["", "*", "ws", "host:443", "ftp://host/ws", "file:///ws", "://host/", "?a"] {
            assert_eq!(parse(text), Err(TargetError::Form), "{text}");
        }
        for (text, error) in [
            ("http:///ws", HostError::Empty),
            ("http://user:word@host/ws", HostError::UserInformation),
            ("http://127.1/ws", HostError::Numeric),
            ("http://a..b/ws", HostError::EmptyLabel),
        ] {
            assert_eq!(parse(text), Err(TargetError::Host(error)), "{text}");
        }
    }

    #[test]
    fn a_query_may_hold_every_character_of_the_http_library() {
        for byte in b'!'..=b'~' {
            let text = format!("/ws?{}", char::from(byte));
            let taken = text.parse::<http::Uri>().is_ok_and(|uri| uri.to_string() == text);
            assert_eq!(parse(&text).is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn a_refused_character_is_named_with_its_place() {
        for (text, character, place) in [
            ("/ws#x", '#', 4),
            ("/w s", ' ', 3),
            ("/ws?a=<b>", '<', 7),
            ("/a?\"", '"', 4),
            ("/\u{e9}a", '\u{e9}', 2),
            ("/ws?\u{fffd}", '\u{fffd}', 5),
            ("/ws\u{7f}", '\u{7f}', 4),
            ("http://host/#", '#', 13),
        ] {
            assert_eq!(parse(text), Err(TargetError::Character { character, place }), "{text}");
        }
    }
}
