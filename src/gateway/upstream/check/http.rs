//! `check = "http"`

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use ::http::header::{ACCEPT, CONNECTION, HeaderValue};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::{FAREWELL, request};
use crate::gateway::upstream::body::{BodyProgress, RequestBody};
use crate::gateway::upstream::exchange::describe;
use crate::gateway::upstream::pool::HttpConnection;
use crate::tls::transport::Transport;

/// The most bytes of an answer's body that are read.
const MAX_BODY: usize = 64 * 1024;

/// Sends a GET; any status from 200 to 399 by the deadline passes.
pub(super) async fn get(
    stream: Transport,
    path: &str,
    host: &HeaderValue,
    deadline: Instant,
) -> Result<(), String> {
    let none = RequestBody::empty(Arc::new(BodyProgress::new()));
    let request = request(path, host, &[(ACCEPT, "*/*"), (CONNECTION, "close")], none)?;
    let mut connection = HttpConnection::new(stream).await.map_err(|error| describe(&error))?;
    let Ok(answered) = timeout_at(deadline, connection.send(request)).await else {
        return Err("no answer to the request in time".to_owned());
    };
    let answer = answered
        .map_err(|error| format!("no valid answer to the request: {}", describe(error.error())))?;
    let status = answer.status();
    if !(status.is_success() || status.is_redirection()) {
        return Err(format!("the status is {status}, not 200 to 399"));
    }
    // The status decides: an endless body is cut.
    let farewell = deadline.min(Instant::now() + FAREWELL);
    let _ = timeout_at(farewell, skip(&mut connection, answer.into_body())).await;
    Ok(())
}

/// Reads a body up to its end, an error or [`MAX_BODY`].
async fn skip(connection: &mut HttpConnection, mut body: Incoming) {
    let mut bytes = 0;
    while bytes < MAX_BODY && !body.is_end_stream() {
        let frame = poll_fn(|cx| {
            connection.drive(cx);
            Pin::new(&mut body).poll_frame(cx)
        });
        let Some(Ok(frame)) = frame.await else {
            return;
        };
        bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
}
