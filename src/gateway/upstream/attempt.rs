//! Tries upstreams one after the other: how long each may take, and how failures are recorded.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{HOST, HeaderValue};
use http_body_util::Empty;
use rustix::io::Errno;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use super::exchange::{ExchangeError, ExchangeOutcome, exchange};
use super::health::{Change, Failed};
use super::load::Permits;
use super::target::{DialTarget, parts, share};
use super::{AnswerDeadlines, Failure, Upstream, refused, verify};
use crate::handshake::{Provenance, UpgradeRequest, upstream_request};
use crate::journal::{Event, Journal};
use crate::policy::Admission;
use crate::values::AddressKey;
use crate::values::Reason;

/// How long the last upstream that is left may take to accept a connection, where `dial_timeout` is
/// shorter: no other one could be tried.
const LAST_DIAL: Duration = Duration::from_secs(5);

/// The attempts of one client.
pub(super) struct Attempts<'a> {
    pub(super) journal: &'a Journal,
    pub(super) admission: &'a Admission,
    pub(super) request: &'a UpgradeRequest,
    pub(super) provenance: Provenance<'a>,
    pub(super) allowance: AnswerDeadlines,
    /// The number of upstreams of the route.
    pub(super) upstreams: usize,
    /// The failure of each upstream that was tried, for the log.
    pub(super) missed: Vec<String>,
    /// The reason for refusing the client if no upstream is left.
    pub(super) reason: Reason,
}

/// An attempt at one upstream that got no answer.
struct Missed {
    reason: Reason,
    detail: String,
    /// The failure to record; `None` if a slow client or the gateway itself caused it.
    failed: Option<Failed>,
}

