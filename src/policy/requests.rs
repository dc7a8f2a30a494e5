//! The rate of plain requests, of an address and of a user.

use super::checks::{CheckOutcome, StepText};
use super::context::{CheckContext, missing};
use crate::config::Mode;
use crate::state::limits::TooOften;
use crate::values::{AddressKey, Reason, Refusal};

/// Counts a plain request of the address. A trusted proxy's own requests are not counted.
pub(super) fn check_address(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.policy.trusted.iter().any(|prefix| prefix.contains(&cx.address)) {
        return Ok(CheckOutcome::NotApplicable);
    }
    let key = AddressKey::from(cx.address);
    let counted = cx.state()?.limiters().request(key);
    outcome(cx, counted, &key.to_string())
}

/// Counts a plain request of the user that its token names.
pub(super) fn check_user(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let key = cx.facts.user.ok_or_else(missing)?;
    let counted = cx.state()?.limiters().user_request(key);
    outcome(cx, counted, "the user")
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    match cx.policy.limits.requests {
        Some(rate) => format!("at most {} plain requests", rate.of_events()),
        None => "as many plain requests as come".to_owned(),
    }
    .into()
}

fn outcome(
    cx: &CheckContext<'_>,
    counted: Result<(), TooOften>,
    subject: &str,
) -> Result<CheckOutcome, Refusal> {
    let Err(TooOften { wait, shared }) = counted else {
        return Ok(CheckOutcome::Passed);
    };
    let detail = if shared {
        format!("too many others make requests to count those of {subject} apart")
    } else {
        format!("{subject} makes too many plain requests")
    };
    let refusal = Refusal::new(Reason::LimitRequests, detail).by("requests").retry_after(wait);
    match cx.policy.limits.mode {
        Mode::Enforce => Err(refusal),
        Mode::Report => Ok(CheckOutcome::Reported(refusal)),
    }
}
