//! The servers of a cluster, and the targets that they have at present: one for each address. Health, connections and
//! counts belong to an address, and are shared by all clusters and by the configurations before and after a reload.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use std::time::{Duration, Instant as StdInstant};

use tokio::time::Instant;

use super::attempt::now;
use super::checks::ServerCheck;
use super::health::Health;
use super::load::{ServerLoad, WaitQueue};
use super::pool::Pool;
use super::resolve::{Found, Name};
use super::target::{DialTarget, Place};
use crate::config::{Cluster, ServerBounds, Unhealthy, UpstreamAddress, UpstreamServer};
use crate::tls::{Connector, TlsClient, TlsError};
use crate::values::Counter;

/// The parts of targets that several clusters and configurations share. Each lives as long as a target, a session or
/// a request uses it.
#[derive(Default)]
pub(super) struct SharedParts {
    parts: Mutex<Parts>,
    /// The requests that wait for any of the places.
    queue: Arc<WaitQueue>,
}

#[derive(Default)]
struct Parts {
    names: HashMap<String, Weak<Name>>,
    /// By server, as the configuration names it.
    servers: HashMap<Arc<str>, Weak<Counter>>,
    places: HashMap<Place, PlaceParts>,
}

/// The parts of a place.
#[derive(Default)]
struct PlaceParts {
    load: Weak<ServerLoad>,
    /// For each of its TLS settings and checks.
    states: Vec<PlaceState>,
}

struct PlaceState {
    tls: Option<Connector>,
    check: Option<Arc<ServerCheck>>,
    health: Weak<Health>,
    pool: Weak<Pool>,
}

/// The servers of a cluster.
pub(super) struct Servers {
    shared: Arc<SharedParts>,
    configured: Vec<Server>,
    built: RwLock<Built>,
    bounds: ServerBounds,
    /// The number of the configuration.
    generation: u64,
}

/// A server of a cluster.
struct Server {
    shown: Arc<str>,
    weight: u16,
    backup: bool,
    is_secure: bool,
    tls: Option<Connector>,
    live: Arc<Counter>,
    location: Location,
    check: Option<Arc<ServerCheck>>,
    /// Whether a reload added it to others of its cluster.
    is_added: bool,
    unhealthy: Unhealthy,
    slow_start: Option<Duration>,
}

enum Location {
    Fixed(Place),
    Named { name: Arc<Name>, host: String, port: u16, unresolved: Arc<Health> },
}

/// The targets, and the results of the names that they were built from.
struct Built {
    from: Vec<Option<Arc<Found>>>,
    targets: Arc<[DialTarget]>,
}

