//! The upstreams of each route with their health.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::now;
use super::checks::Checks;
use super::health::{ShownUpstream, can_take_over, ejected};
use super::load::{ShownLoad, WaitQueue};
use super::servers::{Servers, SharedParts};
use super::target::{DialTarget, Place};
use super::turns::members;
use crate::config::{Cluster, Config, Route, Unhealthy};
use crate::journal::Journal;
use crate::state::drains::Drains;
use crate::tls::TlsError;
use crate::values::{Counter, Reason, Refusal};

/// The upstreams of a configuration.
#[derive(Clone, Default)]
pub struct Dialer {
    routes: HashMap<Arc<str>, Arc<Servers>>,
    /// By the NAME of `[upstreams.NAME]`, if a route uses the table.
    tables: HashMap<String, Arc<Servers>>,
    /// The servers and routes that get no new sessions and requests.
    pub(super) drains: Arc<Drains>,
    shared: Arc<SharedParts>,
    /// The running checks, also those of earlier configurations.
    checks: Checks,
    /// Incremented by each reload.
    generation: u64,
}

/// An upstream as `status` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Listed {
    /// The upstream as the configuration names it.
    pub(crate) upstream: String,
    /// The routes that name it.
    pub(crate) routes: Vec<String>,
    /// Its load; of several addresses together, and then without bounds.
    #[serde(flatten)]
    pub(crate) load: ShownLoad,
    /// Its health; of several addresses that of the best one.
    #[serde(flatten)]
    pub(crate) health: ShownUpstream,
    /// Its addresses, if it is a name with several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<ListedAddress>,
}

/// An address of an upstream as `status` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct ListedAddress {
    pub(crate) address: String,
    #[serde(flatten)]
    pub(crate) load: ShownLoad,
    #[serde(flatten)]
    pub(crate) health: ShownUpstream,
}

impl Dialer {
    /// Builds the upstreams of `config`. Those that are also in the configuration `before` keep their
    /// addresses, their health and their counts.
    pub fn new(
        config: &Config,
        drains: &Arc<Drains>,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let shared = before.map(|before| Arc::clone(&before.shared)).unwrap_or_default();
        let servers = before.into_iter().flat_map(|before| before.routes.values());
        let known = servers.flat_map(|servers| servers.configured());
        let known: HashSet<_> = known.map(|(server, _)| Arc::clone(server)).collect();
        let generation = before.map_or(1, |before| before.generation + 1);
        let (mut routes, mut tables) = (HashMap::new(), HashMap::new());
        let mut clusters: Vec<(&Arc<Cluster>, Arc<Servers>)> = Vec::new();
        for route in &config.routes {
            let built = clusters.iter().find(|(one, _)| Arc::ptr_eq(one, &route.cluster));
            let servers = if let Some((_, servers)) = built {
                Arc::clone(servers)
            } else {
                let cluster = &route.cluster;
                let host = shared_host(config, cluster);
                let servers = Arc::new(Servers::new(cluster, host, &known, &shared, generation)?);
                clusters.push((cluster, Arc::clone(&servers)));
                if let Some(name) = &cluster.name {
                    tables.insert(name.clone(), Arc::clone(&servers));
                }
                servers
            };
            routes.insert(Arc::clone(&route.name), servers);
        }
        let checks = before.map(|before| before.checks.clone()).unwrap_or_default();
        Ok(Self { routes, tables, drains: Arc::clone(drains), shared, checks, generation })
    }

    /// Puts the bounds of this configuration in force, and ends the wait for addresses that only `before` has.
    pub(crate) fn bound_loads(&self, before: Option<&Self>) {
        self.routes.values().for_each(|servers| servers.bound());
        let targets = |dialer: &Self| -> Vec<DialTarget> {
            let servers = dialer.routes.values();
            servers.flat_map(|servers| servers.targets().to_vec()).collect()
        };
        let present = targets(self);
        let present: HashSet<&Place> = present.iter().map(|target| &target.place).collect();
        for target in before.map(targets).unwrap_or_default() {
            if !present.contains(&target.place) {
                target.load.remove();
            }
        }
    }

