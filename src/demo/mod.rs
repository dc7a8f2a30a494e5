//! The application behind `framewall demo`: a page that talks to the gateway, and a WebSocket that
//! echoes. It is plain, so that everything a visitor sees refused was refused by the gateway. It
//! keeps nothing, answers at most 100 connections at once, and ends when it is told to.

mod echo;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 100;

/// From accept to the 101, or to the end of the page.
const HTTP_WITHIN: Duration = Duration::from_secs(5);

/// The header by which the gateway says who is there.
const USER: &str = "x-user-id";

const PAGE: &str = include_str!("page.html");

/// The page needs nothing but itself and a WebSocket to anywhere.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     connect-src ws: wss:; frame-ancestors 'none'",
);

/// What the page has to know.
#[derive(Debug, Clone)]
pub struct Page {
    /// The gateway's route to this application: `wss://127.0.0.1:8443/ws`.
    pub wss_url: String,
    /// What it offers beside the token, which is a subprotocol, too.
    pub subprotocol: String,
    /// The token that it connects with.
    pub valid: String,
    /// A token that is over.
    pub expired: String,
    /// A token that somebody else signed.
    pub forged: String,
}

/// Serves the page at `/` and a WebSocket at every path, until `shutdown`; then says goodbye to
/// every socket (1001) and returns once all are gone. An error is the listener's own.
pub async fn serve(
    listener: TcpListener,
    page: Page,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let html = page.html();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let stop = shutdown.child_token();
    let result = loop {
        let Some(permit) = stop.run_until_cancelled(Arc::clone(&permits).acquire_owned()).await
        else {
            break Ok(());
        };
        match stop.run_until_cancelled(listener.accept()).await {
            None => break Ok(()),
            Some(Ok((stream, _))) => {
                let (html, stop) = (html.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, html, stop).await;
                    drop(permit);
                });
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Some(Err(error)) => break Err(error),
        }
    };
    stop.cancel();
    connections.close();
    connections.wait().await;
    result
}

impl Page {
    fn html(&self) -> Bytes {
        let values = [
            ("{{wss_url}}", &self.wss_url),
            ("{{subprotocol}}", &self.subprotocol),
            ("{{valid}}", &self.valid),
            ("{{expired}}", &self.expired),
            ("{{forged}}", &self.forged),
        ];
        let filled =
            |page: String, (name, value): (&str, &String)| page.replace(name, &attribute(value));
        values.into_iter().fold(PAGE.to_owned(), filled).into()
    }
}

/// Text inside a quoted HTML attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A request that became a WebSocket.
struct Visit {
    socket: OnUpgrade,
    /// Who the gateway says is there.
    user: Option<String>,
}

/// One connection: requests until one of them becomes a WebSocket, or the time is over.
async fn connection(stream: TcpStream, html: Bytes, stop: CancellationToken) {
    let visit = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let response = answer(request, &html, &visit);
        async { Ok::<_, Infallible>(response) }
    });
    let http =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let _ = stop.run_until_cancelled(timeout(HTTP_WITHIN, http)).await;
    let visit = visit.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Visit { socket, user }) = visit
        && let Ok(socket) = socket.await
    {
        // A visitor who leaves in the middle of a message is no news to anybody.
        let _ = echo::echo(TokioIo::new(socket), user.as_deref(), &stop).await;
    }
}

fn answer(
    mut request: Request<Incoming>,
    html: &Bytes,
    visit: &Mutex<Option<Visit>>,
) -> Response<Full<Bytes>> {
    if request.headers().contains_key(UPGRADE) {
        return match create_response_with_body(&request, Full::default) {
            Ok(switching) => {
                let user = request.headers().get(USER).and_then(|user| user.to_str().ok());
                let user = user.map(str::to_owned);
                let socket = hyper::upgrade::on(&mut request);
                *visit.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Visit { socket, user });
                switching
            }
            Err(error) => plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => page(html.clone()),
        _ => plain(StatusCode::NOT_FOUND, "The page is at /\n".to_owned()),
    }
}

fn page(html: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(html));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests;
