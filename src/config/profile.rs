//! `profile`: other defaults for the keys of the file.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use super::keys;
use super::limits::{self, Layer};
use super::model::WebSocket;
use super::protection::{Limits, Rate};
use super::reader::Reader;
use super::websocket;

/// `profile`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// What the OWASP WebSocket Security Cheat Sheet advises.
    Owasp,
}

/// What a table of the file has where it says nothing of its own: the defaults or the profile
/// first, then what the tables above it say.
#[derive(Debug)]
pub(super) struct Base {
    /// The profile was asked for here.
    pub(super) profile: Option<Range<usize>>,
    pub(super) websocket: WebSocket,
    pub(super) limits: Layer,
    pub(super) require_origin: bool,
}

/// Reads which profile the file asks for.
pub(super) fn read(root: &Reader<'_>) -> Base {
    match root.get(&keys::PROFILE) {
        None => Base {
            profile: None,
            websocket: websocket::defaults(),
            limits: Layer::new(limits::defaults(), None),
            require_origin: keys::REQUIRE_ORIGIN.absent.0,
        },
        Some(said) => Base {
            profile: Some(said.span()),
            websocket: said.get_ref().websocket(),
            limits: Layer::new(said.get_ref().limits(), Some(said.span())),
            require_origin: said.get_ref().require_origin(),
        },
    }
}

impl Profile {
    fn websocket(self) -> WebSocket {
        let Self::Owasp = self;
        WebSocket {
            max_message_size: 64 << 10,
            max_frame_size: 64 << 10,
            idle_timeout: Some(minutes(15)),
            ping_interval: Some(Duration::from_secs(30)),
            ..websocket::defaults()
        }
    }

    fn limits(self) -> Limits {
        let Self::Owasp = self;
        Limits {
            connections_per_ip: NonZeroU32::new(100),
            // All connections of an address may come back at once.
            handshakes_per_ip: Some(Rate { count: 5, per: Duration::from_secs(1), burst: 100 }),
            connections_per_user: NonZeroU32::new(20),
            messages: Some(Rate { count: 100, per: minutes(1), burst: 100 }),
            // More than all of these messages at their largest, with their headers.
            bytes: Some(Rate { count: 8 << 20, per: minutes(1), burst: 8 << 20 }),
            messages_per_user: Some(Rate { count: 400, per: minutes(1), burst: 400 }),
            control_frames: Some(Rate { count: 2, per: Duration::from_secs(1), burst: 20 }),
            ..limits::defaults()
        }
    }

    fn require_origin(self) -> bool {
        let Self::Owasp = self;
        true
    }
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
