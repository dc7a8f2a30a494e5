//! Remembers which upstreams failed, so that the next connection does not wait for them again. Two kinds of evidence
//! mark an upstream as down: failed attempts of clients, and failures of its active check. Each mark goes with
//! evidence of its own kind; an upstream is up when it has neither. No clock and no randomness of its own: instants
//! and dice are passed in.

mod checked;
mod doubt;
mod report;
mod standing;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::HealthCheck;
use crate::values::AddressKey;
pub(super) use checked::{CheckFault, ShownCheck};
use checked::{Checked, Crossed};
use doubt::Doubt;
pub(super) use report::Change;
use report::ReportState;
pub(super) use standing::{Member, Standing, can_take_over, ejected};

/// How long an upstream rests after its first failure; doubled with each further one.
const FIRST_REST: Duration = Duration::from_secs(2);
/// The longest rest, before its jitter.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The health of one upstream. Shared by all routes that name it with the same TLS settings and the same check, and
/// by the configurations before and after a reload.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    /// The last answer to a handshake.
    answered: Option<Instant>,
    doubt: Doubt,
    /// The mark by failed attempts of clients.
    down: Option<Down>,
    /// The results of its active check; `None`: it has none.
    check: Option<Checked>,
    /// The present time without a working upstream, by either mark.
    outage: Option<Outage>,
    /// When it came up, or was added, while others may have served. `None`: it was there from the start.
    came_up: Option<Instant>,
    report: ReportState,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    failures: u32,
    /// When it is tried again.
    due: Instant,
    /// Until then a connection has claimed it, and is the only one to try it.
    claimed: Option<Instant>,
    cause: Cause,
    error: String,
}

/// The last failure that marked an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// There was no connection. A check that connects disproves it.
    Unconnected,
    /// There was no answer in time.
    Unanswered,
    /// [`Failed::Doubtful`]. No connection can claim the upstream then, or the client that causes the failures
    /// could be the one that tries it each time.
    Doubtful,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    failures: u32,
}

/// How certain it is that a failed attempt is the upstream's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// There was no connection. Marks it as down at once.
    Unconnected,
    /// There was no answer in the time that a client without delay leaves. Marks it as down at once.
    Unanswered,
    /// After the request was sent, the connection ended or bytes arrived that are not HTTP: the request of
    /// this client may be the cause.
    Doubtful(AddressKey),
}

/// Whether an upstream is to be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes, in its place in the order.
    Now,
    /// Only if no other upstream answers.
    Later(Later),
}

/// When an upstream that is down is tried. Those that may work come first, then those that would be tried again first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Later {
    /// Whether it is [`Standing::Failing`].
    pub(super) is_failing: bool,
    /// When its rest ends, or later if only its check can end it.
    pub(super) due: Instant,
}

/// An upstream as `status` shows it. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShownUpstream {
    /// `untried`, `up` or `down`.
    pub(crate) state: &'static str,
    /// How long it has been down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) down_seconds: Option<u64>,
    /// Failures since it was last up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failures: Option<u32>,
    /// When it is tried again even if others are up; absent where only its check can bring it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_seconds: Option<u64>,
    /// Its last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Its active check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<ShownCheck>,
}

impl Health {
    /// The health of an upstream with this check. `added` is the time at which it was added to others that were
    /// there before.
    pub(super) fn new(check: Option<&HealthCheck>, added: Option<Instant>) -> Self {
        let check = check.map(Checked::new);
        Self(Mutex::new(HealthState { check, came_up: added, ..HealthState::default() }))
    }

    /// When the upstream is to be tried if it is passed over at `now`, as [`Health::turn`] says; claims nothing.
    pub(super) fn rests(&self, now: Instant, is_kept: bool) -> Option<Later> {
        self.locked().rests(now, is_kept)
    }

