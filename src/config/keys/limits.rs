//! `[limits]` and `[routes.NAME.limits]`

use std::num::NonZeroU32;

use super::DefaultTo::{Derived, Value};
use super::{DefaultTo, Key, Row, Section};
use crate::config::kinds::{Choice, Count, OrOff};
use crate::config::protection::{Mode, OnExceed};
use crate::config::rate::RateOf;
use crate::values::Rate;

type CountOrOff = OrOff<Count>;
type RateOrOff = OrOff<RateOf>;

const CONNECTIONS: CountOrOff = OrOff(Count { max: 1_000_000 });
const EVENTS: RateOrOff = OrOff(RateOf::Events);

layered! {
    /// `[limits]`; `None` is off.
    #[derive(Default)]
    Limits LIMITS_ROWS;

    CONNECTIONS_PER_IP connections_per_ip: Option<NonZeroU32> = CountOrOff,
        CONNECTIONS, Derived(None, "a tenth of `max_connections`, 1000 at least"),
        "Connections of one address at once, over all routes; IPv6 counts by /64. Not in a route. \
         Where a proxy that is not in `trusted_proxies` stands in front, all clients have its address.";
    HANDSHAKES_PER_IP handshakes_per_ip: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Handshakes of one address, over all routes: connections that were accepted, whatever \
         becomes of them. IPv6 counts by /64. Not in a route.";
    CONNECTIONS_PER_USER connections_per_user: Option<NonZeroU32> = CountOrOff,
        CONNECTIONS, Value(None),
        "Sessions of one user of one [jwt.NAME] at once, over all routes. Not in a route.";
    LIMIT_MESSAGES messages: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Messages of a connection, client to server, charged at a message's first frame.";
    LIMIT_BYTES bytes: Option<Rate> = RateOrOff,
        OrOff(RateOf::Bytes), Value(None),
        "Bytes of a connection on the wire, client to server, frame headers included. \
         Charged once they are read: the read that goes over the rate has passed, and what comes \
         next is too much. A read is up to 144 KiB; with a burst below that, up to 16 KiB, or with \
         TLS a record.";
    MESSAGES_PER_USER messages_per_user: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Messages of one user of one [jwt.NAME], over all of the user's connections.";
    CONTROL_FRAMES control_frames: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Pings and pongs of a connection, client to server.";
    ON_EXCEED on_exceed: OnExceed = Choice<OnExceed>,
        Choice::of(&[("close", OnExceed::Close), ("delay", OnExceed::Delay),
            ("drop", OnExceed::Drop)]),
        Value(OnExceed::Close),
        "What becomes of what is over `messages`, `bytes`, `messages_per_user` or \
         `control_frames`; one of them must be given. `\"close\"`: the session is closed, \
         with 4429. `\"delay\"`: the client is not read from until it may go on. `\"drop\"`: a message, a \
         ping or a pong is not passed on, whole; a message too large to be held back whole closes \
         the session. `\"drop\"` goes with no `bytes`: once they are charged, their message may be \
         on its way.";
    LIMITS_MODE mode: Mode = Choice<Mode>,
        Choice::of(&[("enforce", Mode::Enforce), ("report", Mode::Report)]),
        Value(Mode::Enforce),
        "`\"report\"`: what is over a limit is logged and counted, and let through.";
}
