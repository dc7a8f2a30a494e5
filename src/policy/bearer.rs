//! The checks of a client's token: signature, claims, revocation.

use std::time::SystemTime;

use super::checks::{CheckOutcome, StepText, Waiting};
use super::context::{CheckContext, missing};
use super::review::SessionAuthentication;
use super::token::choose;
use super::{Authentication, ShownToken, Table};
use crate::values::{Offence, Principal, Reason, Refusal, RequestKind, TokenPlace, UnixTime};

/// Pauses admission if the token comes in the first message.
pub(super) fn await_message(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let kind = cx.handshake()?.kind();
    match cx.issuers()? {
        Some(issuers)
            if kind == RequestKind::WebSocket
                && issuers.first().token_from.iter().any(TokenPlace::is_in_message) =>
        {
            cx.found.authentication = Some(Authentication::Awaited(issuers.clone()));
            Ok(CheckOutcome::Passed)
        }
        _ => Ok(CheckOutcome::NotApplicable),
    }
}

pub(super) fn message_awaited(_: &CheckContext<'_>) -> StepText {
    "awaited in the first message".to_owned().into()
}

/// Verifies the token. An invalid token is an offence unless a foreign page may have sent it.
pub(super) fn authenticate<'c>(cx: &'c mut CheckContext<'_>) -> Waiting<'c> {
    Box::pin(async move {
        let Some(issuers) = cx.issuers()? else {
            cx.found.authentication = Some(Authentication::Anonymous);
            return Ok(CheckOutcome::Passed);
        };
        let credential = cx.found.credential.take();
        let shown = match (cx.facts.shown, &credential) {
            (Some(shown), _) => shown,
            (None, Some(credential)) => ShownToken {
                token: credential.token()?,
                place: &credential.place,
                context: cx.found.request.ok_or_else(missing)?,
            },
            (None, None) => {
                let detail = "none of the places of token_from holds a token";
                return Err(Refusal::new(Reason::TokenMissing, detail).by("token_from"));
            }
        };
        let offence = |refusal: Refusal| match refusal.reason {
            Reason::TokenInvalid => refusal.as_offence(Offence::token(shown.place, shown.context)),
            _ => refusal,
        };
        let issuer = choose(issuers, shown.token).map_err(offence)?;
        cx.found.issuer = Some(issuer);
        let verifier = cx.policy.verifiers.get(&issuer.name).ok_or_else(|| {
            let detail = format!("there is no jwt.{} any more", issuer.name);
            Refusal::new(Reason::TokenInvalid, detail)
        })?;
        let authenticated = verifier.authenticate(shown.token, SystemTime::now()).await;
        cx.found.authenticated = Some(authenticated.map_err(offence)?);
        Ok(CheckOutcome::Passed)
    })
}

pub(super) fn authenticated(cx: &CheckContext<'_>) -> StepText {
    match (&cx.found.authenticated, cx.found.issuer) {
        (Some(authenticated), Some(issuer)) => {
            let Principal { user, expires, .. } = authenticated.principal();
            let until = UnixTime::from(*expires);
            let text = format!("verified: of {}, until {until} with the leeway", user.user());
            StepText::by(text, Table::Issuer(&issuer.name).key(issuer.key.key()))
        }
        _ => StepText::by(
            "none is wanted",
            cx.table(super::checks::ConfigSection::Route).key("auth"),
        ),
    }
}

pub(super) fn authorize(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let Some(authenticated) = cx.found.authenticated.take() else {
        return Ok(CheckOutcome::NotApplicable);
    };
    cx.found.authentication = Some(Authentication::Identified(authenticated.authorize()?));
    Ok(CheckOutcome::Passed)
}

pub(super) fn authorized(cx: &CheckContext<'_>) -> StepText {
    let required = cx.found.issuer.map_or(&[][..], |issuer| &issuer.require);
    let names: Vec<&str> = required.iter().map(|require| require.claim.as_str()).collect();
    if names.is_empty() {
        return "none is required".to_owned().into();
    }
    format!("as required: {}", names.join(", ")).into()
}

pub(super) fn check_revocation(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let Some(Authentication::Identified(token)) = &cx.found.authentication else {
        return Ok(CheckOutcome::NotApplicable);
    };
    if cx.policy.revocations.revokes(token.principal(), UnixTime::now()) {
        let detail = "the token or its user was revoked";
        return Err(Refusal::new(Reason::TokenRevoked, detail).by("revocations"));
    }
    Ok(CheckOutcome::Passed)
}

pub(super) fn revocation_passed(_: &CheckContext<'_>) -> StepText {
    "neither the user nor the token is revoked".to_owned().into()
}

/// Checks that the route still accepts tokens of the issuer that verified the session's token.
pub(super) fn recheck_issuer(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let Some(issuers) = cx.issuers()? else {
        return Ok(CheckOutcome::Passed);
    };
    match cx.facts.kept.ok_or_else(missing)? {
        SessionAuthentication::Awaited => Ok(CheckOutcome::Passed),
        SessionAuthentication::Identified { issuer, .. } => {
            cx.found.issuer = Some(issuers.named(issuer).ok_or_else(other_issuer)?);
            Ok(CheckOutcome::Passed)
        }
        SessionAuthentication::Anonymous => Err(other_issuer()),
    }
}

/// Checks the claims of the session's token by the current rules of its issuer.
pub(super) fn recheck_claims(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    match (cx.found.issuer, cx.facts.kept) {
        (Some(issuer), Some(SessionAuthentication::Identified { claims, .. })) => {
            let verifier = cx.policy.verifiers.get(&issuer.name).ok_or_else(other_issuer)?;
            verifier.review(&claims.read())?;
            Ok(CheckOutcome::Passed)
        }
        _ => Ok(CheckOutcome::NotApplicable),
    }
}

fn other_issuer() -> Refusal {
    Refusal::new(Reason::TokenInvalid, "its route asks for a token of another issuer now")
}
