//! HTTP/1.1 towards a client. Each request has a connection object of hyper's of its own, which reads that
//! request's head and nothing behind it. So every head of a connection is checked byte for byte before hyper
//! parses it, a pipelined request waits unread for its turn, and a connection holds no buffer between requests.

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{timeout, timeout_at};

use super::wait::ClientWait;
use crate::handshake::{HeadFault, HeadLimits, HeadShare, HeadTap, RawHead, Respelled, Spelling};
use crate::tls::transport::{Linger, Transport};
use crate::values::Reason;

/// How long an answer may take to be written once the deadline has passed.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The smallest buffer that hyper takes, in bytes.
const LEAST_BUFFER: usize = 8192;

/// A client's connection between an answer and the next request.
#[derive(Debug)]
pub(super) struct Http1 {
    tap: HeadTap,
}

/// The end of one exchange on a connection.
#[derive(Debug)]
pub(super) struct HttpEnd {
    pub(super) stream: Transport,
    /// The bytes that the client sent after its request.
    pub(super) behind: Vec<u8>,
    /// Whether the request was read to its end, so that the next byte belongs to the next one.
    pub(super) is_at_end: bool,
    pub(super) outcome: HttpOutcome,
}

/// How far an exchange came.
#[derive(Debug)]
pub(super) enum HttpOutcome {
    /// The answer was written to its end, and the connection is open.
    Answered,
    /// hyper ended the connection, after the answer if there is no error.
    Closed(hyper::Result<()>),
    /// The deadline passed before the answer was written.
    Late,
    /// The gateway ended the answer to a plain request.
    Stopped(Reason),
    /// The gateway stops, and the client has sent no whole request.
    Abandoned,
}

impl HttpEnd {
    /// What the client may still send: the rest of its body if it was answered before the end of that.
    pub(super) fn linger(&self) -> Linger {
        if self.outcome.is_answered() && !self.is_at_end { Linger::BODY } else { Linger::SHORT }
    }
}

impl HttpOutcome {
    /// Whether the answer was written to its end.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Answered | Self::Closed(Ok(())))
    }
}

/// hyper read two requests where it was given one.
#[derive(Debug, thiserror::Error)]
#[error("a second request before the first was answered")]
struct SecondRequest;

impl Http1 {
    /// `early` are bytes that were read from the stream before.
    pub(super) fn new(stream: Transport, early: Vec<u8>) -> Self {
        Self { tap: HeadTap::new(stream, early) }
    }

    /// Waits for the first byte of a request; `false` if the connection ends without one.
    pub(super) async fn begins(&mut self) -> bool {
        self.tap.awaken().await
    }

    /// The copied head of the present request.
    pub(super) fn head(&self) -> &RawHead {
        self.tap.head()
    }

    /// Reads a whole head.
    ///
    /// # Errors
    /// The head is too large, or `share` has no room for it.
    pub(super) async fn gather(
        &mut self,
        limits: HeadLimits,
        share: &mut HeadShare,
    ) -> Result<(), HeadFault> {
        self.tap.gather(limits, share).await
    }

    /// The stream, without an answer.
    pub(super) fn into_stream(self) -> Transport {
        self.tap.into_parts().0
    }

    /// Parses the gathered head, calls `respond` with the request, and writes its answer.
    pub(super) async fn answer<R, F, B>(
        self,
        limits: HeadLimits,
        wait: &ClientWait,
        respond: R,
    ) -> HttpEnd
    where
        R: FnOnce(Request<Incoming>) -> F + Unpin,
        F: Future<Output = Response<B>>,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
    {
        let (head, written) = (self.tap.head().clone(), self.tap.written().clone());
        let respond = Cell::new(Some(respond));
        let watch = written.clone();
        let service = service_fn(move |request| {
            let (respond, watch) = (respond.take(), watch.clone());
            Box::pin(async move {
                let response = respond.ok_or(SecondRequest)?(request).await;
                Ok::<_, SecondRequest>(response.map(|body| watch.watch(body)))
            })
        });
        let mut connection = http1::Builder::new()
            .title_case_headers(true)
            .preserve_header_case(true)
            .header_read_timeout(None)
            .max_headers(limits.fields)
            .max_header_size(limits.bytes)
            .max_buf_size(limits.bytes.max(LEAST_BUFFER))
            .serve_connection(TokioIo::new(Respelled::new(self.tap, Spelling::default())), service);
        let mut served = pin!(poll_fn(|cx| match connection.poll_without_shutdown(cx) {
            Poll::Ready(ended) => Poll::Ready(HttpOutcome::Closed(ended)),
            Poll::Pending if written.is_whole() => Poll::Ready(HttpOutcome::Answered),
            Poll::Pending => wait.poll_stopped(cx).map(HttpOutcome::Stopped),
        }));
        // When the gateway stops, it does not wait for the rest of a head.
        let abandoned = async {
            wait.stopping.cancelled().await;
            if head.is_complete() {
                std::future::pending::<()>().await;
            }
        };
        let in_time = tokio::select! {
            outcome = timeout_at(wait.deadline, &mut served) => outcome,
            () = abandoned => Ok(HttpOutcome::Abandoned),
        };
        let outcome = match (in_time, wait.stall()) {
            (Err(_), Some(stall)) => loop {
                let progress = written.progress();
                match timeout(stall, &mut served).await {
                    Err(_) if written.is_stuck_since(progress) => break HttpOutcome::Late,
                    Err(_) => {}
                    Ok(outcome) => break outcome,
                }
            },
            (Err(_), None) if head.is_complete() => {
                timeout(ANSWER_GRACE, &mut served).await.unwrap_or(HttpOutcome::Late)
            }
            (in_time, _) => in_time.unwrap_or(HttpOutcome::Late),
        };
        drop(wait.answer().take());
        let parts = connection.into_parts();
        let tap = parts.io.into_inner().into_inner();
        let is_at_end = tap.is_at_end();
        let (stream, behind) = tap.into_parts();
        HttpEnd { stream, behind, is_at_end, outcome }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Response, StatusCode, header};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio_util::sync::CancellationToken;

