//! Who may connect: the ordered checks of admission, on one page. Takes a well-formed handshake,
//! gives an [`Admission`]; never dials, never writes.

mod address;
mod credential;
mod origin;
mod review;
mod route;
mod server_name;
pub mod token;
mod trace;
mod user;

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};

use crate::config::{Auth, Config, Firewall, Issuer, Limits, Route, RouteIssuers};
use crate::handshake::{ClientAddress, UpgradeRequest};
use crate::policy::token::{Identity, Verifiers, choose};
use crate::state::store::{Bearer, RevocationStore};
use crate::tls::{ClientCertificate, ClientVerifier, ServerNames, Terminator};
use crate::values::TokenPlace;
use crate::values::UnixTime;
use crate::values::fold;
use crate::values::{Offence, RequestContext};
use crate::values::{Reason, Refusal};
pub use address::{Entrance, check_ban};
use credential::Credential;
pub use review::{Claims, Holder, Presented};
pub use route::{Found, Routes};
pub use trace::{Step, Table, Trace};

/// How many offered subprotocols the log names.
const MOST_NAMED: usize = 8;
/// The longest subprotocol that the log names, in characters. A secret of 128 bits is longer.
const LONGEST_NAMED: usize = 20;

/// What admission decides by.
#[derive(Debug)]
pub struct Policy {
    routes: Routes,
    /// Certificates by name; `None` without TLS.
    names: Option<Arc<ServerNames>>,
    /// How client certificates are judged; without TLS, not at all.
    certificates: ClientVerifier,
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
    /// Whether the connection is that of a trusted proxy, whose server name is its own matter.
    pub by_proxy: bool,
    /// The certificate that the client showed in its TLS handshake.
    pub certificate: Option<&'a ClientCertificate>,
    /// Who may have chosen what the request says.
    pub context: RequestContext,
}

/// A token, and how it was shown.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Its text. Never logged.
    pub token: &'a str,
    /// Where it was.
    pub place: &'a TokenPlace,
    /// Who may have put it there.
    pub context: RequestContext,
}

/// The right to be connected to an upstream of `route`. Only [`Policy::admit`] makes one.
#[derive(Debug, Clone)]
pub struct Admission {
    route: Arc<Route>,
    presented: Presented,
    subprotocols: Vec<String>,
    unlisted: Option<String>,
    carried: bool,
    /// The subprotocol that stood before a token, which was taken out.
    paired: Option<String>,
    standing: Standing,
    context: RequestContext,
}

