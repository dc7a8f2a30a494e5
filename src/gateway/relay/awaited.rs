//! Tracks the outstanding work of one peer: the rest of a message or control frame in progress, and pongs
//! to the gateway's pings. No timer and no socket: instants in, deadlines out.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::WebSocket;
use crate::values::Endpoint;
use crate::wire::Gate;

/// The slowest acceptable sender, in bytes a second: a client that sends a message at least this fast is
/// not too slow, however large the message is.
const SLOWEST_SENDER: u64 = 1024;
/// The most pings in flight without an answer. The first of them gets as many ping intervals to be
/// answered.
const UNANSWERED: u8 = 2;
/// The slowest acceptable reader, in KiB a second. A ping waits behind bytes that the peer has not read: in
/// the kernel buffers of both sides, and in every proxy between. The time to read them extends the pong
/// deadline.
const SLOWEST_READER: u64 = 2;
/// The most unread KiB that extend the pong deadline. A peer with more unread bytes takes nothing any more,
/// which has a deadline of its own.
const MOST_BEHIND: u32 = 1024;
/// Bytes of an incomplete TLS record that count as a sign of life. The gateway cannot decrypt a record
/// before it is complete, so a record that trickles in byte by byte must not extend the pong deadline for
/// ever.
const MUCH_OF_A_RECORD: usize = 1024;

/// The outstanding work of one peer. Small, since each session has two: state that is needed only while
/// something is outstanding is boxed.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    open: Option<Box<Open>>,
    /// KiB that the peer has read, low bits only: the amount sent before the last ping that it answered,
    /// but at most [`MOST_BEHIND`] less than the amount sent before the last ping.
    read: u32,
    /// Pongs that may still arrive.
    unpaid: u8,
    /// A ping is due: it is written at the next frame boundary while the peer is not blocked.
    ping_owed: bool,
}

#[derive(Debug, Default)]
struct Open {
    message: Option<Begun>,
    control: Option<Begun>,
    pong: Option<Pinged>,
    places: MessagePlaces,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.message.is_none()
            && self.control.is_none()
            && self.pong.is_none()
            && self.places.count == 0
    }
}

/// KiB sent to the peer, low bits only, before each ping with an outstanding pong, the oldest first. A peer
/// answers in order. Of more than four pings, the first three and the last are kept.
#[derive(Debug, Default)]
struct MessagePlaces {
    sent: [u32; 4],
    count: usize,
}

impl MessagePlaces {
    fn push(&mut self, sent: u32) {
        self.count = (self.count + 1).min(self.sent.len());
        self.sent[self.count - 1] = sent;
    }

    fn pop(&mut self) -> Option<u32> {
        self.count = self.count.checked_sub(1)?;
        let first = self.sent[0];
        self.sent.rotate_left(1);
        Some(first)
    }
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    serial: u64,
    /// When it began; for the upstream, when its last bytes arrived.
    at: Instant,
    /// Bytes received from the peer by then.
    received: u64,
}

/// Pings that were written and not answered.
#[derive(Debug, Clone, Copy)]
struct Pinged {
    /// When the first was written, moved by every pause in which the peer could not answer.
    since: Instant,
    written: u8,
    /// The amount received from the peer by then.
    received: Received,
    /// KiB sent before the first ping that the peer may not have read by then.
    behind: u32,
}

/// The amount received from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// Bytes of frames.
    pub(super) bytes: u64,
    /// Bytes of an incomplete TLS record.
    pub(super) partial: usize,
}

impl Received {
    /// Whether the peer gave a sign of life since `before`.
    fn is_more_than(self, before: Self) -> bool {
        self.bytes != before.bytes || self.partial >= before.partial + MUCH_OF_A_RECORD
    }
}

impl Awaited {
    /// Notes the frames in progress after a read at `now`. A client's deadline runs from the beginning of
    /// its message or control frame. The upstream is the operator's own application and may take its time
    /// as long as it makes progress: its deadline restarts whenever bytes arrive.
    #[inline]
    pub(super) fn note_frames(&mut self, gate: &Gate, now: Instant) {
        let (message, control) = (gate.message_begun(), gate.control_begun());
        // After most reads no frame is in progress, and none was before.
        if self.open.is_some() || message.is_some() || control.is_some() {
            self.note_progress(message, control, gate, now);
        }
    }

    fn note_progress(
        &mut self,
        message: Option<u64>,
        control: Option<u64>,
        gate: &Gate,
        now: Instant,
    ) {
        if message.is_none() && control.is_none() {
            if let Some(open) = &mut self.open {
                (open.message, open.control) = (None, None);
                self.tidy();
            }
            return;
        }
        let open = self.open.get_or_insert_default();
        note(&mut open.message, message, gate, now);
        note(&mut open.control, control, gate, now);
    }

