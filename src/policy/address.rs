//! Whether an address may connect: the firewall's rules, bans, and what one address may have at once.
//! Cheap, and before anything was read of the client where its address is known.

use std::net::IpAddr;
use std::time::Duration;

use super::Policy;
use crate::config::Mode;
use crate::firewall::Bans;
use crate::limits::{AddressKey, AddressPermit, Limiters, Wait};
use crate::moment::Moment;
use crate::refusal::{Reason, Refusal};

/// What Retry-After says where only somebody else's leaving makes room.
const SOMEBODY_LEAVES: Wait = Wait(Duration::from_secs(10));

/// An address that may connect.
#[derive(Debug)]
pub struct Entrance {
    /// One of the connections that it may have.
    pub permit: AddressPermit,
    /// What sections in report mode would have refused.
    pub let_through: Vec<Refusal>,
}

impl Policy {
    /// The checks of an address, in their order: rules, ban, handshakes, connections.
    pub fn admit_address(
        &self,
        address: IpAddr,
        bans: &Bans,
        limiters: &Limiters,
    ) -> Result<Entrance, Refusal> {
        let mut let_through = Vec::new();
        if let Err(refusal) = self.check_rules(address) {
            spare(self.firewall.mode, refusal, &mut let_through)?;
        }
        check_ban(address, bans)?;
        let key = AddressKey::from(address);
        let mode = self.limits.mode;
        if let Err(wait) = limiters.handshake(key) {
            let detail = format!("{key} makes more handshakes than limits.handshakes_per_ip");
            let refusal = Refusal::new(Reason::LimitHandshakes, detail).retry_after(wait);
            spare(mode, refusal, &mut let_through)?;
        }
        let refusal = |full| {
            let detail = format!("{key}: {full} (limits.connections_per_ip)");
            Refusal::new(Reason::LimitConnections, detail).retry_after(SOMEBODY_LEAVES)
        };
        let enforce = mode == Mode::Enforce;
        let (permit, full) = limiters.connection(key, &self.limits, enforce).map_err(refusal)?;
        let_through.extend(full.map(refusal));
        Ok(Entrance { permit, let_through })
    }

    /// The rules alone, for an address that nothing is counted of.
    pub fn enforce_rules(&self, address: IpAddr) -> Result<(), Refusal> {
        match self.firewall.mode {
            Mode::Enforce => self.check_rules(address),
            Mode::Report => Ok(()),
        }
    }

    /// What the rules alone say of an address, whatever their mode.
    pub fn check_rules(&self, _address: IpAddr) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Whether an address is banned.
pub fn check_ban(address: IpAddr, bans: &Bans) -> Result<(), Refusal> {
    let Some(ban) = bans.is_banned(address, Moment::now()) else {
        return Ok(());
    };
    let why = ban.why.as_deref().map_or(String::new(), |why| format!(" for {why}"));
    let detail = format!("{} is banned until {}{why}", ban.network, ban.until);
    Err(Refusal::new(Reason::BanActive, detail))
}

/// In report mode a refusal is noted, and nothing else.
pub(super) fn spare(
    mode: Mode,
    refusal: Refusal,
    let_through: &mut Vec<Refusal>,
) -> Result<(), Refusal> {
    match mode {
        Mode::Enforce => Err(refusal),
        Mode::Report => {
            let_through.push(refusal);
            Ok(())
        }
    }
}
