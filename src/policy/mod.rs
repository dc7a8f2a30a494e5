//! Who may connect: the list of checks ([`CHECKS`]) and the runner ([`Checks`]) that all ways of
//! admission share. Takes an address and a well-formed handshake, gives an [`Admission`]; never dials,
//! never writes.
//!
//! The list runs in four places: when a client connects, when a first message or a renewal brings a
//! token, when a reload checks open sessions again, and in `framewall explain`.

mod address;
mod bearer;
mod certificate;
mod checks;
mod context;
mod credential;
mod exchange;
mod origin;
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

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::{Config, Firewall, Limits, Route, RouteIssuers};
use crate::handshake::ClientAddress;
use crate::policy::token::{Identity, Verifiers};
use crate::state::store::RevocationStore;
use crate::tls::{ClientCertificate, ClientVerifier, ServerNames, Terminator};
use crate::values::RequestContext;
use crate::values::TokenPlace;
use crate::values::fold;
pub use address::AddressAdmission;
pub use certificate::ShownCertificate;
pub use checks::{CHECKS, Check, CheckKey, Phase};
pub use exchange::{ExchangeAdmission, Room};
pub use review::{Claims, HandshakeSnapshot, SessionPrincipal};
pub use route::{Found, Routes};
pub use runner::Checks;
pub use trace::{Step, Table, Trace};
pub use user::UserAdmission;

/// The configuration that the checks read.
#[derive(Debug)]
pub struct Policy {
    routes: Routes,
    /// Certificates by name; `None` without TLS.
    names: Option<Arc<ServerNames>>,
    /// Checks client certificates; without TLS, none.
    certificates: ClientVerifier,
    verifiers: Verifiers,
    revocations: Arc<dyn RevocationStore>,
    firewall: Firewall,
    limits: Limits,
    /// The folded names of the fields that any issuer forwards claims in.
    owned: Vec<String>,
    /// The trusted proxies.
    trusted: Vec<IpNet>,
    checks: &'static [Check],
}

/// The facts about a client beside its request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The proof that its address may connect.
    pub exchange: ExchangeAdmission<'a>,
    /// Its address, and the URL that it used.
    pub client: &'a ClientAddress,
    /// The server name of the TLS handshake.
    pub server_name: Option<&'a str>,
    /// Whether the connection is that of a trusted proxy, which may ask for any server name.
    pub by_proxy: bool,
    /// The client certificate of the TLS handshake.
    pub certificate: Option<&'a ClientCertificate>,
    /// Who may have chosen what the request says.
    pub context: RequestContext,
}

/// A token, and the place where it was.
#[derive(Clone, Copy)]
pub struct ShownToken<'a> {
    /// Its text. Never logged.
    pub token: &'a str,
    /// Where it was.
    pub place: &'a TokenPlace,
    /// Who may have put it there.
    pub context: RequestContext,
}

/// The right to be connected to an upstream of `route`. Only [`Checks::admit`] makes one.
#[derive(Debug, Clone)]
pub struct Admission {
    route: Arc<Route>,
    snapshot: HandshakeSnapshot,
    subprotocols: Vec<String>,
    unlisted: Option<String>,
    carried: bool,
    /// The subprotocol that stood before a token, which was taken out.
    paired: Option<String>,
    principal: Principal,
    context: RequestContext,
}

/// The principal of an admission.
#[derive(Debug, Clone)]
pub enum Principal {
    /// The route has no authentication.
    Anonymous,
    /// The user of a verified token.
    Identified(Identity),
    /// Not known before the first message, which holds a token of one of these issuers.
    Awaited(RouteIssuers),
}

impl Policy {
    /// The policy of a checked configuration, with its side of TLS where TLS is spoken.
    #[must_use]
    pub fn new(
        config: &Config,
        terminator: Option<&Terminator>,
        verifiers: Verifiers,
        revocations: Arc<dyn RevocationStore>,
    ) -> Self {
        let forwarded = config.issuers.iter().flat_map(|issuer| &issuer.forward);
        let owned = forwarded.map(|(name, _)| fold(name)).collect();
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

    /// The verifiers of tokens, for keeping their keys fresh.
    #[must_use]
    pub fn verifiers(&self) -> &Verifiers {
        &self.verifiers
    }

    /// `[limits]`; a route may have others for its sessions.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The folded names of the fields that only the gateway may set, beside those that say who the
    /// client is.
    #[must_use]
    pub fn owned_fields(&self) -> &[String] {
        &self.owned
    }

    /// The header fields by which the upstream is told who `identity` is.
    #[must_use]
    pub fn forwarded(&self, identity: &Identity) -> Vec<(HeaderName, HeaderValue)> {
        let verifier = self.verifiers.get(identity.issuer());
        verifier.map_or(Vec::new(), |verifier| verifier.forwarded(identity))
    }
}

impl Admission {
    /// The route that was found.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The facts of the handshake, for the check after a reload.
    #[must_use]
    pub fn snapshot(&self) -> &HandshakeSnapshot {
        &self.snapshot
    }

    /// The principal.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Who may have chosen what its request said.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        self.context
    }

    /// The same admission, once the first message has named the principal.
    #[must_use]
    pub fn identified(self, identity: Identity) -> Self {
        Self { principal: Principal::Identified(identity), ..self }
    }

    /// The subprotocols to offer the upstream: the client's, as far as the route lists them.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// The offered subprotocols that the route does not list, for the log: at most eight, and of a long
    /// one only its length, since it may be a credential.
    #[must_use]
    pub fn unlisted(&self) -> Option<&str> {
        self.unlisted.as_deref()
    }

    /// The subprotocol that the client is told where the upstream chose none: the first of its own
    /// offer that the route lists, or else the item before the token of a pair, if a token was taken out of
    /// the offer. A browser fails a socket
    /// without an answer to its offer, and would get one if it could hand its token in otherwise.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        let fallback = || self.first_listed().or(self.paired.as_deref());
        self.carried.then(fallback).flatten()
    }

    /// The first subprotocol of the offer that the route lists; `None` where it lists none.
    #[must_use]
    pub fn first_listed(&self) -> Option<&str> {
        let first = self.subprotocols.first().map(String::as_str);
        first.filter(|_| !self.route.subprotocols.is_empty())
    }

    /// The same right, of which the client was told already that `subprotocol` is agreed on: the
    /// upstream may choose no other.
    #[must_use]
    pub fn told(self, subprotocol: Option<&str>) -> Self {
        match subprotocol {
            Some(name) => Self { subprotocols: vec![name.to_owned()], ..self },
            None => self,
        }
    }
}
