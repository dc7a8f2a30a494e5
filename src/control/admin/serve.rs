//! The server on the admin socket, with bounds on connections, requests and times.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::act::act;
use super::observe;
use super::protocol::{AdminAnswer, Outcome, Request};
use super::socket::AdminSocket;
use crate::control::Control;
use crate::journal::{AdminAction, Event, Journal};
use crate::values::Counter;

/// The most requests that execute at once. `status` is not counted and does not wait.
const ACTING: usize = 10;
/// The most requests that execute or wait for execution; further ones are refused.
const REQUESTS: usize = 64;
/// The most connections whose request is awaited. A further connection replaces the one that has waited
/// longest.
const AWAITED: usize = 32;
/// The longest request, including its line feed.
const MAX_REQUEST: u64 = 64 * 1024;
/// The deadline from accept to the last byte of the request.
const REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// The deadline from the request to the last byte of the answer. A reload may read files for 20 s and
/// fetch JWK Sets for 10 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// How long a request that was read may take when the gateway ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves `socket` until the task is cancelled, or another process serves it. Dropping the socket removes its
/// file, unless the other process owns it.
pub(in crate::control) async fn serve(control: Arc<Control>, socket: AdminSocket) {
    let listening = match socket.listen() {
        Ok(listening) => Arc::new(listening),
        Err(error) => return failed(control.reporter.journal(), &error),
    };
    control.upgrade.is_administered(Arc::downgrade(&listening));
    let places = Arc::new(RequestSlots::default());
    let mut awaited = WaitingConnections::default();
    loop {
        let accepting = accept(control.reporter.journal(), &listening.listener);
        let Some(stream) = control.runtime.retiring().run_until_cancelled(accepting).await else {
            return;
        };
        let place = awaited.enter();
        let tracked = Arc::clone(&control);
        let places = Arc::clone(&places);
        control.runtime.upkeep().spawn(async move {
            let last_answers = async {
                tracked.runtime.closed().cancelled().await;
                tokio::time::sleep(LAST_ANSWERS).await;
                Ok(())
            };
            let answered = tokio::select! {
                answered = answer(&tracked, &places, place, stream) => answered,
                ended = last_answers => ended,
            };
            if answered == Err(RequestTooLong) {
                tracked.reporter.journal().record(Event::AdminTimeout);
            }
        });
    }
}

/// The request was not sent, or the answer was not read, in time.
#[derive(Debug, PartialEq, Eq)]
struct RequestTooLong;

/// The slots for requests.
struct RequestSlots {
    requests: Arc<Counter>,
    acting: Semaphore,
    observations: Arc<Counter>,
}

impl Default for RequestSlots {
    fn default() -> Self {
        Self {
            requests: Arc::default(),
            acting: Semaphore::new(ACTING),
            observations: Arc::default(),
        }
    }
}

/// The connections that have not sent their request, oldest first. A new connection always gets a slot:
/// idle connections cannot lock an operator out.
#[derive(Default)]
struct WaitingConnections(VecDeque<oneshot::Sender<()>>);

impl WaitingConnections {
    /// Takes a slot for a connection, which loses it when the returned receiver resolves.
    fn enter(&mut self) -> oneshot::Receiver<()> {
        self.0.retain(|place| !place.is_closed());
        if self.0.len() >= AWAITED {
            drop(self.0.pop_front());
        }
        let (place, lost) = oneshot::channel();
        self.0.push_back(place);
        lost
    }
}

