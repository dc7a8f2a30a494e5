//! The bans in force, and the strikes that lead to them.

mod export;
mod keep;
mod outcome;
mod strikes;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use ipnet::IpNet;
use tokio::sync::{Notify, broadcast};

use crate::config;
use crate::state::store::{Author, Ban, BanStore, BanTable, Handed, StoreError};
use crate::values::AddressKey;
use crate::values::Network;
use crate::values::Offence;
use crate::values::Reason;
use crate::values::UnixTime;
pub use export::{ipset, nft};
pub use outcome::{BanRefused, NewBan, Now, Struck};
use strikes::Strikes;
pub use strikes::{MOST_STRUCK, StruckAddress};

/// The bans of a gateway. Shared by all connections; every method except [`Bans::save`] works in
/// memory and does not block.
///
/// `[firewall.ban]` bans addresses for strikes; without it, only operators ban. Addresses of
/// `exempt` and `trusted_proxies` are never banned: neither for their own strikes nor by a ban of a
/// network that contains them.
///
/// Changes are not saved at once: one task of the gateway runs [`Bans::keep`]. After an operator's
/// ban the caller runs [`Bans::save`] on a thread that may block, so that the answer can report the
/// result.
#[derive(Debug)]
pub struct Bans {
    store: Arc<dyn BanStore>,
    terms: RwLock<BanTerms>,
    strikes: Mutex<Strikes>,
    changed: Notify,
    /// The bans that another generation of the gateway needs, too.
    made: broadcast::Sender<Ban>,
}

/// How many bans a receiver of [`Bans::subscribe`] may be behind. It misses those before.
const MADE: usize = 1024;

#[derive(Debug, Default)]
struct BanTerms {
    /// `None`: only operators ban.
    ban: Option<config::BanRules>,
    exempt: Vec<Network>,
}

impl Bans {
    /// Opens the bans stored in `[firewall.ban] file`, or an empty store in memory.
    pub fn open(
        ban: Option<&config::BanRules>,
        trusted: &[IpNet],
        now: Now,
    ) -> Result<Self, StoreError> {
        let store = match ban.and_then(|ban| ban.file.clone()) {
            Some(path) => BanTable::open(path, now.moment)?,
            None => BanTable::in_memory(),
        };
        Ok(Self::new(Arc::new(store), ban, trusted, now.instant))
    }

    /// Creates the bans on an open store.
    #[must_use]
    pub fn new(
        store: Arc<dyn BanStore>,
        ban: Option<&config::BanRules>,
        trusted: &[IpNet],
        now: Instant,
    ) -> Self {
        let (strikes, changed) = (Mutex::new(Strikes::new(now)), Notify::new());
        let (made, _) = broadcast::channel(MADE);
        let bans = Self { store, terms: RwLock::default(), strikes, changed, made };
        bans.set(ban, trusted);
        bans
    }

