//! Both ends of a session and everything that happens between them. One task, no locks; polled by
//! [`super::relay`], which wakes when a stream or the timer does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::time::{Instant, Sleep};

use super::allowance::{Allowance, Ruling};
use super::budget::HoldBudget;
use super::clock::{Clock, Due};
use super::end::{Cause, SessionEnd};
use super::gate::Gate;
use super::lease::{self, Expiry, Lease, Renewal, Verifying};
use super::pump::{Notice, Noticed, pump};
use super::side::{Ending, Side, Stage};
use super::terms::Terms;
use super::{Endpoint, Streams};
use crate::config::Route;
use crate::refusal::Reason;

/// Pings that may stay unanswered; when the next one is due, the session ends.
const UNANSWERED: u8 = 2;

/// See the module. There is one for each session, most of them idle: what few of them have, or only
/// for a time, is boxed.
pub(super) struct Pair {
    /// What it is held to.
    route: Arc<Route>,
    pub(super) budget: HoldBudget,
    pub(super) client: Side,
    pub(super) upstream: Side,
    pub(super) clock: Clock,
    /// `None`: a client may not hand in a new token.
    pub(super) refresh: Option<Box<Refresh>>,
    /// Once something ends the session.
    pub(super) parting: Option<Box<Parting>>,
}

/// A session that ends.
pub(super) struct Parting {
    /// What ended it first.
    pub(super) cause: Cause,
    /// Until when a frame boundary, or the answer to an end's Close, is waited for.
    pub(super) patience: Option<Instant>,
}

/// How a client hands in a new token, and what becomes of it.
pub(super) struct Refresh {
    renewal: Renewal,
    /// A token that was handed in, being verified.
    verifying: Option<Verifying>,
    /// The answer to it, to be written between two messages.
    pub(super) answer: Option<String>,
}

impl Pair {
    pub(super) fn new(
        streams: Streams,
        terms: Terms,
        budget: HoldBudget,
        lease: Lease,
        now: Instant,
    ) -> Self {
        let Terms { route, user } = terms;
        let Lease { expires, renewal } = lease;
        let side = |stream, early, sender| {
            // Each end has a payload of its own: neither can make the other seem to answer.
            let gate = Gate::new(sender, (&route.websocket).into(), super::random());
            Side::new(stream, early, gate)
        };
        let Streams { client, client_early, upstream, upstream_early, compression } = streams;
        let mut clock = Clock::new(&route.websocket, now);
        clock.expiry = Expiry::new(expires, now, SystemTime::now());
        let mut client = side(client, client_early, Endpoint::Client);
        client.gate.allow(Allowance::new(&route.limits, user, now));
        let refresh = renewal.map(|renewal| {
            client.gate.expect_token(Arc::clone(&renewal.member));
            Box::new(Refresh { renewal, verifying: None, answer: None })
        });
        let mut upstream = side(upstream, upstream_early, Endpoint::Upstream);
        if let Some(contexts) = compression {
            client.gate.inflate(contexts.client);
            upstream.gate.inflate(contexts.upstream);
        }
        Self { route, budget, client, upstream, clock, refresh, parting: None }
    }

    /// Holds the session to other terms from here on.
    pub(super) fn amend(&mut self, terms: Terms, now: Instant) {
        let Terms { route, user } = terms;
        let settings = &route.websocket;
        self.clock.amend(&self.route.websocket, settings, now);
        self.client.gate.limit(settings.into());
        self.upstream.gate.limit(settings.into());
        self.client.gate.allow(Allowance::new(&route.limits, user, now));
        // The rate that it waited for may be another now.
        self.client.resume(now);
        self.route = route;
    }

    /// Runs the session as far as it goes without waiting. `timer` is armed for what is due next;
    /// one that fires too early costs one look, while re-arming it for each message costs more.
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

    /// The next reason for which something was let through and that was not told yet.
    pub(super) fn untold(&mut self) -> Option<Reason> {
        self.client.gate.allowance()?.untold()
    }

    /// What there is to say about the end.
    pub(super) fn into_end(mut self) -> SessionEnd {
        SessionEnd {
            cause: self.parting.map_or(Cause::Gateway(Reason::Internal), |parting| parting.cause),
            client: self.client.gate.flow(),
            upstream: self.upstream.gate.flow(),
            let_through: self.client.gate.allowance().map_or(0, |rates| rates.let_through()),
        }
    }

    pub(super) fn side(&mut self, endpoint: Endpoint) -> &mut Side {
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
        self.relay_from(cx, Endpoint::Client, now);
        self.relay_from(cx, Endpoint::Upstream, now);
        let waits = self.parting.is_some() && self.client.paused.is_some();
        if self.client.write_failed || waits {
            // It may have said why before it went; and nothing but its Close is waited for then.
            self.resume(now);
            self.relay_from(cx, Endpoint::Client, now);
        }
        self.clock.note_activity(self.activity(), now);
        self.poll_renewal(cx, now);
        self.advance(cx, Endpoint::Client, now);
        self.advance(cx, Endpoint::Upstream, now);
        if self.parting.is_some() {
            // What became of the upstream may be what the client waited for.
            self.advance(cx, Endpoint::Client, now);
        }
    }

    /// Grows with everything that an end does of its own. A frame counts with its last byte, so one
    /// that is long on its way counts by its bytes meanwhile.
    fn activity(&self) -> u64 {
        let of = |side: &Side| {
            let on_its_way = if side.gate.in_frame() { side.gate.flow().bytes } else { 0 };
            side.gate.activity().wrapping_add(on_its_way)
        };
        of(&self.client).wrapping_add(of(&self.upstream))
    }

    /// A newer token replaces one that is still being verified.
    fn renew(&mut self, token: String) {
        if let Some(refresh) = &mut self.refresh {
            refresh.verifying = Some((refresh.renewal.verify)(token));
        }
    }