/// Who somebody is that was admitted.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Anybody: the route has no authentication.
    Anybody,
    /// Whom a token names.
    Identified(Identity),
    /// Not known before the first message, which holds a token of one of these.
    Announced(RouteIssuers),
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

    /// The first checks: TLS policy and route. The route is known from here on, also for the log.
    pub fn route(
        &self,
        request: &UpgradeRequest,
        arrival: Arrival<'_>,
        trace: &mut Trace,
    ) -> Result<&Arc<Route>, Refusal> {
        let named = server_name::check(self.names.as_deref(), arrival, request.host());
        trace.check("server name", Table::Only("tls"), named, |found| {
            (found.to_string(), found.key())
        })?;
        let found = self.routes.find(request.host(), request.path()).ok_or_else(|| {
            let detail = format!("no route has host {} and this path", request.host());
            Refusal::new(Reason::RouteNone, detail)
        });
        let found = trace.check("route", Table::Only("routes"), found, |found| {
            (found.to_string(), Table::Route(&found.route.name).to_string())
        });
        Ok(found?.route)
    }

    /// The checks of a route, in their order: number of credentials, origin, token, claims. Then every
    /// place where a token may be, and Authorization, is emptied, but for the token itself where the
    /// upstream is to have it.
    pub async fn admit(
        &self,
        route: &Arc<Route>,
        request: &mut UpgradeRequest,
        arrival: Arrival<'_>,
        trace: &mut Trace,
    ) -> Result<Admission, Refusal> {
        let table = Table::Route(&route.name);
        let credential = match &route.auth {
            Auth::None => None,
            Auth::Jwt(issuers) => find_credential(issuers.first(), request, trace)?,
        };
        let origin = origin::check(route, request, arrival.client.scheme);
        let origin = trace
            .check("origin", table, origin, |found| (found.to_string(), table.key(found.key())))?;
        // A browser found the host in a certificate, or the route names it: it is no name that another
        // site lets lead here.
        let host_named = !route.hosts.is_empty() || arrival.client.scheme == "https";
        let context = match arrival.context {
            context if origin.is_named(host_named) => context.accepted(),
            context if host_named => context.host_named(),
            context => context,
        };
        let presented = Presented::new(request, arrival, origin.into_origin());
        let offered = request.subprotocols().len();
        let mut paired = None;
        let standing = match &route.auth {
            Auth::None => anybody(table, trace),
            Auth::Jwt(issuers) if issuers.first().token_from == [TokenPlace::Message] => {
                let issuer = issuers.first();
                credential::empty(&issuer.token_from, issuer.forward_token, request);
                announced(issuers, trace)
            }
            Auth::Jwt(issuers) => {
                let issuer = issuers.first();
                let credential = present(issuer, credential, trace)?;
                let token = match credential.token() {
                    Ok(token) => token,
                    unreadable => {
                        let table = Table::Issuer(&issuer.name);
                        trace.check("token", table, unreadable, |_| Default::default())?
                    }
                };
                let shown = Shown { token, place: &credential.place, context };
                let identity = self.identify(issuers, shown, trace).await?;
                paired = credential::paired(&issuer.token_from, issuer.forward_token, request);
                credential::empty(&issuer.token_from, issuer.forward_token, request);
                Standing::Identified(identity)
            }
        };
        let carried = request.subprotocols().len() < offered;
        let (subprotocols, unlisted) = listed(route, request);
        let route = Arc::clone(route);
        let admission = Admission {
            route,
            presented,
            subprotocols,
            unlisted,
            carried,
            paired,
            standing,
            context,
        };
        Ok(admission)
    }

    /// Whom a token of one of `issuers` names: verified, its claims as required, not revoked. One that does
    /// not verify is an offence if no foreign page can have shown it.
    pub async fn identify(
        &self,
        issuers: &RouteIssuers,
        shown: Shown<'_>,
        trace: &mut Trace,
    ) -> Result<Identity, Refusal> {
        let offence = |refusal: Refusal| match refusal.reason {
            Reason::TokenInvalid => refusal.as_offence(Offence::token(shown.place, shown.context)),
            _ => refusal,
        };
        let issuer = match choose(issuers, shown.token).map_err(offence) {
            Ok(issuer) => issuer,
            unknown => {
                let table = Table::Issuer(&issuers.first().name);
                trace.check("token", table, unknown, |_| Default::default())?
            }
        };
        let verifier = self.verifiers.get(&issuer.name).ok_or_else(|| {
            Refusal::new(Reason::TokenInvalid, format!("there is no jwt.{} any more", issuer.name))
        })?;
        let table = Table::Issuer(&issuer.name);
        let authenticated = verifier.authenticate(shown.token, SystemTime::now()).await;
        let authenticated = authenticated.map_err(offence);
        let authenticated = trace.check("token", table, authenticated, |who| {
            let until = UnixTime::from(who.expires());
            let said = format!("verified: of {}, until {until} with the leeway", who.user());
            (said, table.key(issuer.key.key()))
        })?;
        let identity = trace.check("claims", table, authenticated.authorize(), |_| {
            (required(issuer), table.key("require"))
        })?;
        let admin = Table::Only("admin");
        trace.check("revocation", admin, self.not_revoked(&identity), |()| {
            ("neither the user nor the token is revoked".to_owned(), admin.key("revocations"))
        })?;
        Ok(identity)
    }

    fn not_revoked(&self, identity: &Identity) -> Result<(), Refusal> {
        let bearer = Bearer { user: Some(identity.user()), token_id: identity.token_id() };
        if self.revocations.is_revoked(bearer, UnixTime::now()) {
            let detail = "the token or its user was revoked";
            return Err(Refusal::new(Reason::TokenRevoked, detail).by("revocations"));
        }
        Ok(())
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

    /// What it was admitted for, for another judgement later.
    #[must_use]
    pub fn presented(&self) -> &Presented {
        &self.presented
    }

    /// Who was admitted.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Who may have chosen what its request said.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        self.context
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

fn find_credential(
    issuer: &Issuer,
    request: &UpgradeRequest,
    trace: &mut Trace,
) -> Result<Option<Credential>, Refusal> {
    let table = Table::Issuer(&issuer.name);
    trace.check("credential", table, credential::find(&issuer.token_from, request), |found| {
        let said = match found {
            Some(credential) => format!("one, from {}", credential.place),
            None => "none".to_owned(),
        };
        (said, table.key("token_from"))
    })
}

fn present(
    issuer: &Issuer,
    credential: Option<Credential>,
    trace: &mut Trace,
) -> Result<Credential, Refusal> {
    let Some(credential) = credential else {
        let detail = "none of the places of token_from holds a token";
        let missing = Err(Refusal::new(Reason::TokenMissing, detail).by("token_from"));
        return trace.check("token", Table::Issuer(&issuer.name), missing, |_| Default::default());
    };
    Ok(credential)
}

fn anybody(table: Table<'_>, trace: &mut Trace) -> Standing {
    trace.note(|| Step {
        name: "token",
        said: "none is wanted".to_owned(),
        key: Some(table.key("auth")),
    });
    Standing::Anybody
}

fn announced(issuers: &RouteIssuers, trace: &mut Trace) -> Standing {
    trace.note(|| Step {
        name: "token",
        said: "awaited in the first message".to_owned(),
        key: Some(Table::Issuer(&issuers.first().name).key("token_from")),
    });
    Standing::Announced(issuers.clone())
}

/// What an authorized token has.
fn required(issuer: &Issuer) -> String {
    let names: Vec<&str> = issuer.require.iter().map(|require| require.claim.as_str()).collect();
    if names.is_empty() {
        return "none is required".to_owned();
    }
    format!("as required: {}", names.join(", "))
}

/// The offered subprotocols that the route lists, and the others as the log names them.
fn listed(route: &Route, request: &UpgradeRequest) -> (Vec<String>, Option<String>) {
    let listed = |name: &String| route.subprotocols.is_empty() || route.subprotocols.contains(name);
    let (listed, unlisted): (Vec<_>, Vec<_>) =
        request.subprotocols().iter().cloned().partition(listed);
    let named: Vec<_> = unlisted.iter().take(MOST_NAMED).map(|name| name_or_length(name)).collect();
    let more = unlisted.len().saturating_sub(MOST_NAMED);
    let named = named.join(", ");
    let text = if more > 0 { format!("{named} and {more} more") } else { named };
    (listed, (!text.is_empty()).then_some(text))
}

/// A long name may be a credential of the application's.
fn name_or_length(name: &str) -> String {
    match name.len() {
        ..=LONGEST_NAMED => name.to_owned(),
        length => format!("({length} characters)"),
    }
}