    /// Ends every wait for a server: the gateway stops.
    pub(crate) fn stop_waiting(&self) {
        self.shared.queue().stop();
    }

    /// The requests that wait for a server, also for one of an earlier configuration.
    pub(super) fn queue(&self) -> &Arc<WaitQueue> {
        self.shared.queue()
    }

    /// Starts the tasks that resolve the names of upstreams, until `shutdown` or until no upstream has the name.
    pub(crate) fn run(
        &self,
        journal: &Journal,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        for name in self.routes.values().flat_map(|servers| servers.names()) {
            name.run(journal, tracker, shutdown);
        }
    }

    /// Starts the active checks of the present addresses of these upstreams, and ends all others. To be called when
    /// the configuration was replaced, and every few seconds, since names get other addresses.
    pub(crate) fn run_checks(
        &self,
        journal: &Journal,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        let targets: Vec<_> = self.routes.values().map(|servers| servers.targets()).collect();
        let targets = targets.iter().flat_map(|targets| &**targets);
        self.checks.run(targets, journal, tracker, shutdown);
    }

    /// Resolves when [`Dialer::draining`] may have changed, of this configuration or a later one.
    pub(crate) fn draining_changed(&self) -> impl Future<Output = ()> + use<> {
        let checks = self.checks.clone();
        async move { checks.changed().await }
    }

