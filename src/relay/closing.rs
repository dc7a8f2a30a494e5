//! The way to a clean end: who is told what, at which byte, and how long anybody is waited for.

use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::Endpoint;
use super::close::{ControlFrame, close_frame, control_frame, text_frame};
use super::end::Cause;
use super::pair::Pair;
use super::pump::drain;
use super::side::{Ending, Stage};
use crate::refusal::Reason;

/// How long an end may take to answer a Close of the gateway's, or to reach a frame boundary before
/// one.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an end may take to answer the other end's Close.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the connection is waited for after both Close frames.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read and thrown away after a Close.
const DRAIN: usize = 256 * 1024;

impl Pair<'_> {
    /// Ends the session for a reason of the gateway's own, unless it is ending already.
    pub(super) fn stop(&mut self, reason: Reason, now: Instant) {
        if self.cause.is_none() {
            self.end(Cause::Gateway(reason), now);
        }
    }

    /// Both ends are told; the first cause is the one that counts.
    pub(super) fn end(&mut self, cause: Cause, now: Instant) {
        self.cause.get_or_insert(cause);
        self.patience = Some(now + CLOSE_TIMEOUT);
        self.bid_farewell(Endpoint::Client, now);
        self.bid_farewell(Endpoint::Upstream, now);
    }

    /// `from` closed, and the other end was sent its Close. The session goes on the other way
    /// until that one answers.
    pub(super) fn closed(&mut self, from: Endpoint, code: Option<u16>, now: Instant) {
        if self.cause.is_none() {
            self.cause = Some(Cause::Closed(from, code));
            self.patience = Some(now + ANSWER_TIMEOUT);
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
        if self.patience.is_some_and(|patience| patience <= now) {
            self.patience = None;
            self.stop_waiting(now);
        }
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let side = self.side(endpoint);
            if matches!(side.stage, Stage::Draining { until, .. } if until <= now) {
                side.cut();
            }
        }
    }

    /// No boundary, or no answer to a Close: an end that was waiting to be told is cut off, one
    /// that did not answer is given up, and the one that closed gets its answer.
    fn stop_waiting(&mut self, now: Instant) {
        let mut answer = false;
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let closed = self.side(endpoint).gate.closed();
            let side = self.side(endpoint);
            match side.stage {
                Stage::Open if closed => answer = true,
                Stage::Open | Stage::Closing { .. } => side.cut(),
                Stage::Draining { .. } | Stage::Done => {}
            }
        }
        if let (true, Some(cause)) = (answer, self.cause.clone()) {
            self.end(cause, now);
        }
    }

    fn bid_farewell(&mut self, to: Endpoint, now: Instant) {
        let Some((code, text)) = self.cause.as_ref().map(|cause| cause.farewell(to)) else {
            return;
        };
        // The other end's Close was passed on to it: there is nothing more to say.
        let told = self.side(to.opposite()).gate.closed();
        let side = self.side(to);
        if side.stage == Stage::Open {
            side.stage = if told { draining(now) } else { Stage::Closing { code, text } };
        }
    }

    /// Takes an end as far as it can go: a ping that is owed, a Close at its boundary, the rest
    /// read and thrown away.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let other = self.side(endpoint.opposite());
        let boundary = other.gate.unfinished() == 0;
        let unreachable = !boundary && !other.sends();
        let told = other.gate.closed();
        let side = self.side(endpoint);
        match side.stage {
            Stage::Open if side.write_failed => {
                side.ending.get_or_insert(Ending::Failed);
                let how = "the connection was closed while data was sent to it".to_owned();
                self.lost(endpoint, how, now);
            }
            Stage::Open if side.pings.owed && boundary && !told => {
                side.pings.owed = false;
                let frame =
                    control_frame(endpoint, Control::Ping, &side.pings.payload, super::random());
                side.send(cx, frame.as_ref(), now);
            }
            Stage::Closing { .. } if unreachable || side.write_failed => side.cut(),
            Stage::Closing { code, text } if boundary => {
                let frame = farewell(endpoint, code, text);
                side.send(cx, frame.as_ref(), now);
                side.stage = draining(now);
                self.finish(cx, endpoint, now);
            }
            Stage::Open if endpoint == Endpoint::Client && boundary => self.answer_token(cx, now),
            Stage::Open | Stage::Closing { .. } | Stage::Done => {}
            Stage::Draining { .. } => self.finish(cx, endpoint, now),
        }
    }

    /// Tells the client what became of the token that it handed in, between two messages of the
    /// upstream's.
    fn answer_token(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.upstream.gate.message_begun().is_some() || self.client.blocked.is_some() {
            return;
        }
        if let Some(answer) = self.answer.take() {
            self.client.send(cx, &text_frame(&answer), now);
        }
    }

    /// Flushes, half-closes once the end has answered or cannot, and reads until it is gone.
    fn finish(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let budget = self.budget;
        let awaited = matches!(self.side(endpoint.opposite()).stage, Stage::Closing { .. });
        let side = self.side(endpoint);
        // The other end's Close stands behind this frame: it is relayed, not thrown away.
        let finishing = awaited && side.sends() && side.gate.unfinished() > 0;
        let Stage::Draining { mut until, mut left, mut shut } = side.stage else {
            return;
        };
        let flushed = side.poll_flush(cx, now).is_ready();
        let over = !finishing && drain(cx, side, budget, &mut left, now);
        let answered = side.gate.closed() || side.ending.is_some() || over;
        if flushed && answered && !shut && side.poll_shutdown(cx).is_ready() {
            shut = true;
            until = until.min(now + LINGER);
        }
        if over && (shut || side.write_failed) {
            side.cut();
        } else {
            side.stage = Stage::Draining { until, left, shut };
        }
    }
}

/// A Close of the gateway's own; without a code it is empty, as the one that it answers was.
fn farewell(to: Endpoint, code: Option<u16>, text: &str) -> ControlFrame {
    match code {
        Some(code) => close_frame(to, code, text, super::random()),
        None => control_frame(to, Control::Close, &[], super::random()),
    }
}

fn draining(now: Instant) -> Stage {
    Stage::Draining { until: now + CLOSE_TIMEOUT, left: DRAIN, shut: false }
}
