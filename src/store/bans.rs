//! Which addresses and networks are banned, in this process's memory, and in a file if one was given.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::MAX_WHY;
use super::file::{Contents, StateFile, StoreError, Version};
use crate::moment::Moment;
use crate::network::Network;

/// How many bans are kept, those included that are over and remembered.
pub const MAX_BANS: usize = 100_000;
/// The widest network that can be banned. It bounds how many look-ups an address takes.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;
/// The narrowest network in IPv6: a client has all of it.
const NARROWEST_V6: u8 = 64;

/// Keeps bans, and answers whether an address is among them.
///
/// Everything but [`BanStore::save`] is answered from memory and never blocks: a store that is
/// shared keeps a copy at hand, and brings it up to date when it saves.
pub trait BanStore: Send + Sync + std::fmt::Debug {
    /// The ban that `address` is under at `now`; of several, the one that lasts longest.
    fn find(&self, address: IpAddr, now: Moment) -> Option<Ban>;

    /// What is known of exactly this network, whether it is over or not.
    fn known(&self, network: Network) -> Option<Ban>;

    /// Keeps a ban in memory, in the place of what was known of its network.
    fn put(&self, ban: Ban, now: Moment) -> Result<(), BanError>;

    /// Forgets what is known of exactly this network.
    fn remove(&self, network: Network) -> Option<Ban>;

    /// The bans in force, the oldest first.
    fn list(&self, now: Moment) -> Vec<Ban>;

    /// How many bans are in force.
    fn count(&self, now: Moment) -> usize;

    /// Whether there is something to save.
    fn is_unsaved(&self) -> bool;

    /// Makes what memory holds outlive this process. Does nothing if nothing is unsaved. May block
    /// for as long as a disk or another machine takes, so it is called from a thread that may.
    fn save(&self, now: Moment) -> Result<(), StoreError>;
}

/// Who made a ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// The gateway, for strikes.
    Gateway,
    /// Somebody with the admin client.
    Operator,
}

/// An address or network that may not connect for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// Whom it concerns; see [`Ban::network_of`].
    pub network: Network,
    /// The first moment at which it is over.
    pub until: Moment,
    /// When it was made.
    pub at: Moment,
    /// Who made it.
    pub by: Author,
    /// An operator's remark, or the name of the reason of the last strike; at most [`MAX_WHY`]
    /// bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many times the gateway banned it, this one included, without the earlier ones having
    /// been forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offences: u32,
    /// The moment at which the offences are forgotten, if it is not `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered: Option<Moment>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Ban {
    /// What a ban of `network` is a ban of: in IPv6 of a /64 at least, because a client has all of
    /// it.
    pub fn network_of(network: Network) -> Result<Network, BanError> {
        let prefix = network.prefix();
        if prefix != prefix.trunc() {
            return Err(BanError::HostBits { whole: network.trunc(), one: prefix.addr() });
        }
        match prefix {
            IpNet::V4(v4) if v4.prefix_len() < WIDEST_V4 => Err(BanError::TooWide(network)),
            IpNet::V6(v6) if v6.prefix_len() < WIDEST_V6 => Err(BanError::TooWide(network)),
            IpNet::V6(v6) if v6.prefix_len() > NARROWEST_V6 => {
                Ok(part(v6.addr().into(), NARROWEST_V6))
            }
            IpNet::V4(_) | IpNet::V6(_) => Ok(network),
        }
    }

    /// Whether it is in force.
    #[must_use]
    pub fn is_active(&self, now: Moment) -> bool {
        self.until > now
    }

    /// When it may be forgotten.
    #[must_use]
    pub fn kept_until(&self) -> Moment {
        self.remembered.map_or(self.until, |remembered| remembered.max(self.until))
    }

    fn check(&self) -> Result<(), BanError> {
        if Self::network_of(self.network)? != self.network {
            return Err(BanError::Part(self.network));
        }
        if self.why.as_ref().is_some_and(|why| why.len() > MAX_WHY) {
            return Err(BanError::LongWhy);
        }
        Ok(())
    }
}

/// Why a ban is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanError {
    /// There is no room.
    #[error(
        "{MAX_BANS} bans are in force, and no more are kept: ban networks instead of single addresses, or deny them in [firewall]"
    )]
    Full,
    /// It would be half of the internet.
    #[error(
        "{0} is too wide for a ban: a /{WIDEST_V4} of IPv4 and a /{WIDEST_V6} of IPv6 is the widest; deny it in [firewall] if you mean it"
    )]
    TooWide(Network),
    /// It has bits beyond its prefix.
    #[error("for the whole network write {whole}, for the one address {one}")]
    HostBits {
        /// The network.
        whole: Network,
        /// The address.
        one: IpAddr,
    },
    /// Only in a file: [`Ban::network_of`] makes it whole elsewhere.
    #[error("{0} is less than a /{NARROWEST_V6}, which is what a client has")]
    Part(Network),
    /// It is over already.
    #[error("its end {0} is not in the future")]
    Over(Moment),
    /// The remark is too long.
    #[error("a remark has at most {MAX_WHY} bytes")]
    LongWhy,
}

static CONTENTS: Contents = Contents {
    key: "[firewall.ban] file",
    entries: "bans",
    most: MAX_BANS,
    loss: "whoever it banned can come back then",
};

#[derive(Serialize)]
struct Written<'a> {
    version: Version,
    bans: &'a [Ban],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "version")]
    _version: Version,
    bans: Vec<Ban>,
}

