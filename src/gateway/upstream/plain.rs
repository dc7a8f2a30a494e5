//! Forwards a plain request to an upstream of its route, and its answer back. Both bodies are streamed; the task
//! of the client's connection moves the bytes of both.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Version, request, response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::AnswerDeadlines;
use super::attempt::{fair_time, is_the_gateways_own, now};
use super::body::{BodyFault, RequestBody, RequestContent};
use super::health::{Change, Failed};
use super::load::Need;
use super::pool::{HttpConnection, Pool};
use super::target::{DialTarget, Live, share};
use super::turns::{Turn, Turns};
use crate::config::Route;
use crate::handshake::{Letters, check_framing};
use crate::journal::{Event, Journal, Subject};
use crate::state::limits::AddressPermit;
use crate::values::{Reason, Refusal};

/// A plain request to an upstream of a route.
pub(crate) struct PlainCall<'a> {
    /// The upstreams, in the order in which they are tried.
    pub(crate) turns: Turns,
    pub(crate) journal: &'a Journal,
    pub(crate) route: &'a Arc<Route>,
    /// The head that the upstream gets.
    pub(crate) head: request::Parts,
    pub(crate) body: RequestContent,
    /// When an upstream must have accepted a connection.
    pub(crate) deadline: Instant,
    /// `handshake_timeout`: the time up to the deadline if the client causes no delay.
    pub(crate) whole: Duration,
}

/// The answer of an upstream to a plain request.
#[derive(Debug)]
pub(crate) struct PlainAnswer {
    /// Its head, hop-by-hop fields included.
    pub(crate) head: response::Parts,
    /// The letter case of its field names.
    pub(crate) letters: Letters,
    pub(crate) body: AnswerBody,
}

/// The body of an answer on its way to the client. When it was read to its end, the connection to the upstream is
/// kept for another request. Dropped earlier, it ends that connection.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Incoming,
    connection: Option<Box<HttpConnection>>,
    pool: Arc<Pool>,
    #[expect(dead_code, reason = "it is held, and not looked at")]
    live: Live,
    is_whole: bool,
    record: Option<AnswerRecord>,
    bytes: u64,
    permit: Option<AddressPermit>,
}

/// The record that is written when the answer has ended.
#[derive(Debug)]
struct AnswerRecord {
    journal: Journal,
    subject: Subject,
    status: StatusCode,
    began: Instant,
    /// The reason for which the gateway ended the answer, once it has.
    stopped: Option<Arc<OnceLock<Reason>>>,
}

/// The attempts of one call.
struct PlainAttempts<'a> {
    journal: &'a Journal,
    route: &'a Arc<Route>,
    head: request::Parts,
    /// The body, until a byte of it may have been sent.
    body: Option<RequestBody>,
    /// Whether a kept connection ended with the request: the next attempt is the last one, on a new connection.
    is_sent_again: bool,
    deadline: Instant,
    /// A dial of less time says nothing about an upstream.
    fair_dial_time: Duration,
    left: usize,
    missed: Vec<String>,
    reason: Reason,
}

/// The connection and its answer.
type Answered = (Box<HttpConnection>, http::Response<Incoming>);

/// Sends the request to an upstream of the route and returns the head of its answer, with the body to come.
/// Upstreams are tried in the order of `turns`. The next one is tried only if nothing was sent to the one before.
/// `subject` names the upstream that was tried last.
pub(crate) async fn forward(
    call: PlainCall<'_>,
    subject: &mut Option<Arc<str>>,
) -> Result<PlainAnswer, Refusal> {
    let PlainCall { mut turns, journal, route, head, body, deadline, whole } = call;
    if let Some(refusal) = turns.drained.take() {
        return Err(refusal);
    }
    let body = RequestBody::new(body, route.max_body, route.body_timeout);
    if body.is_too_large() {
        return Err(BodyFault::TooLarge.into());
    }
    let mut attempts = PlainAttempts {
        journal,
        route,
        head,
        body: Some(body),
        is_sent_again: false,
        deadline,
        fair_dial_time: fair_time(whole, turns.left()).min(route.cluster.dial_timeout),
        left: turns.left(),
        missed: Vec::new(),
        reason: Reason::UpstreamUnavailable,
    };
    let allowance = AnswerDeadlines { deadline, whole };
    while let Some(Turn { target, permits }) = turns.next(Need::Plain, allowance, journal).await? {
        *subject = Some(Arc::clone(&target.name));
        let live = target.hold(permits.load);
        if let Some(outcome) = attempts.attempt(target).await {
            let (connection, answer) = outcome?;
            return Ok(answered(connection, answer, target, live));
        }
        attempts.left = turns.left();
    }
    Err(Refusal::new(attempts.reason, attempts.missed.join("; ")))
}

