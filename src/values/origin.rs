//! An origin (RFC 6454): the browser's statement about the page that connects.

use std::fmt;

use super::authority::{Authority, Host, HostError};

/// A parsed origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `scheme://host[:port]`. Two are equal if scheme, host and port are equal, with the scheme's
    /// default port filled in and the hosts in canonical form.
    Page {
        /// `http`, `https`, `ws` or `wss`.
        scheme: String,
        /// The canonical host.
        host: Host,
        /// The port; always known for these schemes.
        port: Option<u16>,
    },
    /// `scheme://...` of an application's own pages, such as `capacitor://localhost`, `qrc://` or
    /// `file://`, in lower case. The meaning of the host is up to the application.
    App(String),
    /// `null`: any page can make a browser send it, with a sandboxed frame.
    Null,
    /// An Origin header without a value.
    Empty,
}

/// The reason why a text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The text does not have the form `scheme://host[:port]`.
    #[error("not of the form scheme://host[:port], with nothing after it")]
    Form,
    /// The host or port has no canonical form.
    #[error("not an origin: {0}")]
    Host(HostError),
}

impl Origin {
    /// Reads the ASCII serialisation of RFC 6454 section 6.2: `scheme://host[:port]`, without a
    /// path, a list or white space; or `null`; or an empty text.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        match text {
            "" => return Ok(Self::Empty),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::Form)?;
        if !is_scheme(scheme) || authority.contains(['/', '?', '#']) {
            return Err(OriginError::Form);
        }
        let scheme = scheme.to_ascii_lowercase();
        if default_port(&scheme).is_none() {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
            let fits = authority.len() <= 253 && authority.bytes().all(allowed);
            return fits.then(|| Self::App(text.to_ascii_lowercase())).ok_or(OriginError::Form);
        }
        if authority.is_empty() {
            return Err(OriginError::Form);
        }
        let Authority { host, port } = Authority::parse(authority).map_err(OriginError::Host)?;
        Ok(Self::new(&scheme, &host, port))
    }

    /// The origin of a client that used `scheme`, `host` and `port`, with the scheme's default port
    /// filled in.
    #[must_use]
    pub fn new(scheme: &str, host: &Host, port: Option<u16>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let port = port.or(default_port(&scheme));
        Self::Page { scheme, host: host.clone(), port }
    }

    /// Whether the host of the origin is an IP address.
    pub(crate) fn has_address(&self) -> bool {
        matches!(self, Self::Page { host, .. } if host.is_address())
    }

    /// Whether unrelated pages share this origin: any page can send it, or any saved file has it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Null | Self::Empty => true,
            Self::App(text) => text == "file://",
            Self::Page { .. } => false,
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page { scheme, host, port } => {
                write!(f, "{scheme}://{host}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::App(text) => f.write_str(text),
            Self::Null => f.write_str("null"),
            Self::Empty => Ok(()),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// One entry of `routes.*.origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// Matches only this origin.
    Exact(Origin),
    /// `scheme://*.SUFFIX[:port]`: exactly one label before the host of this origin.
    Wildcard(Origin),
}

impl OriginPattern {
    /// Whether the pattern matches `origin`.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Exact(exact), _) => exact == origin,
            (
                Self::Wildcard(Origin::Page { scheme, host, port }),
                Origin::Page { scheme: its_scheme, host: its_host, port: its_port },
            ) => {
                let below = its_host.as_str().split_once('.');
                (scheme, port) == (its_scheme, its_port)
                    && below.is_some_and(|(_, rest)| rest == host.as_str())
            }
            (Self::Wildcard(_), _) => false,
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(origin) => origin.fmt(f),
            Self::Wildcard(origin) => f.write_str(&origin.to_string().replacen("://", "://*.", 1)),
        }
    }
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
    fn invalid_origins_are_refused() {
        for text in [
            "chat.example.com",
            "NULL",
            "null,null",
            "://",
            "://a",
            "file:",
            "file:///",
            "file:///a",
            "app://a/b",
            "app://a b",
            "app://user@a",
            "app://a,b",
            "app://\u{e4}",
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

    #[test]
    fn origins_of_no_web_page_are_read() {
        assert_eq!(Origin::parse("null"), Ok(Origin::Null));
        assert_eq!(Origin::parse(""), Ok(Origin::Empty));
        for text in [
            "file://",
            "qrc://",
            "app://",
            "capacitor://localhost",
            "ionic://localhost:8100",
            "tauri://localhost",
            "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            "moz-extension://0a1b2c3d-0000-4000-8000-012345678901",
            "app://12345",
            "app://obsidian.md",
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!(origin, Origin::App(text.to_owned()));
            assert_eq!(origin.is_shared(), text == "file://", "{text}");
            assert_eq!(Origin::parse(&text.to_ascii_uppercase()).unwrap(), origin);
            assert_eq!(Origin::parse(&origin.to_string()), Ok(origin));
        }
        assert!(Origin::Null.is_shared() && Origin::Empty.is_shared());
    }
}
