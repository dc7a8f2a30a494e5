//! The cause of a session's end, and the Close that each peer gets for it.

use std::borrow::Cow;

use crate::config::RetryHint;
use crate::values::{Endpoint, Flow, Reason};
use crate::wire::{Judgement, Violation};

/// How a session ended.
#[derive(Debug)]
pub struct SessionEnd {
    /// The cause of the end.
    pub cause: Cause,
    /// Counters of the client's frames.
    pub client: Flow,
    /// Counters of the upstream's frames.
    pub upstream: Flow,
    /// How often rate limits in report mode let something through.
    pub let_through: u64,
}

/// The cause of a session's end.
#[derive(Debug, Clone)]
pub enum Cause {
    /// A peer sent a Close frame, with this code if with any.
    Closed(Endpoint, Option<u16>),
    /// A peer sent a frame that the gateway refuses.
    Violation(Box<Violation>),
    /// A peer exceeded a deadline or a limit; the text names it.
    AtFault(Endpoint, Reason, &'static str),
    /// A peer sent a message that breaks a rule of the route.
    Judged(Endpoint, Box<Judgement>),
    /// A peer's connection was lost; the text says how.
    Lost(Endpoint, String),
    /// The gateway ended the session.
    Gateway(Reason),
}

/// The close code and the reason text of a Close to a peer; without a code the Close is empty.
pub(super) type CloseNotice = (Option<u16>, &'static str);

impl Cause {
    /// The reason, as in the table of reasons. A breach of RFC 6455 by the upstream is `upstream.protocol`;
    /// limits and timeouts keep their reason for either peer.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Closed(..) => Reason::Closed,
            Self::Violation(violation) => match (violation.sender, violation.rule.reason()) {
                (Endpoint::Upstream, Reason::FrameProtocol | Reason::FrameUtf8) => {
                    Reason::UpstreamProtocol
                }
                (_, reason) => reason,
            },
            Self::AtFault(_, reason, _) | Self::Gateway(reason) => *reason,
            Self::Judged(_, judgement) => judgement.reason,
            Self::Lost(Endpoint::Client, _) => Reason::ClientLost,
            Self::Lost(Endpoint::Upstream, _) => Reason::UpstreamLost,
        }
    }

    /// The peer that closed, was at fault or was lost; `None` is the gateway.
    #[must_use]
    pub fn by(&self) -> Option<Endpoint> {
        match self {
            Self::Closed(endpoint, _)
            | Self::AtFault(endpoint, ..)
            | Self::Judged(endpoint, _)
            | Self::Lost(endpoint, _) => Some(*endpoint),
            Self::Violation(violation) => Some(violation.sender),
            Self::Gateway(_) => None,
        }
    }

    /// The close code that the client was sent or, if it closed first, that it sent.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Closed(_, code) => *code,
            Self::Lost(Endpoint::Client, _) => None,
            _ => self.close_notice(Endpoint::Client).0,
        }
    }

    /// The detail of the log, beyond the reason.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Gateway(Reason::LifetimeOver) => Some("websocket.max_lifetime".to_owned()),
            Self::Closed(..) | Self::Gateway(_) => None,
            Self::Violation(violation) => Some(violation.rule.text().to_owned()),
            Self::AtFault(_, _, detail) => Some((*detail).to_owned()),
            Self::Judged(_, judgement) => Some(judgement.detail.clone()),
            Self::Lost(_, detail) => Some(detail.clone()),
        }
    }

    /// Whether a peer gets the time that it needs to take its remaining bytes: not if it is at fault, nor
    /// if the gateway ended the session for another reason than its lifetime or a drain.
    pub(super) fn spares(&self, endpoint: Endpoint) -> bool {
        match self {
            Self::Closed(..) => true,
            Self::Gateway(reason) => {
                use Reason::{LifetimeOver, SessionDrained, UpstreamDraining};
                matches!(reason, LifetimeOver | SessionDrained | UpstreamDraining)
            }
            Self::Violation(_) | Self::AtFault(..) | Self::Judged(..) | Self::Lost(..) => {
                self.by() != Some(endpoint)
            }
        }
    }

    /// The Close for `to`. The peer at fault, and the client if the gateway ends the session, get the
    /// reason's own code. Otherwise the upstream gets 1001 (the client is gone) and the client 1014 (the
    /// application failed).
    pub(super) fn close_notice(&self, to: Endpoint) -> CloseNotice {
        let reason = self.reason();
        match self {
            Self::Closed(_, code) => (*code, ""),
            // The gateway's reasons concern the client: the upstream is told that the client is gone.
            Self::Gateway(_) if to == Endpoint::Upstream && reason != Reason::Internal => {
                (Some(GOING_AWAY), reason.name())
            }
            Self::Gateway(_) => (Some(reason.close_code()), reason.name()),
            Self::Violation(violation) if violation.sender == to => {
                let own = violation.rule.reason();
                (Some(own.close_code()), own.name())
            }
            Self::AtFault(endpoint, ..) | Self::Judged(endpoint, _) if *endpoint == to => {
                (Some(reason.close_code()), reason.name())
            }
            Self::Violation(_) | Self::AtFault(..) | Self::Judged(..) | Self::Lost(..) => {
                match to {
                    Endpoint::Upstream => (Some(GOING_AWAY), reason.name()),
                    Endpoint::Client => (Some(BAD_GATEWAY), reason.name()),
                }
            }
        }
    }
}

