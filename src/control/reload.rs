//! Reloads the configuration of a running gateway: all of it, or nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::signal::unix::Signal;

use super::Control;
use super::loading::{Loading, WITHIN};
use crate::config::{self, Config, LoadError, Loaded};
use crate::gateway::runtime::{InForce, InForceError};
use crate::journal::Event;
use crate::values::UnixTime;

/// How long the first fetch of a JWK Set may take before the new configuration is in force without it.
const KEYS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Where a configuration came from, so that it can be loaded again.
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

    /// The configuration of a text of the file, with the command line's values.
    pub fn load(&self, text: &str) -> Result<Loaded, LoadError> {
        let mut loaded = config::parse(text, &self.path)?;
        if let Some(socket) = &self.admin_socket {
            loaded.config.admin.socket = Some(socket.clone());
        }
        Ok(loaded)
    }
}

/// Why a configuration did not come into force; the one before it still is.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is not valid.
    #[error("{0}")]
    Config(#[from] LoadError),
    /// The configuration is valid and cannot be put in force.
    #[error("{0}")]
    InForce(#[from] InForceError),
    /// This gateway was not made from a file.
    #[error("this gateway has no configuration file to load again")]
    NoSource,
    /// Its files were not read in time, or an earlier reload still waits for one.
    #[error(
        "reading {} takes longer than {} s; does its file system answer?",
        .0.as_ref().map_or("its files".to_owned(), |file| file.display().to_string()),
        WITHIN.as_secs()
    )]
    Slow(Option<PathBuf>),
    /// The files that are watched could not be looked at in time.
    #[error(
        "the files that are watched do not answer within {} s, and changes of them are not seen",
        WITHIN.as_secs()
    )]
    Unwatched,
    /// No thread could be started to read it.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
    /// Loading panicked.
    #[error("a fault of the gateway stopped it")]
    Fault,
    /// The gateway stops.
    #[error("the gateway stops")]
    Stopping,
}

/// A configuration that came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// 0 is the one that the gateway started with.
    pub generation: u64,
    /// Sessions that it does not admit; they were told to end.
    pub closed: usize,
    /// Lints of it.
    pub warnings: Vec<String>,
    /// Changed keys that take effect only after a restart.
    pub after_restart: Vec<&'static str>,
}

/// The outcome of the last reload, for the admin client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LastReload {
    /// When it was attempted.
    pub(crate) at: Option<UnixTime>,
    /// Why it failed, if it did.
    pub(crate) error: Option<String>,
}

/// How the configuration is loaded again.
#[derive(Debug)]
pub(super) struct Reloading {
    source: Mutex<Option<(ConfigSource, Arc<str>)>>,
    /// Held across awaits, unlike every other lock here, so that reloads come one at a time.
    turn: tokio::sync::Mutex<()>,
    loading: Loading,
    last: Mutex<LastReload>,
    fixed: Fixed,
}

/// The keys that only a restart changes.
#[derive(Debug, PartialEq)]
struct Fixed {
    listen: Vec<std::net::SocketAddr>,
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
            log: config.log.clone(),
            admin: config.admin.clone(),
            ban_file: config.firewall.ban.as_ref().and_then(|ban| ban.file.clone()),
        }
    }

    /// The keys that are different in `other`.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        [
            ("server.listen", self.listen == other.listen),
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
            // The outcome is in the log.
            let _ = control.reload().await;
        }
    });
}

impl Control {
    pub(super) fn reload_from(&self, source: ConfigSource, text: &str) {
        *self.reloading.source() = Some((source, text.into()));
    }

    /// Loads the configuration again. A valid one is in force at once, for new connections and for
    /// open sessions, and sessions that it would not admit are told to end; with any error, nothing
    /// changes. The log has the outcome.
    pub(super) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.load_again(true).await
    }

    /// Reads the files again that the configuration in force names; the configuration itself stays
    /// as it is, even if its file was changed since.
    pub(super) async fn refresh(&self) -> Result<Reloaded, ReloadError> {
        self.load_again(false).await
    }

    async fn load_again(&self, anew: bool) -> Result<Reloaded, ReloadError> {
        // A gateway that stops does not wait for it.
        let outcome = self.runtime.stopping().run_until_cancelled(async {
            let _turn = self.reloading.turn.lock().await;
            self.load_and_replace(anew).await
        });
        let outcome = outcome.await.unwrap_or(Err(ReloadError::Stopping));
        self.record(&outcome);
        outcome
    }

    /// Records the outcome of a reload, and keeps it for the admin client.
    pub(super) fn record(&self, outcome: &Result<Reloaded, ReloadError>) {
        let error = outcome.as_ref().err().map(ToString::to_string);
        let journal = self.reporter.journal();
        match outcome {
            Ok(reloaded) => journal.record(Event::Reloaded {
                generation: reloaded.generation,
                sessions: reloaded.closed,
                warnings: reloaded.warnings.len(),
                after_restart: &reloaded.after_restart,
            }),
            Err(error) => journal.record(Event::ReloadFailed { error }),
        }
        *self.reloading.last.lock().unwrap_or_else(PoisonError::into_inner) =
            LastReload { at: Some(UnixTime::now()), error };
    }

    /// How the last reload went.
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
        next.policy.verifiers().run(reporter.journal(), runtime.tasks(), runtime.stopping());
        let _ = tokio::time::timeout(KEYS_WITHIN, next.policy.verifiers().looked()).await;
        let after_restart = self.reloading.fixed.changed(&Fixed::of(&config));
        let generation = next.generation;
        self.state.set(&config);
        let closed = self.put_in_force(next);
        *self.reloading.source() = Some(source);
        let warnings = lints.iter().map(|lint| lint.message().to_owned()).collect();
        Ok(Reloaded { generation, closed, warnings, after_restart })
    }

    /// Replaces the configuration for new connections first, then reviews the open sessions: one that
    /// is registered in between sees a newer generation and is reviewed as it starts.
    fn put_in_force(&self, next: InForce) -> usize {
        let next = Arc::new(next);
        self.current.replace(Arc::clone(&next));
        self.sessions.review(&next.policy, self.state.limiters())
    }
}
