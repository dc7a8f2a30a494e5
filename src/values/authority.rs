//! The canonical form of a host, and a host with its port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The largest host name in bytes, without a trailing dot (RFC 1035 section 3.1).
const MAX_NAME: usize = 253;
/// The largest label of a host name in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// A host in canonical form: two spellings of the same host are equal.
///
/// A name is in lower case without a trailing dot, an IPv4 address in four decimal numbers, an IPv6
/// address in brackets in the form of RFC 5952. Routes, certificates and origins are looked up by
/// this form and the upstream receives it, so that no server behind the gateway can read another
/// host than the gateway checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(String);

/// A host and its optional port (RFC 3986 section 3.2, without user information).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host, in canonical form.
    pub host: Host,
    /// The port, if one was written.
    pub port: Option<u16>,
}

/// The reason why a text has no canonical form as a host or as HOST:PORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The host is empty.
    #[error("the host is empty")]
    Empty,
    /// A name in Unicode (a U-label of RFC 5890) or in any other encoding.
    #[error(
        "the host has a byte that is not ASCII: an internationalised name is written with its \
         A-labels (xn--...)"
    )]
    NotAscii,
    /// User information before the host, which makes one host look like another.
    #[error("there is a user name or password before the host")]
    UserInformation,
    /// Not a letter, a digit, `-`, `.` or `_`.
    #[error(
        "the host has {character:?} at byte {place}: only letters, digits, - . and _ are allowed"
    )]
    Character {
        /// The first such character.
        character: char,
        /// Where it is, counted from 1.
        place: usize,
    },
    /// An empty label: a leading dot, or two dots in a row. One trailing dot is allowed.
    #[error("the host has an empty label: it starts with a dot, or has two dots in a row")]
    EmptyLabel,
    /// A label of more than 63 bytes, or a name of more than 253 bytes.
    #[error("the host has a label of more than 63 bytes, or more than 253 bytes")]
    TooLong,
    /// Numbers that some programs read as an IPv4 address, such as `127.1` or `0x7f000001`.
    #[error(
        "the host ends in a number and is not an IPv4 address of four decimal numbers without \
         leading zeros"
    )]
    Numeric,
    /// Brackets without an IPv6 address in them. A zone is refused: it has no meaning for a remote
    /// host.
    #[error("the host is not an IPv6 address in brackets, without a zone")]
    Ipv6,
    /// An IPv6 address without brackets, which cannot be told apart from a port.
    #[error("the host is an IPv6 address without brackets")]
    Bare,
    /// Not a number below 65536.
    #[error("the port is not a number below 65536")]
    Port,
}

impl Host {
    /// Reads a host name or an address, IPv6 in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.starts_with('[') {
            let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let address = address.and_then(|address| address.parse::<Ipv6Addr>().ok());
            return address.map(|address| Self(format!("[{address}]"))).ok_or(HostError::Ipv6);
        }
        if text.contains(':') && text.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::Bare);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        check_name(name, text.is_empty())?;
        if ends_in_a_number(name) {
            // The standard library accepts only four decimal numbers.
            let address = name.parse::<Ipv4Addr>().map_err(|_| HostError::Numeric)?;
            return Ok(Self(address.to_string()));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the host is an IPv4 or IPv6 address.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.0.starts_with('[') || ends_in_a_number(&self.0)
    }
}

fn check_name(name: &str, nothing: bool) -> Result<(), HostError> {
    if nothing {
        return Err(HostError::Empty);
    }
    if !name.is_ascii() {
        return Err(HostError::NotAscii);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if let Some(place) = name.bytes().position(|byte| !allowed(byte)) {
        let character = char::from(name.as_bytes()[place]);
        return Err(HostError::Character { character, place: place + 1 });
    }
    let mut labels = name.as_bytes().split(|byte| *byte == b'.').map(<[u8]>::len);
    if labels.clone().any(|length| length == 0) {
        return Err(HostError::EmptyLabel);
    }
    if name.len() > MAX_NAME || (name.len() > MAX_LABEL && labels.any(|length| length > MAX_LABEL))
    {
        return Err(HostError::TooLong);
    }
    Ok(())
}

/// Whether the last label is a decimal or hexadecimal number. Resolvers, and browsers by the WHATWG
/// URL standard, then read the whole name as an IPv4 address or refuse it.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Authority {
    /// Reads `HOST`, `HOST:PORT` or `HOST:` (RFC 3986 section 3.2.3: an empty port is no port).
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if !text.is_ascii() {
            return Err(HostError::NotAscii);
        }
        if text.contains('@') {
            return Err(HostError::UserInformation);
        }
        let (host, port) = divide(text)?;
        let port = match port {
            None | Some("") => None,
            Some(port) => Some(parse_port(port).ok_or(HostError::Port)?),
        };
        Ok(Self { host: Host::parse(host)?, port })
    }
}

/// Reads a port of decimal digits only, without a sign.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Splits into the host with its brackets, and the text after the colon.
fn divide(text: &str) -> Result<(&str, Option<&str>), HostError> {
    if !text.starts_with('[') {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::Bare);
        }
        return Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))));
    }
    let end = text.find(']').ok_or(HostError::Ipv6)? + 1;
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(HostError::Ipv6),
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Splits `host[:port]` (RFC 3986 section 3.2.2) and keeps the brackets of an IPv6 address. Returns
/// `None` for an empty port, a port that is not a number below 65536, and an IPv6 address without
/// brackets.
#[must_use]
pub fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match divide(authority).ok()? {
        (host, None) => Some((host, None)),
        (host, Some(port)) => parse_port(port).map(|port| (host, Some(port))),
    }
}

