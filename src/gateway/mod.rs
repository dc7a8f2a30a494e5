//! The gateway as a whole: what every connection shares, and its life from the first accept to the
//! last Close. What its configuration decides is in force as a whole, and replaced as a whole.

mod exchange;
mod expiry;
mod guard;
mod in_force;
pub mod listen;
mod loading;
pub mod relay;
mod reload;
pub mod session;
pub mod upstream;
mod watch;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::control::admin::{self, AdminSocket, SocketError};
use crate::gateway::exchange::Accepted;
use crate::gateway::listen::{Slots, accept_each};
use crate::gateway::session::Sessions;
use crate::handshake::{HeadBudget, Peer};
use crate::journal::{Event, Journal};
use crate::policy::token::TokenError;
use crate::policy::{AddressAdmission, Shared};
use crate::state::bans::{Bans, Now};
use crate::state::limits::{Limiters, RecordRate};
use crate::state::store::{RevocationStore, Revocations, StoreError};
use crate::tls::TlsError;
use crate::values::UnixTime;
use crate::values::{Reason, Refusal};
use crate::wire::{HoldPool, Shares};
pub(crate) use in_force::InForce;
use reload::Reloading;
pub use reload::{ReloadError, Reloaded, Source};

/// Bytes that request heads beyond 16 KiB may hold together, and those of one address.
const HEADS: usize = 64 * 1024 * 1024;
const HEADS_PER_ADDRESS: usize = 8 * 1024 * 1024;
/// The longest time over which the Close frames of a shutdown are spread.
const LONGEST_SPREAD: Duration = Duration::from_secs(5);

/// Why there is no gateway for a configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The keys that tokens are verified with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What was revoked, or who is banned, is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The admin client could not get in.
    #[error(transparent)]
    Admin(#[from] SocketError),
}

/// See the module. Shared by all connections.
pub struct Gateway {
    /// What the configuration decides.
    in_force: RwLock<Arc<InForce>>,
    /// How the configuration is loaded again.
    reloading: Reloading,
    /// Bounds what sessions hold back.
    pub(crate) budget: HoldPool,
    /// Bounds what request heads hold.
    pub(crate) heads: HeadBudget,
    /// The live sessions.
    pub(crate) sessions: Sessions,
    /// Users and tokens that may not connect.
    pub(crate) revocations: Arc<dyn RevocationStore>,
    /// Addresses that may not connect for a time.
    pub(crate) bans: Arc<Bans>,
    /// What is counted across connections.
    pub(crate) limiters: Limiters,
    /// Every task of a connection or a session.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the gateway stops: nothing new begins.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when every session is over: the listening sockets are closed.
    closed: CancellationToken,
    /// Until it is served.
    admin: Mutex<Option<AdminSocket>>,
    slots: Slots,
    /// Is told what happens.
    pub(crate) journal: Journal,
    /// Bounds the records that clients can cause.
    pub(crate) records: Arc<RecordRate>,
    /// What sections in report mode let through.
    pub(crate) reported: AtomicU64,
}

impl Gateway {
    /// A gateway for a checked configuration, which tells `journal` what happens.
    pub fn new(config: &Config, journal: Journal) -> Result<Arc<Self>, StartError> {
        // First: it keeps a second gateway from the files of this one.
        let admin = config.admin.socket.as_deref().map(AdminSocket::bind).transpose()?;
        let revocations = match &config.admin.revocations {
            Some(path) => Revocations::open(path.clone(), UnixTime::now())?,
            None => Revocations::in_memory(),
        };
        let revocations: Arc<dyn RevocationStore> = Arc::new(revocations);
        let (ban, trusted) = (&config.firewall.ban, &config.server.trusted_proxies);
        let bans = Bans::open(ban.as_ref(), trusted, Now::read())?;
        let in_force = InForce::new(config, &revocations, None)?;
        let limiters = Limiters::default();
        limiters.set(&config.limits);
        let records = Arc::new(RecordRate::default());
        Ok(Arc::new(Self {
            in_force: RwLock::new(Arc::new(in_force)),
            reloading: Reloading::new(config),
            budget: HoldPool::new(Shares::default()),
            heads: HeadBudget::new(HEADS, HEADS_PER_ADDRESS),
            sessions: Sessions::default(),
            revocations,
            bans: Arc::new(bans),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            closed: CancellationToken::new(),
            admin: Mutex::new(admin),
            slots: Slots::new(config.server.max_connections),
            journal: journal.limited_by(records.clone()),
            records,
            reported: AtomicU64::new(0),
            limiters,
        }))
    }

