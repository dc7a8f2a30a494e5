//! Relays frames in both directions until a peer or the gateway closes the session. The pumps drive the
//! frame rules of [`wire`](crate::wire) from the sockets: [`relay`] runs a session with two gates, two
//! streams, deadlines and the close handshake.

mod awaited;
mod clock;
mod closing;
mod end;
mod lease;
mod mailbox;
mod messages;
mod peer;
mod pump;
mod session;
mod settings;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::tls::transport::Transport;
use crate::values::{Endpoint, Reason};
use crate::wire::{Context, HoldBudget, Judgement};
pub(super) use end::reason_text;
pub use end::{Cause, SessionEnd};
pub use lease::{Lease, Renewal, Verifying};
pub use mailbox::{Judges, Mailbox, Observers, Terms};
use session::SessionRelay;
pub(super) use settings::{control_frame_rate, frame_limits};

/// The two streams of a session, and the bytes that followed each opening handshake.
#[derive(Debug)]
pub struct Streams {
    /// The client's stream, after the gateway's 101.
    pub client: Transport,
    /// Bytes that the client sent before it had its 101.
    pub client_early: Bytes,
    /// The upstream's stream, after the upstream's 101.
    pub upstream: Transport,
    /// Bytes that followed the upstream's 101.
    pub upstream_early: Bytes,
    /// The negotiated compression; `None`: messages may not be compressed.
    pub compression: Option<Contexts>,
}

/// The compression context of each peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contexts {
    /// Of the client's messages.
    pub client: Context,
    /// Of the upstream's messages.
    pub upstream: Context,
}

/// The interface of a running session to the rest of the gateway.
pub trait Outside {
    /// The mailbox, which the session empties whenever it is polled.
    fn mailbox(&self) -> &Mailbox;

    /// Called once for each reason for which rate limits in report mode let something through.
    fn would_refuse(&self, reason: Reason);

    /// Called for the first message of each sender and reason that breaks a rule of the route without ending the
    /// session.
    fn judged(&self, from: Endpoint, judgement: &Judgement);

    /// Called for each message of the client that is a strike, with the reason of its refusal.
    fn struck(&self, reason: Reason);

    /// Called once, as soon as the close of both peers begins.
    fn ending(&mut self, cause: &Cause);

    /// Called once the session is over and both peers are closed; not if it is dropped before.
    fn ended(&mut self, end: SessionEnd);
}

/// Relays frames between both peers until the session ends, and closes them. Each session has one such
/// future, so it is kept small: its state is built before the first poll.
pub fn relay<O: Outside>(
    streams: Streams,
    terms: Terms,
    budget: HoldBudget,
    lease: Lease,
    outside: O,
) -> impl Future<Output = ()> {
    let session = SessionRelay::new(streams, terms, budget, lease, Instant::now());
    let mut running = RunningRelay { session, outside, waker: None };
    async move {
        let mut timer = pin!(tokio::time::sleep(FAR));
        poll_fn(|cx| running.poll(cx, timer.as_mut())).await;
        running.outside.ended(running.session.into_end());
    }
}

/// The state of a running relay.
struct RunningRelay<O> {
    session: SessionRelay,
    outside: O,
    /// The waker that the mailbox has.
    waker: Option<Waker>,
}

impl<O: Outside> RunningRelay<O> {
    fn poll(&mut self, cx: &mut task::Context<'_>, timer: Pin<&mut Sleep>) -> Poll<()> {
        let Self { session, outside, waker } = self;
        let mail = outside.mailbox().take(cx, waker);
        if let Some(reason) = mail.stop {
            session.stop(reason, Instant::now());
        }
        if let Some(terms) = mail.terms {
            session.amend(*terms, Instant::now());
        }
        if let Some(observers) = mail.observers {
            session.observe(*observers, Instant::now());
        }
        let polled = session.poll(cx, timer);
        while let Some(reason) = session.take_unreported() {
            outside.would_refuse(reason);
        }
        while let Some((from, judgement)) = session.take_judged() {
            outside.judged(from, &judgement);
        }
        if let Some(closing) = session.closing.as_mut().filter(|closing| !closing.reported) {
            closing.reported = true;
            outside.ending(&closing.cause);
        }
        for reason in session.take_strikes() {
            outside.struck(reason);
        }
        if mail.counters {
            outside.mailbox().publish(session.client.gate.flow(), session.upstream.gate.flow());
        }
        polled
    }
}

/// How far away the deadline of a timer is that is not armed yet.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Random bytes for masking keys and ping payloads; zeros if the system has none. A masking key protects
/// intermediaries from confusion (RFC 6455 section 10.3), and none stands between the gateway and its
/// upstream.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = getrandom::fill(&mut bytes);
    bytes
}
