//! The results of the active check of one server, and the thresholds at which they mark it. Pure: instants are
//! passed in.

use std::time::Instant;

use serde::Serialize;

use super::standing::Standing;
use crate::config::HealthCheck;

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway::upstream) struct CheckFault {
    /// Whether there was a connection, TLS included. Without one no client gets one either.
    pub(in crate::gateway::upstream) connected: bool,
    /// For the log.
    pub(in crate::gateway::upstream) detail: String,
}

/// The results of a server's check.
#[derive(Debug)]
pub(super) struct Checked {
    name: &'static str,
    down_after: u32,
    up_after: u32,
    /// Passes, or failures, in a row.
    row: u32,
    last: Option<LastResult>,
    /// Whether a check has ever passed.
    has_passed: bool,
    /// Since when it marks the server as down.
    down: Option<Instant>,
}

#[derive(Debug)]
struct LastResult {
    /// The first of the results in a row.
    since: Instant,
    fault: Option<CheckFault>,
}

/// The effect of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crossed {
    /// None.
    Nothing,
    /// So many failures in a row marked the server as down just now.
    Down(u32),
    /// There were enough passes in a row: nothing that a check can see is wrong.
    Up,
}

/// A check as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShownCheck {
    /// `tcp`, `http` or `websocket`.
    pub(crate) check: &'static str,
    /// `pending` before the first result, then `passed` or `failed`.
    pub(crate) result: &'static str,
    /// Since when that is the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u64>,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Checked {
    pub(super) fn new(check: &HealthCheck) -> Self {
        let HealthCheck { kind, down_after, up_after, .. } = check;
        Self {
            name: kind.name(),
            down_after: *down_after,
            up_after: *up_after,
            row: 0,
            last: None,
            has_passed: false,
            down: None,
        }
    }

    /// Since when the check marks the server as down.
    pub(super) fn down_since(&self) -> Option<Instant> {
        self.down
    }

    /// What the check has against the server while it marks it.
    pub(super) fn standing(&self) -> Option<Standing> {
        let since = self.down?;
        let fails = self.fault().is_some_and(|fault| !fault.connected);
        Some(if fails { Standing::Failing } else { Standing::Doubted(since) })
    }

    /// Whether a check has ever passed.
    pub(super) fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// The last result, if it is a failure.
    pub(super) fn fault(&self) -> Option<&CheckFault> {
        self.last.as_ref()?.fault.as_ref()
    }

    /// Adds a result.
    pub(super) fn add(&mut self, now: Instant, fault: Option<CheckFault>) -> Crossed {
        let failed = fault.is_some();
        self.has_passed |= !failed;
        match &mut self.last {
            Some(last) if last.fault.is_some() == failed => {
                self.row = self.row.saturating_add(1);
                last.fault = fault;
            }
            last => {
                self.row = 1;
                *last = Some(LastResult { since: now, fault });
            }
        }
        if failed && self.down.is_none() && self.row >= self.down_after {
            self.down = Some(now);
            return Crossed::Down(self.row);
        }
        if !failed && self.row >= self.up_after {
            self.down = None;
            return Crossed::Up;
        }
        Crossed::Nothing
    }

    /// Begins to count passes anew: a client could not connect.
    pub(super) fn restart(&mut self) {
        if self.fault().is_none() {
            self.row = 0;
        }
    }

    pub(super) fn shown(&self, now: Instant) -> ShownCheck {
        let result = match &self.last {
            None => "pending",
            Some(LastResult { fault: None, .. }) => "passed",
            Some(LastResult { fault: Some(_), .. }) => "failed",
        };
        let seconds =
            self.last.as_ref().map(|last| now.saturating_duration_since(last.since).as_secs());
        let error = self.fault().map(|fault| fault.detail.clone());
        ShownCheck { check: self.name, result, seconds, error }
    }
}
