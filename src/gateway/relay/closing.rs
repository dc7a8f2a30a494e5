//! The way to a clean end: who is told what, at which byte, and how long anybody is waited for.

use std::mem;
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::end::{Cause, Farewell};
use super::pair::{Pair, Parting};
use super::pump::drain;
use super::side::{Draining, Ending, Stage};
use crate::values::Endpoint;
use crate::values::Reason;
use crate::wire::{ControlFrame, Opcode, close_frame, control_frame, text_frame};

/// How long an end may take to answer a Close of the gateway's, or to reach a frame boundary before
/// one.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an end may take to answer the other end's Close.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an end that is slow to take the rest of what it was sent may take nothing of it: a kernel
/// makes room in large steps.
const SLOW_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an end that is slow to take the rest may delay the end of the session in all.
const SLOW_ENDING: Duration = Duration::from_secs(300);
/// How long the end of the connection is waited for after both Close frames.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read and thrown away after a Close.
const DRAIN: usize = 256 * 1024;

impl Pair {
    /// Ends the session for a reason of the gateway's own. A session that is ending already keeps its
    /// cause, and gives no end any more time: see [`Pair::hurry`].
    pub(super) fn stop(&mut self, reason: Reason, now: Instant) {
        if self.parting.is_some() {
            self.hurry(now);
        } else {
            self.end(Cause::Gateway(reason), now);
        }
    }

    /// Ends a session within two [`CLOSE_TIMEOUT`]s that is ending already: a peer that is slow, or one
    /// that does not answer a Close, must not outlast a kick, its token or `max_lifetime`.
    pub(super) fn hurry(&mut self, now: Instant) {
        let Some(parting) = self.parting.as_mut().filter(|parting| !parting.hurried) else {
            return;
        };
        parting.hurried = true;
        for side in [&mut self.client, &mut self.upstream] {
            if let Stage::Draining(draining) = &mut side.stage {
                draining.until = draining.until.min(now + CLOSE_TIMEOUT);
            }
        }
        self.part(now);
    }

    /// Both ends are told; the first cause is the one that counts.
    pub(super) fn end(&mut self, cause: Cause, now: Instant) {
        self.parting.get_or_insert_with(|| Box::new(Parting::new(cause, None, now)));
        self.part(now);
    }

    /// Both ends are told, once more if they were before: nobody is waited for but to reach a boundary
    /// and to answer.
    pub(super) fn part(&mut self, now: Instant) {
        if let Some(parting) = &mut self.parting {
            parting.patience = Some(now + CLOSE_TIMEOUT);
        }
        self.bid_farewell(Endpoint::Client, now);
        self.bid_farewell(Endpoint::Upstream, now);
    }

    /// `from` closed, and the other end was sent its Close. The session goes on the other way
    /// until that one answers.
    pub(super) fn closed(&mut self, from: Endpoint, code: Option<u16>, now: Instant) {
        if self.parting.is_none() {
            let (cause, patience) = (Cause::Closed(from, code), Some(now + ANSWER_TIMEOUT));
            self.parting = Some(Box::new(Parting::new(cause, patience, now)));
        }
        if self.side(from.opposite()).gate.closed() {
            self.end(Cause::Closed(from, code), now);
        }
    }

    /// `from` is gone. Without a Close of its own before, that ends the session; with one, only if
    /// it cannot take the answer any more.
    pub(super) fn lost(&mut self, from: Endpoint, how: String, now: Instant) {
        let side = self.side(from);
        if side.gate.closed() && !side.write_failed {
            return;
        }
        side.cut();
        self.end(Cause::Lost(from, how), now);
    }

