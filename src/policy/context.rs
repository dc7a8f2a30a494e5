//! The facts about one client that checks read, and the findings that checks store for later checks.

use std::net::IpAddr;
use std::sync::Arc;

use super::certificate::ShownCertificate;
use super::checks::{CheckKey, ConfigSection};
use super::credential::Credential;
use super::review::{KeptHandshake, SessionAuthentication};
use super::route::Found;
use super::token::Authenticated;
use super::{Arrival, Authentication, Policy, Room, ShownToken, Table, origin, server_name};
use crate::config::{Auth, Issuer, Route, RouteIssuers};
use crate::handshake::{RequestHead, UpgradeRequest};
use crate::state::State;
use crate::state::limits::{AddressPermit, UserPermit};
use crate::values::{AmbiguousPath, Host, Reason, Refusal, RequestContext, RequestKind, UserKey};

/// The input and output of the checks of one run.
pub(super) struct CheckContext<'a> {
    pub(super) policy: &'a Policy,
    /// The client's address.
    pub(super) address: IpAddr,
    pub(super) facts: Facts<'a>,
    pub(super) found: Findings<'a>,
}

/// The facts that are known before the phases run. A fact that no check of them reads may be absent.
#[derive(Default)]
pub(super) struct Facts<'a> {
    pub(super) state: Option<&'a State>,
    pub(super) certificate: Option<ShownCertificate<'a>>,
    /// Whether an address is admitted for a plain request alone.
    pub(super) is_plain: bool,
    pub(super) room: Option<Room>,
    pub(super) handshake: Option<Handshake<'a>>,
    /// The token of a message; the token of the request head is in the findings.
    pub(super) shown: Option<ShownToken<'a>>,
    /// The token of an open session.
    pub(super) kept: Option<SessionAuthentication<'a>>,
    /// The user that opens one more session.
    pub(super) user: Option<&'a UserKey>,
    /// The request of a session that is about to be forwarded to an upstream.
    pub(super) opening: Option<&'a mut UpgradeRequest>,
}

/// The findings of the checks that have run.
#[derive(Default)]
pub(super) struct Findings<'a> {
    /// Whether the address is that of a trusted proxy.
    pub(super) is_proxy: bool,
    pub(super) address_permit: Option<AddressPermit>,
    pub(super) user_permit: Option<UserPermit>,
    /// Refusals that report mode let through.
    pub(super) let_through: Vec<Refusal>,
    pub(super) server_name: Option<server_name::NameMatch<'a>>,
    pub(super) route: Option<Found<'a>>,
    pub(super) credential: Option<Credential>,
    pub(super) origin: Option<origin::OriginMatch>,
    /// The party that may have chosen the content of the request, once its origin is known.
    pub(super) request: Option<RequestContext>,
    /// The issuer that verifies the token.
    pub(super) issuer: Option<&'a Arc<Issuer>>,
    pub(super) authenticated: Option<Authenticated>,
    pub(super) authentication: Option<Authentication>,
}

/// The handshake under check.
pub(super) enum Handshake<'a> {
    /// A handshake that has just arrived.
    Live { request: &'a RequestHead, arrival: Arrival<'a> },
    /// The kept parts of an open session's handshake.
    Kept(&'a KeptHandshake<'a>),
}

impl<'a> CheckContext<'a> {
    pub(super) fn new(policy: &'a Policy, address: IpAddr) -> Self {
        Self { policy, address, facts: Facts::default(), found: Findings::default() }
    }

    pub(super) fn state(&self) -> Result<&'a State, Refusal> {
        self.facts.state.ok_or_else(missing)
    }

    pub(super) fn handshake(&self) -> Result<&Handshake<'a>, Refusal> {
        self.facts.handshake.as_ref().ok_or_else(missing)
    }

    pub(super) fn live(&self) -> Result<(&'a RequestHead, Arrival<'a>), Refusal> {
        match self.handshake()? {
            Handshake::Live { request, arrival } => Ok((request, *arrival)),
            Handshake::Kept(_) => Err(missing()),
        }
    }

    pub(super) fn route(&self) -> Result<&'a Arc<Route>, Refusal> {
        self.found.route.map(|found| found.route).ok_or_else(missing)
    }

    /// The issuers of the route; `None`: the route has no authentication.
    pub(super) fn issuers(&self) -> Result<Option<&'a RouteIssuers>, Refusal> {
        Ok(match &self.route()?.auth {
            Auth::None => None,
            Auth::Jwt(issuers) => Some(issuers),
        })
    }

    /// The full name of a key, for `explain`.
    pub(super) fn name_of(&self, key: CheckKey) -> String {
        let table = self.table(key.section);
        if key.name.is_empty() { table.to_string() } else { table.key(key.name) }
    }

    pub(super) fn table(&self, section: ConfigSection) -> Table<'_> {
        match section {
            ConfigSection::Only(name) => Table::Only(name),
            ConfigSection::Route => {
                self.route().map_or(Table::Only("routes"), |route| Table::Route(&route.name))
            }
            ConfigSection::Issuer => {
                let first = || self.issuers().ok().flatten().map(RouteIssuers::first);
                let issuer = self.found.issuer.or_else(first);
                issuer.map_or(Table::Only("jwt"), |issuer| Table::Issuer(&issuer.name))
            }
        }
    }
}

impl Handshake<'_> {
    /// The kind of the request.
    pub(super) fn kind(&self) -> RequestKind {
        match self {
            Self::Live { request, .. } => request.kind(),
            Self::Kept(kept) => kept.kind,
        }
    }

    pub(super) fn host(&self) -> &Host {
        match self {
            Self::Live { request, .. } => request.host(),
            Self::Kept(kept) => &kept.host,
        }
    }

    /// The readings of the path of a plain request, if it has several.
    pub(super) fn ambiguous_path(&self) -> Option<&AmbiguousPath> {
        match self {
            Self::Live { request, .. } => request.ambiguous_path(),
            Self::Kept(_) => None,
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Live { request, .. } => request.path(),
            Self::Kept(kept) => &kept.path,
        }
    }
}

/// The refusal of a check whose facts are absent: the order of the list is wrong. The check fails closed.
pub(super) fn missing() -> Refusal {
    Refusal::new(Reason::Internal, "a check ran before the one whose finding it needs")
}
