//! The host part of a route: an exact name or a wildcard of one label.

use std::fmt;

use super::kinds::Fault;
use crate::values::{Authority, Host, HostError};

/// One entry of `routes.*.host`, in the canonical form that request hosts are compared in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// A whole host name or address.
    Exact(Host),
    /// `*.SUFFIX`: exactly one label before the suffix.
    Wildcard(Host),
}

impl HostPattern {
    /// Reads a name, an address (IPv6 in brackets) or `*.SUFFIX`, in any spelling that has a
    /// canonical form.
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
        let host = Host::parse(suffix).map_err(|error| host_fault(text, error))?;
        if wildcard && host.is_address() {
            return Err(Fault::new(format!("\"{text}\" is a wildcard of an address")));
        }
        Ok(if wildcard { Self::Wildcard(host) } else { Self::Exact(host) })
    }

    /// Whether `pattern` matches every host that `other` matches; `None` matches any host.
    pub(super) fn covers(pattern: Option<&Self>, other: Option<&Self>) -> bool {
        match (pattern, other) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(pattern), Some(Self::Exact(host))) => pattern.matches(host),
            (Some(pattern), Some(wildcard @ Self::Wildcard(_))) => pattern == wildcard,
        }
    }

    /// Whether the pattern matches `host`.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(suffix) => {
                host.as_str().split_once('.').is_some_and(|(_, rest)| rest == suffix.as_str())
            }
        }
    }
}

fn host_fault(text: &str, error: HostError) -> Fault {
    if let Ok(Authority { host, port: Some(_) }) =
        Authority::parse(text.strip_prefix("*.").unwrap_or(text))
    {
        let star = if text.starts_with("*.") { "*." } else { "" };
        let fault = Fault::new(format!("\"{text}\" has a port"));
        return fault.help(format!("hosts are compared without their port: \"{star}{host}\""));
    }
    let fault = Fault::new(format!("\"{text}\" is not a host name or address: {error}"));
    match error {
        HostError::Bare => fault.help(format!("write \"[{text}]\"")),
        _ => fault.help("write the host alone, as in \"chat.example.com\""),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, HostPattern};

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn names_are_folded() {
        let exact = |text: &str| HostPattern::Exact(host(text));
        assert_eq!(HostPattern::parse("Chat.Example.COM"), Ok(exact("chat.example.com")));
        assert_eq!(HostPattern::parse("127.0.0.1"), Ok(exact("127.0.0.1")));
        assert_eq!(HostPattern::parse("[0:0::1]"), Ok(exact("[::1]")));
        assert_eq!(HostPattern::parse("chat.example.com."), Ok(exact("chat.example.com")));
        assert_eq!(HostPattern::parse("127.0.0.1."), Ok(exact("127.0.0.1")));
        assert_eq!(
            HostPattern::parse("*.Example.com"),
            Ok(HostPattern::Wildcard(host("example.com")))
        );
    }

    #[test]
    fn hosts_that_no_host_header_can_name_are_refused() {
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
            "a..",
            "127.1",
            "0x7f000001",
            "2130706433",
            "*.0.0.1",
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
        let pattern = HostPattern::Wildcard(host("example.com"));
        assert!(pattern.matches(&host("a.example.com")));
        assert!(!pattern.matches(&host("example.com")));
        assert!(!pattern.matches(&host("a.b.example.com")));
        assert!(!pattern.matches(&host("a.evil-example.com")));
    }
}