    /// Takes note of a token that was verified: the session lasts as long as it.
    fn poll_renewal(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(refresh) = &mut self.refresh else {
            return;
        };
        let polled = refresh.verifying.as_mut().map(|verifying| verifying.as_mut().poll(cx));
        let Some(Poll::Ready(outcome)) = polled else {
            return;
        };
        refresh.verifying = None;
        refresh.answer = Some(lease::answer(&refresh.renewal.member, outcome));
        // A session that its token does not end is not ended by a newer one either.
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
            let Some(Noticed { notice, wait }) = pump(cx, source, sink, &self.budget, now) else {
                return;
            };
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
            Notice::Exceeded(reason) => self.exceeded(from, reason, now),
            Notice::Violation(violation) => {
                self.side(from).ending = Some(Ending::Refused);
                self.end(Cause::Violation(violation), now);
            }
            Notice::Eof => {
                self.side(from).ending = Some(Ending::Eof);
                self.lost(from, "the connection ended without a Close frame".to_owned(), now);
            }
            Notice::Failed(error) => {
                self.side(from).ending = Some(Ending::Failed);
                self.lost(from, error, now);
            }
        }
    }

    /// An answer to a ping of the gateway's. One that nobody asked for is a control frame as any.
    fn ponged(&mut self, from: Endpoint, now: Instant) {
        let side = self.side(from);
        let asked = side.pings.unanswered > 0;
        side.pings.answered();
        let ruling = side.gate.allowance().filter(|_| !asked).map(Allowance::control_frame);
        match ruling {
            Some(Ruling::Refuse(reason)) => self.exceeded(from, reason, now),
            Some(Ruling::Wait(until)) => self.wait(from, until, now),
            Some(Ruling::Pass | Ruling::Drop(_)) | None => {}
        }
    }

    /// An end is above a rate, or handed in a token that cannot be taken out of the stream, and the
    /// session ends for it.
    fn exceeded(&mut self, from: Endpoint, reason: Reason, now: Instant) {
        self.side(from).ending = Some(Ending::Refused);
        let detail = match reason {
            Reason::Capacity => "there is no room to hold a message that may hand in a token",
            Reason::MessageTooBig => "a message that hands in a token is larger than 16 KiB",
            Reason::MessageFragments => "a message that hands in a token came in fragments",
            _ => "it sent more than its rate allows",
        };
        self.end(Cause::AtFault(from, reason, detail), now);
    }

    /// An end is above a rate, and is not read from until it is within it again. Where the session
    /// is ending there is nothing that it would be waited for.
    fn wait(&mut self, from: Endpoint, until: Instant, now: Instant) {
        if self.parting.is_some() {
            return self.part(now);
        }
        let Self { client, upstream, budget, .. } = self;
        let side = match from {
            Endpoint::Client => client,
            Endpoint::Upstream => upstream,
        };
        side.pause(until, now, budget);
    }

    /// Lets an end go on whose pause is over, or of which nothing but its Close is waited for.
    fn resume(&mut self, now: Instant) {
        let ending = self.parting.is_some();
        for side in [&mut self.client, &mut self.upstream] {
            if side.paused.as_ref().is_some_and(|paused| ending || paused.until <= now) {
                side.resume(now);
                // It was kept waiting: that it said nothing is not its fault.
                self.clock.note_rest(now);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let Some(parting) = &self.parting else {
            let next = self.clock.next(&self.route.websocket, &self.client, &self.upstream);
            let paused = [&self.client.paused, &self.upstream.paused];
            let resumes = paused.into_iter().flatten().map(|paused| paused.until);
            return next.map(|(deadline, _)| deadline).into_iter().chain(resumes).min();
        };
        let draining = |side: &Side| match &side.stage {
            Stage::Draining(draining) => Some(draining.until),
            Stage::Open | Stage::Closing(_) | Stage::Done => None,
        };
        [parting.patience, draining(&self.client), draining(&self.upstream)]
            .into_iter()
            .flatten()
            .min()
    }

    fn expire(&mut self, now: Instant) {
        if self.parting.is_some() {
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
            Some(Due::Idle) => {
                Cause::AtFault(Endpoint::Client, Reason::IdleTimeout, "neither end said anything")
            }
            Some(Due::Message(endpoint)) => {
                Cause::AtFault(endpoint, Reason::MessageTimeout, "it did not finish what it began")
            }
            Some(Due::Stalled(endpoint)) => {
                Cause::AtFault(endpoint, Reason::MessageTimeout, "it took nothing of what was sent")
            }
        };
        self.end(cause, now);
    }

    /// A round of pings to both ends, or the end of the session for one that did not answer.
    fn ping_both(&mut self, now: Instant) {
        self.clock.pinged(&self.route.websocket, now);
        let interval = self.route.websocket.ping_interval.unwrap_or_default();
        for endpoint in [Endpoint::Client, Endpoint::Upstream] {
            let side = self.side(endpoint);
            // One that is in the middle of a frame cannot answer before its end; one that could
            // not be sent a ping cannot answer at all. Both have their own deadline. One that takes
            // what it is sent, if slowly, need not prove that it is there.
            let slow =
                side.blocked.as_ref().is_some_and(|blocked| now - blocked.stalled < interval);
            let unsent = side.pings.owed && side.blocked.is_none();
            if side.gate.in_frame() || unsent || slow || side.paused.is_some() {
                continue;
            }
            if side.pings.unanswered == UNANSWERED {
                let cause =
                    Cause::AtFault(endpoint, Reason::PingTimeout, "two pings were not answered");
                return self.end(cause, now);
            }
            side.pings.unanswered += 1;
            side.pings.owed = true;
        }
    }
}
