//! Connects to an upstream over TCP, TLS or a unix socket; holds the upstreams of each route with their
//! health.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::balance::Candidate;
use super::health::{Health, ShownUpstream};
use super::pool::Pool;
use crate::config::{Cluster, Config, Route, UpstreamAddress, UpstreamServer};
use crate::tls::socket::tune;
use crate::tls::transport::Transport;
use crate::tls::{self, Connector, TlsClient, TlsError};
use crate::values::Counter;

/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;

/// The upstreams of a configuration.
#[derive(Clone, Default)]
pub struct Dialer {
    /// By route name, in the order of the configuration.
    routes: HashMap<Arc<str>, Arc<[DialTarget]>>,
    /// Servers of earlier configurations that still have sessions: their counts go on if they return.
    removed: Vec<DialTarget>,
}

/// One upstream of a route.
#[derive(Clone)]
pub(super) struct DialTarget {
    /// The upstream as the configuration names it, for logs.
    pub(super) name: Arc<str>,
    /// Its health, shared by all targets that are the [same](DialTarget::is_same).
    pub(super) health: Arc<Health>,
    /// The connections that plain requests use; shared likewise.
    pub(super) pool: Arc<Pool>,
    /// Its sessions, requests and attempts; shared by all targets of its name.
    pub(super) live: Arc<Counter>,
    weight: u16,
    backup: bool,
    upstream: UpstreamAddress,
    /// The TLS settings, for `wss://`.
    tls: Option<Connector>,
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
    #[serde(flatten)]
    pub(crate) health: ShownUpstream,
}

impl Dialer {
    /// Builds the upstreams of `config`. Those that are also in the configuration `before` keep their
    /// health and their counts.
    pub fn new(config: &Config, before: Option<&Self>) -> Result<Self, TlsError> {
        let mut known: HashMap<Arc<str>, Vec<DialTarget>> = HashMap::new();
        for target in before.into_iter().flat_map(Self::all) {
            known.entry(Arc::clone(&target.name)).or_default().push(target.clone());
        }
        let mut routes = HashMap::new();
        let mut clusters: Vec<(&Arc<Cluster>, Arc<[DialTarget]>)> = Vec::new();
        for route in &config.routes {
            let cluster = &route.cluster;
            if let Some((_, targets)) = clusters.iter().find(|(one, _)| Arc::ptr_eq(one, cluster)) {
                routes.insert(Arc::clone(&route.name), Arc::clone(targets));
                continue;
            }
            let client = cluster.trust.as_ref().map(TlsClient::new).transpose()?;
            let mut targets = Vec::new();
            for server in &cluster.servers {
                let mut target = DialTarget::new(cluster, server, client.as_ref())?;
                let others = known.entry(Arc::clone(&target.name)).or_default();
                if let Some(other) = others.first() {
                    target.live = Arc::clone(&other.live);
                }
                match others.iter().find(|other| other.is_same(&target)) {
                    Some(other) => {
                        target.health = Arc::clone(&other.health);
                        target.pool = Arc::clone(&other.pool);
                    }
                    None => others.push(target.clone()),
                }
                targets.push(target);
            }
            let targets: Arc<[DialTarget]> = Arc::from(targets);
            routes.insert(Arc::clone(&route.name), Arc::clone(&targets));
            clusters.push((cluster, targets));
        }
        let is_used = |one: &DialTarget| {
            routes.values().flat_map(|all| &**all).any(|other| Arc::ptr_eq(&one.live, &other.live))
        };
        let removed = known.into_values().filter_map(|mut targets| targets.pop());
        let removed = removed.filter(|target| target.live.used() > 0 && !is_used(target)).collect();
        Ok(Self { routes, removed })
    }

    /// The targets of all routes, and those of earlier configurations.
    fn all(&self) -> impl Iterator<Item = &DialTarget> {
        self.routes.values().flat_map(|targets| &**targets).chain(&self.removed)
    }

    /// The upstreams of `route`, in the order of the configuration.
    pub(super) fn targets(&self, route: &Route) -> &[DialTarget] {
        self.routes.get(&route.name).map_or(&[], |targets| targets)
    }

    /// Closes connections of plain requests that were idle for too long.
    pub(crate) fn sweep(&self) {
        self.all().for_each(|target| target.pool.sweep());
    }

