//! The relay of one session: both peers, their deadlines and their close. One task, no locks; polled by
//! [`super::relay`], which wakes when a stream or the timer does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Sleep};

use super::clock::{Clock, Due};
use super::end::{Cause, SessionEnd};
use super::lease::{self, Expiry, Lease, Renewal, Verifying};
use super::mailbox::{Observers, Terms};
use super::messages::JudgedMessages;
use super::peer::{Ending, RelayPeer, Stage};
use super::pump::{Notice, PumpOutcome, pump};
use super::settings::{client_rates, frame_limits};
use super::{Streams, awaited};
use crate::config::Route;
use crate::tls::socket::USER_TIMEOUT;
use crate::values::{Endpoint, Reason};
use crate::wire::{Allowance, Gate, HoldBudget, Judgement, Verdict};

// Texts of the log for a deadline that passed; each begins with its key.
const IDLE: &str = "websocket.idle_timeout: neither end said anything";
const UNFINISHED: &str = "websocket.message_timeout: it did not finish what it began";
const NO_ATTACHMENT: &str = "websocket.message_timeout: the attachments of a packet did not come";
const STANDS_STILL: &str = "websocket.message_timeout: nothing more came of a message";
const STALLED: &str = "websocket.message_timeout: it took nothing of what was sent to it";
const NO_ROOM_FOR_PINGS: &str = "websocket.ping_interval: it took nothing of what was sent to it, so that it got no ping either";
const NO_PONG: &str = "websocket.ping_interval: it answered no ping";

/// The relay of one session. Most sessions are idle: fields that few of them use, or only for a time,
/// are boxed.
pub(super) struct SessionRelay {
    /// The route that the session follows; its settings apply. A reload may replace it.
    pub(super) route: Arc<Route>,
    pub(super) budget: HoldBudget,
    pub(super) client: RelayPeer,
    pub(super) upstream: RelayPeer,
    pub(super) clock: Clock,
    /// State that few sessions have.
    pub(super) rare: Option<Box<RareState>>,
    /// `Some` once something ends the session.
    pub(super) closing: Option<Box<Closing>>,
}

/// A session that is being closed.
pub(super) struct Closing {
    /// The first cause; later ones do not count.
    pub(super) cause: Cause,
    /// When the close began.
    pub(super) began: Instant,
    /// The deadline for a frame boundary, or for the answer to a peer's Close.
    pub(super) deadline: Option<Instant>,
    /// The gateway ends the session now: a slow peer gets no more time.
    pub(super) hurried: bool,
    /// Whether [`Outside::ending`](super::Outside::ending) was called.
    pub(super) reported: bool,
}

impl Closing {
    pub(super) fn new(cause: Cause, deadline: Option<Instant>, began: Instant) -> Self {
        Self { cause, began, deadline, hurried: false, reported: false }
    }

    /// Whether `max_lifetime` and the token may still hurry the close: the gateway neither started nor
    /// hurried it.
    fn may_be_hurried(&self) -> bool {
        !self.hurried && !matches!(self.cause, Cause::Gateway(_))
    }

    /// Whether this peer's Close ends the session.
    pub(super) fn is_closed_by(&self, endpoint: Endpoint) -> bool {
        matches!(self.cause, Cause::Closed(from, _) if from == endpoint)
    }
}

/// State that few sessions have, in one box.
#[derive(Default)]
pub(super) struct RareState {
    /// `None`: a client may not hand in a new token.
    pub(super) refresh: Option<Refresh>,
    /// The messages that broke a rule of the route.
    pub(super) messages: JudgedMessages,
}

/// In-band token refresh by the client.
pub(super) struct Refresh {
    renewal: Renewal,
    /// A token that the client handed in, being verified.
    verifying: Option<Verifying>,
    /// The answer to the last verified token, to be written between two messages.
    pub(super) answer: Option<String>,
}

