//! Bans by their networks.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Ban, BanError};
use crate::values::Network;
use crate::values::UnixTime;

#[derive(Debug, Default)]
pub(super) struct HeldBans {
    pub(super) bans: HashMap<Network, Ban>,
    /// The number of bans by prefix length. Each length costs one look-up.
    pub(super) v4: BTreeMap<u8, usize>,
    pub(super) v6: BTreeMap<u8, usize>,
    /// Until this time a sweep for room finds nothing, unless an entry changes.
    pub(super) full_until: Option<UnixTime>,
}

impl HeldBans {
    /// The ban on `address` that is in force and ends last.
    pub(super) fn find(&self, address: IpAddr, now: UnixTime) -> Option<&Ban> {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let covering = lengths.keys().filter_map(|length| {
            let network = Network::around(address, *length)?;
            self.bans.get(&network)
        });
        covering.filter(|ban| ban.is_active(now)).max_by_key(|ban| ban.until)
    }

    pub(super) fn put(&mut self, ban: Ban) {
        let prefix = ban.network.prefix();
        self.full_until = None;
        if self.bans.insert(ban.network, ban).is_none() {
            *self.lengths(prefix).entry(prefix.prefix_len()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, network: Network) -> Option<Ban> {
        let ban = self.bans.remove(&network)?;
        self.full_until = None;
        let length = network.prefix().prefix_len();
        let lengths = self.lengths(network.prefix());
        match lengths.get_mut(&length) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(lengths.remove(&length)),
        }
        Some(ban)
    }

    fn lengths(&mut self, prefix: IpNet) -> &mut BTreeMap<u8, usize> {
        match prefix {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }

    pub(super) fn retain(&mut self, is_kept: impl Fn(&Ban) -> bool) {
        let gone: Vec<_> = self.bans.values().filter(|ban| !is_kept(ban)).collect();
        let gone: Vec<_> = gone.into_iter().map(|ban| ban.network).collect();
        for network in gone {
            self.remove(network);
        }
    }

    /// Removes forgotten entries, or, if the store is still full, expired ones that are only
    /// remembered. Fails if all bans are in force; then it does not search again until the first of
    /// them ends.
    pub(super) fn make_room(&mut self, now: UnixTime, bound: usize) -> Result<(), BanError> {
        if self.full_until.is_some_and(|until| until > now) {
            return Err(BanError::Full);
        }
        self.retain(|ban| ban.kept_until() > now);
        if self.bans.len() >= bound {
            self.retain(|ban| ban.is_active(now));
        }
        if self.bans.len() < bound {
            return Ok(());
        }
        self.full_until = self.bans.values().map(|ban| ban.until).min();
        Err(BanError::Full)
    }
}

pub(super) fn in_order<'a>(bans: impl Iterator<Item = &'a Ban>) -> Vec<Ban> {
    let mut listed: Vec<_> = bans.cloned().collect();
    listed.sort_by_key(|ban| (ban.at, ban.network));
    listed
}