async fn accept(journal: &Journal, listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                failed(journal, &error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn failed(journal: &Journal, error: &io::Error) {
    journal.record(Event::AdminFailed { error });
}

async fn answer(
    control: &Arc<Control>,
    places: &RequestSlots,
    place: oneshot::Receiver<()>,
    mut stream: UnixStream,
) -> Result<(), RequestTooLong> {
    let uid = stream.peer_cred().map(|peer| peer.uid()).ok();
    let line = tokio::select! {
        line = timeout(REQUEST_WITHIN, read(&mut stream)) => line.map_err(|_| RequestTooLong)?,
        // A newer connection took the slot.
        _ = place => return Err(RequestTooLong),
        () = control.runtime.closed().cancelled() => return Ok(()),
    };
    if let Ok(line) = &line
        && let Ok(request @ Request::Observe { .. }) = serde_json::from_slice(line)
    {
        let answer = observe(control, places, uid, request, &mut stream).await;
        return timeout(ANSWER_WITHIN, send(&mut stream, answer)).await.map_err(|_| RequestTooLong);
    }
    let answering = async {
        let answer = match line {
            Ok(line) => respond(control, places, uid, &line).await,
            Err(Unread::RequestTooLong) => refuse(
                control.reporter.journal(),
                uid,
                &format!("a request has at most {MAX_REQUEST} bytes"),
            ),
            Err(Unread::Gone) => return,
        };
        send(&mut stream, answer).await;
    };
    timeout(ANSWER_WITHIN, answering).await.map_err(|_| RequestTooLong)
}

/// Sends the answer. The client may have disconnected; the request is executed nevertheless.
async fn send(stream: &mut UnixStream, answer: AdminAnswer) {
    let _ = stream.write_all(answer.line().as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Executes a request to observe, which takes no slot of a request: it lasts.
async fn observe(
    control: &Arc<Control>,
    places: &RequestSlots,
    uid: Option<u32>,
    request: Request,
    stream: &mut UnixStream,
) -> AdminAnswer {
    let text = serde_json::to_string(&request).unwrap_or_default();
    let action = request.name();
    let answer = match request {
        Request::Observe { target } => {
            observe::observe(control, &places.observations, uid, target, stream).await
        }
        other => act(control, other).await,
    };
    record(control.reporter.journal(), uid, Some(action), &text, &answer);
    answer
}

/// Executes the request in `line`, once a slot is free, and returns the answer.
async fn respond(
    control: &Arc<Control>,
    places: &RequestSlots,
    uid: Option<u32>,
    line: &[u8],
) -> AdminAnswer {
    let request = match serde_json::from_slice::<Request>(line) {
        Ok(request) => request,
        Err(error) => {
            return refuse(
                control.reporter.journal(),
                uid,
                &format!("this is not a request: {error}"),
            );
        }
    };
    let text = serde_json::to_string(&request).unwrap_or_default();
    let action = request.name();
    let answer = if matches!(request, Request::Status {}) {
        act(control, request).await
    } else {
        let Some(_request) = places.requests.take(REQUESTS) else {
            let error = "too many requests at once; try again in a moment";
            return refuse(control.reporter.journal(), uid, error);
        };
        // The semaphore is never closed.
        let _acting = places.acting.acquire().await;
        if matches!(request, Request::Upgrade {}) {
            act(control, request).await
        } else {
            let _unchanged = control.upgrade.changes.read().await;
            if control.runtime.is_retiring() {
                let error = "another process has taken over in this moment; send the request again";
                return refuse(control.reporter.journal(), uid, error);
            }
            act(control, request).await
        }
    };
    record(control.reporter.journal(), uid, Some(action), &text, &answer);
    answer
}

/// The reason why no request was read.
enum Unread {
    RequestTooLong,
    /// The client closed the connection without a request.
    Gone,
}

/// Reads one line; a request that ends with the stream needs no line feed.
async fn read(stream: &mut UnixStream) -> Result<Vec<u8>, Unread> {
    let mut line = Vec::new();
    let mut reader = BufReader::with_capacity(1024, stream).take(MAX_REQUEST);
    reader.read_until(b'\n', &mut line).await.map_err(|_| Unread::Gone)?;
    match line.last() {
        None => Err(Unread::Gone),
        Some(b'\n') => Ok(line),
        Some(_) if reader.limit() == 0 => Err(Unread::RequestTooLong),
        Some(_) => Ok(line),
    }
}

fn refuse(journal: &Journal, uid: Option<u32>, error: &str) -> AdminAnswer {
    let answer = AdminAnswer::failed(Outcome::Refused, error);
    record(journal, uid, None, "", &answer);
    answer
}

fn record(
    journal: &Journal,
    uid: Option<u32>,
    action: Option<&str>,
    request: &str,
    answer: &AdminAnswer,
) {
    journal.record(Event::Admin(AdminAction {
        action,
        result: answer.outcome.name(),
        refused: matches!(answer.outcome, Outcome::Refused),
        uid,
        sessions: answer.sessions,
        request: (!request.is_empty()).then_some(request),
        detail: answer.error.as_deref(),
    }));
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::{AWAITED, WaitingConnections};

    #[test]
    fn a_new_connection_evicts_the_oldest_idle_one() {
        let mut awaited = WaitingConnections::default();
        let mut held: Vec<_> = (0..AWAITED).map(|_| awaited.enter()).collect();
        assert!((&mut held[0]).now_or_never().is_none());
        let next = awaited.enter();
        assert!((&mut held[0]).now_or_never().is_some(), "the oldest");
        assert!((&mut held[1]).now_or_never().is_none());
        drop(held);
        let _after = awaited.enter();
        assert_eq!(awaited.0.len(), 2, "those that sent their request have left");
        drop(next);
    }
}
