//! The close handshake with both peers: which Close each gets, at which frame boundary, and how long the
//! gateway waits for the answer.

use std::mem;
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::end::{Cause, CloseNotice, reason_text};
use super::peer::{Draining, Ending, Stage};
use super::pump::drain;
use super::session::{Closing, SessionRelay};
use crate::config::RetryHint;
use crate::values::{Endpoint, Reason};
use crate::wire::{ControlFrame, Opcode, close_frame, control_frame, message_frame};

/// How long a peer may take to answer a Close of the gateway, or to reach the frame boundary before it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may take to answer the other peer's Close.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a slow peer may take none of its remaining bytes: a kernel frees buffer space in large steps.
const SLOW_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a slow peer may delay the end of the session in all.
const SLOW_ENDING: Duration = Duration::from_secs(300);
/// How long the connection may stay open after both Close frames.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and discarded after a Close.
const DRAIN: usize = 256 * 1024;

impl SessionRelay {
    /// Ends the session for a reason of the gateway's own. A session that is being closed keeps its cause and
    /// is [hurried](SessionRelay::hurry).
    pub(super) fn stop(&mut self, reason: Reason, now: Instant) {
        if self.closing.is_some() {
            self.hurry(now);
        } else {
            self.end(Cause::Gateway(reason), now);
        }
    }

    /// Ends a session that is being closed within two [`CLOSE_TIMEOUT`]s: a peer that is slow, or does not
    /// answer a Close, must not outlast a kick, its token or `max_lifetime`.
    pub(super) fn hurry(&mut self, now: Instant) {
        let Some(closing) = self.closing.as_mut().filter(|closing| !closing.hurried) else {
            return;
        };
        closing.hurried = true;
        for peer in [&mut self.client, &mut self.upstream] {
            if let Stage::Draining(draining) = &mut peer.stage {
                draining.until = draining.until.min(now + CLOSE_TIMEOUT);
            }
        }
        self.close_peers(now);
    }

    /// Starts the close of both peers. Only the first cause counts.
    pub(super) fn end(&mut self, cause: Cause, now: Instant) {
        self.closing.get_or_insert_with(|| Box::new(Closing::new(cause, None, now)));
        self.close_peers(now);
    }

    /// Starts (or restarts) the close of both peers; from here on the session waits only for frame
    /// boundaries and for the peers' Close frames.
    pub(super) fn close_peers(&mut self, now: Instant) {
        if let Some(closing) = &mut self.closing {
            closing.deadline = Some(now + CLOSE_TIMEOUT);
        }
        self.announce_close(Endpoint::Client, now);
        self.announce_close(Endpoint::Upstream, now);
    }

    /// Notes that the Close of `from` was forwarded. The other direction stays open until the other peer
    /// answers.
    pub(super) fn closed(&mut self, from: Endpoint, code: Option<u16>, now: Instant) {
        if self.closing.is_none() {
            let (cause, deadline) = (Cause::Closed(from, code), Some(now + ANSWER_TIMEOUT));
            self.closing = Some(Box::new(Closing::new(cause, deadline, now)));
        }
        if self.peer(from.opposite()).gate.closed() {
            self.end(Cause::Closed(from, code), now);
        }
    }

    /// Notes that the connection of `from` was lost. This ends the session, unless the peer sent a Close
    /// before and can still take the answer.
    pub(super) fn lost(&mut self, from: Endpoint, how: String, now: Instant) {
        let peer = self.peer(from);
        if peer.gate.closed() && !peer.write_failed {
            return;
        }
        peer.cut();
        self.end(Cause::Lost(from, how), now);
    }

