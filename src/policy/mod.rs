//! The admission policy: the list of checks ([`CHECKS`]) and the runner ([`Checks`]) that all ways of
//! admission share. Takes an address and a well-formed request, and returns an [`Admission`] of a
//! handshake or a [`PlainAdmission`]; opens no connection and writes nothing.
//!
//! The list runs in five places: when a client connects, for each of its requests, when a first message or a
//! renewal carries a token, when a reload checks open sessions again, and in `framewall explain`.

mod address;
mod bearer;
mod certificate;
mod checks;
mod context;
mod credential;
mod exchange;
mod origin;
mod protocol;
mod requests;
mod review;
mod route;
mod runner;
mod server_name;
mod subprotocols;
mod terms;
#[cfg(test)]
pub(crate) mod tests;
pub mod token;
mod trace;
mod user;

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::{Config, Firewall, Limits, Route, RouteIssuers};
use crate::handshake::{ClientAddress, RequestHead};
use crate::policy::token::{VerifiedToken, Verifiers};
use crate::state::store::RevocationStore;
use crate::tls::{ClientCertificate, ClientVerifier, ServerNames, Terminator};
use crate::values::RequestContext;
use crate::values::TokenPlace;
use crate::values::fold;
use crate::values::{Refusal, RequestKind};
pub use address::AddressAdmission;
pub use certificate::ShownCertificate;
pub use checks::{CHECKS, Check, CheckKey, Phase};
pub use exchange::{ExchangeAdmission, Room};
pub use review::{Claims, HandshakeSnapshot, SessionAuthentication};
pub use route::{Found, Routes};
pub use runner::Checks;
pub use trace::{Step, Table, Trace};
pub use user::UserAdmission;

/// The configuration that the checks read.
#[derive(Debug)]
pub struct Policy {
    routes: Routes,
    /// The certificates by name; `None` without TLS.
    names: Option<Arc<ServerNames>>,
    /// The verifier of client certificates; without TLS it requests none.
    certificates: ClientVerifier,
    verifiers: Verifiers,
    revocations: Arc<dyn RevocationStore>,
    firewall: Firewall,
    limits: Limits,
    /// The folded names of all header fields in which an issuer forwards claims.
    owned: Vec<String>,
    /// The networks of the trusted proxies.
    trusted: Vec<IpNet>,
    checks: &'static [Check],
}

/// The facts about a client in addition to its request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The proof that the request may be checked.
    pub exchange: ExchangeAdmission<'a>,
    /// The address of the client, and the URL that it used.
    pub client: &'a ClientAddress,
    /// The server name of the TLS handshake.
    pub server_name: Option<&'a str>,
    /// Whether a trusted proxy opened the connection; such a proxy may send any server name.
    pub by_proxy: bool,
    /// The client certificate of the TLS handshake.
    pub certificate: Option<&'a ClientCertificate>,
    /// The party that may have chosen the content of the request.
    pub context: RequestContext,
}

/// A token, and the place that carried it.
#[derive(Clone, Copy)]
pub struct ShownToken<'a> {
    /// The text of the token. Never logged.
    pub token: &'a str,
    /// The place that carried the token.
    pub place: &'a TokenPlace,
    /// The party that may have put the token there.
    pub context: RequestContext,
}

/// The proof that a client may be connected to an upstream of `route`. Only [`Checks::admit`] creates one.
#[derive(Debug, Clone)]
pub struct Admission {
    route: Arc<Route>,
    snapshot: HandshakeSnapshot,
    subprotocols: Vec<String>,
    unlisted: Option<String>,
    carried: bool,
    /// The subprotocol that preceded a token in the offer; the token was removed.
    paired: Option<String>,
    authentication: Authentication,
    context: RequestContext,
}

/// The proof that a plain request may be forwarded to an upstream of `route`. Only [`Checks::admit_plain`] creates
/// one.
#[derive(Debug)]
pub struct PlainAdmission {
    route: Arc<Route>,
    token: Option<VerifiedToken>,
    let_through: Vec<Refusal>,
}

impl PlainAdmission {
    /// The route of the request.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Refusals that report mode let through.
    #[must_use]
    pub fn let_through(&self) -> &[Refusal] {
        &self.let_through
    }

    /// The verified token; `None`: the route has no authentication.
    #[must_use]
    pub fn token(&self) -> Option<&VerifiedToken> {
        self.token.as_ref()
    }
}

