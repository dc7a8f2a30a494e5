//! One request of a connection: runs the checks, connects to an upstream, and builds the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, request};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use super::Exchanges;
use super::connection::{Connection, MAX_REQUESTS};
use super::lasting::{LastingBody, is_event_stream};
use super::polling::{Poll, Polled, Poller};
use super::wait::ClientWait;
use crate::config::{Auth, OnExpiry, Route, Server};
use crate::gateway::listen::{Purpose, Slot};
use crate::gateway::session::{Caller, Description, Next, OpenAnswer, Session, SessionTokens};
use crate::gateway::upstream::{
    self, Affinity, Answer, AnswerBody, Failure, PlainAnswer, PlainCall, RequestContent,
};
use crate::handshake::fields::list;
use crate::handshake::{
    self, Body, ClientAddress, HeadShare, Letters, Persistence, PlainRequest, Provenance, RawHead,
    RequestHead, UpgradeRequest, plain_request, request_kind,
};
use crate::journal::Subject;
use crate::policy::{
    AddressAdmission, Admission, Arrival, Authentication, Checks, HandshakeSnapshot,
    PlainAdmission, Room, UserAdmission,
};
use crate::state::limits::UserPermit;
use crate::tls::ClientCertificate;
use crate::values::{Offence, RequestContext, RequestKind, RequestSummary};
use crate::values::{Principal, Reason, Refusal};

/// A request head, and the way to its answer.
pub(super) struct Exchange<'c> {
    pub(super) connection: &'c Connection,
    pub(super) head: &'c RawHead,
    /// The part of the budget of heads that the head holds, until it is released.
    pub(super) share: Option<HeadShare>,
    pub(super) subject: Subject,
    /// The admitted address. A session takes it, after a refusal it stays with the connection. `None`: behind a
    /// trusted proxy, until the forwarded fields are read.
    pub(super) address: &'c mut Option<AddressAdmission>,
    /// Counts the requests of the connection, from 1.
    pub(super) number: usize,
    pub(super) wait: &'c ClientWait,
}

/// The answer to a request.
pub(super) enum Reply {
    /// The 101, and the session that starts once it is written.
    Upgrade { response: Response<Body>, session: Box<Session>, next: Next },
    /// An answer of the gateway's own, or an upstream's refusal of a handshake.
    Final(Response<Body>, Persistence),
    /// An upstream's answer to a plain request.
    Forwarded(Box<Response<LastingBody<AnswerBody>>>, Persistence),
}

/// An admitted request.
enum Admitted {
    /// A handshake.
    Session(Box<AdmittedSession>),
    /// A plain request, which an upstream has answered.
    Plain(Box<PlainAnswer>),
    /// A long-polling request that the gateway answers with this text, which a page of the origin may read.
    Polled(String, Option<HeaderValue>),
    /// Any request, which belongs to another URL.
    Redirect(String),
}

/// An admitted handshake, with the parts of its session.
struct AdmittedSession {
    /// Sec-WebSocket-Key.
    key: String,
    admission: Admission,
    next: Next,
    user: Option<UserPermit>,
}

