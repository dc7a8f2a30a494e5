//! What is said about a session: when it enters, and when somebody asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::registry::SessionRecord;
use crate::journal::Subject;
use crate::policy::{Admission, Claims, HandshakeSnapshot, Principal};
use crate::state::store::MAX_VALUE;
use crate::tls::CertificateNames;
use crate::values::Flow;
use crate::values::RequestContext;
use crate::values::UnixTime;
use crate::values::UserKey;

/// A session that enters the registry.
#[derive(Debug, Clone)]
pub struct Description {
    /// Names the session, here as in the log.
    pub request_id: String,
    /// The NAME of `[routes.NAME]`.
    pub route: Arc<str>,
    /// What upstream and client agreed on.
    pub subprotocol: Option<String>,
    /// The upstream that it is with; `None`: not known yet.
    pub upstream: Option<Arc<str>>,
    /// The client's address, canonical.
    pub peer: SocketAddr,
    /// When it began.
    pub since: SystemTime,
    /// `None`: it has no token, or none yet.
    pub identity: Option<Identity>,
    /// The facts of its handshake.
    pub snapshot: HandshakeSnapshot,
    /// Its token is awaited in the first message.
    pub awaited: bool,
    /// Who may have chosen what its handshake said.
    pub context: RequestContext,
}

/// Whose session it is, as its token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The NAME of `[jwt.NAME]`, and its `user_claim`.
    pub user: UserKey,
    /// The claim `jti` (RFC 7519 section 4.1.7).
    pub token_id: Option<Box<str>>,
    /// The ids of tokens that the session had before this one: revoking one of them ends it, too. At
    /// most `MOST_EARLIER`, the first one among them.
    pub earlier: Option<Box<Earlier>>,
    /// When the token is over.
    pub expires: Option<SystemTime>,
    /// What the token said.
    pub claims: Claims,
}

/// How many ids of earlier tokens a session keeps.
pub(super) const MOST_EARLIER: usize = 32;

/// Ids of tokens, in the order in which a session had them. Boxed where it is held: few sessions have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier(Vec<Box<str>>);

impl Identity {
    /// The ids of its token and of those before it.
    pub(super) fn token_ids(&self) -> impl Iterator<Item = &str> {
        let earlier = self.earlier.iter().flat_map(|earlier| &earlier.0);
        self.token_id.iter().chain(earlier).map(AsRef::as_ref)
    }

    /// Takes the ids of an earlier identity of the same session over. An id that is too long to be
    /// revoked is not kept; beyond the bound the oldest but the first goes: with that one the session
    /// was opened.
    pub(super) fn follow(&mut self, before: Self) {
        let Self { token_id, earlier, .. } = before;
        self.earlier = earlier;
        if let Some(id) = token_id
            && id.len() <= MAX_VALUE
            && !self.token_ids().any(|known| *known == *id)
        {
            let Earlier(ids) = &mut **self.earlier.get_or_insert_default();
            ids.push(id);
            if ids.len() > MOST_EARLIER {
                ids.remove(1);
            }
        }
    }
}

impl From<&crate::policy::token::Identity> for Identity {
    fn from(identity: &crate::policy::token::Identity) -> Self {
        Self {
            user: identity.key().clone(),
            token_id: identity.token_id().map(Box::from),
            earlier: None,
            expires: Some(identity.expires()),
            claims: Claims::new(identity.claims()),
        }
    }
}

impl Description {
    /// The session that `subject` is about; it begins now.
    #[must_use]
    pub fn new(subject: &Subject, admission: &Admission) -> Self {
        let (identity, awaited) = match admission.principal() {
            Principal::Identified(identity) => (Some(Identity::from(identity)), false),
            Principal::Awaited(_) => (None, true),
            Principal::Anonymous => (None, false),
        };
        Self {
            request_id: subject.request_id.clone(),
            route: subject.route.clone().unwrap_or_default(),
            subprotocol: subject.subprotocol.clone(),
            upstream: subject.upstream.clone(),
            peer: subject.peer,
            since: SystemTime::now(),
            identity,
            snapshot: admission.snapshot().clone(),
            awaited,
            context: admission.context(),
        }
    }
}

/// A session as the admin client shows it. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The request id.
    pub id: String,
    /// The NAME of `[routes.NAME]`.
    pub route: String,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// The upstream that it is with, as the configuration names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Who the token says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The claim `jti` of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The NAME of `[jwt.NAME]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When it began.
    pub since: UnixTime,
    /// When the token is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixTime>,
    /// What its client certificate says of its holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateNames>,
    /// What the client sent.
    pub client: Flow,
    /// What the upstream sent.
    pub upstream: Flow,
}

impl SessionRecord {
    /// Whom records are about.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            request_id: self.id.to_string(),
            peer: self.peer,
            route: Some(Arc::clone(&self.route)),
            unlisted: None,
            subprotocol: self.subprotocol.as_deref().map(str::to_owned),
            user: self.user().map(|key| key.user().to_owned()),
            request: None,
            upstream: self.upstream.get().cloned(),
        }
    }

    fn certificate_names(&self) -> Option<CertificateNames> {
        let own = self.snapshot.certificate()?.chain().first()?;
        Some(CertificateNames::read(own))
    }

    pub(super) fn summary(&self) -> Summary {
        let identity = self.identity().clone();
        let (client, upstream) = self.meter.read();
        let mut summary = Summary {
            id: self.id.to_string(),
            route: self.route.to_string(),
            peer: self.peer,
            server: self.upstream.get().map(ToString::to_string),
            user: None,
            token: None,
            issuer: None,
            since: self.since,
            expires: None,
            certificate: self.certificate_names(),
            client,
            upstream,
        };
        if let Some(identity) = identity {
            summary.expires = identity.expires.map(UnixTime::from);
            summary.user = Some(identity.user.user().to_owned());
            summary.token = identity.token_id.map(String::from);
            summary.issuer = Some(identity.user.issuer().to_owned());
        }
        summary
    }
}
