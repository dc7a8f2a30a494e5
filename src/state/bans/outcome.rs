//! The arguments and results of strikes and bans.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use crate::journal::Event;
use crate::state::store::{Ban, BanError};
use crate::values::Network;
use crate::values::Reason;
use crate::values::UnixTime;

/// The current time on both clocks: strikes use the monotonic clock, bans end by the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock.
    pub moment: UnixTime,
}

impl Now {
    /// Reads both clocks of the system.
    #[must_use]
    pub fn read() -> Self {
        Self { instant: Instant::now(), moment: UnixTime::now() }
    }
}

/// The result of a strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Struck {
    /// It was counted, or ignored because bans are off or the address is exempt or banned.
    Noted,
    /// It was the last strike, and the address is now banned. The caller records [`NewBan::event`]
    /// and closes the sessions of [`Bans::reach`](super::Bans::reach).
    Banned(Box<NewBan>),
    /// It was the last strike, but the store is full; the strikes are forgotten. The caller records
    /// this.
    NoRoom,
}

/// A ban for strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBan {
    /// The address of the last strike.
    pub address: IpAddr,
    /// The reason of the last strike.
    pub reason: Reason,
    /// The number of strikes that led to the ban.
    pub strikes: u32,
    /// The ban; for IPv6 of the whole /64.
    pub ban: Ban,
}

impl NewBan {
    /// The event that reports it.
    #[must_use]
    pub fn event(&self) -> Event<'_> {
        Event::Banned {
            address: self.address,
            network: self.ban.network,
            reason: self.reason,
            strikes: self.strikes,
            offences: self.ban.offences,
            until: self.ban.until,
        }
    }
}

/// The reason why an operator's request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanRefused {
    /// The network is exempt.
    #[error(
        "{network} is exempt: it is in {by} of [firewall.ban] exempt or [server] trusted_proxies; take that out first if you mean it"
    )]
    Exempt {
        /// The network of the request.
        network: Network,
        /// The exempt network that contains it.
        by: Network,
    },
    /// The ban itself is invalid.
    #[error(transparent)]
    Ban(#[from] BanError),
    /// No ban of this network is in force.
    #[error("{network} is not banned{}", Within(*within))]
    NotBanned {
        /// The network of the request.
        network: Network,
        /// A wider banned network that contains it.
        within: Option<Network>,
    },
}

struct Within(Option<Network>);

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(network) => write!(f, " by itself, but as part of {network}: unban that"),
            None => Ok(()),
        }
    }
}
