//! What is asked with, and what comes of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use crate::journal::Event;
use crate::state::store::{Ban, BanError};
use crate::values::Network;
use crate::values::Reason;
use crate::values::UnixTime;

/// The present, on both clocks: strikes count by the one that only goes forward, bans end by the one
/// on the wall.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Goes forward.
    pub instant: Instant,
    /// Is on the wall.
    pub moment: UnixTime,
}

impl Now {
    /// As the system has it.
    #[must_use]
    pub fn read() -> Self {
        Self { instant: Instant::now(), moment: UnixTime::now() }
    }
}

/// What came of a strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Struck {
    /// It was counted, or is none, or concerns nobody who could be banned.
    Noted,
    /// It was the last one: the address is banned from now on. The caller records
    /// [`NewBan::event`], and ends the sessions of [`Bans::reach`](super::Bans::reach).
    Banned(Box<NewBan>),
    /// It was the last one, and there is no room for another ban: the strikes are forgotten. The
    /// caller records it.
    NoRoom,
}

/// A ban that strikes made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBan {
    /// Who struck last.
    pub address: IpAddr,
    /// For what.
    pub reason: Reason,
    /// How many strikes it took.
    pub strikes: u32,
    /// What came of it; in IPv6 it is of the whole /64.
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

/// Why an operator's word was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanRefused {
    /// It is never banned.
    #[error(
        "{network} is exempt: it is in {by} of [firewall.ban] exempt or [server] trusted_proxies; take that out first if you mean it"
    )]
    Exempt {
        /// What was to be banned.
        network: Network,
        /// What it is in.
        by: Network,
    },
    /// See there.
    #[error(transparent)]
    Ban(#[from] BanError),
    /// There is nothing to take back.
    #[error("{network} is not banned{}", Within(*within))]
    NotBanned {
        /// What was to be unbanned.
        network: Network,
        /// A banned network that it is in.
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