    /// The deadline for the frames in progress to be complete or, from the upstream, to make progress.
    pub(super) fn frame_deadline(&self, gate: &Gate, timeout: Duration) -> Option<Instant> {
        let Open { message, control, .. } = self.open.as_deref()?;
        let by = |begun: &Begun| {
            let came = gate.received().wrapping_sub(begun.received);
            begun.at + timeout + Duration::from_millis(came.saturating_mul(1000) / SLOWEST_SENDER)
        };
        [message, control].into_iter().flatten().map(by).min()
    }

    /// Moves the deadlines by a pause in which the peer was not read: it could neither finish its frame nor
    /// answer.
    pub(super) fn leave_out(&mut self, pause: Duration) {
        if let Some(Open { message, control, .. }) = self.open.as_deref_mut() {
            for begun in [message, control].into_iter().flatten() {
                begun.at += pause;
            }
        }
        self.leave_out_of_pong(pause);
    }

    /// Moves the pong deadline by a pause in which the peer could not read its ping.
    pub(super) fn leave_out_of_pong(&mut self, pause: Duration) {
        if let Some(Open { pong: Some(pinged), .. }) = self.open.as_deref_mut() {
            pinged.since += pause;
        }
    }

    /// Whether a ping is due.
    pub(super) fn is_ping_owed(&self) -> bool {
        self.ping_owed
    }

    /// Starts a round of pings: one becomes due, unless [`UNANSWERED`] are in flight.
    pub(super) fn round(&mut self, received: Received, settings: &WebSocket) {
        self.note_life(received, settings);
        self.ping_owed |= self.pinged().is_none_or(|pinged| pinged.written < UNANSWERED);
    }

    /// Notes that the due ping was written at `now`, after `sent` bytes in all.
    pub(super) fn pinged_now(&mut self, received: Received, sent: u64, now: Instant) {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
        let sent = (sent / 1024) as u32;
        self.ping_owed = false;
        self.unpaid = self.unpaid.saturating_add(1);
        let behind = sent.wrapping_sub(self.read).min(MOST_BEHIND);
        // Bounds the distance to `sent`, so that the low bits suffice even if no pong ever arrives.
        self.read = sent.wrapping_sub(behind);
        let open = self.open.get_or_insert_default();
        open.places.push(sent);
        let pinged = Pinged { since: now, written: 0, received, behind };
        open.pong.get_or_insert(pinged).written += 1;
    }

    /// Notes a pong to a ping of the gateway: the peer has read all bytes sent before that ping. Returns
    /// whether a pong was outstanding.
    pub(super) fn ponged(&mut self) -> bool {
        let asked = self.unpaid > 0;
        self.unpaid = self.unpaid.saturating_sub(1);
        if let Some(read) = self.open.as_mut().and_then(|open| open.places.pop()) {
            self.note_read(read);
        }
        self.answered();
        asked
    }

    /// Counts bytes received since the ping as its answer, unless `require_pong` is set. They do not show
    /// how much the peer has read.
    pub(super) fn note_life(&mut self, received: Received, settings: &WebSocket) {
        let is_alive = self.pinged().is_some_and(|pinged| received.is_more_than(pinged.received));
        if is_alive && !settings.require_pong {
            self.answered();
        }
    }

    /// Whether a pong is awaited.
    pub(super) fn is_pong_awaited(&self) -> bool {
        self.pinged().is_some()
    }

    /// The deadline for a pong; `None`: none is awaited.
    pub(super) fn pong_deadline(&self, settings: &WebSocket) -> Option<Instant> {
        let (pinged, interval) = (self.pinged()?, settings.ping_interval?);
        let reading = Duration::from_millis(u64::from(pinged.behind) * 1000 / SLOWEST_READER);
        Some(pinged.since + interval * u32::from(UNANSWERED) + reading)
    }

    /// Stops waiting for pongs, after the ping interval was changed.
    pub(super) fn forget_pings(&mut self) {
        self.ping_owed = false;
        self.take_pinged();
    }

    fn answered(&mut self) {
        self.ping_owed = false;
        self.take_pinged();
    }

    /// Notes that the peer has read `read` KiB, unless it is known to have read more.
    fn note_read(&mut self, read: u32) {
        // The numbers wrap: a difference above half their range means that `read` is the older one.
        if read.wrapping_sub(self.read) <= u32::MAX / 2 {
            self.read = read;
        }
    }

    fn pinged(&self) -> Option<Pinged> {
        self.open.as_ref()?.pong
    }

