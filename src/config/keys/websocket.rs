//! `[websocket]` and `[routes.NAME.websocket]`

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Fallback, GIB, HOUR, Key, MIB, Row, SHORTEST, Section, WEEK, YEAR, secs};
use crate::config::kinds::{Bool, Choice, Count, Integer, OrOff, Size, Time};
use crate::config::model::Compression;

keys! {
    WEBSOCKET_ROWS;

    MAX_MESSAGE_SIZE: Size, Fallback<u64> = WebSocket "max_message_size"
        Size { min: 1, max: GIB }, Fallback(MIB),
        "Payload bytes of a message of a client; of a compressed one, inflated. What the application sends, `max_reply_size` limits.";
    MAX_FRAME_SIZE: Size, Fallback<u64> = WebSocket "max_frame_size"
        Size { min: 125, max: GIB }, Fallback(MIB),
        "Payload bytes of a frame of a client, as it is on the wire. Control frames have up to 125 (RFC 6455 section 5.5).";
    MAX_REPLY_SIZE: OrOff<Size>, Fallback<Option<u64>> = WebSocket "max_reply_size"
        OrOff(Size { min: 1, max: GIB }), Fallback(None),
        "Payload bytes of a message of the application; of a compressed one, inflated. Its frames and fragments have no \
         limit of their own.";
    MAX_FRAGMENTS: Integer, Fallback<u32> = WebSocket "max_fragments"
        Integer { min: 1, max: 1_000_000 }, Fallback(1024),
        "Frames of a message of a client, empty ones counted.";
    MAX_INFLATION_RATIO: OrOff<Count>, Fallback<Option<NonZeroU32>> = WebSocket "max_inflation_ratio"
        OrOff(Count { max: 1032 }), Fallback(NonZeroU32::new(200)),
        "Bytes that a compressed message of a client may inflate to for each byte that it has on the wire, once it \
         has inflated to more than 64 KiB. Deflate comes to 1,032 at most. Only with `compression = \"inspect\"`.";
    MESSAGE_TIMEOUT: OrOff<Time>, Fallback<Option<Duration>> = WebSocket "message_timeout"
        OrOff(Time { min: SHORTEST, max: HOUR }), Fallback(Some(secs(30))),
        "How long a client may take from the first byte of a message's, or a control frame's, header to its last byte; each \
         KiB of it that came allows a second more. A message of the application may stand still for as long. And three \
         times as long either may take nothing of what it is sent. See [slow peers](hardening.md#slow-is-not-dead).";
    IDLE_TIMEOUT: OrOff<Time>, Fallback<Option<Duration>> = WebSocket "idle_timeout"
        OrOff(Time { min: SHORTEST, max: WEEK }), Fallback(None),
        "How long no data frame and no ping of a peer's own may pass, either way. Bytes on their way to a peer that is slow to \
         take them count, too.";
    PING_INTERVAL: OrOff<Time>, Fallback<Option<Duration>> = WebSocket "ping_interval"
        OrOff(Time { min: SHORTEST, max: HOUR }), Fallback(Some(secs(30))),
        "Between the gateway's own pings, to both sides. One that is not answered for two intervals from when it was written, \
         and half a second for each KiB that the peer was sent before it, ends the session. Whatever a peer sends is an answer.";
    REQUIRE_PONG: Bool, Fallback<bool> = WebSocket "require_pong"
        Bool, Fallback(false),
        "Whether only a pong is an answer to a ping of the gateway's, and nothing else that the peer sends.";
    MAX_LIFETIME: OrOff<Time>, Fallback<Option<Duration>> = WebSocket "max_lifetime"
        OrOff(Time { min: SHORTEST, max: YEAR }), Fallback(None),
        "From the 101 to a Close.";
    COMPRESSION: Choice<Compression>, Fallback<Compression> = WebSocket "compression"
        Choice::of(&[("off", Compression::Off), ("inspect", Compression::Inspect)]),
        Fallback(Compression::Off),
        "What becomes of permessage-deflate (RFC 7692). `\"off\"`: the offer is removed, so it is \
         never negotiated. `\"inspect\"`: client and upstream may agree on it, and a copy of each \
         message is inflated and held to the rules. See [compression.md](compression.md).";
}
