//! The checks of a client's address: the firewall's rules, bans, and per-address limits. These checks
//! are cheap, and run before the first byte of a direct client is read.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::Policy;
use super::Table;
use super::checks::{CheckOutcome, StepText};
use super::context::{CheckContext, Findings, missing};
use crate::config::Mode;
use crate::firewall::Why;
use crate::state::limits::{AddressPermit, TooOften};
use crate::values::UnixTime;
use crate::values::{AddressKey, Wait};
use crate::values::{Reason, Refusal};

/// The Retry-After of a refusal that lasts until another connection ends.
const ANOTHER_ENDS: Wait = Wait(Duration::from_secs(10));

const FIREWALL: Table<'_> = Table::Only("firewall");

/// The proof that an address may connect. Only [`super::Checks::admit_address`] creates one.
#[derive(Debug)]
pub struct AddressAdmission {
    permit: Option<AddressPermit>,
    let_through: Vec<Refusal>,
}

impl AddressAdmission {
    pub(super) fn new(found: Findings<'_>) -> Result<Self, Refusal> {
        let Findings { is_proxy, address_permit: permit, let_through, .. } = found;
        if permit.is_none() && !is_proxy {
            return Err(missing());
        }
        Ok(Self { permit, let_through })
    }

    /// Whether the address is that of a trusted proxy itself, rather than of a client behind it.
    #[must_use]
    pub fn is_proxy(&self) -> bool {
        self.permit.is_none()
    }

    /// The address that the connection counts for; `None`: connections of a trusted proxy are not
    /// counted.
    pub(super) fn counted(&self) -> Option<AddressKey> {
        self.permit.as_ref().map(|permit| *permit.key())
    }

    /// Refusals that report mode let through.
    #[must_use]
    pub fn let_through(&self) -> &[Refusal] {
        &self.let_through
    }

    /// The permit that counts this connection against the address; `None`: connections of a trusted
    /// proxy are not counted.
    #[must_use]
    pub fn into_permit(self) -> Option<AddressPermit> {
        self.permit
    }
}

impl Policy {
    /// The files that the firewall's rules were read from.
    #[must_use]
    pub fn lists(&self) -> &[PathBuf] {
        self.firewall.rules.files()
    }
}

/// Classifies the address as a client or a trusted proxy.
#[expect(clippy::unnecessary_wraps, reason = "the list takes functions of one type")]
pub(super) fn classify(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    cx.found.is_proxy = cx.policy.trusted.iter().any(|prefix| prefix.contains(&cx.address));
    Ok(CheckOutcome::Passed)
}

pub(super) fn classified(cx: &CheckContext<'_>) -> StepText {
    let address = cx.address;
    match cx.policy.trusted.iter().find(|prefix| prefix.contains(&address)) {
        Some(prefix) => format!(
            "{address} is a trusted proxy, of {prefix}: bans and limits are for whom it speaks for"
        ),
        None => format!("{address} is a client, not a trusted proxy"),
    }
    .into()
}

pub(super) fn check_rules(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let verdict = cx.policy.firewall.rules.judge(cx.address);
    if !verdict.is_denied() {
        return Ok(CheckOutcome::Passed);
    }
    let detail = format!("{} is denied: {verdict}", cx.address);
    let refusal = Refusal::new(Reason::FirewallDenied, detail).by(verdict.key());
    match cx.policy.firewall.mode {
        Mode::Enforce => Err(refusal),
        Mode::Report => Ok(CheckOutcome::Reported(refusal)),
    }
}

pub(super) fn rules_passed(cx: &CheckContext<'_>) -> StepText {
    let verdict = cx.policy.firewall.rules.judge(cx.address);
    if verdict.why == Why::Unlisted {
        return verdict.to_string().into();
    }
    let text = format!("{} is allowed: {verdict}", cx.address);
    StepText::by(text, FIREWALL.key(verdict.key()))
}

