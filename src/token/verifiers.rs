//! The verifiers of a whole configuration.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::status::Status;
use super::verifier::{TokenError, Verifier};
use crate::config::{Config, Issuer};

/// A verifier for each `[jwt.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct Verifiers {
    by_name: HashMap<String, Arc<Verifier>>,
}

impl Verifiers {
    /// Takes the keys of every issuer.
    pub fn new(config: &Config) -> Result<Self, TokenError> {
        let pair =
            |issuer: &Arc<Issuer>| Ok((issuer.name.clone(), Arc::new(Verifier::new(issuer)?)));
        let by_name = config.issuers.iter().map(pair).collect::<Result<_, _>>()?;
        Ok(Self { by_name })
    }

    /// The verifier of `[jwt.NAME]`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Verifier>> {
        self.by_name.get(name)
    }

    /// Starts what keeps fetched sets fresh, until `shutdown`.
    pub fn run(&self, tracker: &TaskTracker, shutdown: &CancellationToken) {
        for verifier in self.by_name.values() {
            let (verifier, shutdown) = (Arc::clone(verifier), shutdown.clone());
            tracker.spawn(async move { verifier.run(shutdown).await });
        }
    }

    /// For the admin client, by name.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let mut all: Vec<_> = self.by_name.values().map(|verifier| verifier.status()).collect();
        all.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        all
    }
}
