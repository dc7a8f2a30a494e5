//! The limit on the sessions of one user.

use std::time::Duration;

use super::address::at_most;
use super::checks::{CheckOutcome, StepText};
use super::context::{CheckContext, missing};
use crate::config::Mode;
use crate::state::limits::UserPermit;
use crate::values::Wait;
use crate::values::{Reason, Refusal};

/// The Retry-After of a refusal that lasts until another session of the user ends.
const ANOTHER_ENDS: Wait = Wait(Duration::from_secs(10));

/// The proof that a user may open one more session.
#[derive(Debug)]
pub struct UserAdmission {
    /// The permit that counts the session against the user.
    pub permit: UserPermit,
    /// Refusals that report mode let through.
    pub let_through: Vec<Refusal>,
}

pub(super) fn take_session(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let refusal = |full| {
        let detail = format!("sessions of this user: {full}");
        let refusal = Refusal::new(Reason::LimitUser, detail).by("connections_per_user");
        refusal.retry_after(ANOTHER_ENDS)
    };
    let limits = &cx.policy.limits;
    let enforce = limits.mode == Mode::Enforce;
    let key = cx.facts.user.ok_or_else(missing)?.clone();
    let (permit, full) = cx.state()?.limiters().user(key, limits, enforce).map_err(refusal)?;
    cx.found.user_permit = Some(permit);
    Ok(full.map_or(CheckOutcome::Passed, |full| CheckOutcome::Reported(refusal(full))))
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    at_most(cx.policy.limits.connections_per_user, "sessions of this user").into()
}
