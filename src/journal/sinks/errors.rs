//! The error log: protocol errors and connection errors alone, whatever the level of the log.

use crate::config::LogFormat;
use crate::journal::writer::Writer;
use crate::journal::{Event, Record, Sink, render};
use crate::values::Reason;

/// Writes errors to the error file, in the lines that the log has for them.
#[derive(Debug, Clone)]
pub(in crate::journal) struct ErrorSink {
    pub(in crate::journal) format: LogFormat,
    pub(in crate::journal) writer: Writer,
}

impl Sink for ErrorSink {
    fn record(&self, record: &Record<'_>) {
        let written = match record.event {
            Event::Refused { reason, .. }
            | Event::RefusedAfterHandshake { reason, .. }
            | Event::ConnectionError { reason, .. }
            | Event::Limited { reason, .. }
            | Event::WouldRefuse { reason, .. } => is_error(reason),
            Event::ProtocolError { error, .. } => is_error(error.reason),
            // Suppressed: some of the omitted records may be missing here.
            Event::UpstreamDown { .. } | Event::UpstreamUp { .. } | Event::Suppressed(_) => true,
            _ => false,
        };
        if written && !record.over_rate {
            let line = render::line(&record.event, self.format, record.time());
            self.writer.push(line.finish().into());
        }
    }
}

/// Whether a reason is a protocol error or a connection error: a peer, or the connection to it, violated a
/// protocol or failed. A refusal by a rule of the gateway is none, nor is the end of a session that a peer
/// or an operator chose.
#[must_use]
pub fn is_error(reason: Reason) -> bool {
    match reason {
        Reason::HandshakeMalformed
        | Reason::HandshakeTimeout
        | Reason::HeadTooLarge
        | Reason::Version
        | Reason::UpstreamHandshake
        | Reason::UpstreamUnavailable
        | Reason::UpstreamTimeout
        | Reason::UpstreamLost
        | Reason::UpstreamProtocol
        | Reason::FrameProtocol
        | Reason::FrameUtf8
        | Reason::FrameTooBig
        | Reason::MessageTooBig
        | Reason::MessageFragments
        | Reason::MessageTimeout
        | Reason::PingTimeout
        | Reason::IdleTimeout
        | Reason::TlsFailed
        | Reason::ProxyMalformed
        | Reason::ForwardedMalformed
        | Reason::ClientLost
        | Reason::TokenUnverifiable
        | Reason::Internal => true,
        Reason::TokenMultiple
        | Reason::TokenMissing
        | Reason::TokenInvalid
        | Reason::TokenExpired
        | Reason::TokenRevoked
        | Reason::CertificateExpired
        | Reason::CertificateInvalid
        | Reason::ClaimsDenied
        | Reason::AuthTimeout
        | Reason::SessionKicked
        | Reason::OriginDenied
        | Reason::FirewallDenied
        | Reason::BanActive
        | Reason::LimitHandshakes
        | Reason::LimitConnections
        | Reason::LimitUser
        | Reason::LimitMessages
        | Reason::LimitBytes
        | Reason::LimitControl
        | Reason::RouteNone
        | Reason::Method
        | Reason::SniMismatch
        | Reason::UpgradeRequired
        | Reason::Capacity
        | Reason::LifetimeOver
        | Reason::Shutdown
        | Reason::Closed => false,
    }
}