fn answered(
    connection: Box<HttpConnection>,
    answer: http::Response<Incoming>,
    target: &DialTarget,
    live: Live,
) -> PlainAnswer {
    let (mut head, body) = answer.into_parts();
    let letters = Letters::take(&mut head.extensions);
    let body = AnswerBody {
        is_whole: body.is_end_stream(),
        body,
        connection: Some(connection),
        pool: Arc::clone(&target.pool),
        live,
        record: None,
        bytes: 0,
        permit: None,
    };
    PlainAnswer { head, letters, body }
}

impl PlainAttempts<'_> {
    /// Tries one upstream; `None` if the next is to be tried.
    async fn attempt(&mut self, target: &DialTarget) -> Option<Result<Answered, Refusal>> {
        // An upstream may close a kept connection at any time, and a request may be the cause.
        while !self.is_sent_again
            && let Some(connection) = target.pool.take()
        {
            if let Some(outcome) = self.send(target, connection, true).await {
                return Some(outcome);
            }
        }
        let began = now();
        // The time of a request that is sent again may be over.
        let dial_timeout = self.route.cluster.dial_timeout;
        let deadline = if self.is_sent_again {
            self.deadline.max(Instant::now() + dial_timeout)
        } else {
            self.deadline
        };
        let most = if self.left > 1 { dial_timeout } else { Duration::MAX };
        let dial_time = share(deadline, self.left).min(most);
        let opened = target.open(Instant::now() + dial_time).await;
        let stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                // A client must not be able to choose a moment that leaves every upstream too little time.
                let is_fair = match error.kind() {
                    io::ErrorKind::TimedOut => dial_time >= self.fair_dial_time,
                    _ => !is_the_gateways_own(&error),
                };
                if is_fair {
                    self.failed(target, began, &error.to_string());
                }
                if error.kind() == io::ErrorKind::TimedOut {
                    self.reason = Reason::UpstreamTimeout;
                }
                self.missed.push(format!("{}: {error}", target.name));
                return None;
            }
        };
        let outcome = match HttpConnection::new(stream).await {
            Ok(connection) => self.send(target, Box::new(connection), false).await,
            Err(error) => Some(Err(broken(target, &error))),
        };
        if outcome.is_none() {
            self.missed.push(format!("{}: it closed the connection", target.name));
        }
        outcome
    }

    /// Sends the request over a connection. `None` if nothing was sent, or if the connection was kept and the
    /// request may be sent again (RFC 9110 section 9.2.2).
    async fn send(
        &mut self,
        target: &DialTarget,
        mut connection: Box<HttpConnection>,
        is_kept: bool,
    ) -> Option<Result<Answered, Refusal>> {
        let body = self.body.take()?;
        let progress = Arc::clone(body.progress());
        let is_repeatable = body.is_empty()
            && matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if authenticates_connection(&self.head.headers) {
            connection.retire();
        }
        let request = Request::from_parts(self.head.clone(), body);
        let outcome = {
            let mut sending = std::pin::pin!(connection.send(request));
            loop {
                let due = progress.last() + self.route.body_timeout;
                match timeout_at(due, &mut sending).await {
                    Ok(outcome) => break outcome,
                    Err(_elapsed) if progress.last() + self.route.body_timeout > due => {}
                    Err(_elapsed) => {
                        let detail = format!(
                            "{}: no answer within body_timeout ({:?})",
                            target.name, self.route.body_timeout
                        );
                        let late = Refusal::new(Reason::UpstreamTimeout, detail);
                        return Some(Err(late.by("body_timeout")));
                    }
                }
            }
        };
        match outcome {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let detail =
                    format!("{}: a 101 to a request that asks for no upgrade", target.name);
                Some(Err(Refusal::new(Reason::UpstreamHandshake, detail)))
            }
            Ok(_) if connection.refused().is_some() => {
                let status = connection.refused().unwrap_or_default();
                let detail = format!(
                    "{}: an informational answer ({status}) that is not allowed, or one too many",
                    target.name
                );
                Some(Err(Refusal::new(Reason::UpstreamHandshake, detail)))
            }
            Ok(answer) => {
                if let Err(doubt) = check_framing(answer.headers()) {
                    let detail = format!("{}: {doubt}", target.name);
                    return Some(Err(Refusal::new(Reason::UpstreamHandshake, detail)));
                }
                if is_last_on_its_connection(&answer) {
                    connection.retire();
                }
                if let Some(Change::Up { after, failures }) = target.answered(now()) {
                    let upstream = &target.name;
                    let up = Event::UpstreamUp { upstream, check: None, after, failures };
                    self.journal.record(up);
                }
                Some(Ok((connection, answer)))
            }
            Err(mut error) => {
                if let Some(unsent) = error.take_message() {
                    self.body = Some(unsent.into_body());
                    return None;
                }
                if let Some(fault) = progress.fault() {
                    return Some(Err(fault.into()));
                }
                if is_kept && is_repeatable {
                    self.body = Some(RequestBody::empty(progress));
                    self.is_sent_again = true;
                    return None;
                }
                Some(Err(broken(target, error.error())))
            }
        }
    }

    fn failed(&self, target: &DialTarget, began: std::time::Instant, detail: &str) {
        let change = target.failed(began, Failed::Unconnected, detail);
        if let Some(Change::Down { rest, unlogged }) = change {
            self.journal.record(Event::UpstreamDown {
                upstream: &target.name,
                route: Some(&self.route.name),
                check: None,
                detail,
                rest,
                unlogged,
            });
        }
    }
}

