//! What a user may have at once.

use std::time::Duration;

use super::Policy;
use crate::config::Mode;
use crate::limits::{Limiters, UserKey, UserPermit, Wait};
use crate::refusal::{Reason, Refusal};
use crate::token::Identity;

/// What Retry-After says: only the user's other sessions make room.
const ANOTHER_ENDS: Wait = Wait(Duration::from_secs(10));

impl Policy {
    /// One more session of a user, and what report mode let through.
    pub fn admit_user(
        &self,
        identity: &Identity,
        limiters: &Limiters,
    ) -> Result<(UserPermit, Option<Refusal>), Refusal> {
        let refusal = |full| {
            let detail = format!("{full} of this user (limits.connections_per_user)");
            Refusal::new(Reason::LimitUser, detail).retry_after(ANOTHER_ENDS)
        };
        let key = UserKey::new(identity.issuer(), identity.user());
        let enforce = self.limits.mode == Mode::Enforce;
        let (permit, full) = limiters.user(key, &self.limits, enforce).map_err(refusal)?;
        Ok((permit, full.map(refusal)))
    }
}
