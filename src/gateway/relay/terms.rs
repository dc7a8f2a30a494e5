//! The terms of a session, and the slot through which it gets new ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Route;
use crate::values::UserShare;

/// The settings that apply to a session.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its route: sizes, times and rates.
    pub route: Arc<Route>,
    /// Its share of the user's rate, if there is one.
    pub user: Option<UserShare>,
}

/// New terms for a running session. It takes them when it is next polled: wake it.
#[derive(Debug, Default)]
pub struct Amendments {
    /// Set together with the terms, so that a check takes no lock.
    pending: AtomicBool,
    terms: Mutex<Option<Box<Terms>>>,
}

impl Amendments {
    /// Stores `terms` until the session takes them.
    pub fn amend(&self, terms: Terms) {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(terms));
        self.pending.store(true, Ordering::Release);
    }

    /// Takes back terms that the session has not taken yet.
    pub(crate) fn withdraw(&self) {
        drop(self.take());
    }

    /// Takes the newest terms, if there are any.
    pub(super) fn take(&self) -> Option<Box<Terms>> {
        if !self.pending.load(Ordering::Acquire) {
            return None;
        }
        self.pending.store(false, Ordering::Release);
        self.terms.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
