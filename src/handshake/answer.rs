//! Builds the answers to the client: a 101, a problem (RFC 9457), or the upstream's own refusal.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRAILER, UPGRADE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response, StatusCode, response};
use http_body_util::Full;
use serde::Serialize;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::deflate::Deflate;
use super::fields::list;
use super::forward::end_to_end;
use crate::values::Wait;
use crate::values::{Reason, Refusal};

/// The body of every answer: complete, and bounded when it was created.
pub type Body = Full<Bytes>;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// The Retry-After of a 503 (RFC 9110 section 15.6.4) for which no better time is known.
const WHEN_UNAVAILABLE: Wait = Wait(Duration::from_secs(5));
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether the connection stays open after an answer (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open for another request.
    Keep,
    /// The answer says `Connection: close`.
    Close,
}

/// A problem of RFC 9457 section 3, with the name of the reason and the request id, by which the
/// log record is found.
#[derive(Serialize)]
struct ProblemDetails<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    reason: &'static str,
    request_id: &'a str,
}

/// Builds the answer that refuses a handshake.
#[must_use]
pub fn problem(refusal: &Refusal, request_id: &str, persistence: Persistence) -> Response<Body> {
    let reason = refusal.reason;
    let mut response = Response::new(Full::from(problem_json(reason, request_id)));
    *response.status_mut() = reason.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    match reason {
        Reason::Method => {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        // RFC 6750 section 3: without a token the challenge has no error code.
        Reason::TokenMissing => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Reason::TokenInvalid | Reason::TokenExpired => {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        Reason::UpgradeRequired | Reason::Version => {
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    let unavailable = reason.status() == StatusCode::SERVICE_UNAVAILABLE;
    if let Some(wait) = refusal.retry_after.or(unavailable.then_some(WHEN_UNAVAILABLE)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.retry_after()));
    }
    set_connection(headers, persistence);
    response
}

/// Sets the field Connection. It names Upgrade where that field is there (RFC 9110 section 7.8).
fn set_connection(headers: &mut HeaderMap, persistence: Persistence) {
    let options = match (headers.contains_key(UPGRADE), persistence) {
        (true, Persistence::Close) => "upgrade, close",
        (true, Persistence::Keep) => "upgrade",
        (false, Persistence::Close) => "close",
        (false, Persistence::Keep) => return,
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
}

/// The answer to a health check: ready, or stopping and not accepting new clients.
#[must_use]
pub fn health(stopping: bool, persistence: Persistence) -> Response<Body> {
    let (status, text) = if stopping {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ok\n")
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set_connection(headers, persistence);
    response
}

/// The gateway's own answer to a long-polling request of Engine.IO. A page of `origin` may read it.
#[must_use]
pub fn polled(
    text: String,
    origin: Option<HeaderValue>,
    persistence: Persistence,
) -> Response<Body> {
    let mut response = Response::new(Full::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    set_connection(headers, persistence);
    response
}

/// Redirects a request to `location` for good; the method stays the same (RFC 9110 section 15.4.9).
#[must_use]
pub fn redirect(location: &str) -> Response<Body> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    set_connection(response.headers_mut(), Persistence::Close);
    response
}

/// Builds the same answer as bytes, for a connection on which no request was read completely.
#[must_use]
pub fn problem_bytes(reason: Reason, request_id: &str) -> Vec<u8> {
    let body = problem_json(reason, request_id);
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        reason.status(),
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

fn problem_json(reason: Reason, request_id: &str) -> Vec<u8> {
    let problem = ProblemDetails {
        r#type: format!("urn:framewall:reason:{}", reason.name()),
        title: reason.public_text(),
        status: reason.status().as_u16(),
        reason: reason.name(),
        request_id,
    };
    // The problem has only strings and a number, so that serialising cannot fail.
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// Builds the 101 (RFC 6455 section 4.2.2) for the client's `key`, with the upstream's end-to-end
/// header fields, and the negotiated subprotocol and compression.
#[must_use]
pub fn switching_protocols(
    key: &str,
    upstream: &HeaderMap,
    subprotocol: Option<&HeaderValue>,
    deflate: Option<Deflate>,
) -> Response<Body> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    *headers = end_to_end(upstream);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
    }
    if let Some(agreed) = deflate.and_then(Deflate::field) {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, agreed);
    }
    response
}

/// Passes on an upstream's answer of 300 and above without its hop-by-hop fields; the connection is
/// closed after it. The WebSocket versions that the upstream speaks pass (RFC 6455 section 4.4),
/// and a 426 keeps its Upgrade field, which it must have (RFC 9110 section 15.5.22).
#[must_use]
pub fn relayed(
    status: StatusCode,
    headers: &HeaderMap,
    request_id: &str,
    body: Bytes,
) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    *fields = end_to_end(headers);
    for version in headers.get_all(SEC_WEBSOCKET_VERSION) {
        fields.append(SEC_WEBSOCKET_VERSION, version.clone());
    }
    let upgrades = status == StatusCode::UPGRADE_REQUIRED
        && list(headers, &UPGRADE)
            .is_ok_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case("websocket")));
    if upgrades {
        fields.insert(UPGRADE, WEBSOCKET);
    }
    set_connection(fields, Persistence::Close);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        fields.insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

/// The head of an upstream's answer to a plain request, for the client: without its hop-by-hop fields, but with the
/// length of its body (an answer to HEAD has one without a body, RFC 9110 section 8.6) and the fields that announce
/// trailers.
#[must_use]
pub fn forwarded(
    answer: &response::Parts,
    request_id: &str,
    persistence: Persistence,
) -> response::Parts {
    let mut forwarded = Response::new(()).into_parts().0;
    forwarded.status = answer.status;
    let fields = &mut forwarded.headers;
    *fields = end_to_end(&answer.headers);
    for name in [CONTENT_LENGTH, TRAILER] {
        if let Some(value) = answer.headers.get(&name) {
            fields.insert(name, value.clone());
        }
    }
    if persistence == Persistence::Close {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        fields.insert(HeaderName::from_static("x-request-id"), id);
    }
    forwarded
}

#[cfg(test)]
mod tests {
    use super::Persistence::{Close, Keep};
    use super::{problem, problem_bytes};
    use crate::values::{Reason, Refusal};

    #[test]
    fn a_refusal_names_the_accepted_alternative() {
        let response = problem(&Refusal::new(Reason::Version, ""), "id", Close);
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        assert_eq!(response.headers()["connection"], "upgrade, close");
        let response = problem(&Refusal::new(Reason::Version, ""), "id", Keep);
        assert_eq!(response.headers()["connection"], "upgrade");
        let response = problem(&Refusal::new(Reason::Method, ""), "id", Keep);
        assert_eq!(response.headers()["allow"], "GET");
        assert!(!response.headers().contains_key("connection"));
        for reason in Reason::ALL {
            let response = problem(&Refusal::new(*reason, ""), "id", Close);
            let told = response.headers().get("retry-after").map(|value| value.to_str().unwrap());
            assert_eq!(told, (response.status() == 503).then_some("5"), "{reason}");
        }
    }

    #[test]
    fn the_bytes_are_an_answer_of_their_own() {
        let text = String::from_utf8(problem_bytes(Reason::HandshakeTimeout, "id-1")).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["reason"], "handshake.timeout");
        assert_eq!(body["request_id"], "id-1");
    }
}
