//! The start of a request on a connection, and the start of its session.

use super::AddressAdmission;
use super::checks::CheckOutcome;
use super::context::{CheckContext, missing};
use crate::config::Compression;
use crate::values::{AddressKey, Reason, Refusal};

/// The capacity of the gateway for one more session.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Whether `max_connections` is reached.
    pub full: bool,
    /// Whether the gateway is shutting down.
    pub stopping: bool,
}

/// The proof that one request may be checked. Only [`super::Checks::admit_exchange`] creates one.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeAdmission<'a> {
    address: &'a AddressAdmission,
}

impl<'a> ExchangeAdmission<'a> {
    pub(super) fn new(address: &'a AddressAdmission) -> Self {
        Self { address }
    }

    /// The address that the request counts for; `None`: a trusted proxy that names no client.
    #[must_use]
    pub fn counted_address(self) -> Option<AddressKey> {
        self.address.counted()
    }
}

pub(super) fn check_capacity(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.facts.room.ok_or_else(missing)?.full {
        return Err(Refusal::new(Reason::Capacity, "max_connections is reached"));
    }
    Ok(CheckOutcome::Passed)
}

pub(super) fn check_shutdown(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    if cx.facts.room.ok_or_else(missing)?.stopping {
        return Err(Refusal::new(Reason::Shutdown, "the gateway stops"));
    }
    Ok(CheckOutcome::Passed)
}

/// Reads the client's compression offers if the route accepts compression. A session that awaits its
/// token gets its 101 without compression.
pub(super) fn read_offers(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let inspects = cx.route()?.websocket.compression == Compression::Inspect;
    match &mut cx.facts.opening {
        Some(request) if inspects => {
            request.read_offers()?;
            Ok(CheckOutcome::Passed)
        }
        _ => Ok(CheckOutcome::NotApplicable),
    }
}
