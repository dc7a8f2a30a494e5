//! Descriptions of a session: for its registration, for log records, and for the admin client.

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
    /// The request id, which names the session in the log too.
    pub request_id: String,
    /// The NAME of `[routes.NAME]`.
    pub route: Arc<str>,
    /// The subprotocol that upstream and client agreed on.
    pub subprotocol: Option<String>,
    /// The upstream that the session is connected to; `None`: not known yet.
    pub upstream: Option<Arc<str>>,
    /// The client's address, canonical.
    pub peer: SocketAddr,
    /// When it began.
    pub since: SystemTime,
    /// `None`: it has no token, or none yet.
    pub identity: Option<Identity>,
    /// The facts of its handshake that a review needs.
    pub snapshot: HandshakeSnapshot,
    /// The token comes in the first message.
    pub awaited: bool,
    /// Whether a program or a page caused the handshake, and whether a proxy rewrote it.
    pub context: RequestContext,
}

/// The identity of a session, from its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The NAME of `[jwt.NAME]`, and the value of its `user_claim`.
    pub user: UserKey,
    /// The claim `jti` (RFC 7519 section 4.1.7).
    pub token_id: Option<Box<str>>,
    /// The ids of the session's earlier tokens: revoking one of them ends the session, too. At most
    /// `MOST_EARLIER`, the first one among them.
    pub earlier: Option<Box<Earlier>>,
    /// When the token expires.
    pub expires: Option<SystemTime>,
    /// The claims of the token.
    pub claims: Claims,
}

/// How many ids of earlier tokens a session keeps.
pub(super) const MOST_EARLIER: usize = 32;

/// Ids of tokens, in the order in which a session had them. Boxed by its holder: few sessions have one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier(Vec<Box<str>>);

impl Identity {
    /// The ids of the present token and of earlier ones.
    pub(super) fn token_ids(&self) -> impl Iterator<Item = &str> {
        let earlier = self.earlier.iter().flat_map(|earlier| &earlier.0);
        self.token_id.iter().chain(earlier).map(AsRef::as_ref)
    }

    /// Takes over the token ids of an earlier identity of the same session. An id that is too long to be
    /// revoked is not kept. Beyond the bound the oldest id is removed, except the first: that token opened
    /// the session.
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
    /// Describes the session that `subject` names; it begins now.
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

#[cfg(test)]
impl Description {
    /// A session of the route `chat` without a token.
    pub(crate) fn example(id: &str) -> Self {
        Self {
            request_id: id.to_owned(),
            route: "chat".into(),
            subprotocol: None,
            upstream: None,
            peer: SocketAddr::from(([192, 0, 2, 7], 5000)),
            since: SystemTime::UNIX_EPOCH,
            identity: None,
            snapshot: HandshakeSnapshot::of("chat.example", "/ws"),
            awaited: false,
            context: RequestContext { sender: crate::values::Sender::Program, relayed: false },
        }
    }
}

/// A session as the admin client shows it. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The request id.
    pub id: String,
    /// The NAME of `[routes.NAME]`.
    pub route: String,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// The upstream of the session, as the configuration names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The user that the token names.
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
    /// When the token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixTime>,
    /// The names in its client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateNames>,
    /// Counters of the client's frames.
    pub client: Flow,
    /// Counters of the upstream's frames.
    pub upstream: Flow,
}

impl SessionRecord {
    /// The subject of log records about the session.
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
        let (client, upstream) = self.mailbox.counters();
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
