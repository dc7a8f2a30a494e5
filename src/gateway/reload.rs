//! Loading the configuration again while the gateway runs: all of it, or nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::signal::unix::Signal;

use super::loading::{Loading, WITHIN};
use super::{Gateway, InForce, StartError};
use crate::config::{self, Config, LoadError, Loaded, Route};
use crate::gateway::relay::Terms;
use crate::gateway::session::Entry;
use crate::journal::Event;
use crate::values::UnixTime;
use crate::values::UserKey;

/// How long a set of keys at another address may take to be fetched for the first time, before what
/// asks for them is in force without them.
const KEYS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Where a configuration came from, so that it can be loaded again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The TOML file.
    pub path: PathBuf,
    /// What the command line says instead of `[admin] socket`.
    pub admin_socket: Option<PathBuf>,
}

impl Source {
    /// The text of the file.
    pub fn read(&self) -> Result<String, LoadError> {
        config::read_text(&self.path)
    }

    /// The configuration of a text of the file, with what the command line says.
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
    /// It was refused.
    #[error("{0}")]
    Config(#[from] LoadError),
    /// It is valid, and cannot be put in force.
    #[error("{0}")]
    Start(#[from] StartError),
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
    /// There is no thread to read it with.
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
    /// Sessions that it does not admit, which were told to end.
    pub closed: usize,
    /// What is unwise about it.
    pub warnings: Vec<String>,
    /// What it says that holds only after a restart.
    pub after_restart: Vec<&'static str>,
}

/// What the admin client is told of reloads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LastReload {
    /// When it was tried.
    pub(crate) at: Option<UnixTime>,
    /// Why it failed, if it did.
    pub(crate) error: Option<String>,
}

/// How the configuration is loaded again.
pub(super) struct Reloading {
    source: Mutex<Option<(Source, Arc<str>)>>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
    /// Reads what it was told to read.
    pub(super) loading: Loading,
    last: Mutex<LastReload>,
    fixed: Fixed,
}

/// What only a restart changes.
#[derive(PartialEq)]
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

    fn source(&self) -> MutexGuard<'_, Option<(Source, Arc<str>)>> {
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

impl Gateway {
    /// Says where the configuration is to be loaded from again, and which text is in force.
    pub fn reload_from(&self, source: Source, text: &str) {
        *self.reloading.source() = Some((source, text.into()));
    }

    /// Loads the configuration again with each of these signals.
    pub fn reload_on(self: &Arc<Self>, mut signals: Signal) {
        let gateway = Arc::clone(self);
        let reloading = async move {
            while signals.recv().await.is_some() {
                // What came of it is in the log.
                let _ = gateway.reload().await;
            }
        };
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(reloading));
    }

    /// Loads the configuration again. A valid one is in force at once, for new connections and for
    /// open sessions, and those that it would not admit are told to end; with any error, nothing
    /// changes. The log says which.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        self.load_again(true).await
    }

    /// Reads the files again that the configuration in force names; the configuration itself stays
    /// as it is, whatever was written to its file since.
    pub async fn refresh(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        self.load_again(false).await
    }

    async fn load_again(self: &Arc<Self>, anew: bool) -> Result<Reloaded, ReloadError> {
        // Nothing of it is waited for by a gateway that stops.
        let outcome = self.stopping.run_until_cancelled(async {
            let _turn = self.reloading.turn.lock().await;
            self.load_and_replace(anew).await
        });
        let outcome = outcome.await.unwrap_or(Err(ReloadError::Stopping));
        self.tell(&outcome);
        outcome
    }

    /// Says in the log and to the admin client how a reload went.
    pub(super) fn tell(&self, outcome: &Result<Reloaded, ReloadError>) {
        let error = outcome.as_ref().err().map(ToString::to_string);
        match outcome {
            Ok(reloaded) => self.journal.record(Event::Reloaded {
                generation: reloaded.generation,
                sessions: reloaded.closed,
                warnings: reloaded.warnings.len(),
                after_restart: &reloaded.after_restart,
            }),
            Err(error) => self.journal.record(Event::ReloadFailed { error }),
        }
        *self.reloading.last.lock().unwrap_or_else(PoisonError::into_inner) =
            LastReload { at: Some(UnixTime::now()), error };
    }

    /// How the last reload went.
    pub(crate) fn last_reload(&self) -> LastReload {
        self.reloading.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load_and_replace(self: &Arc<Self>, anew: bool) -> Result<Reloaded, ReloadError> {
        let source = self.reloading.source().clone();
        let (source, text) = source.ok_or(ReloadError::NoSource)?;
        let before = self.in_force();
        let revocations = Arc::clone(&self.revocations);
        let loading = self.reloading.loading.run(move || {
            let text = if anew { source.read()?.into() } else { text };
            let Loaded { config, lints } = source.load(&text)?;
            let next = InForce::new(&config, &revocations, Some(&before))?;
            Ok((config, lints, next, (source, text)))
        });
        let (config, lints, next, source) = loading.await?;
        next.policy.verifiers().run(&self.journal, &self.tasks, &self.stopping);
        let _ = tokio::time::timeout(KEYS_WITHIN, next.policy.verifiers().looked()).await;
        let after_restart = self.reloading.fixed.changed(&Fixed::of(&config));
        let generation = next.generation;
        let trusted = &config.server.trusted_proxies;
        self.bans.set(config.firewall.ban.as_ref(), trusted);
        self.limiters.set(&config.limits);
        let closed = self.put_in_force(next);
        *self.reloading.source() = Some(source);
        let warnings = lints.iter().map(|lint| lint.message().to_owned()).collect();
        Ok(Reloaded { generation, closed, warnings, after_restart })
    }

    /// The route of a session that was admitted by the configuration of `generation`, as it is now
    /// that the session is registered. Where it would not be admitted any more, it is told to end.
    pub(crate) fn settle(&self, entry: &Entry, generation: u64, route: &Arc<Route>) -> Arc<Route> {
        let in_force = self.in_force();
        if in_force.generation == generation {
            return Arc::clone(route);
        }
        match entry.record().review(&in_force.policy) {
            Ok(route) => route,
            Err(refusal) => {
                entry.end(refusal.reason);
                Arc::clone(route)
            }
        }
    }

    /// What a session on `route` is held to.
    pub(crate) fn terms(&self, route: &Arc<Route>, user: Option<UserKey>) -> Terms {
        let rate = route.limits.messages_per_user.as_ref();
        let now = std::time::Instant::now();
        let share = user.zip(rate).map(|(user, rate)| self.limiters.share(&user, rate, now));
        Terms { route: Arc::clone(route), user: share }
    }

    /// First for whoever comes, then for whoever is there: a session that is registered in between
    /// sees that its generation is over, and looks itself.
    fn put_in_force(&self, next: InForce) -> usize {
        let next = Arc::new(next);
        self.slots.resize(next.server.max_connections);
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        self.sessions.review(&next.policy, |route, user| self.terms(route, user))
    }
}
