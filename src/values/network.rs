//! Networks in CIDR notation, as operators and files write them: `192.0.2.7`, `10.0.0.0/8`,
//! `2001:db8::/64`. The crate has no other parser for them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An address, or a network in CIDR notation. IPv4-mapped IPv6 addresses and networks
/// (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2) become IPv4 ones, since all compared addresses are
/// canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an address, or a network as ADDRESS/PREFIX, such as 10.0.0.0/8")]
pub struct NotANetwork;

/// The reason why a text is not a valid network of the configuration. The messages follow the name
/// of the entry at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The text is neither an address nor a network in CIDR notation.
    #[error("is not an address or network")]
    NotANetwork,
    /// Bits are set beyond the prefix.
    #[error("has bits set beyond its prefix")]
    HostBits(IpNet),
}

impl Network {
    /// Reads an address or a network, and refuses bits that are set beyond the prefix: `10.0.0.1/8` may
    /// mean the address or the network. [`FromStr`] keeps such bits.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let network = read(text).map_err(|NotANetwork| NetworkError::NotANetwork)?;
        if network != network.trunc() {
            return Err(NetworkError::HostBits(network));
        }
        Ok(network.into())
    }

    /// The network of this prefix length that contains `address`; `None` if the length exceeds that
    /// of the address.
    #[must_use]
    pub fn around(address: IpAddr, length: u8) -> Option<Self> {
        IpNet::new(address, length).ok().map(|prefix| Self(prefix.trunc()))
    }

    /// The same network without bits beyond its prefix, in canonical form.
    #[must_use]
    pub fn canonical(network: IpNet) -> IpNet {
        unmap(network.trunc())
    }

    /// Returns the network as a prefix.
    #[must_use]
    pub fn prefix(self) -> IpNet {
        self.0
    }

    /// Clears the bits beyond the prefix.
    #[must_use]
    pub fn trunc(self) -> Self {
        Self(self.0.trunc())
    }

    /// Whether the network contains `address`, which must be canonical.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl From<IpNet> for Network {
    fn from(prefix: IpNet) -> Self {
        Self(unmap(prefix))
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        read(text).map(Self::from)
    }
}

fn read(text: &str) -> Result<IpNet, NotANetwork> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => text.parse().map_err(|_| NotANetwork),
    }
}

/// Turns an IPv4-mapped IPv6 network into the IPv4 network; returns any other network unchanged.
fn unmap(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.and_then(|(address, prefix)| IpNet::new(address.into(), prefix).ok()).unwrap_or(network)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, NetworkError};

    fn shown(text: &str) -> [String; 2] {
        [Network::parse(text).unwrap().to_string(), text.parse::<Network>().unwrap().to_string()]
    }

    #[test]
    fn mapped_addresses_and_networks_are_ipv4() {
        for (text, form) in [
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("2001:db8::/64", "2001:db8::/64"),
        ] {
            assert_eq!(shown(text), [form, form], "{text}");
        }
    }

    #[test]
    fn bits_beyond_the_prefix_are_kept_or_refused() {
        for text in ["10.0.0.1/8", "2001:db8::1/64", "::ffff:10.0.0.1/104"] {
            assert_eq!(Network::parse(text), Err(NetworkError::HostBits(text.parse().unwrap())));
            assert_ne!(text.parse::<Network>().unwrap().trunc(), text.parse().unwrap());
        }
    }
}