impl SharedParts {
    fn name(&self, host: &str) -> Arc<Name> {
        let names = &mut self.locked().names;
        let known = names.get(host).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let name = Arc::new(Name::new(host));
            names.insert(host.to_owned(), Arc::downgrade(&name));
            name
        })
    }

    fn server_live(&self, server: &Arc<str>) -> Arc<Counter> {
        let servers = &mut self.locked().servers;
        upgrade(servers.entry(Arc::clone(server)).or_default())
    }

    fn load(&self, place: &Place) -> Arc<ServerLoad> {
        let places = &mut self.locked().places;
        let known = &mut places.entry(place.clone()).or_default().load;
        known.upgrade().unwrap_or_else(|| {
            let load = ServerLoad::new(&self.queue);
            *known = Arc::downgrade(&load);
            load
        })
    }

    pub(super) fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// The health and the idle connections of a place. `added`: the time at which it was added to others that
    /// were there before.
    fn state(
        &self,
        place: &Place,
        tls: Option<&Connector>,
        check: Option<&Arc<ServerCheck>>,
        added: Option<StdInstant>,
    ) -> (Arc<Health>, Arc<Pool>) {
        let is_same = |other: &PlaceState| {
            let same_tls = match (&other.tls, tls) {
                (None, None) => true,
                (Some(one), Some(other)) => one.accepts_same(other),
                _ => false,
            };
            same_tls && other.check.as_ref() == check
        };
        let mut parts = self.locked();
        let states = &mut parts.places.entry(place.clone()).or_default().states;
        let index = states.iter().position(is_same).unwrap_or_else(|| {
            let (tls, check) = (tls.cloned(), check.cloned());
            states.push(PlaceState { tls, check, health: Weak::new(), pool: Weak::new() });
            states.len() - 1
        });
        let state = &mut states[index];
        let health = state.health.upgrade().unwrap_or_else(|| {
            let check = check.map(|check| &check.settings);
            let health = Arc::new(Health::new(check, added));
            state.health = Arc::downgrade(&health);
            health
        });
        (health, upgrade(&mut state.pool))
    }

    /// Forgets the parts that nothing uses.
    pub(super) fn sweep(&self) {
        let mut parts = self.locked();
        parts.names.retain(|_, name| name.strong_count() > 0);
        parts.servers.retain(|_, live| live.strong_count() > 0);
        parts.places.retain(|_, place| {
            place.states.retain(|state| state.health.strong_count() > 0);
            place.load.strong_count() > 0 || !place.states.is_empty()
        });
    }

    fn locked(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shared value; a new one if nothing uses it.
fn upgrade<T: Default>(weak: &mut Weak<T>) -> Arc<T> {
    weak.upgrade().unwrap_or_else(|| {
        let new = Arc::default();
        *weak = Arc::downgrade(&new);
        new
    })
}

impl Servers {
    /// The servers of `cluster`. `host` is the Host header of checks that set none, if it is not the server's own;
    /// `before` has the servers of the configuration before, by name.
    pub(super) fn new(
        cluster: &Cluster,
        host: Option<&str>,
        before: &HashSet<Arc<str>>,
        shared: &Arc<SharedParts>,
        generation: u64,
    ) -> Result<Self, TlsError> {
        let client = cluster.trust.as_ref().map(TlsClient::new).transpose()?;
        let server = |server| Server::new(cluster, server, client.as_ref(), shared);
        let mut configured = cluster.servers.iter().map(server).collect::<Result<Vec<_>, _>>()?;
        let is_joined = configured.iter().any(|server| before.contains(&server.shown));
        for (server, UpstreamServer { address, .. }) in configured.iter_mut().zip(&cluster.servers)
        {
            server.check = ServerCheck::new(cluster, host, address).map(Arc::new);
            server.is_added = is_joined && !before.contains(&server.shown);
        }
        let from: Vec<_> = configured.iter().map(Server::found).collect();
        let none = vec![None; from.len()];
        let shared = Arc::clone(shared);
        let built = RwLock::new(Built::new(&configured, &none, from, &shared));
        let bounds = cluster.bounds;
        Ok(Self { shared, configured, built, bounds, generation })
    }

    /// Puts the bounds of the cluster in force.
    pub(super) fn bound(&self) {
        self.targets().iter().for_each(|target| target.load.bound(self.generation, self.bounds));
    }

    /// Each server as the configuration names it, with the count of its sessions and requests.
    pub(super) fn configured(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Counter>)> {
        self.configured.iter().map(|server| (&server.shown, &server.live))
    }

    /// Their names that are to be resolved.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<Name>> {
        self.configured.iter().filter_map(|server| match &server.location {
            Location::Fixed(_) => None,
            Location::Named { name, .. } => Some(name),
        })
    }

    /// Waits for the first resolution of each name, until `limit` at most.
    pub(super) async fn resolved(&self, limit: Instant) {
        for name in self.names().filter(|name| name.is_found(None)) {
            name.resolved(limit).await;
        }
    }

    /// One target for each address that a name has now, in the order of the configuration. A server whose name has no
    /// address has one target, which does not connect.
    pub(super) fn targets(&self) -> Arc<[DialTarget]> {
        let built = self.built.read().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = self.configured.iter().zip(&built.from);
        if pairs.all(|(server, found)| server.is_found(found.as_ref())) {
            return Arc::clone(&built.targets);
        }
        drop(built);
        let mut built = self.built.write().unwrap_or_else(PoisonError::into_inner);
        let from = self.configured.iter().map(Server::found).collect();
        // The targets before keep the parts of addresses that stay until the new ones share them.
        *built = Built::new(&self.configured, &built.from, from, &self.shared);
        for target in &*built.targets {
            target.load.bound(self.generation, self.bounds);
        }
        Arc::clone(&built.targets)
    }
}

impl Built {
    /// The targets from the results `from`, where `before` are the earlier ones.
    fn new(
        servers: &[Server],
        before: &[Option<Arc<Found>>],
        from: Vec<Option<Arc<Found>>>,
        shared: &SharedParts,
    ) -> Self {
        let mut targets = Vec::new();
        for ((server, before), found) in servers.iter().zip(before).zip(&from) {
            let added = (server.is_added || before.is_some()).then(now);
            targets.extend(server.targets(found.as_deref(), shared, added));
        }
        Self { from, targets: targets.into() }
    }
}

