//! `[websocket]` and `[routes.NAME.websocket]`

use std::num::NonZeroU32;
use std::time::Duration;

use super::DefaultTo::Value;
use super::{DefaultTo, GIB, HOUR, Key, MIB, Row, SHORTEST, Section, WEEK, YEAR, secs};
use crate::config::kinds::{Bool, Choice, Count, Integer, OrOff, Size, Time};
use crate::config::model::Compression;

layered! {
    /// `[websocket]`; `None` is "off". Sizes are the client's, but for `max_reply_size`.
    WebSocket WEBSOCKET_ROWS;

    MAX_MESSAGE_SIZE max_message_size: u64 = Size,
        Size { min: 1, max: GIB }, Value(MIB),
        "Payload bytes of a message of a client; of a compressed one, inflated. What the application sends, `max_reply_size` limits.";
    MAX_FRAME_SIZE max_frame_size: u64 = Size,
        Size { min: 125, max: GIB }, Value(MIB),
        "Payload bytes of a frame of a client, as it is on the wire. Control frames have up to 125 (RFC 6455 section 5.5).";
    MAX_REPLY_SIZE max_reply_size: Option<u64> = OrOff<Size>,
        OrOff(Size { min: 1, max: GIB }), Value(None),
        "Payload bytes of a message of the application; of a compressed one, inflated. Its frames and fragments have no \
         limit of their own.";
    MAX_FRAGMENTS max_fragments: u32 = Integer,
        Integer { min: 1, max: 1_000_000 }, Value(1024),
        "Frames of a message of a client, empty ones counted.";
    MAX_INFLATION_RATIO max_inflation_ratio: Option<NonZeroU32> = OrOff<Count>,
        OrOff(Count { max: 1032 }), Value(NonZeroU32::new(200)),
        "Bytes that a compressed message of a client may inflate to for each byte that it has on the wire, once it \
         has inflated to more than 64 KiB. Deflate comes to 1,032 at most. Only with `compression = \"inspect\"`.";
    MESSAGE_TIMEOUT message_timeout: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: HOUR }), Value(Some(secs(30))),
        "How long a client may take from the first byte of a message's, or a control frame's, header to its last byte; each \
         KiB of it that came allows a second more. A message of the application may stand still for as long. And three \
         times as long either may take nothing of what it is sent. See [slow peers](hardening.md#slow-is-not-dead).";
    IDLE_TIMEOUT idle_timeout: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: WEEK }), Value(None),
        "How long no data frame and no ping of a peer's own may pass, either way. Bytes on their way to a peer that is slow to \
         take them count, too.";
    PING_INTERVAL ping_interval: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: HOUR }), Value(Some(secs(30))),
        "Between the gateway's own pings, to both sides. One that is not answered for two intervals from when it was written, \
         and half a second for each KiB that the peer was sent before it, ends the session. Whatever a peer sends is an answer.";
    REQUIRE_PONG require_pong: bool = Bool,
        Bool, Value(false),
        "Whether only a pong is an answer to a ping of the gateway's, and nothing else that the peer sends.";
    MAX_LIFETIME max_lifetime: Option<Duration> = OrOff<Time>,
        OrOff(Time { min: SHORTEST, max: YEAR }), Value(None),
        "From the 101 to a Close.";
    COMPRESSION compression: Compression = Choice<Compression>,
        Choice::of(&[("off", Compression::Off), ("inspect", Compression::Inspect)]),
        Value(Compression::Off),
        "What becomes of permessage-deflate (RFC 7692). `\"off\"`: the offer is removed, so it is \
         never negotiated. `\"inspect\"`: client and upstream may agree on it, and a copy of each \
         message is inflated and held to the rules. See [compression.md](compression.md).";
}
