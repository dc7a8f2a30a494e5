//! Who is banned, and who is about to be.

mod export;
mod keep;
mod outcome;
mod strikes;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::config;
use crate::state::store::{Author, Ban, BanStore, BanTable, StoreError};
use crate::values::AddressKey;
use crate::values::Network;
use crate::values::Offence;
use crate::values::Reason;
use crate::values::UnixTime;
pub use export::{ipset, nft};
pub use outcome::{BanRefused, NewBan, Now, Struck};
pub use strikes::MOST_STRUCK;
use strikes::Strikes;

/// The bans of a gateway. Shared by all connections; every method but [`Bans::save`] works in memory
/// and returns at once.
///
/// `[firewall.ban]` makes bans of strikes; without it, an operator still can. Addresses of `exempt`
/// and of `trusted_proxies` are never banned: not by their own strikes, and not by a ban of the /64
/// or the network that they are in.
///
/// Nothing is saved by itself: one task of the gateway runs [`Bans::keep`], and an operator's ban is
/// followed by [`Bans::save`] on a thread that may block, so that the answer can say how it went.
#[derive(Debug)]
pub struct Bans {
    store: Arc<dyn BanStore>,
    terms: RwLock<Terms>,
    strikes: Mutex<Strikes>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Terms {
    /// `None`: nobody is banned but by an operator.
    ban: Option<config::Ban>,
    exempt: Vec<Network>,
}

impl Bans {
    /// With the bans of `[firewall.ban] file`, or in memory alone.
    pub fn open(
        ban: Option<&config::Ban>,
        trusted: &[IpNet],
        now: Now,
    ) -> Result<Self, StoreError> {
        let store = match ban.and_then(|ban| ban.file.clone()) {
            Some(path) => BanTable::open(path, now.moment)?,
            None => BanTable::in_memory(),
        };
        Ok(Self::new(Arc::new(store), ban, trusted, now.instant))
    }

    /// With the bans of a store that is open already.
    #[must_use]
    pub fn new(
        store: Arc<dyn BanStore>,
        ban: Option<&config::Ban>,
        trusted: &[IpNet],
        now: Instant,
    ) -> Self {
        let (strikes, changed) = (Mutex::new(Strikes::new(now)), Notify::new());
        let bans = Self { store, terms: RwLock::default(), strikes, changed };
        bans.set(ban, trusted);
        bans
    }