    /// Every upstream once, by name, with its health.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let now = std::time::Instant::now();
        let mut listed: Vec<(&DialTarget, Listed)> = Vec::new();
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_unstable_by_key(|(name, _)| Arc::clone(name));
        for (route, targets) in routes {
            for target in &**targets {
                let same = |(other, _): &&mut (&DialTarget, Listed)| {
                    Arc::ptr_eq(&other.health, &target.health)
                };
                match listed.iter_mut().find(same) {
                    Some((_, one)) if one.routes.last().is_some_and(|last| **last == **route) => {}
                    Some((_, one)) => one.routes.push(route.to_string()),
                    None => {
                        let (routes, health) = (vec![route.to_string()], target.health.shown(now));
                        let (upstream, live) = (target.name.to_string(), target.live.used());
                        listed.push((target, Listed { upstream, routes, live, health }));
                    }
                }
            }
        }
        let mut listed: Vec<_> = listed.into_iter().map(|(_, one)| one).collect();
        listed.sort_by(|one, other| one.upstream.cmp(&other.upstream));
        listed
    }
}

impl DialTarget {
    fn new(
        cluster: &Cluster,
        server: &UpstreamServer,
        client: Option<&TlsClient>,
    ) -> Result<Self, TlsError> {
        let UpstreamServer { address, weight, backup } = server;
        let tls = match (address, client) {
            (UpstreamAddress::Wss { host, .. }, Some(client)) => {
                let name = cluster.server_name.as_ref().unwrap_or(host);
                Some(client.connector(name)?)
            }
            _ => None,
        };
        Ok(Self {
            name: Arc::from(address.to_string()),
            health: Arc::default(),
            pool: Arc::default(),
            live: Arc::default(),
            weight: *weight,
            backup: *backup,
            upstream: address.clone(),
            tls,
        })
    }

    /// The target for the choice among those of its cluster.
    pub(super) fn candidate(&self) -> Candidate<'_> {
        let Self { name, weight, backup, live, .. } = self;
        Candidate { name, weight: *weight, backup: *backup, live: live.used() }
    }

    /// Whether connections to the two targets succeed or fail alike.
    fn is_same(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => one.accepts_same(other),
            _ => false,
        };
        self.name == other.name && same_tls
    }

    /// Opens a stream to the upstream, TLS included.
    ///
    /// # Errors
    /// A text for the log, without the upstream's name. The kind is `TimedOut` if there is no connection by
    /// `limit`.
    pub(super) async fn open(&self, limit: Instant) -> io::Result<Transport> {
        match timeout_at(limit, self.connect(limit)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        }
    }

    async fn connect(&self, limit: Instant) -> io::Result<Transport> {
        match (&self.upstream, &self.tls) {
            (UpstreamAddress::Ws { host, port }, _) => {
                tcp(host, *port, limit).await.map(Transport::Tcp)
            }
            (UpstreamAddress::Unix(path), _) => {
                UnixStream::connect(path).await.map(Transport::Unix)
            }
            (UpstreamAddress::Wss { host, port }, Some(connector)) => {
                let stream = tcp(host, *port, limit).await?;
                let secured = connector.connect(stream).await;
                secured.map(Transport::Tls).map_err(|error| {
                    io::Error::new(error.kind(), tls::describe_upstream_failure(&error))
                })
            }
            (UpstreamAddress::Wss { .. }, None) => {
                Err(io::Error::other("there are no roots to verify its certificate with"))
            }
        }
    }
}

/// Connects to the first address of `host` that accepts. Each address has an equal share of the time that
/// is left, so that a silent address leaves time for the next.
async fn tcp(host: &str, port: u16, limit: Instant) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> =
        lookup_host((host, port)).await?.take(MOST_ADDRESSES).collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for (left, address) in (1..=addresses.len()).rev().zip(&addresses) {
        let share = share(limit, left);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                tune(&stream);
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_elapsed) => {
                let text = format!("no connection to {} in time", address.ip());
                failure = io::Error::new(io::ErrorKind::TimedOut, text);
            }
        }
    }
    Err(failure)
}

/// The time until `deadline`, divided by the `left` attempts.
pub(super) fn share(deadline: Instant, left: usize) -> Duration {
    let time = deadline.saturating_duration_since(Instant::now());
    time / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
}
