//! The control of a running gateway by operators and timers: the admin socket, reloads, watched files,
//! and maintenance.

pub mod admin;
mod drain;
mod loading;
mod maintenance;
mod reload;
pub(crate) mod service_manager;
mod unhealthy;
mod upgrade;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::config::Config;
use crate::control::admin::{AdminSocket, Running, SocketError};
use crate::gateway::Gateway;
use crate::gateway::listen::Listener;
use crate::gateway::runtime::{Current, InForce, InForceError, Runtime};
use crate::gateway::session::{Reporter, Sessions};
use crate::journal::Journal;
use crate::state::State;
use crate::state::store::StoreError;
use crate::values::UnixTime;
use drain::RunningDrains;
use reload::Reloading;
pub use reload::{ConfigSource, ReloadError, Reloaded};
use upgrade::Upgrading;
pub use upgrade::{Inheritance, NewerProcess, Program, UpgradeError, Upgraded};

/// The reason why a gateway does not start with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS or the verification keys of tokens cannot be used.
    #[error(transparent)]
    InForce(#[from] InForceError),
    /// The file of bans or revocations cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The admin socket cannot be opened.
    #[error(transparent)]
    Admin(#[from] SocketError),
}

/// A gateway with its controls.
#[derive(Debug)]
pub struct Service {
    gateway: Gateway,
    control: Arc<Control>,
    admin: Option<AdminSocket>,
    inheritance: Option<Inheritance>,
}

/// The parts of a gateway that operators and timers act on.
#[derive(Debug)]
pub(crate) struct Control {
    runtime: Runtime,
    state: Arc<State>,
    current: Arc<Current>,
    sessions: Sessions,
    reporter: Arc<Reporter>,
    reloading: Reloading,
    upgrade: Upgrading,
    running: OnceLock<Running>,
    drains: RunningDrains,
}

impl Service {
    /// Builds a gateway from a checked configuration. It records events in `journal`, and does not run yet.
    pub fn open(config: &Config, journal: Journal) -> Result<Self, StartError> {
        Self::open_after(None, config, journal)
    }

    /// As [`Service::open`], in place of an older process; [`Service::take_over`] ends its service.
    pub(crate) fn open_after(
        mut inheritance: Option<Inheritance>,
        config: &Config,
        journal: Journal,
    ) -> Result<Self, StartError> {
        // First: the lock of the socket prevents a second gateway from opening the same files.
        let path = config.admin.socket.as_ref();
        let inherited =
            inheritance.as_mut().zip(path).and_then(|(older, path)| older.take_admin(path));
        let admin = match (inherited, path) {
            (Some(socket), _) => Some(socket),
            (None, path) => path.map(|path| AdminSocket::bind(path)).transpose()?,
        };
        let state = Arc::new(State::open(config)?);
        let mut in_force = InForce::new(config, &state, None)?;
        if let Some(older) = &inheritance {
            in_force.generation = older.generation();
        }
        let current = Arc::new(Current::new(in_force));
        let gateway = Gateway::new(Arc::clone(&current), Arc::clone(&state), journal);
        let control = Control {
            runtime: gateway.runtime().clone(),
            state,
            current,
            sessions: gateway.sessions().clone(),
            reporter: Arc::clone(gateway.reporter()),
            reloading: Reloading::new(config),
            upgrade: Upgrading::default(),
            running: OnceLock::new(),
            drains: RunningDrains::default(),
        };
        Ok(Self { gateway, control: Arc::new(control), admin, inheritance })
    }

    /// Sets the source for reloads; `text` is the text that is in force.
    pub fn reload_from(&self, source: ConfigSource, text: &str) {
        self.control.reload_from(source, text);
    }

    /// Reloads the configuration at each signal.
    pub fn reload_on(&self, signals: Signal) {
        reload::reload_on(&self.control, signals);
    }

    /// Sets the program that an upgrade starts. Without it there is no upgrade.
    pub fn upgrade_to(&self, program: Program) {
        self.control.upgrade.starts(program);
    }

    /// Replaces this process by a new one of its program at each signal.
    pub fn upgrade_on(&self, signals: Signal) {
        upgrade::upgrade_on(&self.control, signals);
    }

    /// Takes over from the older process, which then accepts no more. Without one it does nothing.
    ///
    /// # Errors
    /// The older process goes on; this one must end.
    pub async fn take_over(&mut self) -> Result<(), UpgradeError> {
        match self.inheritance.take() {
            Some(older) => older.take_over(&self.control, self.admin.as_ref()).await,
            None => Ok(()),
        }
    }

    /// Watches files from this call on and loads them when they change: always the lists and databases
    /// of the firewall; with `all`, also the configuration and every other file that it names.
    pub fn watch(&self, all: bool) {
        watch::watch(&self.control, all);
    }

    /// How long the gateway may take to end its sessions, by the configuration in force.
    pub fn shutdown_time(&self) -> impl Fn() -> Duration + use<> {
        let current = Arc::clone(&self.control.current);
        move || current.get().server.shutdown_pace().whole
    }

    /// Serves the listeners until `shutdown` resolves and all sessions have ended, or their time has passed.
    pub async fn run(self, listeners: Vec<Listener>, shutdown: impl Future) {
        let Self { gateway, control, admin, .. } = self;
        let addresses = listeners.iter().filter_map(|listener| listener.socket.local_addr().ok());
        let running = Running { since: UnixTime::now(), listeners: addresses.collect() };
        let _ = control.running.set(running);
        let sockets = listeners.iter();
        let sockets =
            sockets.map(|listener| (listener.configured, Arc::downgrade(&listener.socket)));
        control.upgrade.listens(sockets.collect());
        if let Some(socket) = admin {
            control.runtime.spawn_until_stop(admin::serve(Arc::clone(&control), socket));
        }
        let gateway = Arc::new(gateway);
        maintenance::spawn_maintenance(&control);
        unhealthy::drain_unhealthy(&control);
        maintenance::spawn_counters(&gateway);
        gateway.run(listeners, shutdown).await;
    }
}
