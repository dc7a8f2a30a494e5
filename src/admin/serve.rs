//! The server on the socket: few connections, small requests, and little time for each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::act::{Running, act};
use super::protocol::{Answer, Outcome, Request};
use super::socket::AdminSocket;
use crate::gateway::Gateway;
use crate::moment::Moment;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 10;
/// A request, its line feed included.
const MAX_REQUEST: u64 = 64 * 1024;
/// From accept to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long it waits when it cannot accept.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers on `socket` until it is dropped; the socket's file goes with it.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    socket: AdminSocket,
    listeners: Vec<std::net::SocketAddr>,
) {
    let running = Arc::new(Running { since: Moment::now(), listeners });
    let (listener, _file) = match socket.listen() {
        Ok(listening) => listening,
        Err(error) => return failed(&error),
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = accept(&listener).await;
        let (tracked, running) = (Arc::clone(&gateway), Arc::clone(&running));
        gateway.tasks.spawn(async move {
            let stopping = tracked.stopping.clone();
            let answered = timeout(DEADLINE, answer(&tracked, &running, stream));
            if let Some(Err(_)) = stopping.run_until_cancelled(answered).await {
                tracing::warn!(
                    event = "admin",
                    result = "refused",
                    "an admin request took too long"
                );
            }
            drop(slot);
        });
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                failed(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn failed(error: &io::Error) {
    tracing::error!(event = "admin.failed", %error, "the admin socket does not work");
}

async fn answer(gateway: &Arc<Gateway>, running: &Running, mut stream: UnixStream) {
    let uid = stream.peer_cred().map(|peer| peer.uid()).ok();
    let answer = match read(&mut stream).await {
        Ok(line) => match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                let text = serde_json::to_string(&request).unwrap_or_default();
                let action = request.name();
                let answer = act(gateway, running, request).await;
                log(uid, Some(action), &text, &answer);
                answer
            }
            Err(error) => refuse(uid, &format!("this is not a request: {error}")),
        },
        Err(Unread::TooLong) => refuse(uid, &format!("a request has at most {MAX_REQUEST} bytes")),
        Err(Unread::Gone) => return,
    };
    // The client may be gone; what it asked for is done all the same.
    let _ = stream.write_all(answer.line().as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Why there is no request.
enum Unread {
    TooLong,
    /// The client closed without one.
    Gone,
}

/// The line, or what came before the client's end.
async fn read(stream: &mut UnixStream) -> Result<Vec<u8>, Unread> {
    let mut line = Vec::new();
    let mut reader = BufReader::with_capacity(1024, stream).take(MAX_REQUEST);
    reader.read_until(b'\n', &mut line).await.map_err(|_| Unread::Gone)?;
    match line.last() {
        None => Err(Unread::Gone),
        Some(b'\n') => Ok(line),
        Some(_) if reader.limit() == 0 => Err(Unread::TooLong),
        Some(_) => Ok(line),
    }
}

fn refuse(uid: Option<u32>, error: &str) -> Answer {
    let answer = Answer::failed(Outcome::Refused, error);
    log(uid, None, "", &answer);
    answer
}

/// `request` names users and token ids, and never holds a token.
fn log(uid: Option<u32>, action: Option<&str>, request: &str, answer: &Answer) {
    let result = answer.outcome.name();
    let request = (!request.is_empty()).then_some(request);
    let (sessions, detail) = (answer.sessions, answer.error.as_deref());
    match answer.outcome {
        Outcome::Done | Outcome::NotFound => {
            tracing::info!(
                event = "admin",
                action,
                result,
                uid,
                sessions,
                request,
                detail,
                "admin"
            );
        }
        Outcome::Refused => {
            tracing::warn!(
                event = "admin",
                action,
                result,
                uid,
                sessions,
                request,
                detail,
                "admin"
            );
        }
    }
}
