//! Answers the one request of a connection.

use std::sync::Arc;

use http::header::UPGRADE;
use http::{HeaderMap, Method, Request, Response, request};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Exchanges;
use crate::config::Server;
use crate::gateway::runtime::InForce;
use crate::gateway::session::{Caller, Next};
use crate::gateway::upstream::{Answer, Failure};
use crate::handshake::{self, Body, ClientAddress, Letters, Peer, RawHead, UpgradeRequest};
use crate::journal::Subject;
use crate::policy::{AddressAdmission, Admission, Arrival, Checks, Principal, Room, UserAdmission};
use crate::state::limits::{AddressPermit, UserPermit};
use crate::tls::ClientCertificate;
use crate::values::{Offence, RequestContext, RequestSummary};
use crate::values::{Reason, Refusal};

/// Everything that is needed to answer the request. Used once.
pub(super) struct Reception {
    pub(super) exchanges: Arc<Exchanges>,
    pub(super) in_force: Arc<InForce>,
    pub(super) peer: Peer,
    pub(super) server_name: Option<String>,
    /// The client certificate from the TLS handshake.
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) head: RawHead,
    pub(super) subject: Subject,
    /// `max_connections` is reached: there is no room for a session.
    pub(super) full: bool,
    /// The admitted address; `None`: behind a trusted proxy, until the forwarded fields are read.
    pub(super) address: Option<AddressAdmission>,
    pub(super) deadline: Instant,
    pub(super) established: oneshot::Sender<Established>,
}

/// A session that starts once the 101 to the client is written.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) admission: Admission,
    pub(super) subject: Subject,
    pub(super) next: Next,
    pub(super) address: Option<AddressPermit>,
    pub(super) user: Option<UserPermit>,
}

/// An admitted request, with the parts of its session.
struct Admitted {
    /// Sec-WebSocket-Key.
    key: String,
    admission: Admission,
    next: Next,
    address: Option<AddressPermit>,
    user: Option<UserPermit>,
}

impl Reception {
    /// Answers the request: with a 101 once an upstream gave one, or at once if the token comes in the
    /// first message; otherwise with a refusal.
    pub(super) async fn answer(mut self, request: Request<Incoming>) -> Response<Body> {
        if self.is_health_check(&request) {
            return handshake::health(self.exchanges.runtime.is_stopping());
        }
        match self.admit(request).await {
            Ok(admitted) => self.accept(admitted),
            Err(Failure::Refused(refusal)) => {
                self.exchanges.reporter.refused(&self.subject, &refusal);
                handshake::problem(&refusal, &self.subject.request_id)
            }
            Err(Failure::Answered(answer)) => {
                let Answer { status, headers, letters, body, cut } = answer;
                self.exchanges.reporter.answered(&self.subject, status.as_u16(), cut);
                let id = &self.subject.request_id;
                let mut response = handshake::relayed(status, &headers, id, body);
                letters.give(response.extensions_mut());
                response
            }
        }
    }

    /// Whether the request is a load balancer's health check. A handshake for the same path is for a route.
    fn is_health_check(&self, request: &Request<Incoming>) -> bool {
        let path = self.in_force.server.health_path.as_deref();
        path == Some(request.uri().path())
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && !request.headers().contains_key(UPGRADE)
    }

