//! An origin (RFC 6454): scheme, host and port, compared exactly.

use std::fmt;

use super::authority::{Authority, Host, HostError};

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
    /// The host or port has no canonical form.
    #[error("not an origin: {0}")]
    Host(HostError),
}

impl Origin {
    /// Reads the ASCII serialisation of RFC 6454 section 6.2: `scheme://host[:port]`, with no
    /// path, no list and no white space.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::Form)?;
        if !is_scheme(scheme) || authority.is_empty() || authority.contains(['/', '?', '#']) {
            return Err(OriginError::Form);
        }
        let Authority { host, port } = Authority::parse(authority).map_err(OriginError::Host)?;
        Ok(Self::new(scheme, &host, port))
    }

    /// The origin of `host` and `port` as a client of `scheme` used them, with the scheme's default
    /// port filled in.
    #[must_use]
    pub fn new(scheme: &str, host: &Host, port: Option<u16>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let port = port.or(match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        });
        Self { scheme, host: host.to_string(), port }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{HostError, Origin, OriginError};

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
            "1http://a",
            "https://a?b",
            "https://a#b",
            "https://a https://b",
            "https://a,https://b",
        ] {
            assert_eq!(Origin::parse(text), Err(OriginError::Form), "{text}");
        }
        for text in [
            "https://a b",
            "https://user@a",
            "https://a:65536",
            "https://a:+80",
            "https://[::1",
            "https://127.1",
            "https://0x7f000001",
            "https://a..b",
            "https://.a",
            "https://m\u{fc}nchen.example",
        ] {
            let error = Origin::parse(text).unwrap_err();
            assert!(matches!(error, OriginError::Host(_)), "{text}: {error}");
        }
        let error = Origin::parse("https://2130706433").unwrap_err();
        assert_eq!(error, OriginError::Host(HostError::Numeric));
    }

    #[test]
    fn every_spelling_of_a_host_is_the_same_origin() {
        for (one, other) in [
            ("http://[::1]:80", "http://[::1]"),
            ("http://[0:0::1]", "http://[::0001]:0080"),
            ("https://chat.example.com.", "https://chat.example.com"),
            ("https://chat.example.com.:443", "https://chat.example.com:"),
            ("https://127.0.0.1.", "https://127.0.0.1"),
        ] {
            assert_eq!(Origin::parse(one).unwrap(), Origin::parse(other).unwrap());
        }
    }
}
