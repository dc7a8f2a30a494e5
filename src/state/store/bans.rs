//! Stores bans in memory, and in a file if one is configured.

mod ban;
mod held;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::Handed;
use super::file::{Contents, StateFile, StoreError, Version};
use crate::values::Network;
use crate::values::UnixTime;
pub use ban::{Author, Ban, BanError};
use held::{HeldBans, in_order};

/// The largest number of bans, including expired ones that are remembered.
pub const MAX_BANS: usize = 100_000;
/// Stores bans and looks addresses up.
///
/// Every method except [`BanStore::save`] works in memory and never blocks: a shared store keeps a
/// local copy and updates it when it saves.
pub trait BanStore: Send + Sync + std::fmt::Debug {
    /// The ban on `address` that is in force at `now`; of several, the one that ends last.
    fn find(&self, address: IpAddr, now: UnixTime) -> Option<Ban>;

    /// The entry of exactly this network, in force or expired.
    fn known(&self, network: Network) -> Option<Ban>;

    /// Stores a ban in memory and replaces the entry of its network.
    fn put(&self, ban: Ban, now: UnixTime) -> Result<(), BanError>;

    /// Removes the entry of exactly this network.
    fn remove(&self, network: Network) -> Option<Ban>;

    /// The bans in force, oldest first.
    fn list(&self, now: UnixTime) -> Vec<Ban>;

    /// The number of bans in force.
    fn count(&self, now: UnixTime) -> usize;

    /// Whether there are unsaved changes.
    fn is_unsaved(&self) -> bool;

    /// Makes the state in memory persistent. Does nothing without unsaved changes. May block while
    /// a disk or another machine is slow, so call it from a thread that may block.
    fn save(&self, now: UnixTime) -> Result<(), StoreError>;

    /// Saves, and leaves the persistent state to another process. Returns all entries. May block.
    fn hand_over(&self, now: UnixTime) -> Handed<Ban>;

    /// Saves again, after the other process has failed.
    fn take_back(&self);

    /// Takes over the entries of another process, in memory, as far as there is room.
    fn adopt(&self, handed: Handed<Ban>, now: UnixTime);
}

static CONTENTS: Contents = Contents {
    key: "[firewall.ban] file",
    entries: "bans",
    most: MAX_BANS,
    loss: "whoever it banned can come back then",
};

#[derive(Serialize)]
struct WrittenBans<'a> {
    version: Version,
    bans: &'a [Ban],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadBans {
    #[serde(rename = "version")]
    _version: Version,
    bans: Vec<Ban>,
}

/// The in-memory store with an optional file. With 100,000 bans, looking up an address without a
/// ban takes 40 ns if all prefixes have the same length, and 0.3 µs with twenty lengths; see the
/// bench `bans`.
#[derive(Debug)]
pub struct BanTable {
    held: RwLock<HeldBans>,
    unsaved: AtomicBool,
    /// Locked during a write, so that the last written file is the newest.
    file: Option<Mutex<StateFile>>,
    /// [`MAX_BANS`]; smaller in tests.
    bound: usize,
}

impl BanTable {
    /// Creates a store that is not saved.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { held: RwLock::default(), unsaved: false.into(), file: None, bound: MAX_BANS }
    }

    /// Opens the file at `path` and drops its expired entries. A missing file is created, which
    /// proves that it can be written. An unreadable, broken or oversized file is an error: a bad
    /// file must not lift bans.
    pub fn open(path: PathBuf, now: UnixTime) -> Result<Self, StoreError> {
        let file = StateFile::new(path, &CONTENTS);
        let mut held = HeldBans::default();
        match file.read::<ReadBans>()? {
            None => file.write(&WrittenBans { version: Version, bans: &[] })?,
            Some(ReadBans { bans, .. }) => {
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

    fn read(&self) -> RwLockReadGuard<'_, HeldBans> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HeldBans> {
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
        // Cleared before the list is made: a change during the write counts as unsaved again.
        if !self.unsaved.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let listed = {
            let mut held = self.write();
            held.retain(|ban| ban.kept_until() > now);
            in_order(held.bans.values())
        };
        let outcome = file.write(&WrittenBans { version: Version, bans: &listed });
        if outcome.is_err() {
            self.changed();
        }
        outcome
    }

    fn hand_over(&self, now: UnixTime) -> Handed<Ban> {
        // Unsaved entries are handed over, too.
        let _ = self.save(now);
        let file = self.file.as_ref().map(|file| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.hand_over(true);
            file.path().to_owned()
        });
        Handed { file, entries: in_order(self.read().bans.values()) }
    }

    fn take_back(&self) {
        if let Some(file) = &self.file {
            file.lock().unwrap_or_else(PoisonError::into_inner).hand_over(false);
        }
        self.changed();
    }

    fn adopt(&self, handed: Handed<Ban>, now: UnixTime) {
        let own = self
            .file
            .as_ref()
            .map(|file| file.lock().unwrap_or_else(PoisonError::into_inner).path().to_owned());
        let mut held = self.write();
        if own == handed.file {
            *held = HeldBans::default();
        }
        for ban in handed.entries {
            // Two full stores are merged if the file is another one.
            if held.bans.len() < self.bound || held.make_room(now, self.bound).is_ok() {
                held.put(ban);
            }
        }
        drop(held);
        self.changed();
    }
}

#[cfg(test)]
mod tests;
