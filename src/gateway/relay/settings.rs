//! Converts the settings of a route to those of a session's gates.

use std::num::NonZeroU16;

use crate::config::{self, Mode, OnExceed, WebSocket};
use crate::tls::transport::AT_ONCE;
use crate::values::{Endpoint, Rate};
use crate::wire::{AboveRate, ClientRates, FrameLimits};

/// The limits for the frames of `sender`. The upstream is the operator's own application: its frames are
/// checked, but only the size of its messages is limited, and only if `max_reply_size` is set.
pub(in crate::gateway) fn frame_limits(sender: Endpoint, settings: &WebSocket) -> FrameLimits {
    if sender == Endpoint::Upstream {
        return FrameLimits {
            max_frame_size: u64::MAX,
            max_message_size: settings.max_reply_size.unwrap_or(u64::MAX),
            max_fragments: FrameLimits::ANY_NUMBER,
            max_inflation_ratio: None,
        };
    }
    FrameLimits {
        max_frame_size: settings.max_frame_size,
        max_message_size: settings.max_message_size,
        max_fragments: settings.max_fragments,
        // Deflate never inflates to more than 1,032 times its input: a ratio above the type's range limits
        // nothing.
        max_inflation_ratio: settings
            .max_inflation_ratio
            .map(|ratio| NonZeroU16::try_from(ratio).unwrap_or(NonZeroU16::MAX)),
    }
}

/// The rates that apply to a client within its session.
pub(super) fn client_rates(limits: &config::Limits) -> ClientRates {
    let config::Limits { messages, bytes, control_frames, on_exceed, mode, .. } = *limits;
    let above = match (mode, on_exceed) {
        (Mode::Report, _) => AboveRate::Report,
        (Mode::Enforce, OnExceed::Close) => AboveRate::Close,
        (Mode::Enforce, OnExceed::Delay) => AboveRate::Delay,
        (Mode::Enforce, OnExceed::Drop) => AboveRate::Drop,
    };
    let small_reads =
        on_exceed == OnExceed::Delay || bytes.is_some_and(|bytes| bytes.burst < AT_ONCE as u64);
    ClientRates { messages, bytes, control_frames, above, small_reads }
}

/// The rate of control frames before the first message is complete; `None` in report mode.
pub(in crate::gateway) fn control_frame_rate(limits: &config::Limits) -> Option<Rate> {
    limits.control_frames.filter(|_| limits.mode == Mode::Enforce)
}

#[cfg(test)]
mod tests {
    use super::frame_limits;
    use crate::gateway::relay::tests::settings;
    use crate::values::Endpoint::{Client, Upstream};
    use crate::wire::FrameLimits;

    /// Each direction has limits of its own, and by default the application has none.
    #[test]
    fn reply_limits_apply_to_the_upstream() {
        let default = frame_limits(Upstream, &settings(""));
        assert_eq!((default.max_frame_size, default.max_message_size), (u64::MAX, u64::MAX));
        assert_eq!(default.max_fragments, FrameLimits::ANY_NUMBER);
        assert_eq!(default.max_inflation_ratio, None);
        let given = settings("max_reply_size = \"2KiB\"\nmax_message_size = \"1KiB\"");
        assert_eq!(frame_limits(Upstream, &given).max_message_size, 2048);
        assert_eq!(frame_limits(Client, &given).max_message_size, 1024);
    }
}
