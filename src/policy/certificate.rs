//! The client certificate: rustls verifies it in the TLS handshake, and a reload checks it again.

use std::time::SystemTime;

use super::Table;
use super::checks::{CheckOutcome, StepText};
use super::context::{CheckContext, missing};
use crate::tls::{CertificateNames, ClientCertificate};
use crate::values::Refusal;

/// A client certificate, or its absence.
#[derive(Debug, Clone)]
pub enum ShownCertificate<'a> {
    /// The result of the check in the TLS handshake; `None`: the gateway requests no certificate.
    Examined(Result<Option<CertificateNames>, Refusal>),
    /// The client has no certificate although one is required: the TLS handshake fails.
    Missing,
    /// The certificate of an open session, if the client presented one.
    Kept(Option<&'a ClientCertificate>),
}

pub(super) fn check(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    match &cx.facts.certificate {
        Some(ShownCertificate::Examined(Err(refusal))) => Err(refusal.clone()),
        Some(ShownCertificate::Examined(Ok(_)) | ShownCertificate::Missing) => {
            Ok(CheckOutcome::Passed)
        }
        Some(ShownCertificate::Kept(_)) | None => Err(missing()),
    }
}

pub(super) fn recheck(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    match cx.facts.certificate {
        Some(ShownCertificate::Kept(certificate)) => {
            cx.policy.certificates.review(certificate, SystemTime::now())?;
            Ok(CheckOutcome::Passed)
        }
        _ => Err(missing()),
    }
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    let asked_by = Table::Only("tls").key("client_auth");
    match &cx.facts.certificate {
        Some(ShownCertificate::Examined(Ok(Some(names)))) => format!("verified: {names}").into(),
        Some(ShownCertificate::Missing) => {
            StepText::by("one is required: without --client-cert the TLS handshake fails", asked_by)
        }
        _ => StepText::by("none is asked for", asked_by),
    }
}
