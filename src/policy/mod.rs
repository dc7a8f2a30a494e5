//! Who may connect: the ordered checks of admission, on one page. Takes a well-formed handshake,
//! gives an [`Admission`]; never dials, never writes.

mod address;
mod credential;
mod origin;
mod review;
mod route;
mod user;

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};

use crate::config::{Auth, Config, Firewall, Issuer, Limits, Route, TokenPlace};
use crate::handshake::{ClientAddress, UpgradeRequest, fold};
use crate::moment::Moment;
use crate::refusal::{Reason, Refusal};
use crate::store::{Bearer, RevocationStore};
use crate::tls::ServerNames;
use crate::token::{Identity, Verifiers};
pub use address::{Entrance, check_ban};
pub use review::{Claims, Holder, Presented};
pub use route::Routes;

/// What admission decides by.
#[derive(Debug)]
pub struct Policy {
    routes: Routes,
    /// Certificates by name; `None` without TLS.
    names: Option<Arc<ServerNames>>,
    verifiers: Verifiers,
    revocations: Arc<dyn RevocationStore>,
    firewall: Firewall,
    limits: Limits,
    /// The folded names of the fields that any issuer forwards claims in.
    owned: Vec<String>,
}

/// What is known of a connection beside its request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Who the client is.
    pub client: &'a ClientAddress,
    /// The server name that TLS was asked for.
    pub server_name: Option<&'a str>,
}

/// The right to be connected to an upstream of `route`. Only [`Policy::admit`] makes one.
#[derive(Debug, Clone)]
pub struct Admission {
    route: Arc<Route>,
    presented: Arc<Presented>,
    subprotocols: Vec<String>,
    standing: Standing,
}

/// Who somebody is that was admitted.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Anybody: the route has no authentication.
    Anybody,
    /// Whom a token names.
    Identified(Identity),
    /// Not known before the first message, which holds the token.
    Announced(Arc<Issuer>),
}

impl Policy {
    /// The policy of a checked configuration; `names` are the certificates' where TLS is spoken.
    #[must_use]
    pub fn new(
        config: &Config,
        names: Option<Arc<ServerNames>>,
        verifiers: Verifiers,
        revocations: Arc<dyn RevocationStore>,
    ) -> Self {
        let forwarded = config.issuers.iter().flat_map(|issuer| &issuer.forward);
        let owned = forwarded.map(|(name, _)| fold(name)).collect();
        Self {
            routes: Routes::new(&config.routes),
            names,
            verifiers,
            revocations,
            firewall: config.firewall.clone(),
            limits: config.limits.clone(),
            owned,
        }
    }

    /// The verifiers of tokens, for keeping their keys fresh.
    #[must_use]
    pub fn verifiers(&self) -> &Verifiers {
        &self.verifiers
    }

    /// The folded names of the fields that only the gateway may set, beside those that say who the
    /// client is.
    #[must_use]
    pub fn owned_fields(&self) -> &[String] {
        &self.owned
    }

    /// The first checks: TLS policy and route. The route is known from here on, also for the log.
    pub fn route(
        &self,
        request: &UpgradeRequest,
        arrival: Arrival<'_>,
    ) -> Result<&Arc<Route>, Refusal> {
        self.check_server_name(request, arrival.server_name)?;
        self.routes.find(request.host(), request.path()).ok_or_else(|| {
            let detail = format!("no route has host {} and this path", request.host());
            Refusal::new(Reason::RouteNone, detail)
        })
    }

    /// The checks of a route, in their order: number of credentials, origin, token, claims. The
    /// credential is taken out of the request, unless the upstream is to have it.
    pub async fn admit(
        &self,
        route: &Arc<Route>,
        request: &mut UpgradeRequest,
        arrival: Arrival<'_>,
    ) -> Result<Admission, Refusal> {
        let credential = match &route.auth {
            Auth::None => None,
            Auth::Jwt(issuer) => credential::find(issuer, request)?,
        };
        let origin = origin::check(route, request, arrival.client.scheme)?;
        let presented = Presented::new(request, arrival.client, origin);
        let standing = match (&route.auth, &credential) {
            (Auth::None, _) => Standing::Anybody,
            (Auth::Jwt(issuer), _) if issuer.token_from == [TokenPlace::Message] => {
                Standing::Announced(Arc::clone(issuer))
            }
            (Auth::Jwt(_), None) => return Err(missing()),
            (Auth::Jwt(issuer), Some(credential)) => {
                let identity = self.identify(issuer, &credential.token).await?;
                if !issuer.forward_token {
                    credential.remove_from(request);
                }
                Standing::Identified(identity)
            }
        };
        let subprotocols = offered(route, request);
        let (route, presented) = (Arc::clone(route), Arc::new(presented));
        Ok(Admission { route, presented, subprotocols, standing })
    }

    /// Whom a token of `issuer` names: verified, its claims as required, not revoked.
    pub async fn identify(&self, issuer: &Issuer, token: &str) -> Result<Identity, Refusal> {
        let verifier = self.verifiers.get(&issuer.name).ok_or_else(|| {
            Refusal::new(Reason::TokenInvalid, format!("there is no jwt.{} any more", issuer.name))
        })?;
        let identity = verifier.verify(token, SystemTime::now()).await?;
        let bearer = Bearer { user: Some(identity.user()), token_id: identity.token_id() };
        if self.revocations.is_revoked(bearer, Moment::now()) {
            return Err(Refusal::new(Reason::TokenRevoked, "the token or its user was revoked"));
        }
        Ok(identity)
    }

    /// The header fields by which the upstream is told who `identity` is.
    #[must_use]
    pub fn forwarded(&self, identity: &Identity) -> Vec<(HeaderName, HeaderValue)> {
        let verifier = self.verifiers.get(identity.issuer());
        verifier.map_or(Vec::new(), |verifier| verifier.forwarded(identity))
    }

    /// RFC 9110 section 7.4: a request for a host whose TLS policy is another's was misdirected. A
    /// client that sent no server name, or uses an address as host, never mismatches.
    fn check_server_name(
        &self,
        request: &UpgradeRequest,
        server_name: Option<&str>,
    ) -> Result<(), Refusal> {
        let (Some(names), Some(server_name)) = (&self.names, server_name) else {
            return Ok(());
        };
        let host = request.host();
        if is_address(host) || names.same_policy(server_name, host) {
            return Ok(());
        }
        let detail = format!("TLS was asked for {server_name}, the Host header names {host}");
        Err(Refusal::new(Reason::SniMismatch, detail))
    }
}

impl Admission {
    /// The route that was found.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// What it was admitted for, for another judgement later.
    #[must_use]
    pub fn presented(&self) -> &Arc<Presented> {
        &self.presented
    }

    /// Who was admitted.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The same right for somebody who has said who it is.
    #[must_use]
    pub fn identified(self, identity: Identity) -> Self {
        Self { standing: Standing::Identified(identity), ..self }
    }

    /// The subprotocols to offer the upstream: the client's, as far as the route lists them.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }
}

fn missing() -> Refusal {
    Refusal::new(Reason::TokenMissing, "none of the places of token_from holds a token")
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

fn offered(route: &Route, request: &UpgradeRequest) -> Vec<String> {
    let listed =
        |name: &&String| route.subprotocols.is_empty() || route.subprotocols.contains(name);
    request.subprotocols().iter().filter(listed).cloned().collect()
}
