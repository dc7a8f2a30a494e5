//! Connections to an upstream that plain requests use one after the other. A connection that carried an opening
//! handshake never comes here. No task drives a connection: the task of the present request does, and while it is
//! idle nothing does.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::body::RequestBody;
use crate::handshake::interim::{Guarded, Interim, MOST};
use crate::tls::transport::Transport;

/// The most idle connections to one upstream.
const MAX_IDLE: usize = 64;
/// How long a connection may be idle: servers close theirs after 5 s (Node, uvicorn) and more.
const IDLE_TIME: Duration = Duration::from_secs(4);
/// The largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// The idle connections to one upstream. The newest is used first.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<IdleConnection>>);

#[derive(Debug)]
struct IdleConnection {
    connection: Box<HttpConnection>,
    since: Instant,
}

/// An HTTP/1.1 connection to an upstream.
pub(super) struct HttpConnection {
    sender: SendRequest<RequestBody>,
    /// `None` once it is over. A request that it has not taken comes back when it is dropped.
    connection: Option<http1::Connection<TokioIo<Guarded<Transport>>, RequestBody>>,
    interim: Interim,
    is_last: bool,
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection")
            .field("is_over", &self.connection.is_none())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Takes an idle connection that is still open.
    pub(super) fn take(&self) -> Option<Box<HttpConnection>> {
        loop {
            let IdleConnection { mut connection, since } = self.locked().pop()?;
            if since.elapsed() < IDLE_TIME && connection.is_idle() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end, if it can carry another request.
    pub(super) fn put(&self, mut connection: Box<HttpConnection>) {
        if !connection.is_idle() {
            return;
        }
        let mut idle = self.locked();
        idle.retain(|idle| idle.since.elapsed() < IDLE_TIME);
        if idle.len() < MAX_IDLE {
            idle.push(IdleConnection { connection, since: Instant::now() });
        }
    }

    /// Closes the connections that were idle for too long, or that the upstream has closed.
    pub(super) fn sweep(&self) {
        self.locked()
            .retain_mut(|idle| idle.since.elapsed() < IDLE_TIME && idle.connection.is_idle());
    }

    fn locked(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls a connection, and drops it when it is over.
fn poll_connection(
    connection: &mut Option<http1::Connection<TokioIo<Guarded<Transport>>, RequestBody>>,
    cx: &mut Context<'_>,
) {
    if let Some(open) = connection
        && open.poll_without_shutdown(cx).is_ready()
    {
        *connection = None;
    }
}

impl HttpConnection {
    /// Speaks HTTP/1.1 over a new stream to an upstream.
    pub(super) async fn new(stream: Transport) -> hyper::Result<Self> {
        let interim = Interim::allowing(MOST);
        let (sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .preserve_header_case(true)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(interim.guard_idle(stream, Transport::has_unread)))
            .await?;
        Ok(Self { sender, connection: Some(connection), interim, is_last: false })
    }

    /// Sends a request and waits for the head of its answer. The error has the request if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.interim.restart();
        self.interim.watch(&mut request);
        let mut sending = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        poll_fn(|cx| {
            poll_connection(connection, cx);
            sending.as_mut().poll(cx)
        })
        .await
    }

    /// Moves bytes between the stream and the bodies of the present exchange.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        poll_connection(&mut self.connection, cx);
    }

    /// The status of an informational answer that ends the exchange, if one came.
    pub(super) fn refused(&self) -> Option<StatusCode> {
        self.interim.refused()
    }

    /// Rules out another request on the connection.
    pub(super) fn retire(&mut self) {
        self.is_last = true;
    }

    /// Whether the connection is open, and waits for a request. Bytes that come between two exchanges end it, also those
    /// that the runtime does not know of yet. Bytes that come later, before the upstream has read the next request,
    /// cannot be told from its answer.
    fn is_idle(&mut self) -> bool {
        if self.is_last {
            return false;
        }
        self.interim.set_idle(true);
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.interim.set_idle(false);
        self.connection.is_some() && self.sender.is_ready()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::HttpConnection;
    use crate::gateway::upstream::body::{BodyProgress, RequestBody};
    use crate::tls::transport::Transport;

    fn request() -> Request<RequestBody> {
        Request::new(RequestBody::empty(Arc::new(BodyProgress::new())))
    }

    /// The bytes are in the socket, and the runtime was not told of them yet.
    #[tokio::test]
    async fn bytes_that_came_at_this_moment_end_an_idle_connection() {
        for late in [&b"H"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
            let (near, mut far) = UnixStream::pair().unwrap();
            let mut connection = HttpConnection::new(Transport::Unix(near)).await.unwrap();
            far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            connection.send(request()).await.unwrap();
            assert!(connection.is_idle());
            assert_eq!(far.try_write(late).unwrap(), late.len());
            assert!(!connection.is_idle());
        }
    }

    /// The upstream closes between the look at an idle connection and its next request.
    #[tokio::test]
    async fn a_request_comes_back_from_a_connection_that_closes_before_it_is_sent() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut connection = HttpConnection::new(Transport::Unix(near)).await.unwrap();
        far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        connection.send(request()).await.unwrap();
        assert!(connection.is_idle());
        far.shutdown().await.unwrap();
        // The end is known to the runtime before the request is.
        tokio::task::yield_now().await;
        let mut error = connection.send(request()).await.unwrap_err();
        assert!(error.take_message().is_some());
    }
}
