//! What a configuration decides, whole. A reload replaces it in one step; whoever has the old one
//! finishes what it began with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::StartError;
use crate::config::{Config, Server};
use crate::gateway::upstream::Dialer;
use crate::policy::Policy;
use crate::policy::token::Verifiers;
use crate::state::store::RevocationStore;
use crate::tls::Terminator;

/// See the module.
pub(crate) struct InForce {
    /// Grows by one with each reload.
    pub(crate) generation: u64,
    /// `[server]`
    pub(crate) server: Server,
    /// Who may connect.
    pub(crate) policy: Policy,
    /// TLS towards clients; `None` is `mode = "off"`.
    pub(crate) terminator: Option<Terminator>,
    /// Opens streams to the upstreams.
    pub(crate) dialer: Dialer,
    /// The files that it was read from.
    pub(super) files: Vec<PathBuf>,
}

/// Keys and secrets are in it: none is shown.
impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InForce").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl InForce {
    /// What `config` decides. Of what was in force `before`, that which takes time to build up and
    /// is not decided otherwise is kept: fetched keys, which upstreams failed, and the secrets that TLS
    /// sessions are resumed with.
    pub(super) fn new(
        config: &Config,
        revocations: &Arc<dyn RevocationStore>,
        before: Option<&Self>,
    ) -> Result<Self, StartError> {
        let terminator = config
            .tls
            .as_ref()
            .map(|tls| Terminator::new(tls, before.and_then(|before| before.terminator.as_ref())));
        let terminator = terminator.transpose()?;
        let verifiers = Verifiers::new(config, before.map(|before| before.policy.verifiers()))?;
        Ok(Self {
            generation: before.map_or(0, |before| before.generation + 1),
            server: config.server.clone(),
            policy: Policy::new(config, terminator.as_ref(), verifiers, Arc::clone(revocations)),
            terminator,
            dialer: Dialer::new(config, before.map(|before| &before.dialer))?,
            files: config.files.clone(),
        })
    }
}