impl Exchange<'_> {
    /// Answers the request: a handshake with a 101 once an upstream gave one, or at once if the token comes in the
    /// first message; a plain request with the answer of an upstream; otherwise with a refusal.
    pub(super) async fn answer(mut self, request: Request<Incoming>) -> Reply {
        let began = Instant::now();
        let persistence = self.persistence(&request);
        let has_body = !request.body().is_end_stream();
        let Connection { exchanges, .. } = self.connection;
        if self.is_health_check(&request) {
            let is_stopping = exchanges.runtime.is_stopping();
            // Load balancers write odd heads. They are answered, and end their connection.
            let checked = self.head.judge();
            let checked =
                checked.and_then(|target| PlainRequest::parse(target, request.into_parts().0));
            let is_sound = checked.is_ok() && !has_body;
            let persistence = if is_sound { persistence } else { Persistence::Close };
            return Reply::Final(handshake::health(is_stopping, persistence), persistence);
        }
        let mut address = self.address.take();
        let admitted = match self.connection.purpose {
            Purpose::Serve => self.admit(request, &mut address).await,
            Purpose::Redirect => {
                self.redirect(request).map(Admitted::Redirect).map_err(Failure::from)
            }
        };
        let failure = match admitted {
            Ok(Admitted::Redirect(location)) => {
                self.keep(address);
                return Reply::Final(handshake::redirect(&location), Persistence::Close);
            }
            Ok(Admitted::Polled(text, origin)) => {
                self.keep(address);
                let response = handshake::polled(text, origin, persistence);
                return Reply::Final(response, persistence);
            }
            Ok(Admitted::Session(admitted)) => return self.upgrade(*admitted, address),
            Ok(Admitted::Plain(answer)) => {
                return self.forwarded(*answer, address, persistence, began);
            }
            Err(failure) => failure,
        };
        self.keep(address);
        let id = &self.subject.request_id;
        match failure {
            Failure::Refused(refusal) => {
                exchanges.reporter.refused(&self.subject, &refusal);
                let persistence = match persistence {
                    Persistence::Keep if keeps_connection(&refusal) && !has_body => persistence,
                    _ => Persistence::Close,
                };
                Reply::Final(handshake::problem(&refusal, id, persistence), persistence)
            }
            Failure::Answered(answer) => {
                let Answer { status, headers, letters, body, cut } = answer;
                exchanges.reporter.answered(&self.subject, status.as_u16(), cut);
                let mut response = handshake::relayed(status, &headers, id, body);
                letters.give(response.extensions_mut());
                Reply::Final(response, Persistence::Close)
            }
        }
    }

    /// Leaves the admission of the address to the next request. That of a client behind a trusted proxy ends with
    /// its request: the next one may be that of another client.
    fn keep(&mut self, address: Option<AddressAdmission>) {
        if !self.connection.client.peer.trusted {
            *self.address = address;
        }
    }

    /// Whether the connection may carry another request after this one: the request is no opening handshake, its
    /// end is known before it is read, the client did not ask for the end of the connection (RFC 9112 section 9.3),
    /// and the gateway is not about to end it.
    fn persistence(&self, request: &Request<Incoming>) -> Persistence {
        let fields = request.headers();
        let asks_close = || {
            let options = list(fields, &CONNECTION);
            options.is_ok_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case("close")))
        };
        let keeps = request.version() == Version::HTTP_11
            && !fields.contains_key(UPGRADE)
            && !fields.contains_key(TRANSFER_ENCODING)
            && self.head.is_complete()
            && self.may_continue()
            && !asks_close();
        if keeps { Persistence::Keep } else { Persistence::Close }
    }

    /// Whether the gateway would serve another request on the connection. After a reload it would not: TLS was
    /// negotiated under the configuration before it.
    fn may_continue(&self) -> bool {
        let Connection { exchanges, generation, in_force, slot, .. } = self.connection;
        matches!(slot, Slot::Open(_))
            && self.number < MAX_REQUESTS
            && !exchanges.is_crowded(in_force.server.max_connections)
            && !exchanges.runtime.is_stopping()
            && !exchanges.runtime.is_retiring()
            && exchanges.current.get().generation == *generation
    }

    /// Whether the request is a load balancer's health check. A handshake for the same path is for a route.
    fn is_health_check(&self, request: &Request<Incoming>) -> bool {
        let path = self.connection.in_force.server.health_path.as_deref();
        path == Some(request.uri().path())
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && !request.headers().contains_key(UPGRADE)
    }

    fn upgrade(mut self, admitted: AdmittedSession, address: Option<AddressAdmission>) -> Reply {
        let AdmittedSession { key, admission, next, user } = admitted;
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
        let address = address.and_then(AddressAdmission::into_permit);
        let session = Session {
            admission,
            subject: self.subject,
            address,
            user,
            generation: self.connection.in_force.generation,
        };
        Reply::Upgrade { response, session: Box::new(session), next }
    }

    /// The answer of an upstream to a plain request.
    fn forwarded(
        mut self,
        answer: PlainAnswer,
        address: Option<AddressAdmission>,
        persistence: Persistence,
        began: Instant,
    ) -> Reply {
        let PlainAnswer { head, letters, mut body } = answer;
        let status = head.status;
        let is_event_stream = is_event_stream(&head);
        let stopped = self.wait.answer().as_mut().map(|answer| {
            answer.answered(self.subject.upstream.clone(), is_event_stream);
            Arc::clone(answer.stopped())
        });
        let id = &self.subject.request_id;
        let mut head = handshake::forwarded(&head, id, persistence);
        letters.give(&mut head.extensions);
        if self.connection.client.peer.trusted {
            body.hold(address.and_then(AddressAdmission::into_permit));
        } else {
            self.keep(address);
        }
        let Exchanges { runtime, reporter, .. } = &*self.connection.exchanges;
        let body = body.recorded(reporter.journal().clone(), self.subject, status, began, stopped);
        let body = LastingBody::new(body, &head, runtime, began);
        Reply::Forwarded(Box::new(Response::from_parts(head, body)), persistence)
    }

    /// Runs every check in its order, then connects to an upstream, unless the first message comes before
    /// it.
    async fn admit(
        &mut self,
        request: Request<Incoming>,
        address: &mut Option<AddressAdmission>,
    ) -> Result<Admitted, Failure> {
        let (mut head, body) = request.into_parts();
        let letters = Letters::take(&mut head.extensions);
        let summary = RequestSummary::of(&head);
        let Connection { exchanges, in_force, slot, client: secured, .. } = self.connection;
        let peer = &secured.peer;
        let context = peer.context(&summary);
        self.subject.request = Some(Box::new(summary));
        if let Some(id) = handshake::request_id(peer, &head.headers) {
            self.subject.request_id = id;
        }
        let Server { trusted_proxies, unknown_clients, .. } = &in_force.server;
        let client =
            ClientAddress::resolve(peer, trusted_proxies, *unknown_clients, &head.headers)?;
        self.subject.peer = client.address;
        let is_plain =
            in_force.policy.serves_plain_http() && request_kind(&head.headers) == RequestKind::Http;
        let mut checks = in_force.policy.checks(client.address.ip());
        let address = self.enter(&mut checks, address, is_plain)?;
        let full = matches!(slot, Slot::Told(_));
        let room = Room { full, stopping: exchanges.sessions.are_ending() };
        let exchange = checks.admit_exchange(address, &exchanges.state, room);
        // A client that was banned while it waited with its request is refused and nothing else.
        if !matches!(&exchange, Err(refusal) if refusal.reason == Reason::BanActive) {
            for refusal in address.let_through() {
                exchanges.reporter.let_through(&self.subject, refusal);
            }
        }
        let server_name = secured.server_name.as_deref();
        let by_proxy = peer.trusted;
        let certificate = secured.certificate.as_ref();
        let exchange = exchange?;
        let arrival =
            Arrival { exchange, client: &client, server_name, by_proxy, certificate, context };
        if is_plain {
            for refusal in checks.charge_request(&exchanges.state)? {
                exchanges.reporter.let_through(&self.subject, &refusal);
            }
            let request = self.parse(head, context, PlainRequest::parse)?.asked_by(&client);
            return Ok(self.forward(&mut checks, request, body, arrival, &letters).await?);
        }
        let mut request = self.parse(head, context, UpgradeRequest::parse)?.asked_by(&client);
        let route = checks.route(request.head(), arrival)?;
        self.subject.route = Some(Arc::clone(&route.name));
        let affinity = Affinity::of(&route, request.head());
        let admission = checks.admit(route, request.head_mut(), arrival);
        let admission = timeout_at(self.wait.deadline, admission)
            .await
            .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))
            .flatten()?;
        self.subject.unlisted = admission.unlisted().map(str::to_owned);
        let user = self.enter_user(&mut checks, &admission)?;
        checks.open(&admission, &mut request)?;
        map_path(admission.route(), request.head_mut())?;
        let key = request.key().to_owned();
        let in_force = Arc::clone(in_force);
        let caller = Caller { request, peer: *peer, client, letters, affinity, in_force };
        let next = if matches!(admission.authentication(), Authentication::Awaited(_)) {
            // Its 101 would come before an upstream is chosen.
            if let Some(refusal) = caller.in_force.dialer.drained(admission.route()) {
                return Err(refusal.into());
            }
            Next::FirstMessage(Box::new(caller))
        } else {
            let journal = exchanges.reporter.journal();
            let deadline = self.wait.deadline;
            let connecting = caller.connect(journal, &admission, &mut self.subject, deadline);
            Next::Relay(Box::new(connecting.await?))
        };
        Ok(Admitted::Session(Box::new(AdmittedSession { key, admission, next, user })))
    }

    /// The URL of the request with https, at the port of the first address that serves it.
    fn redirect(&mut self, request: Request<Incoming>) -> Result<String, Refusal> {
        let (head, _) = request.into_parts();
        let summary = RequestSummary::of(&head);
        let context = self.connection.client.peer.context(&summary);
        self.subject.request = Some(Box::new(summary));
        let request = self.parse(head, context, PlainRequest::parse)?;
        let head = request.head();
        let port = self.connection.in_force.server.listen.first().map(SocketAddr::port);
        let port = port.filter(|port| *port != 443).map(|port| format!(":{port}"));
        let (host, port) = (&head.authority().host, port.unwrap_or_default());
        Ok(format!("https://{host}{port}{}", head.target()))
    }

    /// Admits a plain request by the rules of its route, and forwards it to an upstream.
    async fn forward(
        &mut self,
        checks: &mut Checks<'_>,
        mut request: PlainRequest,
        body: Incoming,
        arrival: Arrival<'_>,
        letters: &Letters,
    ) -> Result<Admitted, Refusal> {
        let Connection { exchanges, in_force, client: secured, .. } = self.connection;
        let route = checks.route(request.head(), arrival)?;
        let mut poll = Poll::read(&route, request.method(), request.head());
        if let Some(poll) = &mut poll {
            let accepted = in_force.policy.accepted_origin(&route, request.head(), arrival.client);
            poll.origin = accepted;
        }
        self.subject.route = Some(Arc::clone(&route.name));
        let affinity = Affinity::of(&route, request.head());
        let admission = checks.admit_plain(route, request.head_mut(), arrival, &exchanges.state);
        let admission = timeout_at(self.wait.deadline, admission)
            .await
            .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))
            .flatten()?;
        map_path(admission.route(), request.head_mut())?;
        for refusal in admission.let_through() {
            exchanges.reporter.let_through(&self.subject, refusal);
        }
        let token = admission.token();
        self.subject.user = token.map(|token| token.principal().user.clone());
        let claims = token.map_or(Vec::new(), |token| in_force.policy.forwarded(token));
        let provenance = Provenance {
            peer: &secured.peer,
            client: arrival.client,
            request_id: &self.subject.request_id,
            claims: &claims,
            owned: in_force.policy.owned_fields(),
            certificates: arrival.certificate.map_or(&[], ClientCertificate::chain),
            letters,
            fields: &in_force.server.fields,
        };
        let mut head = plain_request(&request, provenance)
            .map_err(|error| Refusal::new(Reason::HandshakeMalformed, error.to_string()))?;
        let route = Arc::clone(admission.route());
        if let Some(host) = route.upstream_host.as_deref().and_then(|host| host.parse().ok()) {
            head.headers.insert(HOST, host);
        }
        let (address, user) = (arrival.client.address.ip(), self.subject.user.as_ref());
        let deadline = self.wait.deadline;
        let turns = in_force.dialer.turns(&route, &affinity, address, user, deadline).await;
        let tokens = token.filter(|_| poll.is_some()).map(SessionTokens::from);
        self.wait.lift(route.body_timeout, self.open_answer(request, admission, arrival));
        let (mut body, mut unfinished) = (RequestContent::Streamed(body), None);
        if let Some(poll) = poll
            && let RequestContent::Streamed(streamed) = body
        {
            let poller = Poller {
                route: &route,
                tokens,
                subject: &self.subject,
                address: arrival.exchange.counted_address(),
                context: arrival.context,
            };
            match poll.judge(exchanges, &poller, &mut head, streamed).await? {
                Polled::Answer(text) => return Ok(Admitted::Polled(text, poll.origin)),
                Polled::Forward(content, packet) => (body, unfinished) = (content, packet),
            }
        }
        let whole = in_force.server.handshake_timeout;
        let deadline = body.deadline(self.wait.deadline, whole);
        let call = PlainCall {
            turns,
            journal: exchanges.reporter.journal(),
            route: &route,
            head,
            body,
            deadline,
            whole,
        };
        let answer = upstream::forward(call, &mut self.subject.upstream).await?;
        if let Some(packet) = unfinished.filter(|_| answer.head.status == StatusCode::OK) {
            exchanges.sessions.keep_unfinished(packet);
        }
        Ok(Admitted::Plain(Box::new(answer)))
    }

    /// The answer to an admitted request, which the registry can end.
    fn open_answer(
        &self,
        request: PlainRequest,
        admission: PlainAdmission,
        arrival: Arrival<'_>,
    ) -> OpenAnswer {
        let Connection { exchanges, in_force, .. } = self.connection;
        let expires = expiry(&admission);
        let (id, peer) = (self.subject.request_id.clone(), self.subject.peer);
        let (scheme, context) = (arrival.client.scheme, arrival.context);
        let certificate = arrival.certificate.cloned();
        OpenAnswer::new(&exchanges.sessions, in_force.generation, expires, move || {
            let snapshot = HandshakeSnapshot::of_plain(request.head(), scheme, certificate);
            Description::of_plain(id, peer, &admission, snapshot, context)
        })
    }

    /// Checks the bytes of the head, and parses it. A malformed request is an offence if no browser writes such a
    /// head.
    fn parse<T>(
        &mut self,
        head: request::Parts,
        context: RequestContext,
        parse: fn(String, request::Parts) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let parsed = self.head.judge().and_then(|target| parse(target, head));
        let parsed = parsed.map_err(|refusal| match refusal.reason {
            Reason::HandshakeMalformed if self.head.is_forged() => {
                refusal.as_offence(Offence::head(context))
            }
            _ => refusal,
        });
        self.head.release();
        self.share = None;
        parsed
    }

    /// Admits the client's address, if it was not admitted at accept. A further handshake on a connection, and a
    /// further request where no route serves plain HTTP, is admitted like a new connection, so that the rate of
    /// handshakes reaches it.
    fn enter<'a>(
        &self,
        checks: &mut Checks<'_>,
        address: &'a mut Option<AddressAdmission>,
        is_plain: bool,
    ) -> Result<&'a AddressAdmission, Refusal> {
        let state = &self.connection.exchanges.state;
        // Released first: it counts against the limit of the address.
        let admitted = match address.take().filter(|_| self.number == 1 || is_plain) {
            Some(admitted) => admitted,
            None if is_plain => checks.admit_plain_address(state)?,
            None => checks.admit_address(state)?,
        };
        Ok(address.insert(admitted))
    }

    /// Counts the session for its user, if the token of the head names one.
    fn enter_user(
        &mut self,
        checks: &mut Checks<'_>,
        admission: &Admission,
    ) -> Result<Option<UserPermit>, Refusal> {
        let Authentication::Identified(token) = admission.authentication() else {
            return Ok(None);
        };
        let user = &token.principal().user;
        self.subject.user = Some(user.clone());
        let UserAdmission { permit, let_through } =
            checks.admit_user(user, &self.connection.exchanges.state)?;
        for refusal in &let_through {
            self.connection.exchanges.reporter.let_through(&self.subject, refusal);
        }
        Ok(Some(permit))
    }
}

