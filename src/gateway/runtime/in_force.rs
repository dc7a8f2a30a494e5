//! Everything that a configuration decides, as one immutable value. After a reload, requests that began
//! with the old value finish with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Server};
use crate::gateway::upstream::Dialer;
use crate::policy::Policy;
use crate::policy::token::{TokenError, Verifiers};
use crate::state::State;
use crate::tls::{Terminator, TlsError};

/// Why a checked configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum InForceError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The keys that verify tokens cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Everything that a configuration decides.
pub(crate) struct InForce {
    /// Incremented by each reload; 0 is the configuration of the start.
    pub(crate) generation: u64,
    /// `[server]`
    pub(crate) server: Server,
    /// Which clients may connect.
    pub(crate) policy: Policy,
    /// TLS towards clients; `None` is `mode = "off"`.
    pub(crate) terminator: Option<Terminator>,
    /// Opens streams to the upstreams.
    pub(crate) dialer: Dialer,
    /// The files that the configuration was read from.
    pub(crate) files: Vec<PathBuf>,
}

/// Shows neither keys nor secrets.
impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InForce").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl InForce {
    /// Makes the value for `config`. It takes over from `before` the parts that take time to build up:
    /// fetched keys, the health of upstreams, and the secrets of TLS session resumption.
    pub(crate) fn new(
        config: &Config,
        state: &State,
        before: Option<&Self>,
    ) -> Result<Self, InForceError> {
        let terminator = config
            .tls
            .as_ref()
            .map(|tls| Terminator::new(tls, before.and_then(|before| before.terminator.as_ref())));
        let terminator = terminator.transpose()?;
        let verifiers = Verifiers::new(config, before.map(|before| before.policy.verifiers()))?;
        Ok(Self {
            generation: before.map_or(0, |before| before.generation + 1),
            server: config.server.clone(),
            policy: Policy::new(
                config,
                terminator.as_ref(),
                verifiers,
                Arc::clone(state.revocations()),
            ),
            terminator,
            dialer: Dialer::new(config, state.drains(), before.map(|before| &before.dialer))?,
            files: config.files.clone(),
        })
    }
}