    fn take_pinged(&mut self) {
        if let Some(open) = &mut self.open {
            open.pong = None;
        }
        self.tidy();
    }

    /// Frees the memory once nothing is outstanding.
    fn tidy(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.is_empty()) {
            self.open = None;
        }
    }
}

fn note(clock: &mut Option<Begun>, serial: Option<u64>, gate: &Gate, now: Instant) {
    let received = gate.received();
    let goes_on = |begun: Begun| gate.sender() == Endpoint::Upstream && begun.received != received;
    *clock = match (*clock, serial) {
        (Some(begun), Some(serial)) if begun.serial == serial && !goes_on(begun) => Some(begun),
        (_, serial) => serial.map(|serial| Begun { serial, at: now, received }),
    };
}

/// Factor on the timeout of a peer that takes nothing. A peer that reads slowly but steadily seems to take
/// nothing for a long time: its kernel frees room only once most of a full buffer of 128 KiB was read.
const WRITE_TIMEOUT_FACTOR: u32 = 3;

/// How long a peer may take none of the bytes sent to it: three times `message_timeout` or, without one,
/// three times `ping_interval`, at least [`LEAST_WRITE_TIMEOUT`]; `None`: for ever.
pub(super) fn write_timeout(settings: &WebSocket) -> Option<Duration> {
    let pings = settings
        .ping_interval
        .map(|interval| (interval * WRITE_TIMEOUT_FACTOR).max(LEAST_WRITE_TIMEOUT));
    settings.message_timeout.map(|timeout| timeout * WRITE_TIMEOUT_FACTOR).or(pings)
}

/// The minimum where `ping_interval` decides: readers pause at times, and the interval may be short.
const LEAST_WRITE_TIMEOUT: Duration = Duration::from_secs(90);

/// How much longer TCP waits than the session.
const TCP_MARGIN: Duration = Duration::from_secs(30);

