//! The deadlines of a session before its close. No timer: an instant in, the next deadline out.

use tokio::time::Instant;

use super::awaited;
use super::lease::Expiry;
use super::peer::RelayPeer;
use crate::config::WebSocket;
use crate::values::Endpoint;

/// The deadlines of `[websocket]`.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// The share of the jitter by which `max_lifetime` is shorter for this session; a reload keeps it.
    draw: u16,
    /// The expiry of the session's token.
    pub(super) expiry: Expiry,
    next_ping: Option<Instant>,
    last_activity: Instant,
    activity: u64,
}

/// The action that is due at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Lifetime,
    /// The token may have expired.
    Expiry,
    Idle,
    /// A round of pings is due.
    Ping,
    /// This peer did not answer its pings.
    Pong(Endpoint),
    /// A message or a control frame of this peer took too long.
    Message(Endpoint),
    /// This peer took none of the bytes sent to it for too long.
    Stalled(Endpoint),
}

impl Clock {
    /// `draw` is random.
    pub(super) fn new(settings: &WebSocket, now: Instant, draw: u16) -> Self {
        Self {
            began: now,
            draw,
            expiry: Expiry::default(),
            next_ping: settings.ping_interval.map(|interval| now + interval),
            last_activity: now,
            activity: 0,
        }
    }

    /// Notes the sum of both peers' activity.
    pub(super) fn note_activity(&mut self, activity: u64, now: Instant) {
        if activity != self.activity {
            self.activity = activity;
            self.last_activity = now;
        }
    }

    /// Restarts the idle timer after a pause that the gateway imposed.
    pub(super) fn note_rest(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// The next round of pings is one interval from now.
    pub(super) fn pinged(&mut self, settings: &WebSocket, now: Instant) {
        self.next_ping = settings.ping_interval.map(|interval| now + interval);
    }

    /// The earliest deadline, and its action.
    pub(super) fn next(
        &self,
        settings: &WebSocket,
        client: &RelayPeer,
        upstream: &RelayPeer,
    ) -> Option<(Instant, Due)> {
        let waits = client.paused.is_some() || upstream.paused.is_some();
        let idle = settings.idle_timeout.filter(|_| !waits);
        let idle = idle.map(|timeout| self.last_sign_of_life(client, upstream) + timeout);
        let (from_client, to_upstream) = frame_deadlines(client, upstream, settings);
        let (from_upstream, to_client) = frame_deadlines(upstream, client, settings);
        // Every poll of a session runs this: an iterator over an array of the deadlines costs four times as
        // much as one comparison each.
        let mut next = self.over(settings);
        let mut consider = |deadline: Option<Instant>, due| {
            if let Some(deadline) = deadline
                && next.is_none_or(|(earliest, _)| deadline < earliest)
            {
                next = Some((deadline, due));
            }
        };
        consider(idle, Due::Idle);
        consider(self.next_ping, Due::Ping);
        consider(pong_deadline(client, upstream, settings), Due::Pong(Endpoint::Client));
        consider(pong_deadline(upstream, client, settings), Due::Pong(Endpoint::Upstream));
        consider(from_client, Due::Message(Endpoint::Client));
        consider(from_upstream, Due::Message(Endpoint::Upstream));
        consider(to_client, Due::Stalled(Endpoint::Client));
        consider(to_upstream, Due::Stalled(Endpoint::Upstream));
        next
    }

    /// The earlier of the deadlines that also apply to a session in its close: its lifetime, and the next
    /// check of its token.
    pub(super) fn over(&self, settings: &WebSocket) -> Option<(Instant, Due)> {
        let lifetime = settings.max_lifetime.map(|lifetime| lifetime.of(self.draw));
        let lifetime = lifetime.map(|lifetime| (self.began + lifetime, Due::Lifetime));
        let expiry = self.expiry.check().map(|check| (check, Due::Expiry));
        lifetime.into_iter().chain(expiry).min_by_key(|(deadline, _)| *deadline)
    }

    /// When a peer last sent a frame, or took bytes that waited for it.
    fn last_sign_of_life(&self, client: &RelayPeer, upstream: &RelayPeer) -> Instant {
        let took = |peer: &RelayPeer| peer.blocked.as_ref().map(|blocked| blocked.stalled);
        took(client).max(took(upstream)).map_or(self.last_activity, |at| at.max(self.last_activity))
    }
}

/// The deadline for `from` to finish its message or control frame, unless `to` blocks it; and the deadline
/// for `to` to take bytes, if it is blocked.
fn frame_deadlines(
    from: &RelayPeer,
    to: &RelayPeer,
    settings: &WebSocket,
) -> (Option<Instant>, Option<Instant>) {
    match (&to.blocked, settings.message_timeout) {
        (Some(blocked), _) => (
            None,
            awaited::write_timeout(settings).map(|write_timeout| blocked.stalled + write_timeout),
        ),
        (None, Some(timeout)) if from.paused.is_none() && from.sends() => {
            (from.awaited.frame_deadline(&from.gate, timeout), None)
        }
        (None, _) => (None, None),
    }
}

/// The deadline for `peer` to answer its pings. A blocked peer cannot read them, and has a deadline for
/// taking bytes instead; the pong of a peer that is not read from may have arrived.
fn pong_deadline(peer: &RelayPeer, other: &RelayPeer, settings: &WebSocket) -> Option<Instant> {
    let waits = peer.blocked.is_some() || peer.paused.is_some() || other.blocked.is_some();
    if waits { None } else { peer.awaited.pong_deadline(settings) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Clock, Due};
    use crate::gateway::relay::tests::settings;

    /// Also after a reload changed the key: a session does not draw again.
    #[test]
    fn the_lifetime_is_shorter_by_the_share_that_the_session_drew() {
        let now = Instant::now();
        for (draw, shares) in [(0, [100, 200, 60]), (u16::MAX, [50, 180, 60])] {
            let clock = Clock::new(&settings(""), now, draw);
            let lifetimes = ["100s jitter 50%", "200s", "60s jitter 0%"];
            for (lifetime, wanted) in lifetimes.into_iter().zip(shares) {
                let settings = settings(&format!("max_lifetime = \"{lifetime}\""));
                let wanted = (now + Duration::from_secs(wanted), Due::Lifetime);
                assert_eq!(clock.over(&settings), Some(wanted), "{lifetime}");
            }
            assert_eq!(clock.over(&settings("max_lifetime = \"off\"")), None);
        }
    }
}