    use super::{ClientWait, Http1, HttpEnd, HttpOutcome};
    use crate::handshake::{Body, HeadBudget, HeadFault, HeadLimits};
    use crate::tls::transport::Transport;

    const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 10 };
    const FIRST: &[u8] = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
    const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n";

    fn connection() -> (UnixStream, Http1) {
        let (client, server) = UnixStream::pair().unwrap();
        (client, Http1::new(Transport::Unix(server), Vec::new()))
    }

    fn wait() -> ClientWait {
        ClientWait::at_accept(Duration::from_secs(10), &CancellationToken::new())
    }

    async fn gather(http: &mut Http1) -> Result<(), HeadFault> {
        http.gather(LIMITS, &mut HeadBudget::new(0, 0).share(None)).await
    }

    /// Answers with the path of the request.
    async fn path(request: Request<Incoming>) -> Response<Body> {
        Response::new(Full::from(request.uri().path().to_owned()))
    }

    async fn no_answer(_: Request<Incoming>) -> Response<Body> {
        std::future::pending().await
    }

    async fn answer_path(mut http: Http1) -> HttpEnd {
        gather(&mut http).await.unwrap();
        http.answer(LIMITS, &wait(), path).await
    }

    /// Reads an answer that ends with `end`.
    async fn read_answer(client: &mut UnixStream, end: &str) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            answer.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn pipelined_requests_are_read_and_answered_one_after_the_other() {
        let (mut client, http) = connection();
        client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
        let first = answer_path(http).await;
        assert!(matches!(first.outcome, HttpOutcome::Answered), "{:?}", first.outcome);
        assert_eq!(first.behind, SECOND, "it was not read before its turn");
        let answer = read_answer(&mut client, "/first").await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("close"), "{answer}");
        let mut http = Http1::new(first.stream, first.behind);
        assert!(http.begins().await);
        let second = answer_path(http).await;
        assert!(matches!(second.outcome, HttpOutcome::Answered));
        read_answer(&mut client, "/second").await;
        let mut http = Http1::new(second.stream, second.behind);
        drop(client);
        assert!(!http.begins().await);
    }

    /// Two requests that came in pieces have the same answers, and each head is checked.
    #[tokio::test]
    async fn the_copy_of_a_head_is_that_of_the_present_request() {
        let (mut client, http) = connection();
        client.write_all(&[FIRST, &SECOND[..9]].concat()).await.unwrap();
        let first = answer_path(http).await;
        let mut http = Http1::new(first.stream, first.behind);
        client.write_all(&SECOND[9..]).await.unwrap();
        gather(&mut http).await.unwrap();
        assert_eq!(http.head().judge().unwrap(), "/second");
        let (mut client, http) = connection();
        let bare_line_feed = b"GET / HTTP/1.1\r\nHost: a\n\r\n";
        client.write_all(&[FIRST, bare_line_feed].concat()).await.unwrap();
        let first = answer_path(http).await;
        let mut http = Http1::new(first.stream, first.behind);
        gather(&mut http).await.unwrap();
        assert!(http.head().judge().is_err());
    }

    #[tokio::test]
    async fn an_answer_that_says_close_ends_the_connection_for_http() {
        for request in [FIRST, b"GET /first HTTP/1.0\r\n\r\n"] {
            let (mut client, mut http) = connection();
            client.write_all(request).await.unwrap();
            gather(&mut http).await.unwrap();
            let closing = async |request| {
                let mut answer = path(request).await;
                answer.headers_mut().insert(header::CONNECTION, "close".parse().unwrap());
                answer
            };
            let end = http.answer(LIMITS, &wait(), closing).await;
            assert!(end.outcome.is_answered());
            let answer = read_answer(&mut client, "/first").await;
            assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_session_gets_the_bytes_behind_its_handshake() {
        let (mut client, mut http) = connection();
        client.write_all(&[FIRST, b"frames"].concat()).await.unwrap();
        gather(&mut http).await.unwrap();
        let switching = async |_| {
            let mut answer = Response::new(Full::<Bytes>::default());
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer
        };
        let end = http.answer(LIMITS, &wait(), switching).await;
        assert!(end.outcome.is_answered());
        assert_eq!(end.behind, b"frames");
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_work_on_its_answer() {
        for behind in [&b""[..], b"frames"] {
            let (mut client, mut http) = connection();
            client.write_all(&[FIRST, behind].concat()).await.unwrap();
            gather(&mut http).await.unwrap();
            drop(client);
            let end = http.answer(LIMITS, &wait(), no_answer).await;
            assert!(matches!(end.outcome, HttpOutcome::Closed(Err(_))), "{:?}", end.outcome);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_bound_is_read_behind_a_request() {
        let (mut client, mut http) = connection();
        client.write_all(FIRST).await.unwrap();
        let flood = tokio::spawn(async move {
            let _ = client.write_all(&vec![b'x'; 1 << 20]).await;
            client
        });
        gather(&mut http).await.unwrap();
        let end = http.answer(LIMITS, &wait(), no_answer).await;
        assert!(matches!(end.outcome, HttpOutcome::Late));
        assert!((16 * 1024..=20 * 1024).contains(&end.behind.len()), "{}", end.behind.len());
        flood.abort();
    }
}
