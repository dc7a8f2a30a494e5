//! The rates of plain requests, of an address and of a user, over all routes and on one.

use super::checks::{CheckOutcome, StepText};
use super::context::{CheckContext, missing};
use crate::config::Mode;
use crate::state::limits::TooOften;
use crate::values::{AddressKey, Rate, Reason, Refusal};

/// Counts a plain request of the address. A trusted proxy's own requests are not counted.
pub(super) fn check_address(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if is_of_a_proxy(cx) {
        return Ok(CheckOutcome::NotApplicable);
    }
    let key = AddressKey::from(cx.address);
    let counted = cx.state()?.limiters().request(key);
    outcome(counted, cx.policy.limits.mode, &key.to_string())
}

/// Counts a plain request of the address for the rate of its route.
pub(super) fn check_address_on_route(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let route = cx.route()?;
    if route.requests.is_none() || is_of_a_proxy(cx) {
        return Ok(CheckOutcome::NotApplicable);
    }
    let key = AddressKey::from(cx.address);
    let counted = cx.state()?.limiters().route_request(&route.name, key);
    outcome(counted, route.limits.mode, &key.to_string())
}

/// Counts a plain request of the user that its token names.
pub(super) fn check_user(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let key = cx.facts.user.ok_or_else(missing)?;
    let counted = cx.state()?.limiters().user_request(key);
    outcome(counted, cx.policy.limits.mode, "the user")
}

/// Counts a plain request of the user for the rate of its route.
pub(super) fn check_user_on_route(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let (route, key) = (cx.route()?, cx.facts.user.ok_or_else(missing)?);
    let counted = cx.state()?.limiters().route_user_request(&route.name, key);
    outcome(counted, route.limits.mode, "the user")
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    at_most(cx.policy.limits.requests.as_ref()).into()
}

pub(super) fn passed_on_route(cx: &CheckContext<'_>) -> StepText {
    at_most(cx.route().ok().and_then(|route| route.requests.as_ref())).into()
}

fn at_most(rate: Option<&Rate>) -> String {
    match rate {
        Some(rate) => format!("at most {} plain requests", rate.of_events()),
        None => "as many plain requests as come".to_owned(),
    }
}

fn is_of_a_proxy(cx: &CheckContext<'_>) -> bool {
    cx.policy.trusted.iter().any(|prefix| prefix.contains(&cx.address))
}

fn outcome(
    counted: Result<(), TooOften>,
    mode: Mode,
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
    match mode {
        Mode::Enforce => Err(refusal),
        Mode::Report => Ok(CheckOutcome::Reported(refusal)),
    }
}