/// Whether the connection may stay open after the refusal of a plain request: it says nothing against the next one.
fn keeps_connection(refusal: &Refusal) -> bool {
    let reason = matches!(
        refusal.reason,
        Reason::UpgradeRequired
            | Reason::Method
            | Reason::RouteNone
            | Reason::TokenMissing
            | Reason::TokenInvalid
            | Reason::TokenExpired
            | Reason::TokenUnverifiable
            | Reason::ClaimsDenied
            | Reason::LimitRequests
            | Reason::UpstreamUnavailable
            | Reason::RouteDrained
            | Reason::UpstreamBusy
            | Reason::UpstreamTimeout
            | Reason::UpstreamHandshake
    );
    reason && refusal.offence.is_none()
}

/// Replaces the path by that of the upstream. An ambiguous path may then begin with two slashes, which a URL parser
/// takes for the mark of a host: the rest could be a path of another route.
fn map_path(route: &Route, request: &mut RequestHead) -> Result<(), Refusal> {
    let Some(to) = &route.upstream_path else {
        return Ok(());
    };
    let target = route.path.mapped(to, request.target());
    let marks_host = ["//", "/%2f", "/%2F"].iter().any(|mark| target.starts_with(mark));
    if marks_host && request.ambiguous_path().is_some() {
        let detail = "at the upstream the path would begin with two slashes";
        return Err(Refusal::new(Reason::HandshakeMalformed, detail).by("upstream_path"));
    }
    request.set_target(target);
    Ok(())
}

/// When the answer to a plain request ends with the token that admitted it; `None`: it does not.
fn expiry(admission: &PlainAdmission) -> Option<SystemTime> {
    let Auth::Jwt(issuers) = &admission.route().auth else {
        return None;
    };
    let Principal { user, expires, .. } = admission.token()?.principal();
    let issuer = issuers.named(user.issuer());
    let ends = issuer.is_none_or(|issuer| issuer.on_expiry == OnExpiry::Close);
    ends.then_some(*expires)
}