    fn accept(mut self, admitted: Admitted) -> Response<Body> {
        let Admitted { key, admission, next, address, user } = admitted;
        let none = HeaderMap::new();
        let (headers, letters, chosen, deflate) = match &next {
            Next::Relay(upstream) => {
                let chosen = upstream.subprotocol.clone();
                (&upstream.headers, upstream.letters.clone(), chosen, upstream.deflate)
            }
            Next::FirstMessage(_) => (&none, Letters::default(), None, None),
        };
        // Before there is an upstream that could choose a subprotocol, the gateway has to choose.
        let answered = match &next {
            Next::Relay(_) => admission.fallback(),
            Next::FirstMessage(_) => admission.first_listed(),
        };
        let subprotocol = chosen.or_else(|| answered?.parse().ok());
        self.subject.subprotocol =
            subprotocol.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned);
        let admission = match &next {
            Next::Relay(_) => admission,
            Next::FirstMessage(_) => admission.told(self.subject.subprotocol.as_deref()),
        };
        let mut response =
            handshake::switching_protocols(&key, headers, subprotocol.as_ref(), deflate);
        letters.give(response.extensions_mut());
        let established = Established { admission, subject: self.subject, next, address, user };
        // The receiver outlives the connection that polls this.
        let _ = self.established.send(established);
        response
    }

    /// Runs every check in its order, then connects to an upstream, unless the first message comes before
    /// it.
    async fn admit(&mut self, request: Request<Incoming>) -> Result<Admitted, Failure> {
        let (mut head, _body) = request.into_parts();
        let letters = Letters::take(&mut head.extensions);
        let summary = RequestSummary::of(&head);
        let context = self.peer.context(&summary);
        self.subject.request = Some(Box::new(summary));
        let in_force = Arc::clone(&self.in_force);
        if let Some(id) = handshake::request_id(&self.peer, &head.headers) {
            self.subject.request_id = id;
        }
        let Server { trusted_proxies, unknown_clients, .. } = &in_force.server;
        let client =
            ClientAddress::resolve(&self.peer, trusted_proxies, *unknown_clients, &head.headers)?;
        self.subject.peer = client.address;
        let mut checks = in_force.policy.checks(client.address.ip());
        let address = self.enter(&mut checks)?;
        let room = Room { full: self.full, stopping: self.exchanges.sessions.are_ending() };
        let exchange = checks.admit_exchange(&address, &self.exchanges.state, room);
        // A client that was banned while it waited with its request is refused and nothing else.
        if !matches!(&exchange, Err(refusal) if refusal.reason == Reason::BanActive) {
            for refusal in address.let_through() {
                self.exchanges.reporter.let_through(&self.subject, refusal);
            }
        }
        let exchange = exchange?;
        let mut request = self.parse(head, context)?.asked_by(&client);
        let server_name = self.server_name.as_deref();
        let by_proxy = self.peer.trusted;
        let certificate = self.certificate.as_ref();
        let arrival =
            Arrival { exchange, client: &client, server_name, by_proxy, certificate, context };
        let route = checks.route(&request, arrival)?;
        self.subject.route = Some(Arc::clone(&route.name));
        let admission = checks.admit(route, &mut request, arrival);
        let admission = timeout_at(self.deadline, admission)
            .await
            .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))
            .flatten()?;
        self.subject.unlisted = admission.unlisted().map(str::to_owned);
        let user = self.enter_user(&mut checks, &admission)?;
        checks.open(&admission, &mut request)?;
        let key = request.key().to_owned();
        let address = address.into_permit();
        let caller = Caller { request, peer: self.peer, client, letters, in_force };
        let next = if matches!(admission.principal(), Principal::Awaited(_)) {
            Next::FirstMessage(Box::new(caller))
        } else {
            let journal = self.exchanges.reporter.journal();
            let connecting = caller.connect(journal, &admission, &mut self.subject, self.deadline);
            Next::Relay(Box::new(connecting.await?))
        };
        Ok(Admitted { key, admission, next, address, user })
    }

    /// Parses the request as a handshake. A malformed request is an offence if no browser writes such a
    /// head.
    fn parse(
        &self,
        head: request::Parts,
        context: RequestContext,
    ) -> Result<UpgradeRequest, Refusal> {
        let parsed = self.head.judge().and_then(|target| UpgradeRequest::parse(target, head));
        let parsed = parsed.map_err(|refusal| match refusal.reason {
            Reason::HandshakeMalformed if self.head.is_forged() => {
                refusal.as_offence(Offence::head(context))
            }
            _ => refusal,
        });
        self.head.release();
        parsed
    }

    /// Admits the client's address, if it was not admitted before a trusted proxy named it.
    fn enter(&mut self, checks: &mut Checks<'_>) -> Result<AddressAdmission, Refusal> {
        match self.address.take() {
            Some(address) => Ok(address),
            None => checks.admit_address(&self.exchanges.state),
        }
    }

    /// Counts the session for its user, if the token of the head names one.
    fn enter_user(
        &mut self,
        checks: &mut Checks<'_>,
        admission: &Admission,
    ) -> Result<Option<UserPermit>, Refusal> {
        let Principal::Identified(identity) = admission.principal() else {
            return Ok(None);
        };
        self.subject.user = Some(identity.user().to_owned());
        let UserAdmission { permit, let_through } =
            checks.admit_user(identity, &self.exchanges.state)?;
        for refusal in &let_through {
            self.exchanges.reporter.let_through(&self.subject, refusal);
        }
        Ok(Some(permit))
    }
}
