//! One address of a server: connects to it over TCP, TLS or a unix socket.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::attempt::now;
use super::balance::Candidate;
use super::checks::ServerCheck;
use super::health::{Change, Failed, Health, Member};
use super::load::{LoadPermit, ServerLoad};
use super::pool::Pool;
use super::slow_start;
use crate::config::Unhealthy;
use crate::tls::socket::tune;
use crate::tls::transport::Transport;
use crate::tls::{self, Connector};
use crate::values::{Counter, Permit};

/// How many equal parts the time of a request has at most: with more targets, each may take a part of the time
/// that is left, so that many addresses do not leave too little time for the answer of each.
const MOST_SHARES: usize = 4;

/// Where a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// A name without an address.
    Unresolved {
        host: String,
        port: u16,
    },
}

/// One address of a server of a route.
#[derive(Clone)]
pub(super) struct DialTarget {
    /// The server as the configuration names it.
    pub(super) server: Arc<str>,
    /// The same for logs, with the address if the server has several.
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    /// Its health, shared by all targets of this place with the same TLS settings and the same check.
    pub(super) health: Arc<Health>,
    /// The connections that plain requests use; shared likewise.
    pub(super) pool: Arc<Pool>,
    /// Its sessions, requests and attempts; shared by all targets of this place.
    pub(super) load: Arc<ServerLoad>,
    /// Those of all addresses that the server has or had; shared by all targets of its name.
    pub(super) server_live: Arc<Counter>,
    /// The health of the server while its name has no address.
    pub(super) unresolved: Option<Arc<Health>>,
    /// Its active check.
    pub(super) check: Option<Arc<ServerCheck>>,
    pub(super) unhealthy: Unhealthy,
    pub(super) slow_start: Option<Duration>,
    pub(super) weight: u16,
    pub(super) backup: bool,
    /// Whether the server is `wss://`.
    pub(super) is_secure: bool,
    /// The TLS settings, for `wss://`.
    pub(super) tls: Option<Connector>,
    /// Why the name has no address.
    pub(super) error: Option<Arc<str>>,
}

/// The server of a target as the configuration names it, from the target's name in logs.
pub(crate) fn configured_server(name: &str) -> &str {
    let parts = name.strip_suffix(')').and_then(|name| name.rsplit_once(" ("));
    match parts {
        Some((server, address)) if address.parse::<IpAddr>().is_ok() => server,
        _ => name,
    }
}

/// Counts for an address and its server until it is dropped.
#[derive(Debug)]
pub struct Live {
    #[expect(dead_code, reason = "it is held, and not looked at")]
    address: LoadPermit,
    #[expect(dead_code, reason = "it is held, and not looked at")]
    server: Permit,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Unresolved { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl DialTarget {
    /// The target for the choice among those of its cluster.
    pub(super) fn candidate(&self, now: StdInstant) -> Candidate<'_> {
        let Self { name, weight, slow_start, backup, load, .. } = self;
        let came_up = slow_start.and_then(|_| self.health.came_up());
        let weight = slow_start::weight(*weight, came_up, *slow_start, now);
        Candidate { name, weight, backup: *backup, live: load.live() }
    }

    /// The target for the rule about half of its cluster.
    pub(super) fn member(&self, now: StdInstant) -> Member {
        Member { standing: self.health.standing(now), backup: self.backup }
    }

    /// Counts a session, a request or an attempt, which has a permit of this address, for the server too.
    pub(super) fn hold(&self, address: LoadPermit) -> Live {
        Live { address, server: self.server_live.hold() }
    }

    /// Notes a failed attempt that began at `began`. When it marks the address as down, requests stop waiting for it.
    pub(super) fn failed(&self, began: StdInstant, failed: Failed, detail: &str) -> Option<Change> {
        let dice = getrandom::u32().unwrap_or_default();
        let was_up = self.health.rests(now(), false).is_none();
        let change = self.health.failed(began, now(), dice, failed, detail);
        if was_up && self.health.rests(now(), false).is_some() {
            self.load.dismiss();
        }
        change
    }

    /// Notes that it answered, which also shows that the name of its server resolves again.
    pub(super) fn answered(&self, now: StdInstant) -> Option<Change> {
        let resolved = self.unresolved.as_ref().and_then(|health| health.answered(now));
        self.health.answered(now).or(resolved)
    }

    /// Opens a stream to the upstream, TLS included.
    ///
    /// # Errors
    /// A text for the log, without the upstream's name. The kind is `TimedOut` if there is no connection by
    /// `limit`.
    pub(super) async fn open(&self, limit: Instant) -> io::Result<Transport> {
        match timeout_at(limit, self.connect()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        }
    }

    async fn connect(&self) -> io::Result<Transport> {
        let stream = match &self.place {
            Place::Tcp(address) => TcpStream::connect(address).await?,
            Place::Unix(path) => return UnixStream::connect(path).await.map(Transport::Unix),
            Place::Unresolved { .. } => {
                return Err(match &self.error {
                    Some(error) => io::Error::new(io::ErrorKind::NotFound, &**error),
                    None => io::Error::new(io::ErrorKind::TimedOut, "its name is not resolved yet"),
                });
            }
        };
        tune(&stream);
        match &self.tls {
            Some(connector) => {
                let secured = connector.connect(stream).await;
                secured.map(Transport::Tls).map_err(|error| {
                    io::Error::new(error.kind(), tls::describe_upstream_failure(&error))
                })
            }
            None if self.is_secure => {
                Err(io::Error::other("there are no roots to verify its certificate with"))
            }
            None => Ok(Transport::Tcp(stream)),
        }
    }
}

/// The time until `deadline`, divided by the `left` attempts, at least a quarter of it.
pub(super) fn share(deadline: Instant, left: usize) -> Duration {
    deadline.saturating_duration_since(Instant::now()) / parts(left)
}

/// Into how many parts the time for `targets` is divided.
pub(super) fn parts(targets: usize) -> u32 {
    u32::try_from(targets.clamp(1, MOST_SHARES)).unwrap_or(1)
}
