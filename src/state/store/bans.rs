//! Which addresses and networks are banned, in this process's memory, and in a file if one was given.

mod ban;
mod held;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::file::{Contents, StateFile, StoreError, Version};
use crate::values::Network;
use crate::values::UnixTime;
pub use ban::{Author, Ban, BanError};
use held::{Held, in_order};

/// How many bans are kept, those included that are over and remembered.
pub const MAX_BANS: usize = 100_000;
/// Keeps bans, and answers whether an address is among them.
///
/// Everything but [`BanStore::save`] is answered from memory and never blocks: a store that is
/// shared keeps a copy at hand, and brings it up to date when it saves.
pub trait BanStore: Send + Sync + std::fmt::Debug {
    /// The ban that `address` is under at `now`; of several, the one that lasts longest.
    fn find(&self, address: IpAddr, now: UnixTime) -> Option<Ban>;

    /// What is known of exactly this network, whether it is over or not.
    fn known(&self, network: Network) -> Option<Ban>;

    /// Keeps a ban in memory, in the place of what was known of its network.
    fn put(&self, ban: Ban, now: UnixTime) -> Result<(), BanError>;

    /// Forgets what is known of exactly this network.
    fn remove(&self, network: Network) -> Option<Ban>;

    /// The bans in force, the oldest first.
    fn list(&self, now: UnixTime) -> Vec<Ban>;

    /// How many bans are in force.
    fn count(&self, now: UnixTime) -> usize;

    /// Whether there is something to save.
    fn is_unsaved(&self) -> bool;

    /// Makes what memory holds outlive this process. Does nothing if nothing is unsaved. May block
    /// for as long as a disk or another machine takes, so it is called from a thread that may.
    fn save(&self, now: UnixTime) -> Result<(), StoreError>;
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

impl BanTable {
    /// Forgotten with this process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { held: RwLock::default(), unsaved: false.into(), file: None, bound: MAX_BANS }
    }

    /// Those of the file at `path`, without those that are forgotten. A file that is not there is
    /// written, which proves that it can be; one that cannot be read, is broken or holds too many is
    /// an error: whoever was banned must not come back because a file went bad.
    pub fn open(path: PathBuf, now: UnixTime) -> Result<Self, StoreError> {
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
    fn find(&self, address: IpAddr, now: UnixTime) -> Option<Ban> {
        self.read().find(address, now).cloned()
    }

    fn known(&self, network: Network) -> Option<Ban> {
        self.read().bans.get(&network).cloned()
    }

    fn put(&self, ban: Ban, now: UnixTime) -> Result<(), BanError> {
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

    fn list(&self, now: UnixTime) -> Vec<Ban> {
        let held = self.read();
        in_order(held.bans.values().filter(|ban| ban.is_active(now)))
    }

    fn count(&self, now: UnixTime) -> usize {
        self.read().bans.values().filter(|ban| ban.is_active(now)).count()
    }

    fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Acquire)
    }

    fn save(&self, now: UnixTime) -> Result<(), StoreError> {
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

#[cfg(test)]
mod tests;