/// The store that there is. With 100,000 bans an address that is not banned costs 40 ns if all bans
/// are of one length of prefix, and 0.3 µs with twenty lengths; see the bench `bans`.
#[derive(Debug)]
pub struct BanTable {
    held: RwLock<Held>,
    unsaved: AtomicBool,
    /// Locked while the file is written, so that the last one written is the newest.
    file: Option<Mutex<StateFile>>,
    /// [`MAX_BANS`], but in tests.
    bound: usize,
}

#[derive(Debug, Default)]
struct Held {
    bans: HashMap<Network, Ban>,
    /// How many bans there are by length of their prefix: each length is one look-up.
    v4: BTreeMap<u8, usize>,
    v6: BTreeMap<u8, usize>,
    /// Before this there is nothing to sweep.
    full_until: Option<Moment>,
}

impl BanTable {
    /// Forgotten with this process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { held: RwLock::default(), unsaved: false.into(), file: None, bound: MAX_BANS }
    }

    /// Those of the file at `path`, without those that are forgotten. A file that is not there is
    /// written, which proves that it can be; one that cannot be read, is broken or holds too many is
    /// an error: whoever was banned must not come back because a file went bad.
    pub fn open(path: PathBuf, now: Moment) -> Result<Self, StoreError> {
        let file = StateFile::new(path, &CONTENTS);
        let mut held = Held::default();
        match file.read::<Read>()? {
            None => file.write(&Written { version: Version, bans: &[] })?,
            Some(Read { bans, .. }) => {
                for ban in bans {
                    ban.check().map_err(|error| file.broken(error.to_string()))?;
                    if ban.kept_until() > now {
                        held.put(ban);
                    }
                }
            }
        }
        file.check_count(held.bans.len())?;
        let file = Some(Mutex::new(file));
        Ok(Self { held: RwLock::new(held), file, ..Self::in_memory() })
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.unsaved.store(self.file.is_some(), Ordering::Release);
    }
}

impl BanStore for BanTable {
    fn find(&self, address: IpAddr, now: Moment) -> Option<Ban> {
        let held = self.read();
        let lengths = if address.is_ipv4() { &held.v4 } else { &held.v6 };
        let covering = lengths.keys().filter_map(|length| held.bans.get(&part(address, *length)));
        covering.filter(|ban| ban.is_active(now)).max_by_key(|ban| ban.until).cloned()
    }

    fn known(&self, network: Network) -> Option<Ban> {
        self.read().bans.get(&network).cloned()
    }

    fn put(&self, ban: Ban, now: Moment) -> Result<(), BanError> {
        ban.check()?;
        if !ban.is_active(now) {
            return Err(BanError::Over(ban.until));
        }
        let mut held = self.write();
        if !held.bans.contains_key(&ban.network) && held.bans.len() >= self.bound {
            held.make_room(now, self.bound)?;
        }
        held.put(ban);
        drop(held);
        self.changed();
        Ok(())
    }

    fn remove(&self, network: Network) -> Option<Ban> {
        let removed = self.write().remove(network)?;
        self.changed();
        Some(removed)
    }

    fn list(&self, now: Moment) -> Vec<Ban> {
        let held = self.read();
        in_order(held.bans.values().filter(|ban| ban.is_active(now)))
    }

    fn count(&self, now: Moment) -> usize {
        self.read().bans.values().filter(|ban| ban.is_active(now)).count()
    }

    fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Acquire)
    }

    fn save(&self, now: Moment) -> Result<(), StoreError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the list is made: what comes while it is written is unsaved again.
        if !self.unsaved.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let listed = {
            let mut held = self.write();
            held.retain(|ban| ban.kept_until() > now);
            in_order(held.bans.values())
        };
        let outcome = file.write(&Written { version: Version, bans: &listed });
        if outcome.is_err() {
            self.changed();
        }
        outcome
    }
}

impl Held {
    fn put(&mut self, ban: Ban) {
        let prefix = ban.network.prefix();
        self.full_until = None;
        if self.bans.insert(ban.network, ban).is_none() {
            *self.lengths(prefix).entry(prefix.prefix_len()).or_default() += 1;
        }
    }

    fn remove(&mut self, network: Network) -> Option<Ban> {
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

    fn retain(&mut self, is_kept: impl Fn(&Ban) -> bool) {
        let gone: Vec<_> = self.bans.values().filter(|ban| !is_kept(ban)).collect();
        let gone: Vec<_> = gone.into_iter().map(|ban| ban.network).collect();
        for network in gone {
            self.remove(network);
        }
    }

    /// Forgets what may be forgotten, and if that is nothing, what is over and only remembered. An
    /// error if all are in force; until the first of them ends it is not looked again.
    fn make_room(&mut self, now: Moment, bound: usize) -> Result<(), BanError> {
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

/// The network of this length that `address` is in.
fn part(address: IpAddr, length: u8) -> Network {
    let prefix = IpNet::new(address, length).unwrap_or_else(|_| address.into());
    Network::from(prefix).trunc()
}

fn in_order<'a>(bans: impl Iterator<Item = &'a Ban>) -> Vec<Ban> {
    let mut listed: Vec<_> = bans.cloned().collect();
    listed.sort_by_key(|ban| (ban.at, ban.network));
    listed
}

#[cfg(test)]
mod tests;