    /// What the configuration decides now. A connection takes it once, at its begin, so that no
    /// reload comes between two of its checks.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves the listeners until `shutdown` resolves; then accepts no more, closes every session
    /// with 1001, spread over a little time, and returns when all are over, after
    /// `shutdown_grace` at the latest. Sessions that are still open then are cut with the runtime.
    pub async fn run(self: Arc<Self>, listeners: Vec<TcpListener>, shutdown: impl Future) {
        self.serve_admin(&listeners);
        for listener in listeners {
            let gateway = Arc::clone(&self);
            let journal = self.journal.clone();
            let serve = move |stream, peer| gateway.serve(stream, peer);
            let accept = accept_each(listener, journal, serve);
            let closing = Arc::clone(&self).closing();
            // No task that is waited for: with a health_path it goes on while sessions end.
            tokio::spawn(async move {
                tokio::select! {
                    () = accept => {}
                    () = closing => {}
                }
            });
        }
        self.in_force().policy.verifiers().run(&self.journal, &self.tasks, &self.stopping);
        self.keep_house();
        self.expire_certificates();
        shutdown.await;
        self.stopping.cancel();
        self.tasks.close();
        self.journal.record(Event::Stopping { sessions: self.sessions.count() });
        let grace = self.in_force().server.shutdown_grace;
        let spread = LONGEST_SPREAD.min(grace / 2);
        let close_all = self.sessions.end_all(Reason::Shutdown, spread);
        let all_over = async { tokio::join!(close_all, self.tasks.wait()) };
        if tokio::time::timeout(grace, all_over).await.is_err() {
            self.journal.record(Event::Cut { sessions: self.sessions.count() });
        }
        self.closed.cancel();
    }

    /// Resolves when no connection is accepted any more. A load balancer that asks for `health_path`
    /// is to read 503 for as long as sessions end.
    async fn closing(self: Arc<Self>) {
        self.stopping.cancelled().await;
        if self.in_force().server.health_path.is_some() {
            self.closed.cancelled().await;
        }
    }

    fn serve_admin(self: &Arc<Self>, listeners: &[TcpListener]) {
        let socket = self.admin.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(socket) = socket {
            let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
            let serving = admin::serve(Arc::clone(self), socket, addresses.collect());
            self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(serving));
        }
    }

    fn serve(self: &Arc<Self>, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let in_force = self.in_force();
        let admitted = match self.enter(peer.ip(), &in_force) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.dropped(peer, &refusal),
        };
        let Some(slot) = self.slots.take() else {
            let full = Refusal::new(Reason::Capacity, "max_connections is reached");
            return self.dropped(peer, &full);
        };
        let accepted = Accepted { stream, address: peer, slot, admitted, in_force };
        let serving = exchange::serve(Arc::clone(self), accepted);
        if self.stopping.is_cancelled() {
            // The end of the sessions does not wait for it.
            tokio::spawn(serving);
        } else {
            self.tasks.spawn(serving);
        }
    }

    /// Admits the address of a peer. `None`: it is a trusted proxy, whose client is not known yet.
    fn enter(&self, peer: IpAddr, in_force: &InForce) -> Result<Option<AddressAdmission>, Refusal> {
        if Peer::is_trusted(peer, &in_force.server.trusted_proxies) {
            return Ok(None);
        }
        in_force.policy.checks(peer).admit_address(self.shared()).map(Some)
    }

    /// The state that checks of one client share with those of all others.
    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared { bans: &self.bans, limiters: &self.limiters }
    }
}

#[cfg(test)]
mod tests;