/// Whether the credentials are those of a connection: with NTLM, and Negotiate by it, a server takes all further requests
/// on the connection for the same user's.
fn authenticates_connection(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(|credentials| {
        let scheme = credentials.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        [&b"NTLM"[..], b"Negotiate"].iter().any(|name| scheme.eq_ignore_ascii_case(name))
    })
}

/// Whether the connection is not used again for a reason that hyper does not see: a 204 that announces a body, which
/// may come later; and HTTP/1.0, in which hyper would send further requests, and leave out chunked bodies.
fn is_last_on_its_connection(answer: &http::Response<Incoming>) -> bool {
    let announces = |name| answer.headers().get(name).is_some_and(|value| value != "0");
    answer.version() != Version::HTTP_11
        || answer.status() == StatusCode::NO_CONTENT
            && (announces(CONTENT_LENGTH) || announces(TRANSFER_ENCODING))
}

fn broken(target: &DialTarget, error: &hyper::Error) -> Refusal {
    let detail = format!("{}: no valid answer: {}", target.name, super::exchange::describe(error));
    Refusal::new(Reason::UpstreamHandshake, detail)
}

impl AnswerBody {
    /// Counts for the client's address until the answer has ended.
    pub(crate) fn hold(&mut self, permit: Option<AddressPermit>) {
        self.permit = permit;
    }

    /// Writes a record when the answer has ended.
    pub(crate) fn recorded(
        mut self,
        journal: Journal,
        subject: Subject,
        status: StatusCode,
        began: Instant,
        stopped: Option<Arc<OnceLock<Reason>>>,
    ) -> Self {
        self.record = Some(AnswerRecord { journal, subject, status, began, stopped });
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            if let Some(connection) = &mut self.connection {
                connection.drive(cx);
            }
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        match &polled {
            Poll::Ready(None) => self.is_whole = true,
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.is_whole = frame.is_trailers() || self.body.is_end_stream();
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.is_whole
            && let Some(connection) = self.connection.take()
        {
            self.pool.put(connection);
        }
        if let Some(AnswerRecord { journal, subject, status, began, stopped }) = self.record.take()
        {
            journal.record(Event::Forwarded {
                subject: &subject,
                status: status.as_u16(),
                bytes: self.bytes,
                is_whole: self.is_whole,
                reason: stopped.and_then(|stopped| stopped.get().copied()),
                duration: began.elapsed(),
            });
        }
    }
}
