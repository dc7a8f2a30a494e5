//! Which sessions are meant.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::registry::Record;

/// Sessions that have all of what is given; none given means every session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The user, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The NAME of `[routes.NAME]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Where the client is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Network>,
    /// The request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The claim `jti` of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl Filter {
    /// Whether nothing is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn matches(&self, record: &Record) -> bool {
        fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
            wanted.is_none() || wanted == found
        }
        let address = record.peer.ip().to_canonical();
        let plain = is(self.id.as_deref(), Some(&record.id))
            && is(self.route.as_deref(), Some(&record.route))
            && self.ip.is_none_or(|network| network.0.contains(&address));
        if !plain || (self.user.is_none() && self.token.is_none()) {
            return plain;
        }
        let identity = record.identity();
        identity.as_ref().is_some_and(|identity| {
            is(self.user.as_deref(), identity.user.as_deref())
                && is(self.token.as_deref(), identity.token_id.as_deref())
        })
    }
}

/// An address, or a network in CIDR notation; an IPv4 address mapped into IPv6 is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an address, or a network as ADDRESS/PREFIX, such as 10.0.0.0/8")]
pub struct NotANetwork;

impl std::str::FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(address.to_canonical().into())),
            Err(_) => text.parse().map(Self).map_err(|_| NotANetwork),
        }
    }
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