    /// These terms hold from now on: strikes and bans stay, those of exempt addresses without
    /// effect. `file` is that of the start whatever it says.
    pub fn set(&self, ban: Option<&config::Ban>, trusted: &[IpNet]) {
        let exempt = ban.map_or(&[][..], |ban| &ban.exempt).iter().chain(trusted);
        let terms =
            Terms { ban: ban.cloned(), exempt: exempt.copied().map(Network::from).collect() };
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// The ban that `address` is under, if it is. To be asked for each connection before anything
    /// else.
    #[must_use]
    pub fn is_banned(&self, address: IpAddr, now: UnixTime) -> Option<Ban> {
        let address = address.to_canonical();
        let ban = self.store.find(address, now)?;
        self.terms().exempting(address).is_none().then_some(ban)
    }

    /// Notes that `address` committed an offence. Exempt addresses and those that are banned already
    /// make no difference.
    pub fn strike(&self, address: IpAddr, offence: Offence, now: Now) -> Struck {
        let reason = offence.reason();
        let address = address.to_canonical();
        let terms = self.terms();
        let Some(ban) = terms.ban.as_ref() else {
            return Struck::Noted;
        };
        if terms.exempting(address).is_some() {
            return Struck::Noted;
        }
        let key = AddressKey::from(address);
        // Held until the ban is kept: of those who offend at once one makes it, and none after it.
        let mut counted = self.strikes();
        let is_banned = self.store.find(address, now.moment).is_some();
        if is_banned || !counted.strike(key, now.instant, ban.strikes, ban.within) {
            return Struck::Noted;
        }
        let strikes = ban.strikes.get();
        let ban = self.sentence(key, reason, ban, now.moment);
        match self.store.put(ban.clone(), now.moment) {
            Ok(()) => {
                self.changed.notify_one();
                Struck::Banned(Box::new(NewBan { address, reason, strikes, ban }))
            }
            Err(_) => Struck::NoRoom,
        }
    }

    /// The ban that an address has earned: twice as long as the one before, if that is remembered.
    fn sentence(&self, key: AddressKey, reason: Reason, terms: &config::Ban, now: UnixTime) -> Ban {
        let network = network_of(key);
        let before = self.store.known(network).filter(|ban| ban.kept_until() > now);
        let before = before.map_or(0, |ban| ban.offences);
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        let duration = terms.duration.checked_mul(factor).unwrap_or(terms.max_duration);
        let until = now.after(duration.min(terms.max_duration));
        Ban {
            network,
            until,
            at: now,
            by: Author::Gateway,
            why: Some(reason.name().to_owned()),
            offences: before.saturating_add(1),
            remembered: Some(until.after(terms.max_duration)),
        }
    }

    /// Bans on an operator's word, until whenever that is. It takes the place of what was known of
    /// exactly this network; offences are remembered. An exempt network within it stays out of it.
    pub fn ban(
        &self,
        network: Network,
        until: UnixTime,
        why: Option<String>,
        now: UnixTime,
    ) -> Result<Ban, BanRefused> {
        let network = Ban::network_of(network)?;
        if let Some(by) = self.terms().covering(network) {
            return Err(BanRefused::Exempt { network, by });
        }
        let before = self.store.known(network).filter(|ban| ban.kept_until() > now);
        let (offences, remembered) =
            before.map_or((0, None), |ban| (ban.offences, Some(ban.kept_until())));
        let remembered = remembered.filter(|remembered| offences > 0 && *remembered > until);
        let by = Author::Operator;
        let ban = Ban { network, until, at: now, by, why, offences, remembered };
        self.store.put(ban.clone(), now)?;
        self.strikes().forget(|key| network.contains(key.first()));
        self.changed.notify_one();
        Ok(ban)
    }

    /// Takes a ban back, whoever made it, and forgets the strikes and the offences with it.
    pub fn unban(&self, network: Network, now: UnixTime) -> Result<Ban, BanRefused> {
        let network = Ban::network_of(network)?;
        if self.store.known(network).is_none_or(|ban| !ban.is_active(now)) {
            let within = self.store.find(network.prefix().addr(), now).map(|ban| ban.network);
            return Err(BanRefused::NotBanned { network, within });
        }
        let removed = self.store.remove(network);
        self.strikes().forget(|key| network.contains(key.first()));
        self.changed.notify_one();
        removed.ok_or(BanRefused::NotBanned { network, within: None })
    }

    /// The bans in force, the oldest first.
    #[must_use]
    pub fn list(&self, now: UnixTime) -> Vec<Ban> {
        self.store.list(now)
    }

    /// How many bans are in force.
    #[must_use]
    pub fn count(&self, now: UnixTime) -> usize {
        self.store.count(now)
    }

    /// How many addresses struck, of those that are remembered: [`MOST_STRUCK`] at most.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.strikes().count()
    }

    /// The network by which `address` is never banned, if it is in one.
    #[must_use]
    pub fn exempting(&self, address: IpAddr) -> Option<Network> {
        self.terms().exempting(address.to_canonical())
    }

    /// The networks that are never banned.
    #[must_use]
    pub fn exempt(&self) -> Vec<Network> {
        self.terms().exempt.clone()
    }

    /// The networks that a ban of `network` reaches: all of it but what is exempt.
    #[must_use]
    pub fn reach(&self, network: Network) -> Vec<Network> {
        export::without(network, &self.terms().exempt)
    }

    /// Writes the file, if anything changed since it was written. Blocks for as long as the disk
    /// takes. What could not be saved is in force all the same, and is saved with the next.
    pub fn save(&self, now: UnixTime) -> Result<(), StoreError> {
        self.store.save(now)
    }

    fn terms(&self) -> RwLockReadGuard<'_, Terms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self) -> MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms {
    fn exempting(&self, address: IpAddr) -> Option<Network> {
        self.exempt.iter().copied().find(|exempt| exempt.contains(address))
    }

    /// An exempt network that all of `network` is in.
    fn covering(&self, network: Network) -> Option<Network> {
        self.exempt.iter().copied().find(|exempt| exempt.prefix().contains(&network.prefix()))
    }
}

/// The address, or the /64.
fn network_of(key: AddressKey) -> Network {
    let address = Network::from(key.first());
    // An address alone is never too wide.
    Ban::network_of(address).unwrap_or(address)
}

#[cfg(test)]
mod tests;
