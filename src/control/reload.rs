//! Reloads the configuration of a running gateway: either all of it takes effect, or nothing changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::signal::unix::Signal;

use super::Control;
use super::loading::{Loading, WITHIN};
use super::service_manager;
use crate::config::{self, Config, LoadError, Loaded};
use crate::gateway::runtime::{InForce, InForceError};
use crate::journal::Event;
use crate::values::UnixTime;

/// The timeout for the first fetch of a JWK Set; after it the new configuration takes effect without the set.
const KEYS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// The source of a configuration, from which reloads load it.
#[derive(Debug, Clone)]
pub struct ConfigSource {
    /// The TOML file.
    pub path: PathBuf,
    /// The command line's value for `[admin] socket`, which takes precedence.
    pub admin_socket: Option<PathBuf>,
}

impl ConfigSource {
    /// The text of the file.
    pub fn read(&self) -> Result<String, LoadError> {
        config::read_text(&self.path)
    }

    /// Parses a text of the file, and applies the command line's values.
    pub fn load(&self, text: &str) -> Result<Loaded, LoadError> {
        let mut loaded = config::parse(text, &self.path)?;
        if let Some(socket) = &self.admin_socket {
            loaded.config.admin.socket = Some(socket.clone());
        }
        Ok(loaded)
    }
}

/// The reason why a configuration did not take effect; the previous one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is not valid.
    #[error("{0}")]
    Config(#[from] LoadError),
    /// The configuration is valid, but cannot take effect.
    #[error("{0}")]
    InForce(#[from] InForceError),
    /// This gateway was not started from a file.
    #[error("this gateway has no configuration file to load again")]
    NoSource,
    /// The files were not read in time, or an earlier reload still waits for one.
    #[error(
        "reading {} takes longer than {} s; does its file system answer?",
        .0.as_ref().map_or("its files".to_owned(), |file| file.display().to_string()),
        WITHIN.as_secs()
    )]
    Slow(Option<PathBuf>),
    /// The metadata of the watched files was not read in time.
    #[error(
        "the files that are watched do not answer within {} s, and changes of them are not seen",
        WITHIN.as_secs()
    )]
    Unwatched,
    /// No thread could be started for the load.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
    /// The load panicked.
    #[error("a fault of the gateway stopped it")]
    Fault,
    /// The gateway is stopping.
    #[error("the gateway stops")]
    Stopping,
}

/// The result of a successful reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The number of the configuration; 0 is the one that the gateway started with.
    pub generation: u64,
    /// Sessions that the new configuration does not admit, and that were asked to close.
    pub closed: usize,
    /// Sessions whose server is not one of their route any more, and that are drained.
    pub draining: usize,
    /// The lints of the new configuration.
    pub warnings: Vec<String>,
    /// Changed keys that take effect only after a restart.
    pub after_restart: Vec<&'static str>,
}

/// The outcome of the last reload, for the admin client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LastReload {
    /// The time of the attempt.
    pub(crate) at: Option<UnixTime>,
    /// The error, if the reload failed.
    pub(crate) error: Option<String>,
}

/// The state of reloads.
#[derive(Debug)]
pub(super) struct Reloading {
    source: Mutex<Option<(ConfigSource, Arc<str>)>>,
    /// Serializes reloads. Unlike every other lock of this module, it is held across awaits.
    turn: tokio::sync::Mutex<()>,
    loading: Loading,
    last: Mutex<LastReload>,
    fixed: Fixed,
}

/// The settings that only a restart changes.
#[derive(Debug, PartialEq)]
struct Fixed {
    listen: Vec<std::net::SocketAddr>,
    redirect_http: Vec<std::net::SocketAddr>,
    log: config::Log,
    admin: config::Admin,
    ban_file: Option<PathBuf>,
}

impl Reloading {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            source: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            loading: Loading::default(),
            last: Mutex::default(),
            fixed: Fixed::of(config),
        }
    }

    /// Whether an earlier reload still waits for a file.
    pub(super) fn is_hung(&self) -> bool {
        self.loading.hung().is_some()
    }

    fn source(&self) -> MutexGuard<'_, Option<(ConfigSource, Arc<str>)>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            listen: config.server.listen.clone(),
            redirect_http: config.server.redirect_http.clone(),
            log: config.log.clone(),
            admin: config.admin.clone(),
            ban_file: config.firewall.ban.as_ref().and_then(|ban| ban.file.clone()),
        }
    }

    /// The keys that differ in `other`.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        [
            ("server.listen", self.listen == other.listen),
            ("server.redirect_http", self.redirect_http == other.redirect_http),
            ("[log]", self.log == other.log),
            ("[admin]", self.admin == other.admin),
            ("firewall.ban.file", self.ban_file == other.ban_file),
        ]
        .into_iter()
        .filter_map(|(key, same)| (!same).then_some(key))
        .collect()
    }
}