/// How long TCP may wait for sent bytes to be acknowledged or taken: longer than the session's own
/// deadline, so that the log names that one, and at least `least`, since TCP retransmits lost segments.
/// `None`: the kernel's default.
pub(super) fn tcp_user_timeout(settings: &WebSocket, least: Duration) -> Option<Duration> {
    write_timeout(settings).map(|write_timeout| (write_timeout + TCP_MARGIN).max(least))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Awaited, Received, tcp_user_timeout, write_timeout};
    use crate::config::WebSocket;
    use crate::gateway::relay::tests::settings;

    const NOTHING: Received = Received { bytes: 0, partial: 0 };
    const SOMETHING: Received = Received { bytes: 1, partial: 0 };

    fn every_10s(more: &str) -> WebSocket {
        settings(&format!("ping_interval = \"10s\"\n{more}"))
    }

    fn after(pings: &Awaited, settings: &WebSocket, now: Instant) -> Option<Duration> {
        pings.pong_deadline(settings).map(|deadline| deadline - now)
    }

    #[test]
    fn the_deadline_of_a_ping_starts_when_it_is_written() {
        let (settings, now) = (every_10s(""), Instant::now());
        let mut pings = Awaited::default();
        for _ in 0..5 {
            pings.round(NOTHING, &settings);
            assert!(
                pings.is_ping_owed() && pings.pong_deadline(&settings).is_none(),
                "not written yet"
            );
        }
        pings.pinged_now(NOTHING, 0, now);
        assert_eq!(after(&pings, &settings, now), Some(Duration::from_secs(20)));
        pings.round(NOTHING, &settings);
        pings.pinged_now(NOTHING, 0, now + Duration::from_secs(10));
        assert_eq!(after(&pings, &settings, now), Some(Duration::from_secs(20)), "of the first");
        pings.round(NOTHING, &settings);
        assert!(!pings.is_ping_owed(), "two are on their way");
        pings.leave_out(Duration::from_secs(3));
        assert_eq!(after(&pings, &settings, now), Some(Duration::from_secs(23)));
        assert!(pings.ponged() && pings.pong_deadline(&settings).is_none());
        assert!(pings.ponged(), "the other one's pong");
        assert!(!pings.ponged(), "nobody asked");
    }

    #[test]
    fn a_pong_deadline_allows_for_unread_bytes_before_the_ping() {
        let (settings, now) = (every_10s(""), Instant::now());
        let mut pings = Awaited::default();
        pings.round(NOTHING, &settings);
        pings.pinged_now(NOTHING, 614_400, now);
        let reading = Duration::from_secs(300);
        assert_eq!(after(&pings, &settings, now), Some(Duration::from_secs(20) + reading));
        pings.ponged();
        pings.round(NOTHING, &settings);
        pings.pinged_now(NOTHING, 616_448, now);
        assert_eq!(
            after(&pings, &settings, now),
            Some(Duration::from_secs(21)),
            "it read the rest"
        );
        pings.ponged();
        pings.round(NOTHING, &settings);
        pings.pinged_now(NOTHING, 1 << 30, now);
        assert_eq!(after(&pings, &settings, now), Some(Duration::from_secs(20 + 512)), "at most");
        pings.ponged();
        pings.round(NOTHING, &settings);
        pings.pinged_now(NOTHING, (1 << 30) + (1 << 26) + 1024, now);
        assert!(after(&pings, &settings, now) > Some(Duration::from_secs(20)), "low bits wrap");
    }

    /// Seconds of the pong deadline beyond two intervals: half a second for each KiB.
    fn behind(pings: &mut Awaited, settings: &WebSocket, sent: u64) -> u64 {
        let now = Instant::now();
        pings.round(NOTHING, settings);
        pings.pinged_now(NOTHING, sent * 1024, now);
        after(pings, settings, now).unwrap().as_secs() - 20
    }

    #[test]
    fn data_does_not_prove_that_a_peer_read_earlier_bytes() {
        let settings = every_10s("");
        let mut pings = Awaited::default();
        assert_eq!(behind(&mut pings, &settings, 300), 150);
        pings.note_life(SOMETHING, &settings);
        assert!(!pings.is_pong_awaited(), "data is an answer");
        assert_eq!(behind(&mut pings, &settings, 400), 200, "all of it may be unread");
        pings.ponged();
        assert_eq!(behind(&mut pings, &settings, 400), 50, "the first pong came");
        pings.ponged();
        assert_eq!(behind(&mut pings, &settings, 400), 0, "and the second");
    }

    #[test]
    fn a_pong_acknowledges_one_ping() {
        let settings = every_10s("");
        let mut pings = Awaited::default();
        behind(&mut pings, &settings, 100);
        pings.round(NOTHING, &settings);
        pings.pinged_now(NOTHING, 300 * 1024, Instant::now());
        pings.ponged();
        assert_eq!(behind(&mut pings, &settings, 300), 100, "200 KiB stand before the second");
    }

    #[test]
    fn without_pongs_all_sent_bytes_may_be_unread() {
        let settings = every_10s("");
        let mut pings = Awaited::default();
        for sent in (0..300).map(|round| 1024 + round * 1000) {
            assert_eq!(behind(&mut pings, &settings, sent), 512, "{sent} KiB");
            pings.note_life(SOMETHING, &settings);
        }
        for _ in 0..4 {
            pings.ponged();
        }
        assert_eq!(behind(&mut pings, &settings, 300_024), 0, "pongs to the first and the last");
    }

    #[test]
    fn no_ping_is_kept_after_the_last_pong() {
        let settings = every_10s("");
        let mut pings = Awaited::default();
        behind(&mut pings, &settings, 0);
        pings.ponged();
        assert!(pings.open.is_none());
    }

    #[test]
    fn received_bytes_answer_a_ping_unless_require_pong_is_set() {
        let now = Instant::now();
        for (lines, received, answered) in [
            ("", NOTHING, false),
            ("", SOMETHING, true),
            ("", Received { bytes: 0, partial: 1023 }, false),
            ("", Received { bytes: 0, partial: 1024 }, true),
            ("require_pong = true", SOMETHING, false),
        ] {
            let (settings, mut pings) = (every_10s(lines), Awaited::default());
            pings.round(NOTHING, &settings);
            pings.pinged_now(NOTHING, 0, now);
            pings.note_life(received, &settings);
            assert_eq!(!pings.is_pong_awaited(), answered, "{lines} {received:?}");
        }
    }

    #[test]
    fn tcp_waits_longer_than_the_session_does() {
        let least = Duration::from_secs(120);
        for (lines, session, tcp) in [
            ("", Some(90), Some(120)),
            ("message_timeout = \"10s\"", Some(30), Some(120)),
            ("message_timeout = \"5m\"", Some(900), Some(930)),
            ("message_timeout = \"off\"", Some(90), Some(120)),
            ("message_timeout = \"off\"\nping_interval = \"1m\"", Some(180), Some(210)),
            ("message_timeout = \"off\"\nping_interval = \"1s\"", Some(90), Some(120)),
            ("message_timeout = \"off\"\nping_interval = \"off\"", None, None),
        ] {
            let settings = settings(lines);
            assert_eq!(write_timeout(&settings), session.map(Duration::from_secs), "{lines}");
            assert_eq!(tcp_user_timeout(&settings, least), tcp.map(Duration::from_secs), "{lines}");
        }
    }
}
