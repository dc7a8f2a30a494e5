//! What a session is held to, and how it learns that this changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Route;
use crate::values::UserShare;

/// What a session is held to.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its route: sizes, times and rates.
    pub route: Arc<Route>,
    /// What it shares with the other sessions of its user, where those have a rate.
    pub user: Option<UserShare>,
}

/// New terms for a session that runs. It takes them when it runs next: wake it.
#[derive(Debug, Default)]
pub struct Amendments {
    /// Set together with the terms, so that a look costs no lock.
    pending: AtomicBool,
    terms: Mutex<Option<Box<Terms>>>,
}

impl Amendments {
    /// The session is held to `terms` from its next look on.
    pub fn amend(&self, terms: Terms) {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(terms));
        self.pending.store(true, Ordering::Release);
    }

    /// Takes back what the session did not look at yet.
    pub(crate) fn withdraw(&self) {
        drop(self.take());
    }

    /// The newest terms since the last look, if there are any.
    pub(super) fn take(&self) -> Option<Box<Terms>> {
        if !self.pending.load(Ordering::Acquire) {
            return None;
        }
        self.pending.store(false, Ordering::Release);
        self.terms.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