/// Starts the task behind [`Service::reload_on`](super::Service::reload_on).
pub(super) fn reload_on(control: &Arc<Control>, mut signals: Signal) {
    let runtime = control.runtime.clone();
    let control = Arc::clone(control);
    runtime.spawn_until_stop(async move {
        while signals.recv().await.is_some() {
            // `reload` itself logs the outcome.
            let _ = control.reload().await;
        }
    });
}

impl Control {
    pub(super) fn reload_from(&self, source: ConfigSource, text: &str) {
        *self.reloading.source() = Some((source, text.into()));
    }

    /// Loads the configuration again. A valid one takes effect immediately for new connections and open
    /// sessions, and sessions that it does not admit are asked to close; after an error, nothing
    /// changes. The outcome is logged.
    pub(super) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.load_again(true).await
    }

    /// Loads the named files again with the text of the configuration in force; a changed configuration
    /// file is not read.
    pub(super) async fn refresh(&self) -> Result<Reloaded, ReloadError> {
        self.load_again(false).await
    }

    async fn load_again(&self, anew: bool) -> Result<Reloaded, ReloadError> {
        // A reload does not delay the end of the gateway.
        let outcome = self.runtime.closed().run_until_cancelled(async {
            let _turn = self.reloading.turn.lock().await;
            if !anew {
                return self.load_and_replace(anew).await;
            }
            service_manager::reloading();
            let outcome = self.load_and_replace(anew).await;
            service_manager::reloaded(&outcome);
            outcome
        });
        let outcome = outcome.await.unwrap_or(Err(ReloadError::Stopping));
        self.record(&outcome);
        outcome
    }

    /// Logs the outcome of a reload, and keeps it for the admin client.
    pub(super) fn record(&self, outcome: &Result<Reloaded, ReloadError>) {
        let error = outcome.as_ref().err().map(ToString::to_string);
        let journal = self.reporter.journal();
        match outcome {
            Ok(reloaded) => journal.record(Event::Reloaded {
                generation: reloaded.generation,
                sessions: reloaded.closed,
                draining: reloaded.draining,
                warnings: reloaded.warnings.len(),
                after_restart: &reloaded.after_restart,
            }),
            Err(error) => journal.record(Event::ReloadFailed { error }),
        }
        *self.reloading.last.lock().unwrap_or_else(PoisonError::into_inner) =
            LastReload { at: Some(UnixTime::now()), error };
    }

    /// The outcome of the last reload.
    pub(super) fn last_reload(&self) -> LastReload {
        self.reloading.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load_and_replace(&self, anew: bool) -> Result<Reloaded, ReloadError> {
        let source = self.reloading.source().clone();
        let (source, text) = source.ok_or(ReloadError::NoSource)?;
        let before = self.current.get();
        let state = Arc::clone(&self.state);
        let loading = self.reloading.loading.run(move || {
            let text = if anew { source.read()?.into() } else { text };
            let Loaded { config, lints } = source.load(&text)?;
            let next = InForce::new(&config, &state, Some(&before))?;
            Ok((config, lints, next, (source, text)))
        });
        let (config, lints, next, source) = loading.await?;
        let Self { runtime, reporter, .. } = self;
        let (upkeep, closed) = (runtime.upkeep(), runtime.closed());
        next.policy.verifiers().run(reporter.journal(), upkeep, closed);
        next.dialer.run(reporter.journal(), upkeep, closed);
        let _ = tokio::time::timeout(KEYS_WITHIN, next.policy.verifiers().looked()).await;
        let after_restart = self.reloading.fixed.changed(&Fixed::of(&config));
        let generation = next.generation;
        self.state.set(&config);
        let (closed, draining) = self.put_in_force(next);
        *self.reloading.source() = Some(source);
        let warnings = lints.iter().map(|lint| lint.message().to_owned()).collect();
        Ok(Reloaded { generation, closed, draining, warnings, after_restart })
    }

    /// Replaces the configuration for new connections first, then reviews the open sessions: a session
    /// that is registered in between sees the newer generation and is reviewed when it starts.
    pub(super) fn put_in_force(&self, next: InForce) -> (usize, usize) {
        self.current.replace(next);
        let Self { runtime, reporter, .. } = self;
        let dialer = &self.current.get().dialer;
        dialer.run_checks(reporter.journal(), runtime.upkeep(), runtime.stopping());
        self.review()
    }
}
