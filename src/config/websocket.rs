//! `[websocket]` and `[routes.*.websocket]`

use super::keys;
use super::model::WebSocket;
use super::reader::Reader;

/// What holds where neither the file nor its profile says anything.
pub(super) fn defaults() -> WebSocket {
    WebSocket {
        max_message_size: keys::MAX_MESSAGE_SIZE.absent.0,
        max_frame_size: keys::MAX_FRAME_SIZE.absent.0,
        max_reply_size: keys::MAX_REPLY_SIZE.absent.0,
        max_fragments: keys::MAX_FRAGMENTS.absent.0,
        max_inflation_ratio: keys::MAX_INFLATION_RATIO.absent.0,
        message_timeout: keys::MESSAGE_TIMEOUT.absent.0,
        idle_timeout: keys::IDLE_TIMEOUT.absent.0,
        ping_interval: keys::PING_INTERVAL.absent.0,
        require_pong: keys::REQUIRE_PONG.absent.0,
        max_lifetime: keys::MAX_LIFETIME.absent.0,
        compression: keys::COMPRESSION.absent.0,
    }
}

/// Reads a table of these keys; what it does not give is as in `base`.
pub(super) fn overlay(reader: &Reader<'_>, base: &WebSocket) -> WebSocket {
    WebSocket {
        max_message_size: reader.value_or(&keys::MAX_MESSAGE_SIZE, base.max_message_size),
        max_frame_size: reader.value_or(&keys::MAX_FRAME_SIZE, base.max_frame_size),
        max_reply_size: reader.value_or(&keys::MAX_REPLY_SIZE, base.max_reply_size),
        max_fragments: reader.value_or(&keys::MAX_FRAGMENTS, base.max_fragments),
        max_inflation_ratio: reader.value_or(&keys::MAX_INFLATION_RATIO, base.max_inflation_ratio),
        message_timeout: reader.value_or(&keys::MESSAGE_TIMEOUT, base.message_timeout),
        idle_timeout: reader.value_or(&keys::IDLE_TIMEOUT, base.idle_timeout),
        ping_interval: reader.value_or(&keys::PING_INTERVAL, base.ping_interval),
        require_pong: reader.value_or(&keys::REQUIRE_PONG, base.require_pong),
        max_lifetime: reader.value_or(&keys::MAX_LIFETIME, base.max_lifetime),
        compression: reader.value_or(&keys::COMPRESSION, base.compression),
    }
}