pub(super) fn check_ban(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.found.is_proxy {
        return Ok(CheckOutcome::NotApplicable);
    }
    match cx.state()?.bans().is_banned(cx.address, UnixTime::now()) {
        None => Ok(CheckOutcome::Passed),
        Some(ban) => {
            let why = ban.why.as_deref().map_or(String::new(), |why| format!(" for {why}"));
            let detail = format!("{} is banned until {}{why}", ban.network, ban.until);
            Err(Refusal::new(Reason::BanActive, detail).by("ban"))
        }
    }
}

pub(super) fn ban_passed(cx: &CheckContext<'_>) -> StepText {
    match cx.state().ok().and_then(|state| state.bans().exempting(cx.address)) {
        Some(exempt) => {
            StepText::by(format!("never banned: {exempt} is exempt"), FIREWALL.key("ban.exempt"))
        }
        None => "not banned".to_owned().into(),
    }
}

pub(super) fn check_handshakes(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.found.is_proxy || cx.facts.is_plain {
        return Ok(CheckOutcome::NotApplicable);
    }
    let key = AddressKey::from(cx.address);
    let Err(TooOften { wait, shared }) = cx.state()?.limiters().handshake(key) else {
        return Ok(CheckOutcome::Passed);
    };
    let detail = if shared {
        format!("too many addresses make handshakes to count those of {key} apart")
    } else {
        format!("{key} makes too many handshakes")
    };
    let refusal = Refusal::new(Reason::LimitHandshakes, detail).by("handshakes_per_ip");
    let refusal = refusal.retry_after(wait);
    match cx.policy.limits.mode {
        Mode::Enforce => Err(refusal),
        Mode::Report => Ok(CheckOutcome::Reported(refusal)),
    }
}

pub(super) fn handshakes_passed(cx: &CheckContext<'_>) -> StepText {
    let rate = cx.policy.limits.handshakes_per_ip.map(|rate| rate.of_events());
    let key = AddressKey::from(cx.address);
    rate.map_or("as many handshakes as come".to_owned(), |rate| {
        format!("at most {rate} handshakes of {key}")
    })
    .into()
}

pub(super) fn take_connection(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.found.is_proxy {
        return Ok(CheckOutcome::NotApplicable);
    }
    let key = AddressKey::from(cx.address);
    let refusal = |full| {
        let detail = format!("connections of {key}: {full}");
        let refusal = Refusal::new(Reason::LimitConnections, detail).by("connections_per_ip");
        refusal.retry_after(ANOTHER_ENDS)
    };
    let limits = &cx.policy.limits;
    let enforce = limits.mode == Mode::Enforce;
    let (permit, full) =
        cx.state()?.limiters().connection(key, limits, enforce).map_err(refusal)?;
    cx.found.address_permit = Some(permit);
    Ok(full.map_or(CheckOutcome::Passed, |full| CheckOutcome::Reported(refusal(full))))
}

pub(super) fn connection_passed(cx: &CheckContext<'_>) -> StepText {
    let key = AddressKey::from(cx.address);
    at_most(cx.policy.limits.connections_per_ip, &format!("connections of {key}")).into()
}

/// Adds a step for limits in report mode that refused nothing.
#[expect(clippy::unnecessary_wraps, reason = "the list takes functions of one type")]
pub(super) fn note_report_mode(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    Ok(match cx.policy.limits.mode {
        Mode::Report => CheckOutcome::Passed,
        Mode::Enforce => CheckOutcome::NotApplicable,
    })
}

pub(super) fn report_mode_noted(_: &CheckContext<'_>) -> StepText {
    "the excess is let through and logged: report mode".to_owned().into()
}

/// The text of a numeric limit.
pub(super) fn at_most(most: Option<NonZeroU32>, of: &str) -> String {
    match most {
        Some(most) => format!("at most {most} {of}"),
        None => format!("as many {of} as come"),
    }
}
