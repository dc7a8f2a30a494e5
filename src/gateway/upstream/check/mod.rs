//! One active health check of a server: `tcp` ends with the connection, `http` and `websocket` speak over it. No
//! result is recorded here.

mod http;
mod websocket;

use std::time::Duration;

use ::http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use ::http::{HeaderMap, Method, Request, Version};
use tokio::time::Instant;

use super::attempt::is_the_gateways_own;
use super::health::CheckFault;
use super::target::DialTarget;
use crate::config::CheckKind;
use crate::tls::transport::Transport;

const AGENT: &str = concat!("framewall/", env!("CARGO_PKG_VERSION"), " health check");
/// How long a check that has passed waits for the rest of an answer, so that the server sees a clean end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Performs a check of `target` within `timeout`. `None`: the gateway itself has no file descriptor, port or memory
/// left, which says nothing about the server.
pub(super) async fn check(
    target: &DialTarget,
    kind: &CheckKind,
    host: &HeaderValue,
    timeout: Duration,
) -> Option<Result<(), CheckFault>> {
    let deadline = Instant::now() + timeout;
    let stream = match target.open(deadline).await {
        Ok(stream) => stream,
        Err(error) if is_the_gateways_own(&error) => return None,
        Err(error) => return Some(Err(CheckFault { connected: false, detail: error.to_string() })),
    };
    let spoken = speak(stream, kind, host, deadline).await;
    Some(spoken.map_err(|detail| CheckFault { connected: true, detail }))
}

/// Performs a check over a connection. The error is a text for the log.
async fn speak(
    stream: Transport,
    kind: &CheckKind,
    host: &HeaderValue,
    deadline: Instant,
) -> Result<(), String> {
    match kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http(path) => http::get(stream, path, host, deadline).await,
        CheckKind::WebSocket(path) => websocket::open(stream, path, host, deadline).await,
    }
}

/// A GET of `path` with these fields beside Host and User-Agent.
fn request<B>(
    path: &str,
    host: &HeaderValue,
    fields: &[(HeaderName, &str)],
    body: B,
) -> Result<Request<B>, String> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = path.parse().map_err(|error| format!("the path {path}: {error}"))?;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
        headers.insert(name, value);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests;
