//! A ban, and the networks that can be banned.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::MAX_BANS;
use crate::state::store::MAX_WHY;
use crate::values::Network;
use crate::values::UnixTime;

/// The widest network that can be banned. It bounds the number of look-ups for an address.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;
/// The narrowest IPv6 network: a client controls a whole /64.
const NARROWEST_V6: u8 = 64;

/// The author of a ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// The gateway, for strikes.
    Gateway,
    /// An operator with the admin client.
    Operator,
}

/// An address or network that may not connect for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// The banned network; see [`Ban::network_of`].
    pub network: Network,
    /// The first moment at which the ban is over.
    pub until: UnixTime,
    /// When the ban was made.
    pub at: UnixTime,
    /// The author of the ban.
    pub by: Author,
    /// An operator's remark, or the name of the reason of the last strike; at most [`MAX_WHY`]
    /// bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The number of bans that the gateway made for this network, this one included, since its
    /// offences were last forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offences: u32,
    /// When the offences are forgotten, if later than `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered: Option<UnixTime>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Ban {
    /// The network that is banned for `network`: in IPv6 at least a /64, because a client controls
    /// all of it.
    pub fn network_of(network: Network) -> Result<Network, BanError> {
        let prefix = network.prefix();
        if prefix != prefix.trunc() {
            return Err(BanError::HostBits { whole: network.trunc(), one: prefix.addr() });
        }
        match prefix {
            IpNet::V4(v4) if v4.prefix_len() < WIDEST_V4 => Err(BanError::TooWide(network)),
            IpNet::V6(v6) if v6.prefix_len() < WIDEST_V6 => Err(BanError::TooWide(network)),
            IpNet::V6(v6) if v6.prefix_len() > NARROWEST_V6 => {
                Ok(Network::around(v6.addr().into(), NARROWEST_V6).unwrap_or(network))
            }
            IpNet::V4(_) | IpNet::V6(_) => Ok(network),
        }
    }

    /// Whether the ban is in force.
    #[must_use]
    pub fn is_active(&self, now: UnixTime) -> bool {
        self.until > now
    }

    /// When the ban may be forgotten.
    #[must_use]
    pub fn kept_until(&self) -> UnixTime {
        self.remembered.map_or(self.until, |remembered| remembered.max(self.until))
    }

    pub(super) fn check(&self) -> Result<(), BanError> {
        if Self::network_of(self.network)? != self.network {
            return Err(BanError::Part(self.network));
        }
        if self.why.as_ref().is_some_and(|why| why.len() > MAX_WHY) {
            return Err(BanError::LongWhy);
        }
        Ok(())
    }
}

/// The reason why a ban is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanError {
    /// The store is full.
    #[error(
        "{MAX_BANS} bans are in force, and no more are kept: ban networks instead of single addresses, or deny them in [firewall]"
    )]
    Full,
    /// The network is too wide, and a ban could cover half of the internet.
    #[error(
        "{0} is too wide for a ban: a /{WIDEST_V4} of IPv4 and a /{WIDEST_V6} of IPv6 is the widest; deny it in [firewall] if you mean it"
    )]
    TooWide(Network),
    /// The network has bits beyond its prefix.
    #[error("for the whole network write {whole}, for the one address {one}")]
    HostBits {
        /// The network.
        whole: Network,
        /// The address.
        one: IpAddr,
    },
    /// An IPv6 network narrower than a /64. Occurs only in files; elsewhere [`Ban::network_of`]
    /// widens it.
    #[error("{0} is less than a /{NARROWEST_V6}, which is what a client has")]
    Part(Network),
    /// The ban is over already.
    #[error("its end {0} is not in the future")]
    Over(UnixTime),
    /// The remark is too long.
    #[error("a remark has at most {MAX_WHY} bytes")]
    LongWhy,
}