    /// What was waited for did not come in time.
    pub(super) fn give_up(&mut self, now: Instant) {
        let is_over = |patience: &mut Instant| *patience <= now;
        let patience = self.parting.as_mut().and_then(|parting| parting.patience.take_if(is_over));
        if patience.is_some() {
            let slow = [Endpoint::Client, Endpoint::Upstream];
            let later =
                slow.into_iter().filter_map(|endpoint| self.still_takes(endpoint, now)).max();
            match (&mut self.parting, later) {
                (Some(parting), Some(_)) => parting.patience = later,
                _ => self.stop_waiting(now),
            }
        }
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let later = self.still_takes(endpoint, now);
            let side = self.side(endpoint);
            match &mut side.stage {
                Stage::Draining(draining) if draining.until <= now => match later {
                    Some(later) => draining.until = later,
                    None => side.cut(),
                },
                _ => {}
            }
        }
    }

    /// Until when an end is waited for that is slow to take the rest of what it was sent: as long as it
    /// goes on taking, up to [`SLOW_ENDING`]. `None`: it took nothing lately, it is at fault, it is sent
    /// more all the time, or the session has to end now.
    fn still_takes(&mut self, endpoint: Endpoint, now: Instant) -> Option<Instant> {
        if self.is_sent_more(endpoint) {
            return None;
        }
        let parting = self.parting.as_ref().filter(|parting| !parting.hurried)?;
        let (spared, latest) = (parting.cause.spares(endpoint), parting.began + SLOW_ENDING);
        let blocked = self.side(endpoint).blocked.as_ref().filter(|_| spared)?;
        let until = (blocked.stalled + SLOW_TIMEOUT).min(latest);
        (until > now).then_some(until)
    }

    /// Whether an end closed, and is sent frames until the other one answers: what it has not taken yet
    /// has no bound, and so the answer is not waited for any longer on its account.
    fn is_sent_more(&mut self, endpoint: Endpoint) -> bool {
        let closed = self.parting.as_ref().is_some_and(|parting| parting.is_closed_by(endpoint));
        closed && self.side(endpoint).stage == Stage::Open
    }

    /// An end took the last of what it was sent: its answer to the Close in it is waited for from now on.
    pub(super) fn taken(&mut self, endpoint: Endpoint, now: Instant) {
        if let Some(parting) = &mut self.parting
            && parting.is_closed_by(endpoint.opposite())
            && !parting.hurried
            && let Some(patience) = &mut parting.patience
        {
            *patience = (*patience).max(now + ANSWER_TIMEOUT);
        }
    }

    /// No boundary, or no answer to a Close: an end that was waiting to be told is cut off, one
    /// that did not answer is given up, and the one that closed gets its answer.
    ///
    /// An end that closed, and is in the middle of a frame, may reach its boundary first.
    fn stop_waiting(&mut self, now: Instant) {
        let inside = [Endpoint::Client, Endpoint::Upstream].into_iter().any(|endpoint| {
            self.is_sent_more(endpoint) && self.side(endpoint.opposite()).gate.unfinished() > 0
        });
        if inside {
            return self.part(now);
        }
        let mut answer = false;
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let closed = self.side(endpoint).gate.closed();
            let side = self.side(endpoint);
            match side.stage {
                Stage::Open if closed => answer = true,
                Stage::Open | Stage::Closing(_) => side.cut(),
                Stage::Draining(_) | Stage::Done => {}
            }
        }
        if answer {
            self.part(now);
        }
    }

    fn bid_farewell(&mut self, to: Endpoint, now: Instant) {
        let Some(farewell) = self.parting.as_ref().map(|parting| parting.cause.farewell(to)) else {
            return;
        };
        // The other end's Close was passed on to it: there is nothing more to say.
        let told = self.side(to.opposite()).gate.closed();
        let side = self.side(to);
        if side.stage == Stage::Open {
            side.stage = if told { draining(now) } else { Stage::Closing(Box::new(farewell)) };
        }
    }

    /// Takes an end as far as it can go: a ping that is owed, a Close at its boundary, the rest
    /// read and thrown away.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let other = self.side(endpoint.opposite());
        let boundary = other.gate.unfinished() == 0;
        let unreachable = !boundary && !other.sends();
        let told = other.gate.closed();
        let sent = other.gate.flow().bytes;
        let side = self.side(endpoint);
        match side.stage {
            Stage::Open if side.write_failed => {
                side.ending.get_or_insert(Ending::Failed);
                let how = "the connection was closed while data was sent to it".to_owned();
                self.lost(endpoint, how, now);
            }
            // Behind bytes that the end does not take, a ping would prove nothing.
            Stage::Open
                if side.awaited.is_ping_owed() && boundary && !told && side.blocked.is_none() =>
            {
                let frame =
                    control_frame(endpoint, Opcode::Ping, &side.gate.own_ping(), super::random());
                side.send(cx, frame.as_ref(), now);
                side.awaited.pinged_now(side.heard(), sent, now);
            }
            Stage::Closing(_) if unreachable || side.write_failed => side.cut(),
            Stage::Closing(_) if boundary => self.say_farewell(cx, endpoint, now),
            Stage::Open if endpoint == Endpoint::Client && boundary => self.answer_token(cx, now),
            Stage::Open | Stage::Closing(_) | Stage::Done => {}
            Stage::Draining(_) => self.finish(cx, endpoint, now),
        }
    }

    fn say_farewell(&mut self, cx: &mut Context<'_>, to: Endpoint, now: Instant) {
        let side = self.side(to);
        if let Stage::Closing(farewell) = mem::replace(&mut side.stage, draining(now)) {
            side.send(cx, farewell_frame(to, *farewell).as_ref(), now);
            self.finish(cx, to, now);
        }
    }

    /// Tells the client what became of the token that it handed in, between two messages of the
    /// upstream's.
    fn answer_token(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.upstream.gate.message_begun().is_some() || self.client.blocked.is_some() {
            return;
        }
        let answer = self.refresh.as_mut().and_then(|refresh| refresh.answer.take());
        if let Some(answer) = answer {
            self.client.send(cx, &text_frame(&answer), now);
        }
    }

    /// Flushes, half-closes once the end has answered or cannot, and reads until it is gone.
    fn finish(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let Self { client, upstream, budget, .. } = self;
        let (side, other) = match endpoint {
            Endpoint::Client => (client, upstream),
            Endpoint::Upstream => (upstream, client),
        };
        let awaited = matches!(other.stage, Stage::Closing(_));
        // The other end's Close stands behind this frame: it is relayed, not thrown away.
        let finishing = awaited && side.sends() && side.gate.unfinished() > 0;
        let Stage::Draining(mut draining) = mem::replace(&mut side.stage, Stage::Done) else {
            return;
        };
        let flushed = side.poll_flush(cx, now).is_ready();
        let over = !finishing && drain(cx, side, budget, &mut draining.left, now);
        let answered = side.gate.closed() || side.ending.is_some() || over;
        if flushed && answered && !draining.shut && side.poll_shutdown(cx).is_ready() {
            draining.shut = true;
            draining.until = draining.until.min(now + LINGER);
        }
        if over && (draining.shut || side.write_failed) {
            side.cut();
        } else {
            side.stage = Stage::Draining(draining);
        }
    }
}

/// A Close of the gateway's own; without a code it is empty, as the one that it answers was.
fn farewell_frame(to: Endpoint, (code, text): Farewell) -> ControlFrame {
    match code {
        Some(code) => close_frame(to, code, text, super::random()),
        None => control_frame(to, Opcode::Close, &[], super::random()),
    }
}

fn draining(now: Instant) -> Stage {
    Stage::Draining(Box::new(Draining { until: now + CLOSE_TIMEOUT, left: DRAIN, shut: false }))
}
