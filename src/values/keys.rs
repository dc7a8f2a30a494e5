//! Keys by which limits are counted: addresses and users.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// An IPv4 address, or the /64 of an IPv6 address: a single client can choose any address of its
/// /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressKey {
    /// The whole address.
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6([u16; 4]),
}

impl From<IpAddr> for AddressKey {
    /// Converts an address; an IPv4-mapped IPv6 address counts as the IPv4 address.
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl AddressKey {
    /// The first address that the key covers.
    #[must_use]
    pub fn first(self) -> IpAddr {
        match self {
            Self::V4(v4) => v4.into(),
            Self::V6([a, b, c, d]) => Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(),
        }
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(_) => write!(f, "{}/64", self.first()),
        }
    }
}

/// A user of an issuer: two issuers may use the same name for different people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey(Arc<str>);

impl UserKey {
    /// Joins both parts. `issuer` is the NAME of `[jwt.NAME]`, which has no slash, so that no two
    /// pairs make the same key.
    #[must_use]
    pub fn new(issuer: &str, user: &str) -> Self {
        Self(format!("{issuer}/{user}").into())
    }

    /// The NAME of `[jwt.NAME]`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.parts().0
    }

    /// The user name as the issuer writes it.
    #[must_use]
    pub fn user(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or_default()
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{AddressKey, UserKey};

    fn key(text: &str) -> AddressKey {
        AddressKey::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        for (address, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8:0:0:ffff::", "2001:db8::/64"),
            ("2001:db8:0:1::", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(key(address).to_string(), shown, "{address}");
        }
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("2001:db8::1").first(), "2001:db8::".parse::<IpAddr>().unwrap());
        assert!(size_of::<AddressKey>() <= 10);
    }

    #[test]
    fn equal_names_of_two_issuers_are_two_users() {
        let key = |issuer, user| UserKey::new(issuer, user);
        assert_eq!(key("main", "ann"), key("main", "ann"));
        assert_ne!(key("main", "ann"), key("other", "ann"));
        assert_ne!(key("a", "b/c"), key("a-b", "c"));
        assert_eq!(key("main", "ann").to_string(), "main/ann");
        assert_eq!((key("main", "a/b").issuer(), key("main", "a/b").user()), ("main", "a/b"));
    }
}
