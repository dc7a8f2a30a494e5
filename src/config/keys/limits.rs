//! `[limits]` and `[routes.NAME.limits]`

use std::num::NonZeroU32;

use crate::config::kinds::{Choice, Integer, OrOff};
use crate::config::protection::{Mode, OnExceed};
use crate::config::rate::RateOf;
use crate::values::Rate;

type CountOrOff = OrOff<Integer<NonZeroU32>>;
type RateOrOff = OrOff<RateOf>;

const CONNECTIONS: CountOrOff = OrOff(Integer::new(1, 1_000_000));
const EVENTS: RateOrOff = OrOff(RateOf::Events);

layered! {
    /// `[limits]`; `None` is off.
    #[derive(Default)]
    Limits limits_rows;

    CONNECTIONS_PER_IP connections_per_ip: Option<NonZeroU32> = CountOrOff,
        CONNECTIONS, Derived(None, "a tenth of `max_connections`, 1000 at least"),
        "Concurrent connections from one address over all routes; IPv6 counts by /64. Not in a route. \
         Behind a proxy that is not in `trusted_proxies`, all clients share the address of the proxy.";
    HANDSHAKES_PER_IP handshakes_per_ip: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Rate limit of connections accepted from one address over all routes, whatever happens to them \
         afterwards; IPv6 counts by /64. Not in a route.";
    REQUESTS requests: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Rate limit of the plain HTTP requests of one address, and of one user of one [jwt.NAME], over all \
         routes; IPv6 counts by /64. Not in a route.";
    CONNECTIONS_PER_USER connections_per_user: Option<NonZeroU32> = CountOrOff,
        CONNECTIONS, Value(None),
        "Concurrent sessions of one user of one [jwt.NAME] over all routes. Not in a route.";
    LIMIT_MESSAGES messages: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Rate limit of the messages of one connection, client to server. A message is charged at its \
         first frame.";
    LIMIT_BYTES bytes: Option<Rate> = RateOrOff,
        OrOff(RateOf::Bytes), Value(None),
        "Rate limit of the bytes of one connection on the wire, client to server, frame headers included. \
         Bytes are charged after they are read, so the read that exceeds the limit still passes and the \
         next one does not. One read is up to 144 KiB; with a burst below that, up to 16 KiB, or with TLS \
         one record.";
    MESSAGES_PER_USER messages_per_user: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Rate limit of the messages of one user of one [jwt.NAME], over all connections of the user.";
    CONTROL_FRAMES control_frames: Option<Rate> = RateOrOff,
        EVENTS, Value(None),
        "Rate limit of the pings and pongs of one connection, client to server.";
    ON_EXCEED on_exceed: OnExceed = Choice<OnExceed>,
        Choice::of(&[("close", OnExceed::Close), ("delay", OnExceed::Delay),
            ("drop", OnExceed::Drop)]),
        Value(OnExceed::Close),
        "What happens above `messages`, `bytes`, `messages_per_user` or `control_frames`, one of which \
         must be given. `\"close\"`: the session is closed with 4429. `\"delay\"`: the client is not read \
         until it is within the limit again. `\"drop\"`: the whole message, ping or pong is discarded; a \
         message too large to be held back whole closes the session. `\"drop\"` cannot be combined with \
         `bytes`: when bytes are charged, part of the message may already be forwarded.";
    LIMITS_MODE mode: Mode = Choice<Mode>,
        Choice::of(&[("enforce", Mode::Enforce), ("report", Mode::Report)]),
        Value(Mode::Enforce),
        "`\"report\"`: an exceeded limit is logged and counted, but has no other effect.";
}
