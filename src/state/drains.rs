//! The servers and routes that operators drain. They are named, so that a drain outlives a reload and
//! an upgrade; it does not outlive a restart.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// A server or route that is drained: it gets no new sessions and no new requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainTarget {
    /// A server, by its address as the configuration writes it, on every route that uses it.
    Server(Arc<str>),
    /// The NAME of `[routes.NAME]`.
    Route(Arc<str>),
}

/// The drained servers and routes.
#[derive(Debug, Default)]
pub struct Drains(RwLock<DrainedNames>);

#[derive(Debug, Default)]
struct DrainedNames {
    servers: BTreeSet<Arc<str>>,
    routes: BTreeSet<Arc<str>>,
}

impl Drains {
    /// Drains `target`.
    pub fn insert(&self, target: DrainTarget) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match target {
            DrainTarget::Server(server) => names.servers.insert(server),
            DrainTarget::Route(route) => names.routes.insert(route),
        };
    }

    /// Ends the drain of `target`.
    pub fn remove(&self, target: &DrainTarget) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match target {
            DrainTarget::Server(server) => names.servers.remove(server),
            DrainTarget::Route(route) => names.routes.remove(route),
        };
    }

    /// Whether the server is drained.
    #[must_use]
    pub fn has_server(&self, server: &str) -> bool {
        self.read().servers.contains(server)
    }

    /// Whether the route is drained.
    #[must_use]
    pub fn has_route(&self, route: &str) -> bool {
        self.read().routes.contains(route)
    }

    /// Every drained server and route, servers first.
    #[must_use]
    pub fn list(&self) -> Vec<DrainTarget> {
        let names = self.read();
        let servers = names.servers.iter().cloned().map(DrainTarget::Server);
        servers.chain(names.routes.iter().cloned().map(DrainTarget::Route)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, DrainedNames> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for DrainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => write!(f, "server {server}"),
            Self::Route(route) => write!(f, "route {route}"),
        }
    }
}