impl Server {
    fn new(
        cluster: &Cluster,
        server: &UpstreamServer,
        client: Option<&TlsClient>,
        shared: &SharedParts,
    ) -> Result<Self, TlsError> {
        let UpstreamServer { address, weight, backup } = server;
        let shown: Arc<str> = Arc::from(address.to_string());
        let (location, tls, is_secure) = match address {
            UpstreamAddress::Unix(path) => {
                (Location::Fixed(Place::Unix(path.clone())), None, false)
            }
            UpstreamAddress::Ws { host, port } => (Location::of(host, *port, shared), None, false),
            UpstreamAddress::Wss { host, port } => {
                let name = cluster.server_name.as_ref().unwrap_or(host);
                let tls = client.map(|client| client.connector(name)).transpose()?;
                (Location::of(host, *port, shared), tls, true)
            }
        };
        let live = shared.server_live(&shown);
        Ok(Self {
            shown,
            weight: *weight,
            backup: *backup,
            is_secure,
            tls,
            live,
            location,
            check: None,
            is_added: false,
            unhealthy: cluster.unhealthy,
            slow_start: cluster.slow_start,
        })
    }

    fn found(&self) -> Option<Arc<Found>> {
        match &self.location {
            Location::Fixed(_) => None,
            Location::Named { name, .. } => name.found(),
        }
    }

    fn is_found(&self, found: Option<&Arc<Found>>) -> bool {
        match &self.location {
            Location::Fixed(_) => true,
            Location::Named { name, .. } => name.is_found(found),
        }
    }

    /// The targets for the addresses that its name has; `added`: when new ones among them were added to others.
    fn targets(
        &self,
        found: Option<&Found>,
        shared: &SharedParts,
        added: Option<StdInstant>,
    ) -> Vec<DialTarget> {
        let (host, port, unresolved) = match &self.location {
            Location::Fixed(place) => {
                let name = Arc::clone(&self.shown);
                return vec![self.target(place.clone(), name, shared, added)];
            }
            Location::Named { host, port, unresolved, .. } => (host, *port, unresolved),
        };
        let addresses = found.map_or(&[][..], |found| &found.addresses);
        let named = |address: &IpAddr| {
            let name = match addresses {
                [_] => Arc::clone(&self.shown),
                _ => Arc::from(format!("{} ({address})", self.shown)),
            };
            let place = Place::Tcp(SocketAddr::new(*address, port));
            let mut target = self.target(place, name, shared, added);
            target.unresolved = Some(Arc::clone(unresolved));
            target
        };
        if !addresses.is_empty() {
            return addresses.iter().map(named).collect();
        }
        let place = Place::Unresolved { host: host.clone(), port };
        let mut target = self.target(place, Arc::clone(&self.shown), shared, None);
        target.health = Arc::clone(unresolved);
        // Its name is resolved again without a check.
        target.check = None;
        target.error = found.and_then(|found| found.error.as_deref()).map(Arc::from);
        vec![target]
    }

    fn target(
        &self,
        place: Place,
        name: Arc<str>,
        shared: &SharedParts,
        added: Option<StdInstant>,
    ) -> DialTarget {
        let check = self.check.as_ref();
        let (health, pool) = shared.state(&place, self.tls.as_ref(), check, added);
        DialTarget {
            server: Arc::clone(&self.shown),
            name,
            health,
            pool,
            load: shared.load(&place),
            place,
            server_live: Arc::clone(&self.live),
            unresolved: None,
            check: check.cloned(),
            unhealthy: self.unhealthy,
            slow_start: self.slow_start,
            weight: self.weight,
            backup: self.backup,
            is_secure: self.is_secure,
            tls: self.tls.clone(),
            error: None,
        }
    }
}

impl Location {
    fn of(host: &str, port: u16, shared: &SharedParts) -> Self {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Self::Fixed(Place::Tcp(SocketAddr::new(address, port)));
        }
        let place = Place::Unresolved { host: host.to_owned(), port };
        let (unresolved, _) = shared.state(&place, None, None, None);
        Self::Named { name: shared.name(host), host: host.to_owned(), port, unresolved }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;
    use std::path::Path;
    use std::sync::Arc;

