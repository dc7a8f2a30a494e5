//! One request and its answer on a fresh stream. Afterwards the stream carries the WebSocket or is closed:
//! it is never used for another request.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::Answer;
use crate::handshake::interim::{Guarded, Interim};
use crate::handshake::{Letters, Respelled, Spelling};
use crate::tls::transport::Transport;
use crate::values::spoken::Spoken;

/// The most bytes of an answer's body that the client gets.
const MAX_BODY: usize = 64 * 1024;
/// The largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

type HandshakeConnection = http1::Connection<TokioIo<Respelled<Guarded<Transport>>>, Empty<Bytes>>;

/// The upstream's answer.
pub(super) enum ExchangeOutcome {
    /// It answered 101; nothing else of the answer is verified yet.
    Switched { stream: Transport, early: Bytes, headers: HeaderMap, letters: Letters },
    /// It answered 300 or above.
    Answered(Answer),
}

/// Why there is no valid answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// No answer began in time.
    #[error("server.handshake_timeout: no answer to the handshake in its share of the time")]
    Late,
    /// The connection ended before an answer, or the upstream does not speak HTTP/1.
    #[error("{0}")]
    None(String),
    /// The answer is not valid HTTP, or broke off.
    #[error("{0}")]
    Broken(String),
    /// The answer did not end in time.
    #[error("its answer did not end in time")]
    Unfinished,
    /// A 1xx other than 101, or a 2xx.
    #[error("the status is {0}, neither 101 nor a refusal")]
    Status(StatusCode),
    /// A 1xx came before the answer.
    #[error("an informational answer ({0}) came before the 101")]
    Informational(StatusCode),
    /// HTTP/1.0 has no upgrade.
    #[error("the 101 is {0:?}, not HTTP/1.1")]
    Version(Version),
}

/// Sends the request and reads the answer: the head by `answer_by`, and all of it by `deadline`. The body
/// of an answer other than 101 is read as far as the client gets it.
pub(super) async fn exchange(
    stream: Transport,
    mut request: Request<Empty<Bytes>>,
    answer_by: Instant,
    deadline: Instant,
) -> Result<ExchangeOutcome, ExchangeError> {
    // A handshake has one answer: the first 1xx that is not the 101 ends it.
    let interim = Interim::allowing(0);
    interim.watch(&mut request);
    let spelling = request.extensions_mut().remove::<Spelling>().unwrap_or_default();
    let broken = |error: hyper::Error| ExchangeError::Broken(describe(&error));
    let (mut sender, mut connection) = http1::Builder::new()
        .title_case_headers(true)
        .preserve_header_case(true)
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(Respelled::new(interim.guard(stream), spelling)))
        .await
        .map_err(broken)?;
    let mut driver = Driver { connection: &mut connection, done: false };
    let answering = driver.until(sender.send_request(request));
    let Ok(answered) = timeout_at(answer_by, answering).await else {
        return Err(ExchangeError::Late);
    };
    if let Some(status) = interim.refused() {
        return Err(ExchangeError::Informational(status));
    }
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            let spoken = connection.into_parts().io.into_inner().into_inner().spoken();
            return Err(unanswered(&error, spoken));
        }
    };
    let letters = Letters::take(response.extensions_mut());
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        if response.version() != Version::HTTP_11 {
            return Err(ExchangeError::Version(response.version()));
        }
        driver.finish().await.map_err(broken)?;
        let parts = connection.into_parts();
        let (early, headers) = (parts.read_buf, response.into_parts().0.headers);
        let stream = parts.io.into_inner().into_inner().into_inner();
        return Ok(ExchangeOutcome::Switched { stream, early, headers, letters });
    }
    if status.as_u16() < 300 {
        return Err(ExchangeError::Status(status));
    }
    let headers = response.headers().clone();
    let Ok(body) = timeout_at(deadline, driver.until(read_body(response))).await else {
        return Err(ExchangeError::Unfinished);
    };
    let (body, cut) = body.map_err(broken)?;
    Ok(ExchangeOutcome::Answered(Answer { status, headers, letters, body, cut }))
}

/// The error for an exchange without an answer. Where the bytes show another protocol, it says which
/// setting to change.
fn unanswered(error: &hyper::Error, spoken: Option<Spoken>) -> ExchangeError {
    let words = match spoken {
        Some(Spoken::HttpAnswer) => return ExchangeError::Broken(describe(error)),
        Some(Spoken::Tls) => "it speaks TLS on this port: write wss:// instead of ws://",
        Some(Spoken::Http2) => {
            "it speaks HTTP/2 on this port: let it speak HTTP/1.1, which WebSocket upgrades need"
        }
        Some(Spoken::HttpRequest | Spoken::ProxyHeader) => {
            "it sends a request of its own: is its address that of a client or a proxy?"
        }
        None if error.is_parse() => "it does not speak HTTP: is this the application's port?",
        None => return ExchangeError::None(format!("no answer to the handshake: {error}")),
    };
    ExchangeError::None(words.to_owned())
}

/// Reads at most [`MAX_BODY`] of a body; the flag says whether more follows.
async fn read_body(mut response: Response<Incoming>) -> Result<(Bytes, bool), hyper::Error> {
    let mut body = BytesMut::new();
    while let Some(frame) = response.body_mut().frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let left = MAX_BODY - body.len();
        body.extend_from_slice(&data[..data.len().min(left)]);
        if body.len() == MAX_BODY {
            let cut = data.len() > left || !response.body().is_end_stream();
            return Ok((body.freeze(), cut));
        }
    }
    Ok((body.freeze(), false))
}

/// Runs the connection in the same task as the future that needs it.
struct Driver<'a> {
    connection: &'a mut HandshakeConnection,
    done: bool,
}

impl Driver<'_> {
    async fn until<T>(
        &mut self,
        future: impl Future<Output = Result<T, hyper::Error>>,
    ) -> Result<T, hyper::Error> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let mut failed = None;
            if !self.done
                && let Poll::Ready(ended) = self.connection.poll_without_shutdown(cx)
            {
                self.done = true;
                failed = ended.err();
            }
            match (future.as_mut().poll(cx), failed) {
                (Poll::Pending, Some(error)) => Poll::Ready(Err(error)),
                (outcome, _) => outcome,
            }
        })
        .await
    }

    async fn finish(&mut self) -> Result<(), hyper::Error> {
        if self.done {
            return Ok(());
        }
        poll_fn(|cx| self.connection.poll_without_shutdown(cx)).await
    }
}

pub(super) fn describe(error: &hyper::Error) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
