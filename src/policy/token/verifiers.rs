//! The verifiers of all issuers of a configuration.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::compact::{invalid, unverified_issuer};
use super::status::Status;
use super::verifier::{TokenError, Verifier};
use crate::config::{Config, Issuer, RouteIssuers};
use crate::journal::Journal;
use crate::values::Refusal;

/// Selects the issuer that must verify a token on a route: the only one, or the one that its `iss`
/// names.
pub fn choose<'a>(issuers: &'a RouteIssuers, token: &str) -> Result<&'a Arc<Issuer>, Refusal> {
    if !issuers.are_several() {
        return Ok(issuers.first());
    }
    let iss = unverified_issuer(token, issuers.max_token())?;
    issuers.of(&iss).ok_or_else(|| {
        let names: Vec<_> = issuers.iter().map(|issuer| format!("jwt.{}", issuer.name)).collect();
        invalid(format!("the token's iss is not the issuer of {}", names.join(" or "))).by("issuer")
    })
}

/// A verifier for each `[jwt.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct Verifiers {
    by_name: HashMap<String, Arc<Verifier>>,
}

impl Verifiers {
    /// Loads the keys of every issuer. A fetched set is taken over from the verifiers `before` if
    /// its URL and algorithms are the same.
    pub fn new(config: &Config, before: Option<&Self>) -> Result<Self, TokenError> {
        let pair = |issuer: &Arc<Issuer>| {
            let before = before.and_then(|before| before.get(&issuer.name));
            let verifier = match before.and_then(|before| before.reissued(issuer)) {
                Some(verifier) => verifier,
                None => Verifier::new(issuer)?,
            };
            Ok((issuer.name.clone(), Arc::new(verifier)))
        };
        let by_name = config.issuers.iter().map(pair).collect::<Result<_, _>>()?;
        Ok(Self { by_name })
    }

    /// The verifier of `[jwt.NAME]`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Verifier>> {
        self.by_name.get(name)
    }

    /// Starts the tasks that keep fetched sets fresh, until `shutdown` or until no verifier uses
    /// them.
    pub fn run(&self, journal: &Journal, tracker: &TaskTracker, shutdown: &CancellationToken) {
        for verifier in self.by_name.values() {
            if let Some(fetching) = verifier.run(journal.clone(), shutdown.clone()) {
                tracker.spawn(fetching);
            }
        }
    }

    /// Waits until the first fetch of every fetched set has ended.
    pub async fn looked(&self) {
        for verifier in self.by_name.values() {
            verifier.looked().await;
        }
    }

    /// The status for the admin client, sorted by name.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let mut all: Vec<_> = self.by_name.values().map(|verifier| verifier.status()).collect();
        all.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        all
    }
}