    /// Applies a new configuration. Strikes and bans stay; those of exempt addresses have no
    /// effect. A changed `file` is ignored until a restart.
    pub fn set(&self, ban: Option<&config::BanRules>, trusted: &[IpNet]) {
        let exempt = ban.map_or(&[][..], |ban| &ban.exempt).iter().chain(trusted);
        let terms =
            BanTerms { ban: ban.cloned(), exempt: exempt.copied().map(Network::from).collect() };
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// The ban on `address`, if one is in force. Must be checked before anything else on a
    /// connection.
    #[must_use]
    pub fn is_banned(&self, address: IpAddr, now: UnixTime) -> Option<Ban> {
        let address = address.to_canonical();
        let ban = self.store.find(address, now)?;
        self.terms().exempting(address).is_none().then_some(ban)
    }

    /// Counts an offence of `address`. Offences of exempt and of banned addresses are ignored.
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
        // Held until the ban is stored, so that simultaneous offences of an address make only one
        // ban.
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
                self.publish(&ban);
                Struck::Banned(Box::new(NewBan { address, reason, strikes, ban }))
            }
            Err(_) => Struck::NoRoom,
        }
    }

    /// The ban for an address: twice as long as the previous one, if that is still remembered.
    fn sentence(
        &self,
        key: AddressKey,
        reason: Reason,
        terms: &config::BanRules,
        now: UnixTime,
    ) -> Ban {
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

    /// Bans `network` for an operator until `until`. Replaces the entry of exactly this network but
    /// keeps its offences. Exempt networks inside stay exempt.
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

    /// The bans for strikes from now on, and those of [`Bans::learn`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Ban> {
        self.made.subscribe()
    }

    /// Stores a ban that another generation of the gateway made. Returns whether it was not known. Of two bans of one
    /// network both generations keep the same one, the one that ends later: otherwise each would adopt that of the
    /// other, and pass it back, for ever.
    pub fn learn(&self, ban: &Ban, now: UnixTime) -> bool {
        let rank = |ban: &Ban| (ban.until, ban.at, ban.offences, ban.remembered, ban.why.clone());
        let known = self.store.known(ban.network);
        let is_known = known.is_some_and(|known| rank(&known) >= rank(ban));
        if is_known || self.store.put(ban.clone(), now).is_err() {
            return false;
        }
        self.changed.notify_one();
        self.publish(ban);
        true
    }

    fn publish(&self, ban: &Ban) {
        // Usually there is one generation, and no receiver.
        let _ = self.made.send(ban.clone());
    }

    /// Removes a ban of the gateway or an operator, with the strikes and offences of the network.
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

    /// The bans in force, oldest first.
    #[must_use]
    pub fn list(&self, now: UnixTime) -> Vec<Ban> {
        self.store.list(now)
    }

    /// The number of bans in force.
    #[must_use]
    pub fn count(&self, now: UnixTime) -> usize {
        self.store.count(now)
    }

    /// The number of addresses with remembered strikes, at most [`MOST_STRUCK`].
    #[must_use]
    pub fn struck(&self) -> usize {
        self.strikes().count()
    }

    /// The exempt network that contains `address`, if there is one.
    #[must_use]
    pub fn exempting(&self, address: IpAddr) -> Option<Network> {
        self.terms().exempting(address.to_canonical())
    }

    /// The exempt networks.
    #[must_use]
    pub fn exempt(&self) -> Vec<Network> {
        self.terms().exempt.clone()
    }

    /// The networks that a ban of `network` applies to: all of it except exempt networks.
    #[must_use]
    pub fn reach(&self, network: Network) -> Vec<Network> {
        export::without(network, &self.terms().exempt)
    }

    /// Writes the file if anything changed since the last write. Blocks while the disk is written.
    /// After a failure the changes stay in force, and the next save includes them.
    pub fn save(&self, now: UnixTime) -> Result<(), StoreError> {
        self.store.save(now)
    }

    /// As [`BanStore::hand_over`], with the strikes.
    pub(super) fn hand_over(&self, now: Now) -> (Handed<Ban>, Vec<StruckAddress>) {
        (self.store.hand_over(now.moment), self.strikes().hand_over(now.instant))
    }

    /// As [`BanStore::take_back`].
    pub(super) fn take_back(&self) {
        self.store.take_back();
        self.changed.notify_one();
    }

    /// As [`BanStore::adopt`], with the strikes.
    pub(super) fn adopt(&self, bans: Handed<Ban>, struck: Vec<StruckAddress>, now: Now) {
        self.store.adopt(bans, now.moment);
        self.strikes().adopt(struck, now.instant);
        self.changed.notify_one();
    }

    fn terms(&self) -> RwLockReadGuard<'_, BanTerms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self) -> MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BanTerms {
    fn exempting(&self, address: IpAddr) -> Option<Network> {
        self.exempt.iter().copied().find(|exempt| exempt.contains(address))
    }

    /// The exempt network that contains all of `network`.
    fn covering(&self, network: Network) -> Option<Network> {
        self.exempt.iter().copied().find(|exempt| exempt.prefix().contains(&network.prefix()))
    }
}

/// The network of a key: the address, or the /64.
fn network_of(key: AddressKey) -> Network {
    let address = Network::from(key.first());
    // A single address is never too wide for a ban.
    Ban::network_of(address).unwrap_or(address)
}

#[cfg(test)]
mod tests;
