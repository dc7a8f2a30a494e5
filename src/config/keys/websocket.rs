//! `[websocket]` and `[routes.NAME.websocket]`

use std::num::NonZeroU32;
use std::time::Duration;

use super::{GIB, HOUR, MIB, SHORTEST, WEEK, YEAR, secs};
use crate::config::kinds::{Bool, Choice, Integer, OrOff, Size, Time};
use crate::config::model::Compression;
use crate::config::pacing::{Lifetime, LifetimeOf, RetryHint, RetryRange};

layered! {
    /// `[websocket]`; `None` is "off". Sizes are the client's, but for `max_reply_size`.
    WebSocket websocket_rows;

    MAX_MESSAGE_SIZE max_message_size: u64 = Size,
        Size::new(1, GIB), Value(MIB),
        "The largest message from a client in payload bytes; of a compressed message, after inflation. \
         `max_reply_size` is for messages from the application.";
    MAX_FRAME_SIZE max_frame_size: u64 = Size,
        Size::new(125, GIB), Value(MIB),
        "The largest frame from a client in payload bytes on the wire. Control frames have up to 125 (RFC \
         6455 section 5.5).";
    MAX_REPLY_SIZE max_reply_size: Option<u64> = OrOff<Size>,
        OrOff(Size::new(1, GIB)), Value(None),
        "The largest message from the application in payload bytes; of a compressed message, after \
         inflation. Its frames and fragments have no limit of their own.";
    MAX_FRAGMENTS max_fragments: u32 = Integer,
        Integer::new(1, 1_000_000), Value(1024),
        "The most frames of a message from a client, empty frames included.";
    MAX_INFLATION_RATIO max_inflation_ratio: Option<NonZeroU32> = OrOff<Integer<NonZeroU32>>,
        OrOff(Integer::new(1, 1032)), Value(NonZeroU32::new(200)),
        "How many bytes a compressed message from a client may inflate to for each byte on the wire, once \
         it has inflated to more than 64 KiB. Deflate reaches 1,032 at most. Only with `compression = \
         \"inspect\"`.";
    MESSAGE_TIMEOUT message_timeout: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: HOUR }), Value(Some(secs(30))),
        "How long a client may take from the first byte of the header of a message or control frame to \
         the last byte; each KiB received adds a second. A message from the application may stall for as \
         long. The session ends when a peer accepts no bytes for three times as long. See [slow \
         peers](hardening.md#slow-is-not-dead).";
    IDLE_TIMEOUT idle_timeout: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: WEEK }), Value(None),
        "The session ends when neither peer has sent a data frame or ping for this long. Bytes still \
         being sent to a slow peer count as activity.";
    PING_INTERVAL ping_interval: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: HOUR }), Value(Some(secs(30))),
        "The interval of the pings that the gateway sends to both peers. A ping that is not answered \
         within two intervals after it was written, plus half a second for each KiB sent before it, ends \
         the session. Any data from the peer counts as an answer.";
    REQUIRE_PONG require_pong: bool = Bool,
        Bool, Value(false),
        "Whether only a pong answers a ping of the gateway, and no other data.";
    MAX_LIFETIME max_lifetime: Option<Lifetime> = OrOff<LifetimeOf>,
        OrOff(LifetimeOf(Time { min: SHORTEST, max: YEAR })), Value(None),
        "The longest session, from the 101 to the Close frame. Each session draws its own time from the \
         jitter, in whole percent from 0 to 90 (10 if it is left out): `\"4h jitter 25%\"` is any time from \
         3 h to 4 h. `jitter 0%` is none. See [rolling-updates.md](rolling-updates.md#sessions-of-a-limited-time).";
    RETRY_HINT retry_hint: Option<RetryHint> = OrOff<RetryRange>,
        OrOff(RetryRange), Value(None),
        "How long clients are told to wait before they connect again: the reason of a Close with 1001, 1012 or \
         1013 that the gateway itself sends to a client ends with ` retry=37s`, random for each session. \
         Browsers and libraries ignore it unless the program reads it, see \
         [rolling-updates.md](rolling-updates.md#tell-clients-when-to-come-back).";
    COMPRESSION compression: Compression = Choice<Compression>,
        Choice::of(&[("off", Compression::Off), ("inspect", Compression::Inspect)]),
        Value(Compression::Off),
        "What happens to permessage-deflate (RFC 7692). `\"off\"`: the offer is removed, so it is never \
         negotiated. `\"inspect\"`: client and application may negotiate it; a copy of each message is \
         inflated and checked. See [compression.md](compression.md).";
}