impl SessionRelay {
    pub(super) fn new(
        streams: Streams,
        terms: Terms,
        budget: HoldBudget,
        lease: Lease,
        now: Instant,
    ) -> Self {
        let Terms { route, user, judges } = terms;
        let Lease { expires, renewal } = lease;
        let peer = |stream, early, sender| {
            // Each peer gets another ping payload: a peer must not be able to fake the other's pong.
            let gate = Gate::new(sender, frame_limits(sender, &route.websocket), super::random());
            RelayPeer::new(stream, early, gate)
        };
        let Streams { client, client_early, upstream, upstream_early, compression } = streams;
        let mut clock = Clock::new(&route.websocket, now, u16::from_ne_bytes(super::random()));
        clock.expiry = Expiry::new(expires, now, SystemTime::now());
        let mut client = peer(client, client_early, Endpoint::Client);
        client.gate.allow(Allowance::new(&client_rates(&route.limits), user, now));
        let rare = renewal.map(|renewal| {
            client.gate.expect_token(Arc::clone(&renewal.member));
            let refresh = Some(Refresh { renewal, verifying: None, answer: None });
            Box::new(RareState { refresh, ..RareState::default() })
        });
        let mut upstream = peer(upstream, upstream_early, Endpoint::Upstream);
        if let Some(contexts) = compression {
            client.gate.inflate(contexts.client);
            upstream.gate.inflate(contexts.upstream);
        }
        budget.enlarge(judges.hold());
        client.gate.judge_messages(judges.client, &budget, now);
        upstream.gate.judge_messages(judges.upstream, &budget, now);
        upstream.gate.follow_messages(judges.follower);
        let session = Self { route, budget, client, upstream, clock, rare, closing: None };
        session.set_tcp_user_timeout(Some(USER_TIMEOUT));
        session
    }

    /// Keeps TCP from giving up a peer before the session does; `old` is the TCP timeout set so far.
    fn set_tcp_user_timeout(&self, old: Option<Duration>) {
        let timeout = awaited::tcp_user_timeout(&self.route.websocket, USER_TIMEOUT);
        if timeout != old {
            self.client.set_tcp_user_timeout(timeout);
            self.upstream.set_tcp_user_timeout(timeout);
        }
    }

    /// Applies new terms to the running session.
    pub(super) fn amend(&mut self, terms: Terms, now: Instant) {
        let Terms { route, user, judges } = terms;
        self.budget.enlarge(judges.hold());
        self.client.gate.judge_messages(judges.client, &self.budget, now);
        self.upstream.gate.judge_messages(judges.upstream, &self.budget, now);
        self.upstream.gate.follow_messages(judges.follower);
        let settings = &route.websocket;
        if self.route.websocket.ping_interval != settings.ping_interval {
            self.clock.pinged(settings, now);
            self.client.awaited.forget_pings();
            self.upstream.awaited.forget_pings();
        }
        let tcp_user_timeout = awaited::tcp_user_timeout(&self.route.websocket, USER_TIMEOUT);
        self.client.gate.limit(frame_limits(Endpoint::Client, settings));
        self.upstream.gate.limit(frame_limits(Endpoint::Upstream, settings));
        self.client.gate.allow(Allowance::new(&client_rates(&route.limits), user, now));
        // The client may be paused by a rate that no longer applies.
        self.client.resume(now);
        self.route = route;
        self.set_tcp_user_timeout(tcp_user_timeout);
    }

    /// Replaces the observers of the messages that begin from now on.
    pub(super) fn observe(&mut self, observers: Observers, now: Instant) {
        let Observers { client, upstream } = observers;
        self.client.gate.observe_messages(client, now);
        self.upstream.gate.observe_messages(upstream, now);
    }

