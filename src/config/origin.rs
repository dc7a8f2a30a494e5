//! An origin (RFC 6454): scheme, host and port, compared exactly.

use std::fmt;

/// A parsed origin. Two are equal when scheme, host and port are, the port filled in from the
/// scheme where it is not said, letters compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// Why a text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The opaque origin of sandboxed frames and files.
    #[error("\"null\" stands for no origin in particular")]
    Null,
    /// Not `scheme://host[:port]`.
    #[error("not of the form scheme://host[:port], with nothing after it")]
    Form,
}

impl Origin {
    /// Reads the ASCII serialisation of RFC 6454 section 6.2: `scheme://host[:port]`, with no
    /// path, no list and no white space.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::Form)?;
        let (host, port) = split_port(authority).ok_or(OriginError::Form)?;
        if !is_scheme(scheme) || !is_host(host) {
            return Err(OriginError::Form);
        }
        Ok(Self::new(scheme, host, port))
    }

    /// The origin of `host` and `port` as a client of `scheme` used them; letters are folded and
    /// the scheme's default port filled in.
    #[must_use]
    pub fn new(scheme: &str, host: &str, port: Option<u16>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let port = port.or(match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        });
        Self { scheme, host: host.to_ascii_lowercase(), port }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Splits `host[:port]` (RFC 3986 section 3.2.2), an IPv6 address in brackets kept in them. An
/// empty port, one that is not a number below 65536, or a bare IPv6 address is `None`.
#[must_use]
pub fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((host, None)),
        Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().map(|port| (host, Some(port)))
        }
        _ => None,
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Whether `text` can be a host: letters, digits, `-`, `.` and `_`, or an IPv6 address in brackets.
#[must_use]
pub fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty()
                && text.len() <= 253
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, OriginError, split_port};

    #[test]
    fn default_ports_and_case_are_folded() {
        let plain = Origin::parse("https://Chat.Example.com").unwrap();
        assert_eq!(plain, Origin::parse("HTTPS://chat.example.com:443").unwrap());
        assert_ne!(plain, Origin::parse("http://chat.example.com").unwrap());
        assert_ne!(plain, Origin::parse("https://chat.example.com:8443").unwrap());
        assert_ne!(plain, Origin::parse("https://chat.example.com.evil.example").unwrap());
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        assert_eq!(Origin::parse("null"), Err(OriginError::Null));
        for text in [
            "",
            "chat.example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a b",
            "https://a https://b",
            "https://user@a",
            "https://a:",
            "https://a:65536",
            "https://a:+80",
            "https://[::1",
            "1http://a",
            "https://a?b",
            "https://a#b",
            "https://a,https://b",
        ] {
            assert_eq!(Origin::parse(text), Err(OriginError::Form), "{text}");
        }
    }

    #[test]
    fn addresses_in_brackets_keep_their_colons() {
        assert_eq!(split_port("[::1]:8443"), Some(("[::1]", Some(8443))));
        assert_eq!(split_port("[::1]"), Some(("[::1]", None)));
        assert_eq!(split_port("::1"), None);
        assert_eq!(
            Origin::parse("http://[::1]:80").unwrap(),
            Origin::parse("http://[::1]").unwrap()
        );
    }
}
