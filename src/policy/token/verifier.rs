//! Verifies the tokens of one issuer.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::claims;
use super::compact::{Unverified, invalid};
use super::fetch::Fetcher;
use super::forward;
use super::jwks::{KeySet, Missing};
use super::key::{KeyError, SigningKey};
use super::remote::Remote;
use super::status::Status;
use super::verified::VerifiedToken;
use crate::config::{Issuer, KeySource};
use crate::journal::Journal;
use crate::values::{Principal, Reason, Refusal};

/// The tokens of an issuer cannot be verified because of an error in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("[jwt.{issuer}]: {source}")]
pub struct TokenError {
    /// The NAME of `[jwt.NAME]`.
    pub issuer: String,
    /// The error in the key.
    pub source: KeyError,
}

/// Verifies the tokens of one `[jwt.NAME]`.
pub struct Verifier {
    issuer: Arc<Issuer>,
    keys: Arc<Keys>,
    fetching: Arc<Fetching>,
}

/// Ends the task that keeps a set fresh when the last verifier with that set is dropped.
#[derive(Default)]
struct Fetching {
    begun: AtomicBool,
    over: CancellationToken,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// A token before its required claims are checked.
#[derive(Debug)]
pub struct Authenticated {
    issuer: Arc<Issuer>,
    token: VerifiedToken,
}

impl Authenticated {
    /// The subject of the token.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.token.principal()
    }

    /// Checks that the token has the claims that its issuer's configuration requires.
    pub fn authorize(self) -> Result<VerifiedToken, Refusal> {
        claims::authorize(&self.issuer, self.token.claims())?;
        Ok(self.token)
    }
}

enum Keys {
    One(SigningKey),
    Set(KeySet),
    Remote(Box<Remote>),
}

impl Verifier {
    /// Loads the issuer's keys, and refuses keys that are too weak or do not fit its algorithms. A
    /// fetched set is empty until [`Verifier::run`].
    pub fn new(issuer: &Arc<Issuer>) -> Result<Self, TokenError> {
        let keys =
            keys(issuer).map_err(|source| TokenError { issuer: issuer.name.clone(), source })?;
        Ok(Self { issuer: Arc::clone(issuer), keys: Arc::new(keys), fetching: Arc::default() })
    }

    /// A verifier for the changed configuration of an issuer, with the set already fetched; `None`
    /// if the URL or the algorithms differ.
    pub(super) fn reissued(&self, issuer: &Arc<Issuer>) -> Option<Self> {
        let same =
            self.issuer.key.is_same_url(&issuer.key) && self.issuer.algorithms == issuer.algorithms;
        same.then(|| Self {
            issuer: Arc::clone(issuer),
            keys: Arc::clone(&self.keys),
            fetching: Arc::clone(&self.fetching),
        })
    }

    /// The issuer, as configured.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Verifies a token completely: [`Verifier::authenticate`], then [`Authenticated::authorize`].
    pub async fn verify(&self, token: &str, now: SystemTime) -> Result<VerifiedToken, Refusal> {
        self.authenticate(token, now).await?.authorize()
    }