    use super::{Location, Servers, SharedParts};
    use crate::config;
    use crate::gateway::upstream::load::Need;
    use crate::gateway::upstream::target::{DialTarget, Live};

    fn servers(list: &str, shared: &Arc<SharedParts>) -> Servers {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.chat]\npath = \"/ws\"\n\
             auth = \"none\"\nupstream = [{list}]\n"
        );
        let config = config::parse(&text, Path::new("framewall.toml")).unwrap().config;
        Servers::new(&config.routes[0].cluster, None, &HashSet::new(), shared, 1).unwrap()
    }

    /// Counts a plain request.
    fn held(target: &DialTarget) -> Live {
        target.hold(target.load.take(Need::Plain).unwrap().load)
    }

    fn resolve(servers: &Servers, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
        servers.names().next().unwrap().publish(Ok(addresses));
    }

    fn shown(targets: &[DialTarget]) -> Vec<String> {
        targets.iter().map(|target| format!("{} {}", target.name, target.place)).collect()
    }

    #[test]
    fn each_address_of_a_name_is_a_target() {
        let servers = servers("\"ws://app:81\", \"ws://10.0.0.9\"", &Arc::default());
        let last = "ws://10.0.0.9:80 10.0.0.9:80";
        assert_eq!(shown(&servers.targets()), ["ws://app:81 app:81", last]);
        resolve(&servers, &["10.0.0.5"]);
        assert_eq!(shown(&servers.targets()), ["ws://app:81 10.0.0.5:81", last]);
        resolve(&servers, &["10.0.0.5", "2001:db8::5"]);
        let two = [
            "ws://app:81 (10.0.0.5) 10.0.0.5:81",
            "ws://app:81 (2001:db8::5) [2001:db8::5]:81",
            last,
        ];
        assert_eq!(shown(&servers.targets()), two);
        assert!(Arc::ptr_eq(&servers.targets(), &servers.targets()), "built once");
    }

    #[test]
    fn parts_belong_to_the_address_and_outlive_reloads() {
        let shared = Arc::default();
        let before = servers("\"ws://app\", \"ws://10.0.0.5\"", &shared);
        resolve(&before, &["10.0.0.5", "10.0.0.6"]);
        let old = before.targets();
        assert!(Arc::ptr_eq(&old[0].health, &old[2].health), "one address, two names");
        let session = held(&old[1]);
        let after = servers("\"ws://app\"", &shared);
        let new = after.targets();
        assert_eq!(new.len(), 2, "it is not resolved anew");
        for (new, old) in new.iter().zip(&*old) {
            assert!(Arc::ptr_eq(&new.health, &old.health) && Arc::ptr_eq(&new.pool, &old.pool));
        }
        let counts = |target: &DialTarget| (target.load.live(), target.server_live.used());
        assert_eq!([counts(&new[0]), counts(&new[1])], [(0, 1), (1, 1)]);
        drop(session);
        assert_eq!(counts(&new[1]), (0, 0));
    }

    #[test]
    fn sessions_of_an_address_that_vanishes_stay_counted() {
        let shared = Arc::default();
        let servers = servers("\"ws://app\"", &shared);
        resolve(&servers, &["10.0.0.5", "10.0.0.6"]);
        let session = held(&servers.targets()[0]);
        resolve(&servers, &["10.0.0.6"]);
        let targets = servers.targets();
        assert_eq!(shown(&targets), ["ws://app:80 10.0.0.6:80"]);
        assert_eq!((targets[0].load.live(), targets[0].server_live.used()), (0, 1));
        drop(targets);
        shared.sweep();
        resolve(&servers, &["10.0.0.5"]);
        assert_eq!(servers.targets()[0].load.live(), 1, "it counts on when it returns");
        drop(session);
        resolve(&servers, &["10.0.0.6"]);
        drop(servers);
        shared.sweep();
        let parts = shared.locked();
        assert!(parts.names.is_empty() && parts.servers.is_empty() && parts.places.is_empty());
    }

    #[test]
    fn an_address_and_a_socket_are_not_resolved() {
        let servers = servers("\"ws://[::1]:81\", \"unix:/run/app.sock\"", &Arc::default());
        assert!(servers.names().next().is_none());
        let fixed = |server: &super::Server| matches!(server.location, Location::Fixed(_));
        assert!(servers.configured.iter().all(fixed));
        assert_eq!(shown(&servers.targets())[0], "ws://[::1]:81 [::1]:81");
    }
}
