//! All limits that count across connections.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::{MessageSource, Rates, Users};
use crate::config::{Limits, Route};
use crate::values::{AddressKey, Full, KeyedCounter, KeyedPermit, Rate, UserKey, UserShare, Wait};

/// The limits of addresses and users. Shared by all connections; a reload changes the limits and
/// keeps the counts.
#[derive(Debug, Default)]
pub struct Limiters {
    connections: KeyedCounter<AddressKey>,
    handshakes: Rates<AddressKey>,
    requests: Rates<AddressKey>,
    user_requests: Rates<UserKey>,
    /// The rates of routes that have their own, by the NAME of the route.
    of_routes: RwLock<BTreeMap<Arc<str>, Arc<RouteRates>>>,
    users: KeyedCounter<UserKey>,
    messages: Users,
}

/// The rates of the plain requests of one route.
#[derive(Debug, Default)]
struct RouteRates {
    addresses: Rates<AddressKey>,
    users: Rates<UserKey>,
}

/// Counts one connection of an address until it is dropped.
pub type AddressPermit = KeyedPermit<AddressKey>;
/// Counts one session of a user until it is dropped.
pub type UserPermit = KeyedPermit<UserKey>;

/// An address or a user exceeded its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// The time until the next event is allowed.
    pub wait: Wait,
    /// The key has no cell of its own because there are too many keys: others may have used up the rate
    /// of its shared cell.
    pub shared: bool,
}

impl Limiters {
    /// Applies new limits.
    pub fn set(&self, limits: &Limits, routes: &[Arc<Route>]) {
        self.handshakes.set(limits.handshakes_per_ip.as_ref());
        self.requests.set(limits.requests.as_ref());
        self.user_requests.set(limits.requests.as_ref());
        let mut of_routes = self.of_routes.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *of_routes);
        for route in routes.iter().filter(|route| route.requests.is_some()) {
            let rates = before.get(&route.name).cloned().unwrap_or_default();
            rates.addresses.set(route.requests.as_ref());
            rates.users.set(route.requests.as_ref());
            of_routes.insert(Arc::clone(&route.name), rates);
        }
    }

    fn of_route(&self, route: &str) -> Option<Arc<RouteRates>> {
        self.of_routes.read().unwrap_or_else(PoisonError::into_inner).get(route).cloned()
    }

    /// Counts a plain request of an address for the rate of `route`, if it has one.
    pub fn route_request(&self, route: &str, key: AddressKey) -> Result<(), TooOften> {
        self.of_route(route).map_or(Ok(()), |rates| counted(&rates.addresses, &key))
    }

    /// Counts a plain request of a user in the same way.
    pub fn route_user_request(&self, route: &str, key: &UserKey) -> Result<(), TooOften> {
        self.of_route(route).map_or(Ok(()), |rates| counted(&rates.users, key))
    }

    /// Counts a handshake of an address.
    pub fn handshake(&self, key: AddressKey) -> Result<(), TooOften> {
        counted(&self.handshakes, &key)
    }

    /// Counts a plain request of an address.
    pub fn request(&self, key: AddressKey) -> Result<(), TooOften> {
        counted(&self.requests, &key)
    }

    /// Counts a plain request of a user.
    pub fn user_request(&self, key: &UserKey) -> Result<(), TooOften> {
        counted(&self.user_requests, key)
    }

    /// Counts a connection of an address. Without `enforce` it is counted even above the limit, and
    /// the excess is only reported.
    pub fn connection(
        &self,
        key: AddressKey,
        limits: &Limits,
        enforce: bool,
    ) -> Result<(AddressPermit, Option<Full>), Full> {
        taken(&self.connections, key, limits.connections_per_ip, enforce)
    }

    /// Counts a session of a user in the same way.
    pub fn user(
        &self,
        key: UserKey,
        limits: &Limits,
        enforce: bool,
    ) -> Result<(UserPermit, Option<Full>), Full> {
        taken(&self.users, key, limits.connections_per_user, enforce)
    }

    /// The message rate that a session shares with other sessions of its user.
    pub fn share(&self, key: &UserKey, rate: &Rate, now: Instant) -> UserShare {
        self.messages.share(MessageSource::User(key.clone()), None, rate, now)
    }

    /// The rate of the messages of one type, `scope`, of one sender.
    pub fn share_of(
        &self,
        sender: MessageSource,
        scope: &Arc<str>,
        rate: &Rate,
        now: Instant,
    ) -> UserShare {
        self.messages.share(sender, Some(scope), rate, now)
    }

    /// The number of connections of this address.
    #[must_use]
    pub fn open(&self, address: &AddressKey) -> u32 {
        self.connections.open(address)
    }

    /// Removes fully replenished entries. Must be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        self.handshakes.sweep();
        self.requests.sweep();
        self.user_requests.sweep();
        for rates in self.of_routes.read().unwrap_or_else(PoisonError::into_inner).values() {
            rates.addresses.sweep();
            rates.users.sweep();
        }
        self.messages.sweep(now);
    }
}

fn counted<K: Eq + std::hash::Hash + Clone>(rates: &Rates<K>, key: &K) -> Result<(), TooOften> {
    rates.check(key).map_err(|wait| TooOften { wait, shared: !rates.knows(key) })
}

fn taken<K: Eq + std::hash::Hash + Clone>(
    counts: &KeyedCounter<K>,
    key: K,
    most: Option<std::num::NonZeroU32>,
    enforce: bool,
) -> Result<(KeyedPermit<K>, Option<Full>), Full> {
    let most = most.map_or(u32::MAX, std::num::NonZeroU32::get);
    match counts.take(key.clone(), most) {
        Ok(permit) => Ok((permit, None)),
        Err(full) if enforce => Err(full),
        Err(full) => counts.take(key, u32::MAX).map(|permit| (permit, Some(full))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Limiters;
    use crate::config::Limits;
    use crate::state::limits::MOST_KEYS;
    use crate::values::Rate;
    use crate::values::UserKey;

    #[test]
    fn many_users_keep_memory_bounded() {
        let rate = Rate { count: 1, per: Duration::from_secs(3600), burst: 10 };
        let (limiters, now) = (Limiters::default(), Instant::now());
        for number in 0..300_000 {
            let key = UserKey::new("main", &number.to_string());
            let share = limiters.share(&key, &rate, now);
            share.take(now).unwrap();
            drop(limiters.user(key, &Limits::default(), true).unwrap());
        }
        limiters.sweep(now);
        assert!(limiters.messages.count() <= MOST_KEYS, "{}", limiters.messages.count());
        assert_eq!(limiters.users.keys(), 0);
    }
}