    /// Authenticates a token: checks its form, then its signature, and only then its claims at
    /// `now`. Waits up to 10 s for an early fetch if the set lacks the token's key.
    pub async fn authenticate(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Authenticated, Refusal> {
        let token = Unverified::read(token, &self.issuer.algorithms, self.issuer.max_token)?;
        self.signature(&token).await?;
        let token = claims::identify(&self.issuer, token.claims()?, now)?;
        Ok(Authenticated { issuer: Arc::clone(&self.issuer), token })
    }

    /// The header fields that identify the user to the upstream.
    #[must_use]
    pub fn forwarded(&self, token: &VerifiedToken) -> Vec<(HeaderName, HeaderValue)> {
        forward::fields(&self.issuer.forward, token)
    }

    /// Returns the task that keeps a fetched set fresh until `shutdown`, or until the last verifier
    /// with this set is dropped. `None` if no set is fetched, or the task was already returned.
    #[must_use]
    pub fn run(
        &self,
        journal: Journal,
        shutdown: CancellationToken,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let fetched = matches!(*self.keys, Keys::Remote(_));
        if !fetched || self.fetching.begun.swap(true, Ordering::Relaxed) {
            return None;
        }
        let (keys, over) = (Arc::clone(&self.keys), self.fetching.over.clone());
        Some(async move {
            if let Keys::Remote(remote) = &*keys {
                over.run_until_cancelled(remote.run(&journal, shutdown)).await;
            }
        })
    }

    /// Checks the claims of an earlier verified token by the current rules of this issuer:
    /// `iss`, `aud` and the required claims.
    pub fn review(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        claims::review(&self.issuer, claims)
    }

    /// Waits until the first fetch has ended; returns at once if no set is fetched.
    pub async fn looked(&self) {
        if let Keys::Remote(remote) = &*self.keys {
            remote.looked().await;
        }
    }

    /// The status for the admin client.
    #[must_use]
    pub fn status(&self) -> Status {
        let (source, keys) = match (&*self.keys, &self.issuer.key) {
            (Keys::Remote(remote), _) => return remote.status(),
            (Keys::Set(set), source) => (source, set.len()),
            (Keys::One(_), source) => (source, 1),
        };
        let source = match source {
            KeySource::PublicKey { path, .. } | KeySource::JwksFile { path, .. } => {
                path.display().to_string()
            }
            KeySource::Secret(_) | KeySource::JwksUrl { .. } => "secret".to_owned(),
        };
        Status { issuer: self.issuer.name.clone(), source, keys, age: None, error: None }
    }

    #[cfg(test)]
    pub(super) fn remote(&self) -> &Remote {
        match &*self.keys {
            Keys::Remote(remote) => remote,
            _ => panic!("its keys are not fetched"),
        }
    }

    async fn signature(&self, token: &Unverified<'_>) -> Result<(), Refusal> {
        match &*self.keys {
            Keys::One(key) => self.judge(&[key], token),
            Keys::Set(set) => match set.find(token.kid.as_deref(), token.algorithm) {
                Ok(keys) => self.judge(&keys, token),
                Err(Missing::Unknown(why) | Missing::Refused(why)) => Err(invalid(why).by("jwks")),
            },
            Keys::Remote(remote) => self.remote_signature(remote, token).await,
        }
    }

    async fn remote_signature(
        &self,
        remote: &Remote,
        token: &Unverified<'_>,
    ) -> Result<(), Refusal> {
        let set = remote.current().map_err(|why| unverifiable(&why))?;
        let kid = token.kid.as_deref();
        match set.find(kid, token.algorithm) {
            Ok(keys) => return self.judge(&keys, token),
            Err(Missing::Refused(why)) => return Err(invalid(why).by("jwks")),
            Err(Missing::Unknown(_)) => {}
        }
        let set = remote.refreshed().await.unwrap_or(set);
        match (set.find(kid, token.algorithm), remote.error()) {
            (Ok(keys), _) => self.judge(&keys, token),
            // The key may be in a set that cannot be fetched: that is not the client's fault.
            (Err(Missing::Unknown(_)), Some(error)) => Err(unverifiable(&error)),
            (Err(Missing::Unknown(why) | Missing::Refused(why)), _) => Err(invalid(why).by("jwks")),
        }
    }

    /// Checks that one of the keys made the token's signature.
    fn judge(&self, keys: &[&SigningKey], token: &Unverified<'_>) -> Result<(), Refusal> {
        let verifies =
            |key: &&SigningKey| key.verifies(token.algorithm, token.message, token.signature);
        if keys.iter().any(verifies) {
            return Ok(());
        }
        let with = match self.issuer.key {
            KeySource::Secret(_) => "secret",
            KeySource::PublicKey { .. } => "public key",
            KeySource::JwksFile { .. } | KeySource::JwksUrl { .. } => "key of the JWK Set",
        };
        Err(invalid(format!(
            "the token's signature is not one of the {with} of [jwt.{}]: it was made with another, \
             or changed on its way",
            self.issuer.name
        ))
        .by(self.issuer.key.key()))
    }
}

/// Never shows the keys.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("status", &self.status()).finish_non_exhaustive()
    }
}

fn keys(issuer: &Issuer) -> Result<Keys, KeyError> {
    let algorithms = &issuer.algorithms;
    let family = algorithms.first().ok_or(KeyError::Algorithms)?.family();
    if algorithms.iter().any(|algorithm| algorithm.family() != family) {
        return Err(KeyError::Algorithms);
    }
    match &issuer.key {
        KeySource::Secret(secret) => SigningKey::secret(&secret.0, algorithms).map(Keys::One),
        KeySource::PublicKey { path, pem } => SigningKey::pem(path, pem, algorithms).map(Keys::One),
        KeySource::JwksFile { path, json } => {
            let set = KeySet::read(json.as_bytes(), algorithms);
            set.map(Keys::Set).map_err(|source| KeyError::Set { path: path.clone(), source })
        }
        KeySource::JwksUrl { url, roots } => {
            let fetcher = Fetcher::new(url, roots)?;
            Ok(Keys::Remote(Box::new(Remote::new(&issuer.name, algorithms, fetcher))))
        }
    }
}

fn unverifiable(why: &str) -> Refusal {
    Refusal::new(Reason::TokenUnverifiable, format!("the JWK Set cannot be had: {why}")).by("jwks")
}
