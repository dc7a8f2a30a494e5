//! The host part of a route: an exact name or a wildcard of one label.

use std::fmt;
use std::net::Ipv6Addr;

use super::kinds::Fault;
use super::origin::{is_host, split_port};

/// One entry of `routes.*.host`. Hosts are compared without case and without their port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// A whole host name or address, in lower case.
    Exact(String),
    /// `*.SUFFIX`: exactly one label before the suffix, in lower case.
    Wildcard(String),
}

impl HostPattern {
    /// Reads a name, an address (IPv6 in brackets) or `*.SUFFIX`. Letters are folded, and an IPv6
    /// address takes the form of RFC 5952, as browsers write it.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text == "*" {
            let fault = Fault::new("\"*\" alone is not a host");
            return Err(fault.help("leave `host` out to accept any host"));
        }
        let (suffix, wildcard) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if suffix.contains('*') {
            let fault = Fault::new(format!("\"{text}\" has a * that is not its first label"));
            return Err(fault.help("only a whole first label can be *, as in \"*.example.com\""));
        }
        let host = parse_host(text, suffix)?;
        Ok(if wildcard { Self::Wildcard(host) } else { Self::Exact(host) })
    }

    /// Whether `host`, in lower case and without a port, matches.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(suffix) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
        }
    }
}

fn parse_host(text: &str, host: &str) -> Result<String, Fault> {
    if let Some((name, Some(_))) = split_port(text) {
        let fault = Fault::new(format!("\"{text}\" has a port"));
        return Err(fault.help(format!("hosts are compared without their port: \"{name}\"")));
    }
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = inner.unwrap_or(host).parse::<Ipv6Addr>() {
        return match inner {
            Some(_) => Ok(format!("[{address}]")),
            None => Err(Fault::new(format!("\"{text}\" is an IPv6 address without brackets"))
                .help(format!("write \"[{address}]\""))),
        };
    }
    if !is_host(host) || host.split('.').any(str::is_empty) {
        let fault = Fault::new(format!("\"{text}\" is not a host name or address"));
        return Err(fault.help("write the host alone: letters, digits, - . and _"));
    }
    Ok(host.to_ascii_lowercase())
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostPattern;

    #[test]
    fn names_are_folded() {
        let exact = |text: &str| HostPattern::Exact(text.into());
        assert_eq!(HostPattern::parse("Chat.Example.COM"), Ok(exact("chat.example.com")));
        assert_eq!(HostPattern::parse("127.0.0.1"), Ok(exact("127.0.0.1")));
        assert_eq!(HostPattern::parse("[0:0::1]"), Ok(exact("[::1]")));
        assert_eq!(
            HostPattern::parse("*.Example.com"),
            Ok(HostPattern::Wildcard("example.com".into()))
        );
    }

    #[test]
    fn what_no_host_header_can_name_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a.*.b",
            "*a.b",
            "*.*.b",
            "a:80",
            "*.a:80",
            "[::1]:80",
            "::1",
            "a.",
            ".a",
            "a..b",
            "a b",
            "https://a",
            "a/b",
            "[::1",
            "*.[::1]x",
            "\u{e4}.example",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let pattern = HostPattern::Wildcard("example.com".into());
        assert!(pattern.matches("a.example.com"));
        assert!(!pattern.matches("example.com"));
        assert!(!pattern.matches(".example.com"));
        assert!(!pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("a.evil-example.com"));
    }
}
