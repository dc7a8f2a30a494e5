//! `[limits]` and `[routes.NAME.limits]`

use std::num::NonZeroU32;

use super::{Derived, Fallback, Key, Row, Section};
use crate::config::kinds::{Choice, Count, OrOff};
use crate::config::protection::{Mode, OnExceed};
use crate::config::rate::RateOf;
use crate::values::Rate;

type CountOrOff = OrOff<Count>;
type RateOrOff = OrOff<RateOf>;
type OptionalCount = Fallback<Option<NonZeroU32>>;
type OptionalRate = Fallback<Option<Rate>>;

const CONNECTIONS: CountOrOff = OrOff(Count { max: 1_000_000 });
const EVENTS: RateOrOff = OrOff(RateOf::Events);
const OFF_COUNT: OptionalCount = Fallback(None);
const OFF_RATE: OptionalRate = Fallback(None);

keys! {
    LIMITS_ROWS;

    CONNECTIONS_PER_IP: CountOrOff, Derived<Option<NonZeroU32>> = Limits "connections_per_ip"
        CONNECTIONS, Derived(None, "a tenth of `max_connections`, 1000 at least"),
        "Connections of one address at once, over all routes; IPv6 counts by /64. Not in a route. \
         Where a proxy that is not in `trusted_proxies` stands in front, all clients have its address.";
    HANDSHAKES_PER_IP: RateOrOff, OptionalRate = Limits "handshakes_per_ip" EVENTS, OFF_RATE,
        "Handshakes of one address, over all routes: connections that were accepted, whatever \
         becomes of them. IPv6 counts by /64. Not in a route.";
    CONNECTIONS_PER_USER: CountOrOff, OptionalCount = Limits "connections_per_user"
        CONNECTIONS, OFF_COUNT,
        "Sessions of one user of one [jwt.NAME] at once, over all routes. Not in a route.";
    LIMIT_MESSAGES: RateOrOff, OptionalRate = Limits "messages" EVENTS, OFF_RATE,
        "Messages of a connection, client to server, charged at a message's first frame.";
    LIMIT_BYTES: RateOrOff, OptionalRate = Limits "bytes" OrOff(RateOf::Bytes), OFF_RATE,
        "Bytes of a connection on the wire, client to server, frame headers included. \
         Charged once they are read: the read that goes over the rate has passed, and what comes \
         next is too much. A read is up to 144 KiB; with a burst below that, up to 16 KiB, or with \
         TLS a record.";
    MESSAGES_PER_USER: RateOrOff, OptionalRate = Limits "messages_per_user" EVENTS, OFF_RATE,
        "Messages of one user of one [jwt.NAME], over all of the user's connections.";
    CONTROL_FRAMES: RateOrOff, OptionalRate = Limits "control_frames" EVENTS, OFF_RATE,
        "Pings and pongs of a connection, client to server.";
    ON_EXCEED: Choice<OnExceed>, Fallback<OnExceed> = Limits "on_exceed"
        Choice::of(&[("close", OnExceed::Close), ("delay", OnExceed::Delay),
            ("drop", OnExceed::Drop)]),
        Fallback(OnExceed::Close),
        "What becomes of what is over `messages`, `bytes`, `messages_per_user` or \
         `control_frames`; one of them must be given. `\"close\"`: the session is closed, \
         with 4429. `\"delay\"`: the client is not read from until it may go on. `\"drop\"`: a message, a \
         ping or a pong is not passed on, whole; a message too large to be held back whole closes \
         the session. `\"drop\"` goes with no `bytes`: once they are charged, their message may be \
         on its way.";
    LIMITS_MODE: Choice<Mode>, Fallback<Mode> = Limits "mode"
        Choice::of(&[("enforce", Mode::Enforce), ("report", Mode::Report)]),
        Fallback(Mode::Enforce),
        "`\"report\"`: what is over a limit is logged and counted, and let through.";
}