impl Attempts<'_> {
    /// Tries one upstream; `None` if the next is to be tried.
    pub(super) async fn attempt(
        &mut self,
        target: &DialTarget,
        permits: Permits,
    ) -> Option<Result<Upstream, Failure>> {
        let began = now();
        match self.try_one(target, permits).await {
            Ok(outcome) => {
                if let Some(Change::Up { after, failures }) = target.answered(now()) {
                    let upstream = &target.name;
                    let up = Event::UpstreamUp { upstream, check: None, after, failures };
                    self.journal.record(up);
                }
                Some(outcome)
            }
            Err(Missed { reason, detail, failed }) => {
                if let Some(failed) = failed {
                    let change = target.failed(began, failed, &detail);
                    if let Some(Change::Down { rest, unlogged }) = change {
                        self.journal.record(Event::UpstreamDown {
                            upstream: &target.name,
                            route: Some(&self.admission.route().name),
                            check: None,
                            detail: &detail,
                            rest,
                            unlogged,
                        });
                    }
                }
                if reason == Reason::UpstreamTimeout || self.reason != Reason::UpstreamTimeout {
                    self.reason = reason;
                }
                self.missed.push(format!("{}: {detail}", target.name));
                None
            }
        }
    }

    /// Connects and exchanges the handshake; an attempt without an answer is [`Missed`].
    async fn try_one(
        &self,
        target: &DialTarget,
        permits: Permits,
    ) -> Result<Result<Upstream, Failure>, Missed> {
        // The handshake is in flight until this returns.
        let Permits { load, handshake: _in_flight } = permits;
        let live = target.hold(load);
        let (key, admission) = (generate_key(), self.admission);
        let forwarded = match self.forwarded(&key) {
            Ok(forwarded) => forwarded,
            // Earlier checks rule it out.
            Err(error) => return Ok(Err(refused(Reason::HandshakeMalformed, error.to_string()))),
        };
        let dial_time = self.dial_time();
        let stream = target.open(Instant::now() + dial_time).await.map_err(|error| Missed {
            reason: match error.kind() {
                io::ErrorKind::TimedOut => Reason::UpstreamTimeout,
                _ => Reason::UpstreamUnavailable,
            },
            failed: match error.kind() {
                io::ErrorKind::TimedOut => dial_time >= self.fair_dial_time(),
                _ => !is_the_gateways_own(&error),
            }
            .then_some(Failed::Unconnected),
            detail: error.to_string(),
        })?;
        let deadline = self.allowance.deadline;
        let answer_time = self.share();
        let answer_by = Instant::now() + answer_time;
        let invalid = |what: String| {
            let what = format!("the answer of {} is refused: {what}", target.name);
            Ok(Err(refused(Reason::UpstreamHandshake, what)))
        };
        match exchange(stream, forwarded, answer_by, deadline).await {
            Ok(ExchangeOutcome::Answered(answer)) => Ok(Err(Failure::Answered(answer))),
            Ok(ExchangeOutcome::Switched { stream, early, headers, letters }) => {
                let (subprotocols, offers) = (admission.subprotocols(), self.request.offers());
                match verify::switching_protocols(&headers, &key, subprotocols, offers) {
                    Ok(verify::Chosen { subprotocol, deflate }) => Ok(Ok(Upstream {
                        stream,
                        early,
                        headers,
                        letters,
                        subprotocol,
                        deflate,
                        live,
                    })),
                    Err(what) => invalid(what.to_owned()),
                }
            }
            Err(ExchangeError::Late) => Err(Missed {
                reason: Reason::UpstreamTimeout,
                detail: ExchangeError::Late.to_string(),
                failed: (answer_time >= self.fair_time()).then_some(Failed::Unanswered),
            }),
            Err(ExchangeError::None(detail)) => {
                let client = AddressKey::from(self.provenance.client.address.ip());
                let failed = Some(Failed::Doubtful(client));
                Err(Missed { reason: Reason::UpstreamHandshake, detail, failed })
            }
            Err(error @ ExchangeError::Unfinished) => {
                let detail = format!("{}: {error}", target.name);
                Ok(Err(refused(Reason::UpstreamTimeout, detail)))
            }
            Err(error) => invalid(error.to_string()),
        }
    }

    /// The request for the upstream, with a key of its own.
    fn forwarded(&self, key: &str) -> Result<Request<Empty<Bytes>>, http::Error> {
        let subprotocols = self.admission.subprotocols();
        let mut forwarded = upstream_request(self.request, self.provenance, subprotocols, key)?;
        if let Some(host) = &self.admission.route().upstream_host {
            forwarded.headers_mut().insert(HOST, HeaderValue::from_str(host)?);
        }
        Ok(forwarded)
    }

    /// The number of upstreams that were not tried yet, the present one included.
    fn left(&self) -> usize {
        self.upstreams.saturating_sub(self.missed.len())
    }

    /// How long the next upstream may take in all: an equal share of the time that is left.
    pub(super) fn share(&self) -> Duration {
        share(self.allowance.deadline, self.left())
    }

    /// How long the next upstream may take to accept a connection.
    fn dial_time(&self) -> Duration {
        let most = self.admission.route().cluster.dial_timeout;
        let most = if self.left() > 1 { most } else { most.max(LAST_DIAL) };
        self.share().min(most)
    }

    fn fair_time(&self) -> Duration {
        fair_time(self.allowance.whole, self.upstreams)
    }

    fn fair_dial_time(&self) -> Duration {
        self.fair_time().min(self.admission.route().cluster.dial_timeout)
    }
}

/// Half of the share of one of `upstreams` if the client causes no delay. An attempt with less time does not mark the
/// upstream as failed: otherwise a client could choose a moment that leaves every upstream too little time.
pub(super) fn fair_time(whole: Duration, upstreams: usize) -> Duration {
    whole / parts(upstreams) / 2
}

/// Whether an error says nothing about the upstream: this process or this machine has no file descriptor,
/// port or memory left for a connection.
pub(super) fn is_the_gateways_own(error: &io::Error) -> bool {
    const OWN: [Errno; 5] =
        [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| OWN.iter().any(|own| own.raw_os_error() == code))
}

/// The clock of [`super::health`].
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