/// The result of the phase of the token.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// The route has no authentication.
    Anonymous,
    /// A token was verified.
    Identified(VerifiedToken),
    /// Unknown until the first message, which carries a token of one of these issuers.
    Awaited(RouteIssuers),
}

impl Policy {
    /// Builds the policy from a checked configuration; `terminator` is the server side of TLS, if TLS is on.
    #[must_use]
    pub fn new(
        config: &Config,
        terminator: Option<&Terminator>,
        verifiers: Verifiers,
        revocations: Arc<dyn RevocationStore>,
    ) -> Self {
        let forwarded = config.issuers.iter().flat_map(|issuer| &issuer.forward);
        let owned = forwarded.map(|(name, _)| fold(name).into_owned()).collect();
        Self {
            routes: Routes::new(&config.routes),
            names: terminator.map(|terminator| Arc::clone(&terminator.names)),
            certificates: terminator.map_or_else(Default::default, |tls| tls.clients.clone()),
            verifiers,
            revocations,
            firewall: config.firewall.clone(),
            limits: config.limits.clone(),
            owned,
            trusted: config.server.trusted_proxies.clone(),
            checks: CHECKS,
        }
    }

    /// Checks the client certificate of a connection again, before a further request on it.
    ///
    /// # Errors
    /// `certificate.expired` and `certificate.invalid`.
    pub fn review_certificate(
        &self,
        certificate: Option<&ClientCertificate>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        self.certificates.review(certificate, now)
    }

    /// The Origin header of a plain request, if the route accepts that origin for handshakes: a page of it may read
    /// answers of the gateway.
    #[must_use]
    pub fn accepted_origin(
        &self,
        route: &Route,
        request: &RequestHead,
        client: &ClientAddress,
    ) -> Option<HeaderValue> {
        origin::accepted(route, request, client)
    }

    /// Whether any route serves plain HTTP.
    #[must_use]
    pub fn serves_plain_http(&self) -> bool {
        self.routes.serve(RequestKind::Http)
    }

    /// The verifiers of tokens; the caller refreshes their keys.
    #[must_use]
    pub fn verifiers(&self) -> &Verifiers {
        &self.verifiers
    }

    /// `[limits]`; a route may override the limits of its sessions.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The folded names of the fields with claims. Like the fields that name the client, only the
    /// gateway may set them.
    #[must_use]
    pub fn owned_fields(&self) -> &[String] {
        &self.owned
    }

    /// The header fields that tell the upstream the claims of `token`.
    #[must_use]
    pub fn forwarded(&self, token: &VerifiedToken) -> Vec<(HeaderName, HeaderValue)> {
        let verifier = self.verifiers.get(token.principal().user.issuer());
        verifier.map_or(Vec::new(), |verifier| verifier.forwarded(token))
    }
}

impl Admission {
    /// The route of the request.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The kept facts of the handshake, for the check after a reload.
    #[must_use]
    pub fn snapshot(&self) -> &HandshakeSnapshot {
        &self.snapshot
    }

    /// Whether a token was verified, and which one.
    #[must_use]
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// The party that may have chosen the content of the request.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        self.context
    }

    /// Sets the token of the first message.
    pub fn identify(&mut self, token: VerifiedToken) {
        self.authentication = Authentication::Identified(token);
    }

    /// The subprotocols to offer to the upstream: those of the client that the route lists.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// The offered subprotocols that the route does not list, for the log: at most eight. A long one is
    /// given only by its length, since it may be a credential.
    #[must_use]
    pub fn unlisted(&self) -> Option<&str> {
        self.unlisted.as_deref()
    }

    /// The subprotocol for the answer to the client if the upstream chose none and a token was removed
    /// from the offer: the first offered one that the route lists, or else the item before the token of
    /// a pair. A browser fails a socket without an answer to its offer, and this client has to make an
    /// offer to carry its token.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        let fallback = || self.first_listed().or(self.paired.as_deref());
        self.carried.then(fallback).flatten()
    }

    /// The first offered subprotocol that the route lists; `None` if the route lists none.
    #[must_use]
    pub fn first_listed(&self) -> Option<&str> {
        let first = self.subprotocols.first().map(String::as_str);
        first.filter(|_| !self.route.subprotocols.is_empty())
    }

    /// The same admission after the client was told that `subprotocol` is agreed on: the upstream may
    /// choose no other.
    #[must_use]
    pub fn told(self, subprotocol: Option<&str>) -> Self {
        match subprotocol {
            Some(name) => Self { subprotocols: vec![name.to_owned()], ..self },
            None => self,
        }
    }
}
