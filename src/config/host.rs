//! The host part of a route: an exact name or a wildcard of one label.

/// One entry of `routes.*.host`. Hosts are compared without case and without their port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// A whole host name or address, in lower case.
    Exact(String),
    /// `*.SUFFIX`: exactly one label before the suffix, in lower case.
    Wildcard(String),
}

impl HostPattern {
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

#[cfg(test)]
mod tests {
    use super::HostPattern;

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