/// The reason text of a Close that the gateway sends to a client for a reason of its own: `name` and, with a `hint`
/// and a code that asks the client to come back, the seconds after which it should: `shutdown retry=37s`.
pub(in crate::gateway) fn reason_text(
    name: &'static str,
    code: u16,
    hint: Option<RetryHint>,
) -> Cow<'static, str> {
    match hint {
        Some(hint) if COME_BACK.contains(&code) => {
            format!("{name} retry={}s", hint.of(u32::from_ne_bytes(super::random()))).into()
        }
        _ => name.into(),
    }
}

/// RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;
/// The codes for which clients connect again: Going Away, Service Restart, Try Again Later (the last two are
/// registered with IANA).
const COME_BACK: [u16; 3] = [GOING_AWAY, 1012, 1013];
/// Registered with IANA as "Bad Gateway".
const BAD_GATEWAY: u16 = 1014;

#[cfg(test)]
mod tests {
    use super::{COME_BACK, Cause, Endpoint, Reason, reason_text};
    use crate::config::RetryHint;

    #[test]
    fn only_a_close_after_which_clients_come_back_has_a_hint() {
        let hint = Some(RetryHint { least: 3600, most: 3600 });
        for reason in Reason::ALL {
            let (name, code) = (reason.name(), reason.close_code());
            assert_eq!(reason_text(name, code, None), name);
            let text = reason_text(name, code, hint);
            let wanted = match code {
                1001 | 1012 | 1013 => format!("{name} retry=3600s"),
                _ => name.to_owned(),
            };
            assert_eq!(text, wanted);
            assert!(text.len() <= 123, "RFC 6455 section 5.5: 125 - 2 bytes");
        }
        let hint = Some(RetryHint { least: 5, most: 60 });
        let texts = |code| (0..50).map(move |_| reason_text("shutdown", code, hint));
        for code in COME_BACK {
            let seconds: Vec<u32> = texts(code)
                .map(|text| text.strip_prefix("shutdown retry=")?.strip_suffix('s')?.parse().ok())
                .map(Option::unwrap)
                .collect();
            assert!(seconds.iter().all(|seconds| (5..=60).contains(seconds)), "{seconds:?}");
            assert!(seconds.iter().any(|other| *other != seconds[0]), "{seconds:?}");
        }
        assert!(
            (1000..5000)
                .filter(|code| !COME_BACK.contains(code))
                .all(|code| { texts(code).all(|text| text == "shutdown") })
        );
    }

    #[test]
    fn each_peer_gets_the_close_code_that_fits_its_fault() {
        let late = Cause::AtFault(Endpoint::Client, Reason::PingTimeout, "");
        assert_eq!(late.close_notice(Endpoint::Client), (Some(4408), "ping.timeout"));
        assert_eq!(late.close_notice(Endpoint::Upstream), (Some(1001), "ping.timeout"));
        let lost = Cause::Lost(Endpoint::Upstream, String::new());
        assert_eq!(lost.close_notice(Endpoint::Client), (Some(1014), "upstream.lost"));
        let lost = Cause::Lost(Endpoint::Client, String::new());
        assert_eq!(lost.close_notice(Endpoint::Upstream), (Some(1001), "client.lost"));
        assert_eq!(lost.code(), None);
        let kicked = Cause::Gateway(Reason::SessionKicked);
        assert_eq!(kicked.close_notice(Endpoint::Client), (Some(4403), "session.kicked"));
        assert_eq!(kicked.close_notice(Endpoint::Upstream), (Some(1001), "session.kicked"));
        assert!(late.spares(Endpoint::Upstream) && !late.spares(Endpoint::Client));
        assert!(!kicked.spares(Endpoint::Client) && !kicked.spares(Endpoint::Upstream));
        let stopped = Cause::Gateway(Reason::Shutdown);
        for end in [Endpoint::Client, Endpoint::Upstream] {
            assert_eq!(stopped.close_notice(end), (Some(1001), "shutdown"));
            assert_eq!(
                Cause::Closed(end, Some(4001)).close_notice(end.opposite()),
                (Some(4001), "")
            );
        }
    }
}
