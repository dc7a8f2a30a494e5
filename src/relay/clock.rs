//! The deadlines of a session while frames go both ways. No timer in here: an instant in, what is
//! due out.

use std::time::Duration;

use tokio::time::Instant;

use super::Endpoint;
use super::gate::Gate;
use super::lease::Expiry;
use super::side::Side;
use crate::config::WebSocket;

/// When the message and the control frame that an end is sending began. Costs a pointer while it
/// sends none.
#[derive(Debug, Default)]
pub(super) struct FrameClock(Option<Box<InProgress>>);

#[derive(Debug, Default)]
struct InProgress {
    message: Option<Begun>,
    control: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    serial: u64,
    at: Instant,
}

impl FrameClock {
    /// Notes what is in progress after bytes were judged at `now`.
    pub(super) fn note(&mut self, gate: &Gate, now: Instant) {
        let (message, control) = (gate.message_begun(), gate.control_begun());
        if message.is_none() && control.is_none() {
            self.0 = None;
            return;
        }
        let begun = self.0.get_or_insert_default();
        note(&mut begun.message, message, now);
        note(&mut begun.control, control, now);
    }

    /// Leaves out a time in which the end was not read from, because the other took nothing.
    pub(super) fn leave_out(&mut self, pause: Duration) {
        if let Some(InProgress { message, control }) = self.0.as_deref_mut() {
            for begun in [message, control].into_iter().flatten() {
                begun.at += pause;
            }
        }
    }

    fn earliest(&self) -> Option<Instant> {
        let InProgress { message, control } = self.0.as_deref()?;
        [message, control].into_iter().flatten().map(|begun| begun.at).min()
    }
}

fn note(clock: &mut Option<Begun>, serial: Option<u64>, now: Instant) {
    *clock = match (*clock, serial) {
        (Some(begun), Some(serial)) if begun.serial == serial => Some(begun),
        (_, serial) => serial.map(|serial| Begun { serial, at: now }),
    };
}

/// The deadlines of `[websocket]`.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// Of the session's token.
    pub(super) expiry: Expiry,
    next_ping: Option<Instant>,
    last_activity: Instant,
    activity: u64,
}

/// What a deadline that passed asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Lifetime,
    /// The token may have expired.
    Expiry,
    Idle,
    Ping,
    /// A message or a control frame of this end took too long.
    Message(Endpoint),
    /// This end took nothing of what was sent to it for too long.
    Stalled(Endpoint),
}

impl Clock {
    pub(super) fn new(settings: &WebSocket, now: Instant) -> Self {
        Self {
            began: now,
            expiry: Expiry::default(),
            next_ping: settings.ping_interval.map(|interval| now + interval),
            last_activity: now,
            activity: 0,
        }
    }

    /// Other settings hold from now on. What is counted from the session's begin still is.
    pub(super) fn amend(&mut self, old: &WebSocket, new: &WebSocket, now: Instant) {
        if old.ping_interval != new.ping_interval {
            self.pinged(new, now);
        }
    }

    /// Notes the sum of what both ends did.
    pub(super) fn note_activity(&mut self, activity: u64, now: Instant) {
        if activity != self.activity {
            self.activity = activity;
            self.last_activity = now;
        }
    }

    /// Notes an end of a time in which an end could not do anything.
    pub(super) fn note_rest(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// The next round of pings is one interval from now.
    pub(super) fn pinged(&mut self, settings: &WebSocket, now: Instant) {
        self.next_ping = settings.ping_interval.map(|interval| now + interval);
    }

    /// The earliest deadline, and what it asks for.
    pub(super) fn next(
        &self,
        settings: &WebSocket,
        client: &Side,
        upstream: &Side,
    ) -> Option<(Instant, Due)> {
        let lifetime = settings.max_lifetime.map(|lifetime| self.began + lifetime);
        let waits = client.paused.is_some() || upstream.paused.is_some();
        let idle = settings.idle_timeout.filter(|_| !waits);
        let idle = idle.map(|timeout| self.last_activity + timeout);
        let timeout = settings.message_timeout;
        let (from_client, to_upstream) = frame_deadlines(client, upstream, timeout);
        let (from_upstream, to_client) = frame_deadlines(upstream, client, timeout);
        [
            (lifetime, Due::Lifetime),
            (self.expiry.check(), Due::Expiry),
            (idle, Due::Idle),
            (self.next_ping, Due::Ping),
            (from_client, Due::Message(Endpoint::Client)),
            (from_upstream, Due::Message(Endpoint::Upstream)),
            (to_client, Due::Stalled(Endpoint::Client)),
            (to_upstream, Due::Stalled(Endpoint::Upstream)),
        ]
        .into_iter()
        .filter_map(|(deadline, due)| deadline.map(|deadline| (deadline, due)))
        .min_by_key(|(deadline, _)| *deadline)
    }
}

/// By when `from` must have finished what it began, unless `to` keeps it waiting; and by when `to`
/// must take something if it does.
fn frame_deadlines(
    from: &Side,
    to: &Side,
    timeout: Option<Duration>,
) -> (Option<Instant>, Option<Instant>) {
    let Some(timeout) = timeout else {
        return (None, None);
    };
    match &to.blocked {
        Some(blocked) => (None, Some(blocked.stalled + timeout)),
        None if from.paused.is_some() => (None, None),
        None if from.sends() => (from.frames.earliest().map(|at| at + timeout), None),
        None => (None, None),
    }
}