    /// Whether to try the upstream at `now`. After a rest only one connection gets [`Turn::Now`], until it
    /// reports its outcome, or until `claim` at the latest. One that is not [`ejected`] `is_kept` in its place
    /// although it is doubted.
    pub(super) fn turn(&self, now: Instant, claim: Instant, is_kept: bool) -> Turn {
        let mut state = self.locked();
        if let Some(later) = state.rests(now, is_kept) {
            return Turn::Later(later);
        }
        if let Some(down) = &mut state.down
            && down.cause != Cause::Doubtful
        {
            down.claimed = Some(claim);
        }
        Turn::Now
    }

    /// What is known against it.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.locked().standing(now)
    }

    /// Whether its active check marks it as down.
    pub(super) fn is_checked_down(&self) -> bool {
        self.locked().checked_down_since().is_some()
    }

    /// When it came up, or was added, while others may have served.
    pub(super) fn came_up(&self) -> Option<Instant> {
        self.locked().came_up
    }

    /// Notes that an attempt which began at `began` failed at `now`. `dice` is a random number for the
    /// jitter. An attempt that is older than the upstream's last answer, or that began during its rest, is
    /// no news: it neither marks the upstream as down nor lengthens its rest. A [`Failed::Doubtful`] marks
    /// it only as [`Doubt`] decides, and its rest does not grow.
    pub(super) fn failed(
        &self,
        began: Instant,
        now: Instant,
        dice: u32,
        failed: Failed,
        error: &str,
    ) -> Option<Change> {
        let mut state = self.locked();
        if state.answered.is_some_and(|answered| answered >= began) {
            return None;
        }
        let HealthState { doubt, down, .. } = &mut *state;
        if down.as_ref().is_none_or(|down| began >= down.due) {
            let cause = match failed {
                Failed::Unconnected => Cause::Unconnected,
                Failed::Unanswered => Cause::Unanswered,
                Failed::Doubtful(client) => {
                    if !doubt.add(client, now) {
                        // It accepts connections: from now on any connection may try it.
                        if let Some(down) = down {
                            (down.cause, down.claimed) = (Cause::Doubtful, None);
                        }
                        return state.report_down(now);
                    }
                    Cause::Doubtful
                }
            };
            doubt.clear();
            let failures = down.as_ref().map_or(0, |down| down.failures).saturating_add(1);
            let doublings = if cause == Cause::Doubtful { 1 } else { failures };
            *down = Some(Down {
                since: down.as_ref().map_or(now, |down| down.since),
                failures,
                due: now + rest(doublings, dice),
                claimed: None,
                cause,
                error: error.to_owned(),
            });
            if let Some(check) = &mut state.check {
                check.restart();
            }
            state.add_failures(1, now);
        }
        state.report_down(now)
    }

    /// Notes that it answered a handshake, with any status.
    pub(super) fn answered(&self, now: Instant) -> Option<Change> {
        let mut state = self.locked();
        state.answered = Some(now);
        state.doubt.clear();
        state.down = None;
        state.report_up(now)
    }

    /// Notes the result of its active check. Passes in a row clear the mark of the check, and the mark of failed
    /// connections; they say nothing about handshakes without an answer.
    pub(super) fn checked(&self, now: Instant, fault: Option<CheckFault>) -> Option<Change> {
        let mut state = self.locked();
        let failed = fault.is_some();
        let check = state.check.as_mut()?;
        let was_down = check.down_since().is_some();
        match check.add(now, fault) {
            Crossed::Up => {
                state.down.take_if(|down| down.cause == Cause::Unconnected);
                state.report_up(now)
            }
            Crossed::Down(failures) => {
                state.add_failures(failures, now);
                state.report_down(now)
            }
            Crossed::Nothing if failed && was_down => {
                state.add_failures(1, now);
                state.report_down(now)
            }
            Crossed::Nothing => None,
        }
    }

    pub(super) fn shown(&self, now: Instant) -> ShownUpstream {
        let state = self.locked();
        let health = state.check.as_ref().map(|check| check.shown(now));
        let Some(outage) = &state.outage else {
            let is_known =
                state.answered.is_some() || state.check.as_ref().is_some_and(Checked::has_passed);
            return ShownUpstream {
                state: if is_known { "up" } else { "untried" },
                down_seconds: None,
                failures: None,
                retry_seconds: None,
                error: None,
                health,
            };
        };
        let by_check = state.checked_down_since().is_some();
        let by_clients = state.down.as_ref().filter(|_| !by_check);
        let fault = state.check.as_ref().and_then(Checked::fault).filter(|_| by_check);
        let error = by_clients.map(|down| &down.error).or(fault.map(|fault| &fault.detail));
        ShownUpstream {
            state: "down",
            down_seconds: Some(now.saturating_duration_since(outage.since).as_secs()),
            failures: Some(outage.failures),
            retry_seconds: by_clients.map(|down| down.due.saturating_duration_since(now).as_secs()),
            error: error.cloned(),
            health,
        }
    }

    fn locked(&self) -> MutexGuard<'_, HealthState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HealthState {
    fn rests(&self, now: Instant, is_kept: bool) -> Option<Later> {
        if self.checked_down_since().is_some() && !is_kept {
            let is_failing = self.standing(now) == Standing::Failing;
            return Some(Later { is_failing, due: now + LONGEST_REST });
        }
        let down = self.down.as_ref()?;
        let due = down.due.max(down.claimed.unwrap_or(down.due));
        let is_failing = down.cause != Cause::Doubtful;
        (now < due && (is_failing || !is_kept)).then_some(Later { is_failing, due })
    }

    /// Since when the active check marks it as down.
    fn checked_down_since(&self) -> Option<Instant> {
        self.check.as_ref()?.down_since()
    }

    fn standing(&self, now: Instant) -> Standing {
        let by_check = self.check.as_ref().and_then(Checked::standing);
        let by_clients = self.down.as_ref().and_then(|down| match down.cause {
            Cause::Unconnected | Cause::Unanswered if now < down.due => Some(Standing::Failing),
            // It is tried again: the failure is old.
            Cause::Unconnected | Cause::Unanswered => Some(Standing::Doubted(down.since)),
            Cause::Doubtful => (now < down.due).then_some(Standing::Doubted(down.since)),
        });
        by_clients.max(by_check).unwrap_or(Standing::Up)
    }

    /// Notes failures that marked it as down, or that came while it was down.
    fn add_failures(&mut self, count: u32, now: Instant) {
        if self.outage.is_none() {
            self.report.went_down();
        }
        let outage = self.outage.get_or_insert(Outage { since: now, failures: 0 });
        outage.failures = outage.failures.saturating_add(count);
    }

    fn report_down(&mut self, now: Instant) -> Option<Change> {
        self.outage.as_ref()?;
        let by_check = self.checked_down_since().is_some();
        let down = self.down.as_ref().filter(|_| !by_check);
        self.report.down(down.map(|down| down.due.saturating_duration_since(now)), now)
    }

    /// Ends the outage if no mark is left.
    fn report_up(&mut self, now: Instant) -> Option<Change> {
        if self.down.is_some() || self.checked_down_since().is_some() {
            return None;
        }
        let Outage { since, failures } = self.outage.take()?;
        self.came_up = Some(now);
        let up = Change::Up { after: now.saturating_duration_since(since), failures };
        self.report.up().then_some(up)
    }
}

/// How long it rests after so many failures: doubled each time up to [`LONGEST_REST`], with a jitter of
/// three quarters to five quarters, so that not all gateways return at once.
fn rest(failures: u32, dice: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let whole = (FIRST_REST * 2_u32.pow(doublings)).min(LONGEST_REST);
    whole * (192 + dice % 129) / 256
}

#[cfg(test)]
mod tests;
