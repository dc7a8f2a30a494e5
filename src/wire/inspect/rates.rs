//! Applies rates to a client. The instant is passed in.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{AboveRate, ClientRates};
use super::Verdict;
use super::gcra::Gcra;
use crate::values::{Reason, UserShare, Wait};

/// The rates of one client, and their use so far.
#[derive(Debug)]
pub struct Allowance {
    messages: Option<Gcra>,
    bytes: Option<Gcra>,
    control: Option<Gcra>,
    /// The message rate of the user, which all sessions of the user share.
    user: Option<UserShare>,
    above: AboveRate,
    small_reads: bool,
    /// The rate for which the message in progress is dropped.
    dropping: Option<Reason>,
    /// Counts of report mode; `None`: no rate was exceeded yet.
    reports: Option<Box<Reports>>,
    /// When the bytes that are checked now were read.
    now: Instant,
}

/// Messages, control frames and reads that were above a rate in report mode.
#[derive(Debug, Default)]
struct Reports {
    count: u64,
    /// Reasons that occurred, each once.
    met: Vec<Reason>,
    /// How many of these reasons were reported.
    reported: usize,
}

impl Reports {
    fn note(&mut self, reason: Reason) {
        self.count += 1;
        if !self.met.contains(&reason) {
            self.met.push(reason);
        }
    }
}

impl Allowance {
    /// An allowance with no use so far; `None` if there is no rate.
    #[must_use]
    pub fn new(rates: &ClientRates, user: Option<UserShare>, now: Instant) -> Option<Box<Self>> {
        let ClientRates { messages, bytes, control_frames, above, small_reads } = *rates;
        let own = messages.is_some() || bytes.is_some() || control_frames.is_some();
        if !own && user.is_none() {
            return None;
        }
        Some(Box::new(Self {
            messages: messages.map(Gcra::new),
            bytes: bytes.map(Gcra::new),
            control: control_frames.map(Gcra::new),
            user,
            above,
            small_reads,
            dropping: None,
            reports: None,
            now,
        }))
    }

    /// Takes over the state of `old`. A rate that is the same keeps its use so far, and report counts are
    /// kept.
    pub(in crate::wire) fn inheriting(mut self: Box<Self>, old: &mut Self) -> Box<Self> {
        old.at(self.now);
        self.now = old.now;
        self.dropping = old.dropping;
        self.reports = old.reports.take();
        for (new, old) in [
            (&mut self.messages, &old.messages),
            (&mut self.bytes, &old.bytes),
            (&mut self.control, &old.control),
        ] {
            if let (Some(new), Some(old)) = (new, old) {
                *new = new.inheriting(*old).unwrap_or(*new);
            }
        }
        self
    }

    /// Removes the rates, but keeps the message to drop and the report counts.
    pub(in crate::wire) fn lifted(mut self: Box<Self>) -> Box<Self> {
        (self.messages, self.bytes, self.control, self.user) = (None, None, None, None);
        self.small_reads = false;
        self
    }

    /// Whether the sender is to be read in small pieces.
    pub(in crate::wire) fn wants_small_reads(&self) -> bool {
        self.small_reads
    }

    /// Whether the sender may be paused.
    pub(in crate::wire) fn may_delay(&self) -> bool {
        self.small_reads && self.above == AboveRate::Delay
    }

    /// Whether the allowance must outlive its rates: a message with a dropped beginning must be dropped to
    /// its end, and report counts are kept.
    pub(in crate::wire) fn outlasts_rates(&self) -> bool {
        self.dropping.is_some() || self.reports.is_some()
    }

    /// The next reason of report mode that was not reported yet. Each is reported once a session.
    pub fn take_unreported(&mut self) -> Option<Reason> {
        let reports = self.reports.as_deref_mut()?;
        let reason = reports.met.get(reports.reported).copied()?;
        reports.reported += 1;
        Some(reason)
    }

    /// How often report mode let a message, a control frame or a read through.
    #[must_use]
    pub fn let_through(&self) -> u64 {
        self.reports.as_ref().map_or(0, |reports| reports.count)
    }

    /// Notes that the next bytes were read at `now`, and replenishes the rates.
    pub fn at(&mut self, now: Instant) {
        if now <= self.now {
            return;
        }
        let nanos = u64::try_from((now - self.now).as_nanos()).unwrap_or(u64::MAX);
        // One by one: a loop over options takes three times as many instructions.
        let elapse = |rate: &mut Option<Gcra>| {
            if let Some(rate) = rate {
                rate.elapse(nanos);
            }
        };
        elapse(&mut self.messages);
        elapse(&mut self.bytes);
        elapse(&mut self.control);
        self.now = now;
    }

    /// Charges a message that begins.
    pub(in crate::wire) fn begin(&mut self) -> Verdict {
        let verdict = self.message();
        self.dropping = match verdict {
            Verdict::Drop(reason) => Some(reason),
            _ => None,
        };
        verdict
    }

    /// The rate for which the message in progress is dropped.
    pub(in crate::wire) fn dropping(&self) -> Option<Reason> {
        self.dropping
    }

    fn message(&mut self) -> Verdict {
        let charged = match self.messages.as_ref().map(Gcra::after_one) {
            Some(Err(wait)) => return self.exceeded(Reason::LimitMessages, wait),
            Some(Ok(debt)) => Some(debt),
            None => None,
        };
        let now = self.now.into_std();
        if let Some(Err(Wait(wait))) = self.user.as_ref().map(|user| user.take(now)) {
            return self.exceeded(Reason::LimitUser, wait);
        }
        if let (Some(messages), Some(debt)) = (&mut self.messages, charged) {
            messages.settle(debt);
        }
        Verdict::Pass
    }

    /// Charges a complete ping, or a pong that answers no ping of the gateway. `Wait` applies to the bytes
    /// that follow.
    pub fn control_frame(&mut self) -> Verdict {
        let Some(control) = &mut self.control else {
            return Verdict::Pass;
        };
        let wait = match control.after_one() {
            Ok(debt) => {
                control.settle(debt);
                return Verdict::Pass;
            }
            Err(wait) => wait,
        };
        if self.above == AboveRate::Delay {
            control.take(1);
        }
        self.exceeded(Reason::LimitControl, wait)
    }

    /// Charges bytes that were read. They cannot be stopped any more: those above the rate are a debt.
    pub fn bytes(&mut self, count: u64, now: Instant) -> Verdict {
        self.at(now);
        let Some(bytes) = &mut self.bytes else {
            return Verdict::Pass;
        };
        let wait = match self.above {
            // Bytes in report mode are no debt, in case the rate is enforced later.
            AboveRate::Report => (!bytes.take_within(count)).then_some(Duration::ZERO),
            _ => bytes.take(count),
        };
        wait.map_or(Verdict::Pass, |wait| self.exceeded(Reason::LimitBytes, wait))
    }

    #[cold]
    fn exceeded(&mut self, reason: Reason, wait: Duration) -> Verdict {
        match self.above {
            AboveRate::Report => {
                self.reports.get_or_insert_default().note(reason);
                Verdict::Pass
            }
            AboveRate::Close => Verdict::Refuse(reason),
            AboveRate::Delay => Verdict::Wait(self.now + wait),
            AboveRate::Drop => Verdict::Drop(reason),
        }
    }
}
