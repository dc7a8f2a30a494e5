//! What a user may have at once.

use std::time::Duration;

use super::address::room;
use super::{Policy, Table, Trace};
use crate::config::Mode;
use crate::policy::token::Identity;
use crate::state::limits::{Limiters, UserPermit};
use crate::values::Wait;
use crate::values::{Reason, Refusal};

/// What Retry-After says: only the user's other sessions make room.
const ANOTHER_ENDS: Wait = Wait(Duration::from_secs(10));

impl Policy {
    /// One more session of a user, and what report mode let through.
    pub fn admit_user(
        &self,
        identity: &Identity,
        limiters: &Limiters,
        trace: &mut Trace,
    ) -> Result<(UserPermit, Option<Refusal>), Refusal> {
        let refusal = |full| {
            let detail = format!("sessions of this user: {full}");
            let refusal = Refusal::new(Reason::LimitUser, detail).by("connections_per_user");
            refusal.retry_after(ANOTHER_ENDS)
        };
        let key = identity.key().clone();
        let enforce = self.limits.mode == Mode::Enforce;
        let taken = limiters.user(key, &self.limits, enforce).map_err(refusal);
        let table = Table::Only("limits");
        let (permit, full) = trace.check("user", table, taken, |(_, full)| {
            let most = self.limits.connections_per_user;
            (room(most, full.as_ref(), "sessions of this user"), table.key("connections_per_user"))
        })?;
        Ok((permit, full.map(refusal)))
    }
}
