//! Which changes of a server's health the log gets.

use std::time::{Duration, Instant};

/// The log gets at most one [`Change::Down`] in that time, and one [`Change::Up`] after each.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A change for the log, at most one pair every [`REPORT_INTERVAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway::upstream) enum Change {
    /// It is down, and rests for `rest`; `None`: until its check passes. It went down `unlogged` times before
    /// without a log record.
    Down { rest: Option<Duration>, unlogged: u32 },
    /// It is up again, after this time and this many failures.
    Up { after: Duration, failures: u32 },
}

/// The changes that were logged.
#[derive(Debug, Default)]
pub(super) struct ReportState {
    /// When the last [`Change::Down`] was logged.
    at: Option<Instant>,
    /// Whether no [`Change::Up`] was logged after it.
    down: bool,
    /// How many times it went down since then without a log record.
    unlogged: u32,
}

impl ReportState {
    /// Notes that the server went down.
    pub(super) fn went_down(&mut self) {
        self.unlogged = self.unlogged.saturating_add(1);
    }

    /// The change to log at `now` for a server that is down: none if it was logged, or if the last one was
    /// logged less than [`REPORT_INTERVAL`] ago.
    pub(super) fn down(&mut self, rest: Option<Duration>, now: Instant) -> Option<Change> {
        let recent = |at| now.saturating_duration_since(at) < REPORT_INTERVAL;
        if self.down || self.at.is_some_and(recent) {
            return None;
        }
        // This time is counted in `unlogged`, and is logged now.
        let unlogged = self.unlogged.saturating_sub(1);
        *self = Self { at: Some(now), down: true, unlogged: 0 };
        Some(Change::Down { rest, unlogged })
    }

    /// Whether to log that the server is up: the log says that it is down.
    pub(super) fn up(&mut self) -> bool {
        std::mem::take(&mut self.down)
    }
}
