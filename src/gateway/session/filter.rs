//! Selects sessions, for a listing or to end them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::registry::SessionRecord;
use crate::values::Network;

/// Matches sessions that meet every criterion given; without any it matches every session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The user, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The NAME of `[routes.NAME]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The server of the application, as the configuration names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The network of the client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Network>,
    /// The request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The claim `jti` of the token, or of an earlier token of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Sessions whose server left their route with the reload of this generation.
    #[serde(skip)]
    pub removed_by: Option<u64>,
    /// The server as records name it: with its address, if its name has several.
    #[serde(skip)]
    pub target: Option<Arc<str>>,
}

impl Filter {
    /// Whether no criterion is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn matches(&self, record: &SessionRecord) -> bool {
        fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
            wanted.is_none() || wanted == found
        }
        let address = record.peer.ip().to_canonical();
        let plain = is(self.id.as_deref(), Some(&record.id))
            && is(self.route.as_deref(), Some(&record.route))
            && is(self.server.as_deref(), record.server())
            && is(self.target.as_deref(), record.upstream.get().map(AsRef::as_ref))
            && self.removed_by.is_none_or(|generation| record.is_removed_by(generation))
            && self.ip.is_none_or(|network| network.contains(address));
        if !plain || (self.user.is_none() && self.token.is_none()) {
            return plain;
        }
        let tokens = record.tokens();
        tokens.as_ref().is_some_and(|tokens| {
            is(self.user.as_deref(), Some(tokens.principal.user.user()))
                && self
                    .token
                    .as_deref()
                    .is_none_or(|wanted| tokens.ids().any(|found| found == wanted))
        })
    }
}
