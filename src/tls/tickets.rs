//! Session tickets (RFC 5077, RFC 8446 section 4.6.1) that tolerate a clock before 1970.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::server::ProducesTickets;

use crate::values::clock_is_sound;

/// The session tickets of rustls. Its key rotation panics while the clock is before 1970, so no ticket
/// is created or read until the clock is set.
#[derive(Debug, Default)]
pub(super) struct Tickets(OnceLock<Option<Arc<dyn ProducesTickets>>>);

impl Tickets {
    fn inner(&self) -> Option<&Arc<dyn ProducesTickets>> {
        if !clock_is_sound() {
            return None;
        }
        // If the system has no randomness for a key, there are no tickets, and TLS itself fails.
        self.0.get_or_init(|| aws_lc_rs::Ticketer::new().ok()).as_ref()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.inner().is_some_and(|inner| inner.enabled())
    }

    fn lifetime(&self) -> u32 {
        self.inner().map_or(0, |inner| inner.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.inner()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.inner()?.decrypt(cipher)
    }
}
