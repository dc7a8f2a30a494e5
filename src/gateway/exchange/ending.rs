//! Records and closes connections that have had no answer from the gateway.

use super::http1::{HttpEnd, HttpOutcome};
use crate::gateway::session::Reporter;
use crate::handshake::{self, Peer, RawHead};
use crate::journal::{Event, Subject};
use crate::tls::PROXY_HEADER_UNASKED;
use crate::tls::transport::{Linger, Transport};
use crate::values::Offence;
use crate::values::spoken::Spoken;
use crate::values::{Reason, Refusal};

/// Refuses a head that was not read to its end.
pub(super) async fn refuse_head(
    reporter: &Reporter,
    stream: Transport,
    refusal: &Refusal,
    subject: &Subject,
) {
    reporter.refused(subject, refusal);
    let answer = handshake::problem_bytes(refusal.reason, &subject.request_id);
    stream.part(&answer, Linger::SHORT).await;
}

/// The log text for a client that speaks another protocol than HTTP/1.1, if that protocol is known.
fn another_protocol(spoken: Option<Spoken>) -> Option<&'static str> {
    match spoken? {
        Spoken::Tls => Some(
            "the client speaks TLS on a port without it: give certificates in [tls], or let the \
             client use ws:// or http://",
        ),
        Spoken::ProxyHeader => Some(PROXY_HEADER_UNASKED),
        Spoken::Http2 => Some("the client speaks HTTP/2, and this port speaks HTTP/1.1"),
        Spoken::HttpRequest | Spoken::HttpAnswer => None,
    }
}

/// Records the outcome of a connection without a session, unless its answer was recorded, and closes the
/// connection so that the client can read the answer.
pub(super) async fn conclude(
    reporter: &Reporter,
    end: HttpEnd,
    head: &RawHead,
    mut subject: Subject,
    peer: &Peer,
) {
    // If no request was parsed, the bytes of the head are still there.
    let summary = head.summary();
    let context = peer.context(&summary);
    subject.request = Some(Box::new(summary));
    let subject = &subject;
    let mut answer = Vec::new();
    let linger = end.linger();
    match end.outcome {
        HttpOutcome::Abandoned => return,
        HttpOutcome::Answered => {}
        HttpOutcome::Closed(Ok(())) if head.is_complete() => {}
        HttpOutcome::Closed(Ok(()) | Err(_)) if head.is_empty() => {
            let detail = "the connection ended before a request";
            reporter.journal().record(Event::Silent { subject, detail });
        }
        HttpOutcome::Closed(Ok(())) => {
            let detail = "the client closed before it sent a request";
            reporter.connection_error(subject, Reason::ClientLost, detail);
        }
        HttpOutcome::Closed(Err(error)) if error.is_parse_too_large() => {
            let detail = "the head is larger than server.max_head, has more fields than max_fields, or \
                 names a length of its body that 64 bits cannot count";
            reporter.refused(subject, &Refusal::new(Reason::HeadTooLarge, detail));
        }
        HttpOutcome::Closed(Err(error)) if error.is_parse() => {
            let malformed = |detail| Refusal::new(Reason::HandshakeMalformed, detail);
            let refusal = match another_protocol(head.spoken()) {
                Some(words) => malformed(words.to_owned()),
                None => head
                    .refused_target()
                    .unwrap_or_else(|| malformed(format!("the request is not HTTP/1.1: {error}"))),
            };
            let offence = head.is_forged().then(|| Offence::head(context)).flatten();
            reporter.refused(subject, &refusal.as_offence(offence));
        }
        HttpOutcome::Closed(Err(error)) => {
            reporter.connection_error(subject, Reason::ClientLost, &error.to_string());
        }
        HttpOutcome::Stopped(reason) => {
            reporter.refused(subject, &Refusal::new(reason, "before the answer began"));
            answer = handshake::problem_bytes(reason, &subject.request_id);
        }
        HttpOutcome::Late if head.is_complete() => {
            let detail = "the client did not take the answer";
            reporter.connection_error(subject, Reason::ClientLost, detail);
        }
        HttpOutcome::Late => {
            let detail = "server.handshake_timeout: the request head did not arrive in time";
            if head.is_empty() {
                reporter.journal().record(Event::Silent { subject, detail });
            } else {
                reporter.refused(subject, &Refusal::new(Reason::HandshakeTimeout, detail));
            }
            answer = handshake::problem_bytes(Reason::HandshakeTimeout, &subject.request_id);
        }
    }
    end.stream.part(&answer, linger).await;
}
