//! Who may connect: the ordered checks of admission, on one page. Takes a well-formed handshake,
//! gives an [`Admission`]; never dials, never writes.

mod origin;
mod route;

use std::sync::Arc;

use crate::config::{Config, Route};
use crate::handshake::{ClientAddress, UpgradeRequest};
use crate::refusal::{Reason, Refusal};
use crate::tls::ServerNames;
pub use route::Routes;

/// What admission decides by.
#[derive(Debug)]
pub struct Policy {
    routes: Routes,
    /// Certificates by name; `None` without TLS.
    names: Option<Arc<ServerNames>>,
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
    subprotocols: Vec<String>,
}

impl Policy {
    /// The policy of a checked configuration; `names` are the certificates' where TLS is spoken.
    #[must_use]
    pub fn new(config: &Config, names: Option<Arc<ServerNames>>) -> Self {
        Self { routes: Routes::new(&config.routes), names }
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

    /// The checks of a route, in their order: origin.
    pub fn admit(
        &self,
        route: &Arc<Route>,
        request: &UpgradeRequest,
        arrival: Arrival<'_>,
    ) -> Result<Admission, Refusal> {
        origin::check(route, request, arrival.client.scheme)?;
        Ok(Admission { route: Arc::clone(route), subprotocols: offered(route, request) })
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

    /// The subprotocols to offer the upstream: the client's, as far as the route lists them.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

fn offered(route: &Route, request: &UpgradeRequest) -> Vec<String> {
    let listed =
        |name: &&String| route.subprotocols.is_empty() || route.subprotocols.contains(name);
    request.subprotocols().iter().filter(listed).cloned().collect()
}
