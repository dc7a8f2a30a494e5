//! `profile`: other defaults for the keys of the file.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use super::keys::{self, Limits, WebSocket};
use super::limits::Layer;
use super::reader::SectionReader;
use crate::values::Rate;

/// `profile`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// The advice of the OWASP WebSocket Security Cheat Sheet.
    Owasp,
}

/// The values of keys that a table does not set: initially the defaults or the profile, then the values
/// of the parent tables.
#[derive(Debug)]
pub(super) struct Base {
    /// The place of `profile` in the file.
    pub(super) profile: Option<Range<usize>>,
    pub(super) websocket: WebSocket,
    pub(super) limits: Layer,
    pub(super) require_origin: bool,
}

/// Reads `profile` of the file.
pub(super) fn check(root: &SectionReader<'_>) -> Base {
    let Some(profile) = root.get(&keys::PROFILE) else {
        return Base {
            profile: None,
            websocket: WebSocket::defaults(),
            limits: Layer::new(Limits::defaults(), None),
            require_origin: keys::REQUIRE_ORIGIN.absent.value(),
        };
    };
    let span = root.span_of(keys::PROFILE.name);
    Base {
        websocket: profile.websocket(),
        limits: Layer::new(profile.limits(), span.clone()),
        require_origin: profile.require_origin(),
        profile: span,
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
            ..WebSocket::defaults()
        }
    }

    fn limits(self) -> Limits {
        let Self::Owasp = self;
        Limits {
            connections_per_ip: NonZeroU32::new(100),
            // All connections of an address may reconnect at once.
            handshakes_per_ip: Some(Rate { count: 5, per: Duration::from_secs(1), burst: 100 }),
            connections_per_user: NonZeroU32::new(20),
            messages: Some(Rate { count: 100, per: minutes(1), burst: 100 }),
            // More than these messages at their maximum size, with their headers.
            bytes: Some(Rate { count: 8 << 20, per: minutes(1), burst: 8 << 20 }),
            messages_per_user: Some(Rate { count: 400, per: minutes(1), burst: 400 }),
            control_frames: Some(Rate { count: 2, per: Duration::from_secs(1), burst: 20 }),
            ..Limits::defaults()
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

#[cfg(test)]
mod tests {
    use super::{Limits, Profile, WebSocket, keys};

    const DOCS: &str = include_str!("../../docs/hardening.md");

    /// A key and its value as TOML.
    type Shown = (String, String);

    /// All values that a profile may set.
    fn values(websocket: &WebSocket, limits: &Limits, require_origin: bool) -> Vec<Shown> {
        let within = |table: &str, shown: Vec<Shown>| -> Vec<Shown> {
            shown.into_iter().map(|(key, value)| (format!("{table}.{key}"), value)).collect()
        };
        let mut values = within("websocket", websocket.shown());
        values.extend(within("limits", limits.shown()));
        values.push(("routes.*.require_origin".to_owned(), require_origin.to_string()));
        values
    }

    /// `docs/hardening.md` has one row for each default that is not off, and no other row: an empty
    /// table sets no other limits.
    #[test]
    fn the_profile_table_lists_every_default() {
        let require_origin = keys::REQUIRE_ORIGIN.absent.value();
        let defaults = values(&WebSocket::defaults(), &Limits::defaults(), require_origin);
        // `on_exceed` and `mode` have no effect as long as no limit is set.
        let idle = ["limits.on_exceed", "limits.mode"];
        let on = |(key, value): &&Shown| {
            let compression = key == "websocket.compression";
            let off = value == "\"off\"" || value == "false";
            !idle.contains(&key.as_str()) && (compression || !off)
        };
        let expected: Vec<_> = defaults
            .iter()
            .filter(on)
            .map(|(key, value)| format!("| `{key}` | `{value}` | "))
            .collect();
        let table = DOCS.split("| key | default | effect |").nth(1).unwrap();
        let table: Vec<_> =
            table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
        assert_eq!(table.len(), expected.len(), "{expected:#?}");
        for (line, expected) in table.iter().zip(&expected) {
            assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
        }
    }

    /// `docs/hardening.md` has one row for each key that the profile changes, and no other row.
    #[test]
    fn the_table_of_the_profile_is_true() {
        let owasp = Profile::Owasp;
        let with = values(&owasp.websocket(), &owasp.limits(), owasp.require_origin());
        let without = keys::REQUIRE_ORIGIN.absent.value();
        let without = values(&WebSocket::defaults(), &Limits::defaults(), without);
        let changed = with.iter().zip(&without).filter(|(with, without)| with != without);
        let row = |((key, with), (_, without)): (&Shown, &Shown)| {
            let without = match key.as_str() {
                "limits.connections_per_ip" => keys::CONNECTIONS_PER_IP.row().absent,
                _ => format!("`{without}`"),
            };
            format!("| `{key}` | `{with}` | {without} | ")
        };
        let expected: Vec<_> = changed.map(row).collect();
        let table = DOCS.split("| key | with the profile |").nth(1).unwrap();
        let table = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let table: Vec<_> = table.collect();
        assert_eq!(table.len(), expected.len(), "{expected:#?}");
        for (line, expected) in table.iter().zip(&expected) {
            assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
        }
    }
}