    /// Acts on the deadlines of the close that passed.
    pub(super) fn give_up(&mut self, now: Instant) {
        let is_over = |deadline: &mut Instant| *deadline <= now;
        let deadline = self.closing.as_mut().and_then(|closing| closing.deadline.take_if(is_over));
        if deadline.is_some() {
            let slow = [Endpoint::Client, Endpoint::Upstream];
            let later =
                slow.into_iter().filter_map(|endpoint| self.still_takes(endpoint, now)).max();
            match (&mut self.closing, later) {
                (Some(closing), Some(_)) => closing.deadline = later,
                _ => self.stop_waiting(now),
            }
        }
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let later = self.still_takes(endpoint, now);
            let peer = self.peer(endpoint);
            match &mut peer.stage {
                Stage::Draining(draining) if draining.until <= now => match later {
                    Some(later) => draining.until = later,
                    None => peer.cut(),
                },
                _ => {}
            }
        }
    }

    /// The new deadline of a peer that still takes its remaining bytes, up to [`SLOW_ENDING`]. `None`: the
    /// peer took none lately, is at fault, is still sent new frames, or the session must end now.
    fn still_takes(&mut self, endpoint: Endpoint, now: Instant) -> Option<Instant> {
        if self.is_sent_more(endpoint) {
            return None;
        }
        let closing = self.closing.as_ref().filter(|closing| !closing.hurried)?;
        let (spared, latest) = (closing.cause.spares(endpoint), closing.began + SLOW_ENDING);
        let blocked = self.peer(endpoint).blocked.as_ref().filter(|_| spared)?;
        let until = (blocked.stalled + SLOW_TIMEOUT).min(latest);
        (until > now).then_some(until)
    }

    /// Whether a peer sent a Close and still gets frames, until the other peer answers. Its unread bytes
    /// have no bound then, and do not extend the deadline for the answer.
    fn is_sent_more(&mut self, endpoint: Endpoint) -> bool {
        let closed = self.closing.as_ref().is_some_and(|closing| closing.is_closed_by(endpoint));
        closed && self.peer(endpoint).stage == Stage::Open
    }

    /// Restarts the deadline for the answer to a Close that the peer took only now, among its last bytes.
    pub(super) fn taken(&mut self, endpoint: Endpoint, now: Instant) {
        if let Some(closing) = &mut self.closing
            && closing.is_closed_by(endpoint.opposite())
            && !closing.hurried
            && let Some(deadline) = &mut closing.deadline
        {
            *deadline = (*deadline).max(now + ANSWER_TIMEOUT);
        }
    }

    /// Stops waiting for a boundary or an answer: cuts off a peer that has not got its Close, and one that
    /// did not answer; the peer that closed first gets its answer. A frame in progress towards that peer is
    /// finished first.
    fn stop_waiting(&mut self, now: Instant) {
        let inside = [Endpoint::Client, Endpoint::Upstream].into_iter().any(|endpoint| {
            self.is_sent_more(endpoint) && self.peer(endpoint.opposite()).gate.unfinished() > 0
        });
        if inside {
            return self.close_peers(now);
        }
        let mut answer = false;
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let closed = self.peer(endpoint).gate.closed();
            let peer = self.peer(endpoint);
            match peer.stage {
                Stage::Open if closed => answer = true,
                Stage::Open | Stage::Closing(_) => peer.cut(),
                Stage::Draining(_) | Stage::Done => {}
            }
        }
        if answer {
            self.close_peers(now);
        }
    }

    fn announce_close(&mut self, to: Endpoint, now: Instant) {
        let Some(close_notice) =
            self.closing.as_ref().map(|closing| closing.cause.close_notice(to))
        else {
            return;
        };
        // A Close that the other peer sent was forwarded, and is the only one that this peer gets.
        let close_forwarded = self.peer(to.opposite()).gate.closed();
        let peer = self.peer(to);
        if peer.stage == Stage::Open {
            peer.stage = if close_forwarded {
                draining(now)
            } else {
                Stage::Closing(Box::new(close_notice))
            };
        }
    }

    /// Writes a due ping, Close or token answer at the frame boundary, and drains a peer after its Close.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let other = self.peer(endpoint.opposite());
        let boundary = other.gate.unfinished() == 0;
        let unreachable = !boundary && !other.sends();
        let close_forwarded = other.gate.closed();
        let sent = other.gate.flow().bytes;
        let peer = self.peer(endpoint);
        match peer.stage {
            Stage::Open if peer.write_failed => {
                peer.ending.get_or_insert(Ending::Failed);
                let how = "the connection was closed while data was sent to it".to_owned();
                self.lost(endpoint, how, now);
            }
            // A ping queued after bytes that the peer does not take would prove nothing.
            Stage::Open
                if peer.awaited.is_ping_owed()
                    && boundary
                    && !close_forwarded
                    && peer.blocked.is_none() =>
            {
                let frame =
                    control_frame(endpoint, Opcode::Ping, &peer.gate.own_ping(), super::random());
                peer.send(cx, frame.as_ref(), now);
                peer.awaited.pinged_now(peer.received(), sent, now);
            }
            Stage::Closing(_) if unreachable || peer.write_failed => peer.cut(),
            Stage::Closing(_) if boundary => self.send_close(cx, endpoint, now),
            Stage::Open if endpoint == Endpoint::Client && boundary => self.answer_client(cx, now),
            Stage::Open | Stage::Closing(_) | Stage::Done => {}
            Stage::Draining(_) => self.finish(cx, endpoint, now),
        }
    }

    fn send_close(&mut self, cx: &mut Context<'_>, to: Endpoint, now: Instant) {
        let hint = self.route.websocket.retry_hint.filter(|_| to == Endpoint::Client);
        let peer = self.peer(to);
        if let Stage::Closing(close_notice) = mem::replace(&mut peer.stage, draining(now)) {
            peer.send(cx, close_notice_frame(to, *close_notice, hint).as_ref(), now);
            self.finish(cx, to, now);
        }
    }

    /// Sends the client the answers to its new token and to messages that break a rule, between two messages of the
    /// upstream.
    fn answer_client(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.upstream.gate.message_begun().is_some() || self.client.blocked.is_some() {
            return;
        }
        let Some(rare) = &mut self.rare else {
            return;
        };
        if let Some(answer) = rare.refresh.as_mut().and_then(|refresh| refresh.answer.take()) {
            self.client.send(
                cx,
                &message_frame(Endpoint::Client, Opcode::Text, answer.as_bytes(), [0; 4]),
                now,
            );
        }
        while self.client.blocked.is_none()
            && let Some(answer) = rare.messages.answers.pop()
        {
            self.client.send(
                cx,
                &message_frame(Endpoint::Client, answer.opcode, &answer.payload, [0; 4]),
                now,
            );
        }
    }

    /// Flushes the peer, half-closes it once it has answered or cannot answer, and reads until its stream
    /// ends.
    fn finish(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let Self { client, upstream, budget, .. } = self;
        let (peer, other) = match endpoint {
            Endpoint::Client => (client, upstream),
            Endpoint::Upstream => (upstream, client),
        };
        let awaited = matches!(other.stage, Stage::Closing(_));
        // The Close to the other peer follows this frame: the frame is relayed, not discarded.
        let finishing = awaited && peer.sends() && peer.gate.unfinished() > 0;
        let Stage::Draining(mut draining) = mem::replace(&mut peer.stage, Stage::Done) else {
            return;
        };
        let flushed = peer.poll_flush(cx, now).is_ready();
        let over = !finishing && drain(cx, peer, budget, &mut draining.left, now);
        let answered = peer.gate.closed() || peer.ending.is_some() || over;
        if flushed && answered && !draining.shut && peer.poll_shutdown(cx).is_ready() {
            draining.shut = true;
            draining.until = draining.until.min(now + LINGER);
        }
        if over && (draining.shut || peer.write_failed) {
            peer.cut();
        } else {
            peer.stage = Stage::Draining(draining);
        }
    }
}

/// Builds a Close of the gateway; without a code it is empty, like the Close that it answers. An answer to a Close
/// has no reason of the gateway's, and no hint.
fn close_notice_frame(
    to: Endpoint,
    (code, name): CloseNotice,
    hint: Option<RetryHint>,
) -> ControlFrame {
    match code {
        Some(code) => {
            let text = reason_text(name, code, hint.filter(|_| !name.is_empty()));
            close_frame(to, code, &text, super::random())
        }
        None => control_frame(to, Opcode::Close, &[], super::random()),
    }
}

fn draining(now: Instant) -> Stage {
    Stage::Draining(Box::new(Draining { until: now + CLOSE_TIMEOUT, left: DRAIN, shut: false }))
}