    /// The names of the targets whose open sessions are to be ended: with `unhealthy = "drain"`, those that their
    /// check marks as down and that are passed over, while enough others are left.
    pub(crate) fn draining(&self) -> Vec<Arc<str>> {
        let now = now();
        let mut names: Vec<Arc<str>> = Vec::new();
        for servers in self.routes.values() {
            let targets = servers.targets();
            let members = members(&targets, &self.drains, now);
            let ejected = ejected(&members);
            if !can_take_over(&members, &ejected) {
                continue;
            }
            let drained = targets.iter().zip(ejected).filter(|(target, ejected)| {
                *ejected && target.unhealthy == Unhealthy::Drain && target.health.is_checked_down()
            });
            names.extend(drained.map(|(target, _)| Arc::clone(&target.name)));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The upstreams of `route`, in the order of the configuration, one for each address. Waits for names that were
    /// never resolved, until `limit` at most.
    pub(super) async fn targets(&self, route: &Route, limit: Instant) -> Arc<[DialTarget]> {
        match self.routes.get(&route.name) {
            Some(servers) => {
                servers.resolved(limit).await;
                servers.targets()
            }
            None => Arc::default(),
        }
    }

    /// Whether `server` is a server of `route`, as the configuration names it.
    pub(crate) fn serves(&self, route: &Route, server: &str) -> bool {
        let servers = self.routes.get(&route.name);
        servers.is_some_and(|servers| servers.configured().any(|(one, _)| **one == *server))
    }

    /// The count of the sessions and plain requests of `server`.
    pub(crate) fn counter(&self, server: &str) -> Option<Arc<Counter>> {
        let mut all = self.routes.values().flat_map(|servers| servers.configured());
        all.find_map(|(one, live)| (**one == *server).then(|| Arc::clone(live)))
    }

    /// The server that `given` names: its address, or `NAME/ADDRESS` with the name of its table or of a route.
    pub(crate) fn server(&self, given: &str) -> Option<Arc<str>> {
        let named = |name: &str, servers: &Servers| {
            let own = given.strip_prefix(name).and_then(|rest| rest.strip_prefix('/'));
            let mut all = servers.configured().map(|(one, _)| one);
            all.find(|one| [Some(given), own].contains(&Some(&***one))).map(Arc::clone)
        };
        let mut tables = self.tables.iter();
        tables
            .find_map(|(name, servers)| named(name, servers))
            .or_else(|| self.routes.iter().find_map(|(name, servers)| named(name, servers)))
    }

    /// The addresses of all servers as the configuration names them, sorted.
    pub(crate) fn servers(&self) -> Vec<Arc<str>> {
        let all = self.routes.values().flat_map(|servers| servers.configured());
        let mut names: Vec<_> = all.map(|(one, _)| Arc::clone(one)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names of all routes, sorted.
    pub(crate) fn route_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.routes.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The refusal of a request for `route` while operators drain it, or every server of it.
    pub(crate) fn drained(&self, route: &Route) -> Option<Refusal> {
        let mut servers = self.routes.get(&route.name)?.configured();
        let detail = if self.drains.has_route(&route.name) {
            "an operator drains the route"
        } else if servers.all(|(server, _)| self.drains.has_server(server)) {
            "operators drain every server of the route"
        } else {
            return None;
        };
        Some(Refusal::new(Reason::RouteDrained, detail))
    }

    /// Closes connections of plain requests that were idle for too long, and forgets addresses without use.
    pub(crate) fn sweep(&self) {
        for servers in self.routes.values() {
            servers.targets().iter().for_each(|target| target.pool.sweep());
        }
        self.shared.sweep();
    }

    /// Every upstream once, by name, with its health.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let now = std::time::Instant::now();
        let mut listed: Vec<(DialTarget, Listed)> = Vec::new();
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_unstable_by_key(|(name, _)| Arc::clone(name));
        for (route, servers) in routes {
            let targets = servers.targets();
            for targets in targets.chunk_by(|one, other| one.server == other.server) {
                let Some(target) = targets.first() else { continue };
                let same = |(other, _): &&mut (DialTarget, Listed)| {
                    other.server == target.server && Arc::ptr_eq(&other.health, &target.health)
                };
                match listed.iter_mut().find(same) {
                    Some((_, one)) if one.routes.last().is_some_and(|last| **last == **route) => {}
                    Some((_, one)) => one.routes.push(route.to_string()),
                    None => listed.push((target.clone(), Listed::new(route, target, targets, now))),
                }
            }
        }
        let mut listed: Vec<_> = listed.into_iter().map(|(_, one)| one).collect();
        listed.sort_by(|one, other| one.upstream.cmp(&other.upstream));
        listed
    }
}

/// The `upstream_host` that all routes of `cluster` have, if they have the same.
fn shared_host<'a>(config: &'a Config, cluster: &Arc<Cluster>) -> Option<&'a str> {
    let routes = config.routes.iter().filter(|route| Arc::ptr_eq(&route.cluster, cluster));
    let mut hosts = routes.map(|route| route.upstream_host.as_deref());
    hosts.next().flatten().filter(|first| hosts.all(|host| host == Some(first)))
}

impl Listed {
    /// A server of `route`; `first` is one of its targets.
    fn new(
        route: &str,
        first: &DialTarget,
        targets: &[DialTarget],
        now: std::time::Instant,
    ) -> Self {
        let rank = |target: &&DialTarget| match target.health.shown(now).state {
            "up" => 0,
            "untried" => 1,
            _ => 2,
        };
        let best = targets.iter().min_by_key(rank).unwrap_or(first);
        let several = if targets.len() > 1 { targets } else { &[] };
        let mut load = first.load.shown();
        for other in targets.iter().skip(1).map(|target| target.load.shown()) {
            load.handshakes += other.handshakes;
            // A request may wait for all of them.
            load.waiting = load.waiting.max(other.waiting);
            // They are those of each address.
            (load.max_connections, load.max_handshakes) = (None, None);
        }
        if first.unresolved.is_some() {
            // Those of addresses that the name had before, too.
            load.live = first.server_live.used();
        }
        let address = |target: &DialTarget| ListedAddress {
            address: target.place.to_string(),
            load: target.load.shown(),
            health: target.health.shown(now),
        };
        Self {
            upstream: first.server.to_string(),
            routes: vec![route.to_owned()],
            load,
            health: best.health.shown(now),
            addresses: several.iter().map(address).collect(),
        }
    }
}
