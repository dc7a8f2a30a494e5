//! Stores revocations in memory, and in a file if one is configured.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::file::{Contents, StateFile, StoreError, Version};
use super::{Handed, Kind, Revocation, RevocationStore, RevokeError};
use crate::values::UnixTime;

/// The largest number of revocations.
pub const MAX_REVOCATIONS: usize = 100_000;

static CONTENTS: Contents = Contents {
    key: "[admin] revocations",
    entries: "revocations",
    most: MAX_REVOCATIONS,
    loss: "whoever it revoked can come back then",
};

#[derive(Serialize)]
struct WrittenRevocations<'a> {
    version: Version,
    revocations: &'a [Revocation],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "version")]
    _version: Version,
    revocations: Vec<Revocation>,
}

/// The in-memory store with an optional file. Every change rewrites the file.
#[derive(Debug)]
pub struct Revocations {
    held: RwLock<HeldRevocations>,
    /// Locked during a write, so that the last written file is the newest.
    file: Option<Mutex<StateFile>>,
    /// [`MAX_REVOCATIONS`]; smaller in tests.
    bound: usize,
}

#[derive(Debug, Default)]
struct HeldRevocations {
    users: HashMap<String, Term>,
    tokens: HashMap<String, Term>,
}

#[derive(Debug, Clone)]
struct Term {
    until: UnixTime,
    at: UnixTime,
    why: Option<String>,
}

impl Revocations {
    /// Creates a store that is not saved.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { held: RwLock::default(), file: None, bound: MAX_REVOCATIONS }
    }

    /// Opens the file at `path` and drops its expired entries. A missing file is created, which
    /// proves that it can be written. An unreadable, broken or oversized file is an error: a bad
    /// file must not lift revocations.
    pub fn open(path: PathBuf, now: UnixTime) -> Result<Self, StoreError> {
        let file = StateFile::new(path, &CONTENTS);
        let mut held = HeldRevocations::default();
        match file.read::<Read>()? {
            None => file.write(&WrittenRevocations { version: Version, revocations: &[] })?,
            Some(Read { revocations, .. }) => {
                if let Some(bad) = revocations.iter().find(|revocation| !revocation.is_bounded()) {
                    let what = format!("a {} of it is empty or too long", bad.kind.name());
                    return Err(file.broken(what));
                }
                let live = revocations.into_iter().filter(|revocation| revocation.until > now);
                live.for_each(|revocation| held.put(revocation));
            }
        }
        file.check_count(held.len())?;
        Ok(Self { held: RwLock::new(held), file: Some(Mutex::new(file)), bound: MAX_REVOCATIONS })
    }

    fn hold(&self, revocation: Revocation, now: UnixTime) -> Result<(), RevokeError> {
        if !revocation.is_bounded() {
            return Err(RevokeError::Unbounded);
        }
        if revocation.until <= now {
            return Err(RevokeError::Over(revocation.until));
        }
        let mut held = self.write();
        let known = held.of(revocation.kind).contains_key(&revocation.value);
        if !known && held.len() >= self.bound {
            held.sweep(now);
            if held.len() >= self.bound {
                return Err(RevokeError::Full);
            }
        }
        held.put(revocation);
        Ok(())
    }

    fn save(&self, now: UnixTime) -> Result<(), StoreError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = {
            let mut held = self.write();
            held.sweep(now);
            held.list()
        };
        file.write(&WrittenRevocations { version: Version, revocations: &listed })
    }

    fn read(&self) -> RwLockReadGuard<'_, HeldRevocations> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HeldRevocations> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationStore for Revocations {
    fn is_revoked(&self, kind: Kind, value: &str, now: UnixTime) -> bool {
        let held = self.read();
        let terms = match kind {
            Kind::User => &held.users,
            Kind::Token => &held.tokens,
        };
        terms.get(value).is_some_and(|term| term.until > now)
    }

    fn revoke(&self, revocation: Revocation, now: UnixTime) -> Result<(), RevokeError> {
        self.hold(revocation, now)?;
        Ok(self.save(now)?)
    }

    fn count(&self, now: UnixTime) -> usize {
        let held = self.read();
        held.users.values().chain(held.tokens.values()).filter(|term| term.until > now).count()
    }

    fn hand_over(&self, now: UnixTime) -> Handed<Revocation> {
        // Unsaved revocations are handed over, too.
        let _ = self.save(now);
        let file = self.file.as_ref().map(|file| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.hand_over(true);
            file.path().to_owned()
        });
        Handed { file, entries: self.read().list() }
    }

    fn take_back(&self) {
        if let Some(file) = &self.file {
            file.lock().unwrap_or_else(PoisonError::into_inner).hand_over(false);
        }
    }

    fn adopt(&self, handed: Handed<Revocation>, now: UnixTime) -> Result<(), StoreError> {
        let own = self
            .file
            .as_ref()
            .map(|file| file.lock().unwrap_or_else(PoisonError::into_inner).path().to_owned());
        let mut held = self.write();
        if own == handed.file {
            *held = HeldRevocations::default();
        }
        for revocation in handed.entries {
            // Two full stores are merged if the file is another one.
            if held.len() < self.bound {
                held.put(revocation);
            }
        }
        drop(held);
        self.save(now)
    }
}

impl HeldRevocations {
    fn len(&self) -> usize {
        self.users.len() + self.tokens.len()
    }

    fn of(&mut self, kind: Kind) -> &mut HashMap<String, Term> {
        match kind {
            Kind::User => &mut self.users,
            Kind::Token => &mut self.tokens,
        }
    }

    fn put(&mut self, revocation: Revocation) {
        let Revocation { kind, value, until, at, why } = revocation;
        let terms = self.of(kind);
        if terms.get(&value).is_none_or(|known| known.until <= until) {
            terms.insert(value, Term { until, at, why });
        }
    }

    fn sweep(&mut self, now: UnixTime) {
        self.users.retain(|_, term| term.until > now);
        self.tokens.retain(|_, term| term.until > now);
    }

    /// Sorted by creation time.
    fn list(&self) -> Vec<Revocation> {
        let users = self.users.iter().map(|entry| (Kind::User, entry));
        let tokens = self.tokens.iter().map(|entry| (Kind::Token, entry));
        let mut listed: Vec<_> = users
            .chain(tokens)
            .map(|(kind, (value, term))| {
                let Term { until, at, why } = term.clone();
                Revocation { kind, value: value.clone(), until, at, why }
            })
            .collect();
        listed.sort_by(|a, b| (a.at, &a.value).cmp(&(b.at, &b.value)));
        listed
    }
}

#[cfg(test)]
mod tests;