/// Whether `text` can be a host that the gateway itself connects to: letters, digits, `-`, `.` and
/// `_`, or an IPv6 address in brackets. The name is resolved as it is written.
#[must_use]
pub fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty()
                && text.len() <= MAX_NAME
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Authority, Host, HostError, split_port};

    fn canonical(text: &str) -> String {
        Authority::parse(text).map(|authority| authority.to_string()).unwrap()
    }

    #[test]
    fn every_spelling_of_a_host_has_one_form() {
        for (form, spellings) in [
            (
                "admin.example.com",
                &["ADMIN.example.COM", "admin.example.com.", "admin.example.com:"][..],
            ),
            ("admin.example.com:443", &["admin.example.com.:443", "Admin.Example.com:0443"]),
            ("127.0.0.1", &["127.0.0.1.", "127.0.0.1:"]),
            ("[::1]", &["[0:0::1]", "[::0001]", "[0:0:0:0:0:0:0:1]", "[::1]:"]),
            ("[2001:db8::a]:8443", &["[2001:DB8:0:0::A]:8443", "[2001:0db8::000a]:8443"]),
            ("[::ffff:127.0.0.1]", &["[::ffff:7f00:1]", "[::FFFF:127.0.0.1]"]),
            ("xn--mnchen-3ya.example", &["XN--mnchen-3ya.example."]),
            ("under_score-.x1", &["Under_Score-.X1"]),
            ("0x.example", &["0X.example"]),
        ] {
            for spelling in spellings.iter().copied().chain([form]) {
                assert_eq!(canonical(spelling), form, "{spelling}");
            }
        }
    }

    #[test]
    fn a_host_without_a_form_is_refused_for_its_reason() {
        use HostError::{
            Bare, Character, Empty, EmptyLabel, Ipv6, NotAscii, Numeric, Port, TooLong,
            UserInformation,
        };
        let character = |character, place| Character { character, place };
        for (text, error) in [
            ("", Empty),
            (":80", Empty),
            (".", EmptyLabel),
            ("..", EmptyLabel),
            (".a", EmptyLabel),
            ("a..b", EmptyLabel),
            ("a..", EmptyLabel),
            ("127.0.0.1..", EmptyLabel),
            ("127.1", Numeric),
            ("127.0.1", Numeric),
            ("2130706433", Numeric),
            ("2130706433.", Numeric),
            ("0x7f000001", Numeric),
            ("0X7F.1", Numeric),
            ("0x", Numeric),
            ("a.0x7f", Numeric),
            ("017700000001", Numeric),
            ("127.0.0.01", Numeric),
            ("0127.0.0.1", Numeric),
            ("127.0.0.256", Numeric),
            ("1.2.3.4.5", Numeric),
            ("example.1", Numeric),
            ("m\u{fc}nchen.example", NotAscii),
            ("\u{ff41}.example", NotAscii),
            ("a\u{3002}b", NotAscii),
            ("user@a", UserInformation),
            ("a b", character(' ', 2)),
            ("a/b", character('/', 2)),
            ("a%2eb", character('%', 2)),
            ("*.a", character('*', 1)),
            ("a,b", character(',', 2)),
            ("a]", character(']', 2)),
            ("a\u{0}", character('\0', 2)),
            ("::1", Bare),
            ("2001:db8::1", Bare),
            ("[::1", Ipv6),
            ("[]", Ipv6),
            ("[::1]x", Ipv6),
            ("[::1].", Ipv6),
            ("[127.0.0.1]", Ipv6),
            ("[fe80::1%25eth0]", Ipv6),
            ("[v1.a]", Ipv6),
            ("a:65536", Port),
            ("a:+80", Port),
            ("a:80:80", Port),
            ("a: 80", Port),
            ("a:x", Port),
        ] {
            assert_eq!(Authority::parse(text), Err(error), "{text}");
        }
        let label = "a".repeat(63);
        assert!(Host::parse(&label).is_ok());
        assert_eq!(Host::parse(&format!("{label}a")), Err(TooLong));
        let name = [label.as_str(); 4].join(".");
        assert_eq!(Host::parse(&name), Err(TooLong));
        assert!(Host::parse(&name[..253]).is_ok());
        assert!(Host::parse(&format!("{}.", &name[..253])).is_ok());
    }

    #[test]
    fn addresses_and_names_are_distinguished() {
        for (text, is_address) in
            [("127.0.0.1.", true), ("[::1]", true), ("a.1x", false), ("localhost", false)]
        {
            assert_eq!(Host::parse(text).unwrap().is_address(), is_address, "{text}");
        }
    }

    #[test]
    fn addresses_in_brackets_keep_their_colons() {
        assert_eq!(split_port("[::1]:8443"), Some(("[::1]", Some(8443))));
        assert_eq!(split_port("[::1]"), Some(("[::1]", None)));
        assert_eq!(split_port("::1"), None);
    }

    proptest! {
        /// Canonicalising twice changes nothing, and canonicalising changes only case, a trailing
        /// dot and the digits of an IPv6 address.
        #[test]
        fn the_form_of_a_form_is_itself(text in "[a-zA-Z0-9.:\\[\\]_-]{0,24}|\\[[0-9a-fA-F:]{2,20}\\]") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(host.as_str()), Ok(host.clone()));
                prop_assert_eq!(host.as_str().to_ascii_lowercase(), host.as_str());
                if !text.starts_with('[') {
                    let folded = text.to_ascii_lowercase();
                    prop_assert_eq!(folded.strip_suffix('.').unwrap_or(&folded), host.as_str());
                }
            }
        }
    }
}