    /// Runs the session as far as it goes without waiting. `timer` is armed for the next deadline; one that
    /// fires too early costs one poll, while re-arming it for each message costs more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        loop {
            let now = Instant::now();
            self.progress(cx, now);
            if self.client.stage == Stage::Done && self.upstream.stage == Stage::Done {
                return Poll::Ready(());
            }
            let Some(deadline) = self.next_deadline() else {
                return self.rest();
            };
            if deadline <= now {
                self.expire(now);
                continue;
            }
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return self.rest();
            }
        }
    }

    /// The next reason met in report mode that was not reported yet.
    pub(super) fn take_unreported(&mut self) -> Option<Reason> {
        self.client.gate.allowance()?.take_unreported()
    }

    /// The next judgement on a message that was not reported yet, with its sender.
    pub(super) fn take_judged(&mut self) -> Option<(Endpoint, Judgement)> {
        self.rare.as_mut()?.messages.unreported.pop_front()
    }

    /// The reasons of the client's messages that are strikes and were not counted yet.
    pub(super) fn take_strikes(&mut self) -> Vec<Reason> {
        self.rare.as_mut().map_or_else(Vec::new, |rare| std::mem::take(&mut rare.messages.strikes))
    }

    /// The record of the session's end.
    pub(super) fn into_end(mut self) -> SessionEnd {
        SessionEnd {
            cause: self.closing.map_or(Cause::Gateway(Reason::Internal), |closing| closing.cause),
            client: self.client.gate.flow(),
            upstream: self.upstream.gate.flow(),
            let_through: self.client.gate.allowance().map_or(0, |rates| rates.let_through())
                + self.rare.map_or(0, |rare| rare.messages.let_through),
        }
    }

    pub(super) fn peer(&mut self, endpoint: Endpoint) -> &mut RelayPeer {
        match endpoint {
            Endpoint::Client => &mut self.client,
            Endpoint::Upstream => &mut self.upstream,
        }
    }

    fn rest(&mut self) -> Poll<()> {
        self.client.gate.release_memory();
        self.upstream.gate.release_memory();
        Poll::Pending
    }

    fn progress(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.resume(now);
        self.release(cx, Endpoint::Client, now);
        self.release(cx, Endpoint::Upstream, now);
        self.relay_from(cx, Endpoint::Client, now);
        self.relay_from(cx, Endpoint::Upstream, now);
        let waits = self.closing.is_some() && self.client.paused.is_some();
        if self.client.write_failed || waits {
            // The client is read once more: it may have sent a Close before its connection failed, or
            // behind the bytes that were above its rate.
            self.resume(now);
            self.relay_from(cx, Endpoint::Client, now);
        }
        self.clock.note_activity(self.activity(), now);
        self.poll_renewal(cx, now);
        self.advance(cx, Endpoint::Client, now);
        self.advance(cx, Endpoint::Upstream, now);
        if self.closing.is_some() {
            // The client's next stage may depend on the upstream's progress.
            self.advance(cx, Endpoint::Client, now);
        }
    }

    /// A number that changes with every data frame and ping of either peer. A frame counts with its last
    /// byte; while it is in progress its released bytes count.
    fn activity(&self) -> u64 {
        let of = |peer: &RelayPeer| {
            let on_its_way = if peer.gate.in_frame() { peer.gate.flow().bytes } else { 0 };
            peer.gate.activity().wrapping_add(on_its_way)
        };
        of(&self.client).wrapping_add(of(&self.upstream))
    }

    /// Verifies a token that the client handed in. A newer token replaces one that is still being verified.
    fn renew(&mut self, token: String) {
        if let Some(refresh) = self.rare.as_mut().and_then(|rare| rare.refresh.as_mut()) {
            refresh.verifying = Some((refresh.renewal.verify)(token));
        }
    }

    /// Extends the session once a new token is verified.
    fn poll_renewal(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(refresh) = self.rare.as_mut().and_then(|rare| rare.refresh.as_mut()) else {
            return;
        };
        let polled = refresh.verifying.as_mut().map(|verifying| verifying.as_mut().poll(cx));
        let Some(Poll::Ready(outcome)) = polled else {
            return;
        };
        refresh.verifying = None;
        refresh.answer = Some(lease::answer(&refresh.renewal.member, outcome));
        // A session without an expiry gets none from a newer token.
        if let (Ok(expires), Some(_)) = (outcome, self.clock.expiry.check()) {
            self.clock.expiry = Expiry::new(Some(expires), now, SystemTime::now());
        }
    }

    fn relay_from(&mut self, cx: &mut Context<'_>, from: Endpoint, now: Instant) {
        loop {
            let (source, sink) = match from {
                Endpoint::Client => (&mut self.client, &mut self.upstream),
                Endpoint::Upstream => (&mut self.upstream, &mut self.client),
            };
            let Some(PumpOutcome { notice, wait, judged }) =
                pump(cx, source, sink, &self.budget, now)
            else {
                return;
            };
            if let Some(judged) = judged {
                self.strike(from, &judged.refused);
                self.rare.get_or_insert_default().messages.note_all(from, *judged);
            }
            if let Some(notice) = notice {
                self.note(from, notice, now);
            }
            if let Some(until) = wait {
                self.wait(from, until, now);
            }
        }
    }

    fn note(&mut self, from: Endpoint, notice: Notice, now: Instant) {
        match notice {
            Notice::Pong => self.ponged(from, now),
            Notice::Token(token) => self.renew(token),
            Notice::Closed(code) => self.closed(from, code, now),
            Notice::Refused(reason) => self.exceeded(from, reason, now),
            Notice::Judged(judgement) => {
                self.peer(from).ending = Some(Ending::Refused);
                self.strike(from, &[judgement.reason]);
                self.end(Cause::Judged(from, judgement), now);
            }
            Notice::Violation(violation) => {
                self.peer(from).ending = Some(Ending::Refused);
                self.end(Cause::Violation(violation), now);
            }
            Notice::Eof => {
                self.peer(from).ending = Some(Ending::Eof);
                self.lost(from, "the connection ended without a Close frame".to_owned(), now);
            }
            Notice::Failed(error) => {
                self.peer(from).ending = Some(Ending::Failed);
                self.lost(from, error, now);
            }
        }
    }

    /// Notes a strike for each of these refused messages, if the route has `strike = true`.
    fn strike(&mut self, from: Endpoint, reasons: &[Reason]) {
        let rules = self.route.messages.as_ref().filter(|_| from == Endpoint::Client);
        if rules.is_some_and(|rules| rules.strikes()) {
            self.rare.get_or_insert_default().messages.strike(reasons.iter().copied());
        }
    }

    /// Notes a pong with the payload of the gateway's pings. A pong without an outstanding ping is charged
    /// as a control frame.
    fn ponged(&mut self, from: Endpoint, now: Instant) {
        let peer = self.peer(from);
        let asked = peer.awaited.ponged();
        let verdict = peer.gate.allowance().filter(|_| !asked).map(Allowance::control_frame);
        match verdict {
            Some(Verdict::Refuse(reason)) => self.exceeded(from, reason, now),
            Some(Verdict::Wait(until)) => self.wait(from, until, now),
            Some(Verdict::Pass | Verdict::Hold | Verdict::Take | Verdict::Drop(_)) | None => {}
        }
    }

    /// Ends the session because an inspector refused the bytes of `from`.
    fn exceeded(&mut self, from: Endpoint, reason: Reason, now: Instant) {
        self.peer(from).ending = Some(Ending::Refused);
        let judged = self.peer(from).gate.judges();
        if judged && reason == Reason::MessageTooBig {
            self.strike(from, &[reason]);
        }
        let detail = match reason {
            Reason::Capacity => "there is no room to hold a message until it is judged",
            Reason::MessageTooBig if judged => {
                "it is larger than max_size of the rules for messages"
            }
            Reason::MessageTooBig => "a message that hands in a token is larger than 16 KiB",
            Reason::MessageFragments => "a message that hands in a token came in fragments",
            _ => "it sent more than its rate allows",
        };
        self.end(Cause::AtFault(from, reason, detail), now);
    }

    /// Pauses reading a peer that is above a rate. In a session that is being closed, restarts the close
    /// instead: only the peers' Close frames are still awaited.
    fn wait(&mut self, from: Endpoint, until: Instant, now: Instant) {
        if self.closing.is_some() {
            return self.close_peers(now);
        }
        let Self { client, upstream, budget, .. } = self;
        let peer = match from {
            Endpoint::Client => client,
            Endpoint::Upstream => upstream,
        };
        peer.pause(until, now, budget);
    }

    /// Resumes a peer at the end of its pause, or at once in a session that is being closed.
    fn resume(&mut self, now: Instant) {
        let ending = self.closing.is_some();
        for peer in [&mut self.client, &mut self.upstream] {
            if peer.paused.as_ref().is_some_and(|paused| ending || paused.until <= now) {
                peer.resume(now);
                // The gateway imposed the pause: it does not count as idle time.
                self.clock.note_rest(now);
            }
        }
    }

    /// Flushes the bytes that a blocked peer did not take before. Once all are written, moves the deadlines
    /// of both peers by the time for which the peer was blocked.
    fn release(&mut self, cx: &mut Context<'_>, endpoint: Endpoint, now: Instant) {
        let peer = self.peer(endpoint);
        if peer.blocked.is_none() || peer.poll_flush(cx, now).is_pending() {
            return;
        }
        let pause = peer.blocked.take().map_or(Duration::ZERO, |blocked| now - blocked.since);
        peer.awaited.leave_out_of_pong(pause);
        self.peer(endpoint.opposite()).awaited.leave_out(pause);
        self.clock.note_rest(now);
        self.taken(endpoint, now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let Some(closing) = &self.closing else {
            let next = self.clock.next(&self.route.websocket, &self.client, &self.upstream);
            let paused = [&self.client.paused, &self.upstream.paused];
            let resumes = paused.into_iter().flatten().map(|paused| paused.until);
            return next.map(|(deadline, _)| deadline).into_iter().chain(resumes).min();
        };
        let draining = |peer: &RelayPeer| match &peer.stage {
            Stage::Draining(draining) => Some(draining.until),
            Stage::Open | Stage::Closing(_) | Stage::Done => None,
        };
        let over = self.clock.over(&self.route.websocket).filter(|_| closing.may_be_hurried());
        let over = over.map(|(deadline, _)| deadline);
        [closing.deadline, draining(&self.client), draining(&self.upstream), over]
            .into_iter()
            .flatten()
            .min()
    }

    fn expire(&mut self, now: Instant) {
        if self.closing.is_some() {
            self.hurry_if_over(now);
            self.give_up(now);
            return;
        }
        let next = self.clock.next(&self.route.websocket, &self.client, &self.upstream);
        let next = next.filter(|(deadline, _)| *deadline <= now);
        let cause = match next.map(|(_, due)| due) {
            None => return,
            Some(Due::Ping) => return self.ping_both(now),
            Some(Due::Expiry) if !self.clock.expiry.is_over(now, SystemTime::now()) => return,
            Some(Due::Expiry) => Cause::Gateway(Reason::TokenExpired),
            Some(Due::Lifetime) => Cause::Gateway(Reason::LifetimeOver),
            Some(Due::Pong(endpoint)) => return self.unanswered(endpoint, now),
            Some(Due::Idle) => Cause::AtFault(Endpoint::Client, Reason::IdleTimeout, IDLE),
            Some(Due::Message(Endpoint::Client)) if self.client.gate.awaits_message() => {
                Cause::AtFault(Endpoint::Client, Reason::MessageStructure, NO_ATTACHMENT)
            }
            Some(Due::Message(Endpoint::Client)) => {
                Cause::AtFault(Endpoint::Client, Reason::MessageTimeout, UNFINISHED)
            }
            Some(Due::Message(Endpoint::Upstream)) => {
                Cause::AtFault(Endpoint::Upstream, Reason::MessageTimeout, STANDS_STILL)
            }
            Some(Due::Stalled(endpoint)) if self.route.websocket.message_timeout.is_some() => {
                Cause::AtFault(endpoint, Reason::MessageTimeout, STALLED)
            }
            Some(Due::Stalled(endpoint)) => {
                Cause::AtFault(endpoint, Reason::PingTimeout, NO_ROOM_FOR_PINGS)
            }
        };
        self.end(cause, now);
    }

    /// Hurries the close once `max_lifetime` or the token is over.
    fn hurry_if_over(&mut self, now: Instant) {
        if !self.closing.as_ref().is_some_and(|closing| closing.may_be_hurried()) {
            return;
        }
        let over = self.clock.over(&self.route.websocket);
        let is_over = match over.filter(|(deadline, _)| *deadline <= now) {
            Some((_, Due::Expiry)) => self.clock.expiry.is_over(now, SystemTime::now()),
            over => over.is_some(),
        };
        if is_over {
            self.hurry(now);
        }
    }

    /// Starts a round of pings to both peers; a paused peer gets none.
    fn ping_both(&mut self, now: Instant) {
        let Self { client, upstream, clock, route, .. } = self;
        clock.pinged(&route.websocket, now);
        for peer in [client, upstream] {
            if peer.paused.is_none() {
                peer.awaited.round(peer.received(), &route.websocket);
            }
        }
    }

    /// Ends the session because a peer answered no ping in time, unless it gave another sign of life.
    fn unanswered(&mut self, endpoint: Endpoint, now: Instant) {
        let Self { client, upstream, route, .. } = self;
        let peer = match endpoint {
            Endpoint::Client => client,
            Endpoint::Upstream => upstream,
        };
        peer.awaited.note_life(peer.received(), &route.websocket);
        if peer.awaited.is_pong_awaited() && peer.gate.in_frame() {
            // The peer cannot send a pong inside a frame, which has a deadline of its own.
            peer.awaited.leave_out_of_pong(route.websocket.ping_interval.unwrap_or_default());
        } else if peer.awaited.is_pong_awaited() {
            self.end(Cause::AtFault(endpoint, Reason::PingTimeout, NO_PONG), now);
        }
    }
}
