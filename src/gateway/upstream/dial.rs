//! The upstreams of each route with their health.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::ShownUpstream;
use super::servers::{Servers, SharedParts};
use super::target::DialTarget;
use crate::config::{Cluster, Config, Route};
use crate::tls::TlsError;

/// The upstreams of a configuration.
#[derive(Clone, Default)]
pub struct Dialer {
    routes: HashMap<Arc<str>, Arc<Servers>>,
    shared: Arc<SharedParts>,
}

/// An upstream as `status` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Listed {
    /// The upstream as the configuration names it.
    pub(crate) upstream: String,
    /// The routes that name it.
    pub(crate) routes: Vec<String>,
    /// Its sessions and plain requests at present.
    pub(crate) live: usize,
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
    /// Its sessions and plain requests at present.
    pub(crate) live: usize,
    #[serde(flatten)]
    pub(crate) health: ShownUpstream,
}

impl Dialer {
    /// Builds the upstreams of `config`. Those that are also in the configuration `before` keep their
    /// addresses, their health and their counts.
    pub fn new(config: &Config, before: Option<&Self>) -> Result<Self, TlsError> {
        let shared = before.map(|before| Arc::clone(&before.shared)).unwrap_or_default();
        let mut routes = HashMap::new();
        let mut clusters: Vec<(&Arc<Cluster>, Arc<Servers>)> = Vec::new();
        for route in &config.routes {
            let known = clusters.iter().find(|(one, _)| Arc::ptr_eq(one, &route.cluster));
            let servers = if let Some((_, servers)) = known {
                Arc::clone(servers)
            } else {
                let servers = Arc::new(Servers::new(&route.cluster, &shared)?);
                clusters.push((&route.cluster, Arc::clone(&servers)));
                servers
            };
            routes.insert(Arc::clone(&route.name), servers);
        }
        Ok(Self { routes, shared })
    }

    /// Starts the tasks that resolve the names of upstreams, until `shutdown` or until no upstream has the name.
    pub(crate) fn run(&self, tracker: &TaskTracker, shutdown: &CancellationToken) {
        for name in self.routes.values().flat_map(|servers| servers.names()) {
            name.run(tracker, shutdown);
        }
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
        let address = |target: &DialTarget| ListedAddress {
            address: target.place.to_string(),
            live: target.live.used(),
            health: target.health.shown(now),
        };
        Self {
            upstream: first.server.to_string(),
            routes: vec![route.to_owned()],
            live: first.server_live.used(),
            health: best.health.shown(now),
            addresses: several.iter().map(address).collect(),
        }
    }
}
