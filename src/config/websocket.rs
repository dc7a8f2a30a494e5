//! `[websocket]` and `[routes.*.websocket]`

use toml::Spanned;

use super::keys::{self, Fallback, Key};
use super::kinds::Kind;
use super::model::WebSocket;
use super::reader::Reader;

/// Reads `[websocket]`.
pub(super) fn read(reader: &Reader<'_>) -> WebSocket {
    overlay(
        reader,
        &WebSocket {
            max_message_size: keys::MAX_MESSAGE_SIZE.absent.0,
            max_frame_size: keys::MAX_FRAME_SIZE.absent.0,
            max_fragments: keys::MAX_FRAGMENTS.absent.0,
            message_timeout: keys::MESSAGE_TIMEOUT.absent.0,
            idle_timeout: keys::IDLE_TIMEOUT.absent.0,
            ping_interval: keys::PING_INTERVAL.absent.0,
            max_lifetime: keys::MAX_LIFETIME.absent.0,
            compression: keys::COMPRESSION.absent.0,
        },
    )
}

/// Reads a table of the same keys; what it does not give is as in `base`.
pub(super) fn overlay(reader: &Reader<'_>, base: &WebSocket) -> WebSocket {
    WebSocket {
        max_message_size: pick(reader, &keys::MAX_MESSAGE_SIZE, base.max_message_size),
        max_frame_size: pick(reader, &keys::MAX_FRAME_SIZE, base.max_frame_size),
        max_fragments: pick(reader, &keys::MAX_FRAGMENTS, base.max_fragments),
        message_timeout: pick(reader, &keys::MESSAGE_TIMEOUT, base.message_timeout),
        idle_timeout: pick(reader, &keys::IDLE_TIMEOUT, base.idle_timeout),
        ping_interval: pick(reader, &keys::PING_INTERVAL, base.ping_interval),
        max_lifetime: pick(reader, &keys::MAX_LIFETIME, base.max_lifetime),
        compression: pick(reader, &keys::COMPRESSION, base.compression),
    }
}

fn pick<K: Kind>(
    reader: &Reader<'_>,
    key: &Key<K, Fallback<K::Value>>,
    base: K::Value,
) -> K::Value {
    reader.get(key).map_or(base, Spanned::into_inner)
}
