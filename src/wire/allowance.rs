//! What a client may still send within its rates. Pure: the instant is passed in.

use tokio::time::Instant;

use super::gcra::Gcra;
use super::{AboveRate, ClientRates, Event};
use crate::values::{Reason, UserShare, Wait};

/// The rates of one client, and how much of them it has used.
#[derive(Debug)]
pub struct Allowance {
    messages: Option<Gcra>,
    bytes: Option<Gcra>,
    control: Option<Gcra>,
    /// Of all sessions of the user.
    user: Option<UserShare>,
    above: AboveRate,
    small_reads: bool,
    /// The message in progress is not passed on: it is above this rate.
    dropping: Option<Reason>,
    /// What was above its rate and let through, in report mode; `None`: nothing yet.
    reports: Option<Box<Reports>>,
    /// When what is judged now was read.
    now: Instant,
}

/// What report mode let through.
#[derive(Debug, Default)]
struct Reports {
    count: u64,
    /// Reasons that were met, each once, and how many of them were told.
    met: Vec<Reason>,
    told: usize,
}

impl Reports {
    fn note(&mut self, reason: Reason) {
        self.count += 1;
        if !self.met.contains(&reason) {
            self.met.push(reason);
        }
    }
}

/// What becomes of a frame, or of bytes, as far as rates go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Within the rate, or let through in report mode.
    Pass,
    /// Not before this instant.
    Wait(Instant),
    /// Not passed on: above this rate.
    Drop(Reason),
    /// The session is to be closed.
    Refuse(Reason),
}

impl Ruling {
    /// What the caller of the gate has to act on; that a message passes, or is dropped once it is
    /// whole, is nothing.
    pub(crate) fn event(self) -> Option<Event> {
        match self {
            Self::Pass | Self::Drop(_) => None,
            Self::Wait(until) => Some(Event::Wait(until)),
            Self::Refuse(reason) => Some(Event::Exceeded(reason)),
        }
    }
}

impl Allowance {
    /// An allowance of which nothing is used; `None` where there is no rate.
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

    /// The rates of other limits. What was used of a rate that is the same stays used, and what was
    /// let through stays counted.
    pub(crate) fn inheriting(mut self: Box<Self>, old: &mut Self) -> Box<Self> {
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

    /// No rates any more.
    pub(crate) fn lifted(mut self: Box<Self>) -> Box<Self> {
        (self.messages, self.bytes, self.control, self.user) = (None, None, None, None);
        self.small_reads = false;
        self
    }

    /// Whether the sender is to be read a little at a time.
    pub(crate) fn wants_small_reads(&self) -> bool {
        self.small_reads
    }

    /// Whether the sender may be paused.
    pub(crate) fn may_delay(&self) -> bool {
        self.small_reads && self.above == AboveRate::Delay
    }

    /// Whether there is something to remember without rates: that the rest of a message whose
    /// beginning was dropped must be dropped too, or what was let through.
    pub(crate) fn outlasts_rates(&self) -> bool {
        self.dropping.is_some() || self.reports.is_some()
    }

    /// The next reason for which something was let through in report mode and that was not told
    /// yet: each is told once a session.
    pub(crate) fn untold(&mut self) -> Option<Reason> {
        let reports = self.reports.as_deref_mut()?;
        let reason = reports.met.get(reports.told).copied()?;
        reports.told += 1;
        Some(reason)
    }

    /// How often something was let through in report mode.
    #[must_use]
    pub fn let_through(&self) -> u64 {
        self.reports.as_ref().map_or(0, |reports| reports.count)
    }

    /// What is judged from now on was read at `now`.
    pub(crate) fn at(&mut self, now: Instant) {
        self.now = now;
    }

    /// A message begins: its first data frame.
    pub(crate) fn begin(&mut self) -> Ruling {
        let ruling = self.message();
        self.dropping = match ruling {
            Ruling::Drop(reason) => Some(reason),
            _ => None,
        };
        ruling
    }

    /// The rate that the message in progress is above, so that it is not passed on.
    pub(crate) fn dropping(&self) -> Option<Reason> {
        self.dropping
    }

    fn message(&mut self) -> Ruling {
        let now = self.now;
        let ready = self.messages.as_ref().map_or(now, |messages| messages.ready(now));
        if ready > now {
            return self.exceeded(Reason::LimitMessages, ready);
        }
        if let Some(Err(Wait(wait))) = self.user.as_ref().map(|user| user.take(now.into_std())) {
            return self.exceeded(Reason::LimitUser, now + wait);
        }
        if let Some(messages) = &mut self.messages {
            messages.take(1, now);
        }
        Ruling::Pass
    }

    /// A ping or a pong of the client's own is whole. Where it has to wait, what follows it does.
    pub(crate) fn control_frame(&mut self) -> Ruling {
        let now = self.now;
        let Some(control) = &mut self.control else {
            return Ruling::Pass;
        };
        let ready = control.ready(now);
        if ready <= now || self.above == AboveRate::Delay {
            control.take(1, now);
        }
        if ready <= now { Ruling::Pass } else { self.exceeded(Reason::LimitControl, ready) }
    }

    /// So many bytes were read. They are gone: what is too much is a debt.
    pub(crate) fn bytes(&mut self, count: u64, now: Instant) -> Ruling {
        self.now = now;
        let Some(bytes) = &mut self.bytes else {
            return Ruling::Pass;
        };
        let until = match self.above {
            // Reported bytes are no debt, should the rate be enforced one day.
            AboveRate::Report => (!bytes.take_within(count, now)).then_some(now),
            _ => bytes.take(count, now),
        };
        until.map_or(Ruling::Pass, |until| self.exceeded(Reason::LimitBytes, until))
    }

    fn exceeded(&mut self, reason: Reason, until: Instant) -> Ruling {
        match self.above {
            AboveRate::Report => {
                self.reports.get_or_insert_default().note(reason);
                Ruling::Pass
            }
            AboveRate::Close => Ruling::Refuse(reason),
            AboveRate::Delay => Ruling::Wait(until),
            AboveRate::Drop => Ruling::Drop(reason),
        }
    }
}
