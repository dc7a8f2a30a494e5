//! Descriptions of a session: for its registration, for log records, and for the admin client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::registry::SessionRecord;
use crate::journal::Subject;
use crate::policy::token::VerifiedToken;
use crate::policy::{Admission, Authentication, Claims, HandshakeSnapshot, PlainAdmission};
use crate::state::store::MAX_VALUE;
use crate::tls::CertificateNames;
use crate::values::Flow;
use crate::values::Principal;
use crate::values::RequestContext;
use crate::values::RequestKind;
use crate::values::UnixTime;

/// A session, or a plain request that lasts, that enters the registry.
#[derive(Debug, Clone)]
pub struct Description {
    /// The request id, which names the session in the log too.
    pub request_id: String,
    /// Whether it is a session or a plain request.
    pub kind: RequestKind,
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
    pub tokens: Option<SessionTokens>,
    /// The facts of its handshake that a review needs.
    pub snapshot: HandshakeSnapshot,
    /// The token comes in the first message.
    pub awaited: bool,
    /// Whether a program or a page caused the handshake, and whether a proxy rewrote it.
    pub context: RequestContext,
}

/// The present token of a session, and the ids of its earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTokens {
    /// The subject of the present token.
    pub principal: Principal,
    /// The claims of the present token.
    pub claims: Claims,
    /// The ids of the earlier tokens: revoking one of them ends the session, too. At most
    /// `MOST_EARLIER`, the first one among them.
    earlier: Option<Box<Earlier>>,
}

/// How many ids of earlier tokens a session keeps.
pub(super) const MOST_EARLIER: usize = 32;

/// Ids of tokens, in the order in which a session had them. Boxed by its holder: few sessions have one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Earlier(Vec<Box<str>>);

impl SessionTokens {
    /// A session with one token.
    pub(super) fn new(principal: Principal, claims: Claims) -> Self {
        Self { principal, claims, earlier: None }
    }

    /// The ids of the present token and of earlier ones.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let earlier = self.earlier.iter().flat_map(|earlier| &earlier.0);
        self.principal.token_id.iter().chain(earlier).map(AsRef::as_ref)
    }

    /// Takes over the ids of the tokens that the session had before. An id that is too long to be
    /// revoked is not kept. Beyond the bound the oldest id is removed, except the first: that token opened
    /// the session.
    pub(super) fn follow(&mut self, before: Self) {
        self.earlier = before.earlier;
        if let Some(id) = before.principal.token_id
            && id.len() <= MAX_VALUE
            && !self.ids().any(|known| *known == *id)
        {
            let Earlier(ids) = &mut **self.earlier.get_or_insert_default();
            ids.push(id);
            if ids.len() > MOST_EARLIER {
                ids.remove(1);
            }
        }
    }
}

impl From<&VerifiedToken> for SessionTokens {
    fn from(token: &VerifiedToken) -> Self {
        Self::new(token.principal().clone(), Claims::new(token.claims()))
    }
}

impl Description {
    /// Describes the session that `subject` names; it begins now.
    #[must_use]
    pub fn new(subject: &Subject, admission: &Admission) -> Self {
        let (tokens, awaited) = match admission.authentication() {
            Authentication::Identified(token) => (Some(SessionTokens::from(token)), false),
            Authentication::Awaited(_) => (None, true),
            Authentication::Anonymous => (None, false),
        };
        Self {
            request_id: subject.request_id.clone(),
            kind: RequestKind::WebSocket,
            route: subject.route.clone().unwrap_or_default(),
            subprotocol: subject.subprotocol.clone(),
            upstream: subject.upstream.clone(),
            peer: subject.peer,
            since: SystemTime::now(),
            tokens,
            snapshot: admission.snapshot().clone(),
            awaited,
            context: admission.context(),
        }
    }
}

impl Description {
    /// Describes the plain request that `admission` admitted; it begins now.
    pub(crate) fn of_plain(
        request_id: String,
        peer: SocketAddr,
        admission: &PlainAdmission,
        snapshot: HandshakeSnapshot,
        context: RequestContext,
    ) -> Self {
        Self {
            request_id,
            kind: RequestKind::Http,
            route: Arc::clone(&admission.route().name),
            subprotocol: None,
            upstream: None,
            peer,
            since: SystemTime::now(),
            tokens: admission.token().map(SessionTokens::from),
            snapshot,
            awaited: false,
            context,
        }
    }
}

#[cfg(test)]
impl Description {
    /// A session of the route `chat` without a token.
    pub(crate) fn example(id: &str) -> Self {
        Self {
            request_id: id.to_owned(),
            kind: RequestKind::WebSocket,
            route: "chat".into(),
            subprotocol: None,
            upstream: None,
            peer: SocketAddr::from(([192, 0, 2, 7], 5000)),
            since: SystemTime::UNIX_EPOCH,
            tokens: None,
            snapshot: HandshakeSnapshot::of("chat.example", "/ws"),
            awaited: false,
            context: RequestContext { sender: crate::values::Sender::Program, relayed: false },
        }
    }
}

/// A session, or a plain request that lasts, as the admin client shows it. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The request id.
    pub id: String,
    /// `websocket`, or `http` for a plain request.
    pub kind: String,
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
            user: self.user(),
            request: None,
            upstream: self.upstream.get().cloned(),
        }
    }

    fn certificate_names(&self) -> Option<CertificateNames> {
        let own = self.snapshot.certificate()?.chain().first()?;
        Some(CertificateNames::read(own))
    }

    pub(super) fn summary(&self) -> Summary {
        let principal = self.tokens().as_deref().map(|tokens| tokens.principal.clone());
        let (client, upstream) = self.mailbox.counters();
        let mut summary = Summary {
            id: self.id.to_string(),
            kind: self.kind.to_string(),
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
        if let Some(Principal { user, token_id, expires }) = principal {
            summary.expires = Some(UnixTime::from(expires));
            summary.user = Some(user.user().to_owned());
            summary.token = token_id.map(String::from);
            summary.issuer = Some(user.issuer().to_owned());
        }
        summary
    }
}
