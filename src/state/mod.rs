//! State that outlives a connection and a reload: bans, strikes, revocations, limits, and drains.

pub mod bans;
pub mod drains;
pub mod limits;
pub mod store;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::values::UnixTime;
use bans::{Bans, Now, StruckAddress};
use drains::{DrainTarget, Drains};
use limits::Limiters;
use store::{Ban, Handed, Revocation, RevocationStore, Revocations, StoreError};

/// The state that all connections of a gateway share.
#[derive(Debug)]
pub struct State {
    bans: Arc<Bans>,
    revocations: Arc<dyn RevocationStore>,
    limiters: Limiters,
    drains: Arc<Drains>,
}

/// The bans, strikes, revocations and drains of a process, on their way to its successor.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    bans: Handed<Ban>,
    strikes: Vec<StruckAddress>,
    revocations: Handed<Revocation>,
    drained_servers: Vec<String>,
    drained_routes: Vec<String>,
}

impl State {
    /// Reads the files of bans and revocations that `config` names; without one, that state is kept in
    /// memory.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let revocations = match &config.admin.revocations {
            Some(path) => Revocations::open(path.clone(), UnixTime::now())?,
            None => Revocations::in_memory(),
        };
        let trusted_proxies = &config.server.trusted_proxies;
        let bans = Bans::open(config.firewall.ban.as_ref(), trusted_proxies, Now::read())?;
        let limiters = Limiters::default();
        limiters.set(&config.limits, &config.routes);
        Ok(Self {
            bans: Arc::new(bans),
            revocations: Arc::new(revocations),
            limiters,
            drains: Arc::default(),
        })
    }

    /// Applies the bans' terms and the limits of a reloaded configuration; nothing counted is lost.
    pub fn set(&self, config: &Config) {
        self.bans.set(config.firewall.ban.as_ref(), &config.server.trusted_proxies);
        self.limiters.set(&config.limits, &config.routes);
    }

    /// Saves bans and revocations, and leaves their files to another process. Returns them for it. Blocks
    /// while a disk is written.
    #[must_use]
    pub fn hand_over(&self, now: Now) -> Snapshot {
        let (bans, strikes) = self.bans.hand_over(now);
        let revocations = self.revocations.hand_over(now.moment);
        let (mut drained_servers, mut drained_routes) = (Vec::new(), Vec::new());
        for target in self.drains.list() {
            match target {
                DrainTarget::Server(server) => drained_servers.push(server.to_string()),
                DrainTarget::Route(route) => drained_routes.push(route.to_string()),
            }
        }
        Snapshot { bans, strikes, revocations, drained_servers, drained_routes }
    }

    /// Writes the files again, after the other process has failed.
    pub fn take_back(&self) {
        self.bans.take_back();
        self.revocations.take_back();
    }

    /// Takes over the bans, strikes, revocations and drains of another process. Blocks while a disk is written.
    ///
    /// # Errors
    /// The revocations are in force but not saved.
    pub fn adopt(&self, snapshot: Snapshot, now: Now) -> Result<(), StoreError> {
        self.bans.adopt(snapshot.bans, snapshot.strikes, now);
        for server in snapshot.drained_servers {
            self.drains.insert(DrainTarget::Server(server.into()));
        }
        for route in snapshot.drained_routes {
            self.drains.insert(DrainTarget::Route(route.into()));
        }
        self.revocations.adopt(snapshot.revocations, now.moment)
    }

    /// Banned addresses, and strikes.
    #[must_use]
    pub fn bans(&self) -> &Arc<Bans> {
        &self.bans
    }

    /// Users and tokens that may not connect.
    #[must_use]
    pub fn revocations(&self) -> &Arc<dyn RevocationStore> {
        &self.revocations
    }

    /// Open connections and handshake rates by address and user.
    #[must_use]
    pub fn limiters(&self) -> &Limiters {
        &self.limiters
    }

    /// The servers and routes that operators drain.
    #[must_use]
    pub fn drains(&self) -> &Arc<Drains> {
        &self.drains
    }
}
