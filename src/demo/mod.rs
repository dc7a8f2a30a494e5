//! The servers that `framewall demo` runs beside the gateway, all on loopback: the page with a
//! WebSocket echo; an application that only records the bytes that reach it; and a proxy that
//! copies bytes blindly, for comparison with the gateway. Each serves at most 100 connections at
//! once until shutdown.

mod attacks;
mod blind;
mod echo;
mod log;
mod witness;

use std::convert::Infallible;
use std::io;
use std::sync::atomic::AtomicU64;
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
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The limit of simultaneous connections; more wait to be accepted.
const MAX_CONNECTIONS: usize = 100;

/// From accept to the 101, or to the last answer: longer than any attack takes.
const HTTP_WITHIN: Duration = Duration::from_secs(20);

/// The header in which the gateway forwards the user.
const USER: &str = "x-user-id";

const PAGE: &str = include_str!("page.html");

/// The page loads nothing from other places, and may open a WebSocket to any address.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     connect-src 'self' ws: wss:; frame-ancestors 'none'",
);

pub use attacks::{ATTACKS, Attack, Targets};
pub use log::LogLines;

use attacks::Attacker;
use witness::Witness;

/// The values with which the page is rendered.
#[derive(Debug, Clone)]
pub struct Page {
    /// The gateway's route to this application, without TLS: `ws://127.0.0.1:8080/ws`.
    pub url: String,
    /// The subprotocol that the page offers in addition to its token.
    pub subprotocol: String,
}

/// The sockets of the demo, all on loopback.
#[derive(Debug)]
pub struct Listeners {
    /// The page and the echo.
    pub application: TcpListener,
    /// The application that records the bytes that reach it.
    pub witness: TcpListener,
    /// The blind proxy in front of the witness.
    pub blind: TcpListener,
}

/// The data for the answers of the page.
struct Site {
    html: Bytes,
    attacker: Attacker,
    log: LogLines,
}

/// Serves the page at `/` and a WebSocket at every path of the application, the witness and the
/// blind proxy, until `shutdown`; then closes every socket (1001) and returns once all are gone.
/// Fails if a listener fails.
pub async fn serve(
    listeners: Listeners,
    page: Page,
    targets: Targets,
    log: LogLines,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let witness = Witness::default();
    let (blind, recorder) = (listeners.blind.local_addr()?, listeners.witness.local_addr()?);
    let html = page.html(&targets);
    let next = Arc::new(AtomicU64::new(1));
    let attacker = Attacker { targets, blind, witness: witness.clone(), next };
    let site = Arc::new(Site { html, attacker, log });
    let stop = shutdown.child_token();
    let connection = |stream| connection(stream, Arc::clone(&site), stop.clone());
    let application = accept(listeners.application, &stop, connection);
    let attend = |stream| {
        let (witness, stop) = (witness.clone(), stop.clone());
        async move {
            stop.run_until_cancelled(witness.attend(stream)).await;
        }
    };
    let witness = accept(listeners.witness, &stop, attend);
    let copy = |stream| {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(blind::copy(stream, recorder)).await;
        }
    };
    let blind = accept(listeners.blind, &stop, copy);
    let (application, witness, blind) = tokio::join!(application, witness, blind);
    application.and(witness).and(blind)
}

/// Accepts connections until `stop`, serves each in a separate task, and waits for all of them.
async fn accept<F>(
    listener: TcpListener,
    stop: &CancellationToken,
    serve: impl Fn(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let result = loop {
        let Some(permit) = stop.run_until_cancelled(Arc::clone(&permits).acquire_owned()).await
        else {
            break Ok(());
        };
        match stop.run_until_cancelled(listener.accept()).await {
            None => break Ok(()),
            Some(Ok((stream, _))) => {
                let served = serve(stream);
                connections.spawn(async move {
                    served.await;
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
    fn html(&self, targets: &Targets) -> Bytes {
        // Serializing a table of texts cannot fail.
        let attacks = serde_json::to_string(&ATTACKS).unwrap_or_default();
        let values = [
            ("{{url}}", self.url.as_str()),
            ("{{subprotocol}}", &self.subprotocol),
            ("{{valid}}", &targets.valid),
            ("{{attacks}}", &attacks),
        ];
        let filled =
            |page: String, (name, value): (&str, &str)| page.replace(name, &attribute(value));
        values.into_iter().fold(PAGE.to_owned(), filled).into()
    }
}

/// Escapes text for a quoted HTML attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A request that became a WebSocket.
struct Visit {
    socket: OnUpgrade,
    /// The user that the gateway forwards.
    user: Option<String>,
}

/// Serves one connection: requests until one of them becomes a WebSocket, or the time limit is
/// reached.
async fn connection(stream: TcpStream, site: Arc<Site>, stop: CancellationToken) {
    let visit = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let (site, visit) = (Arc::clone(&site), Arc::clone(&visit));
        async move { Ok::<_, Infallible>(answer(request, &site, &visit).await) }
    });
    let http =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let _ = stop.run_until_cancelled(timeout(HTTP_WITHIN, http)).await;
    let visit = visit.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Visit { socket, user }) = visit
        && let Ok(socket) = socket.await
    {
        // A client that disconnects in the middle of a message is not an error.
        let _ = echo::echo(TokioIo::new(socket), user.as_deref(), &stop).await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    site: &Site,
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
    let path = request.uri().path();
    match (request.method(), path.strip_prefix("/attack/")) {
        (&Method::POST, Some(name)) => match site.attacker.attack(name).await {
            Some(outcomes) => json(&outcomes),
            None => plain(StatusCode::NOT_FOUND, "There is no such attack\n".to_owned()),
        },
        (&Method::GET, None) if path == "/" => page(site.html.clone()),
        (&Method::GET, None) if path == "/log" => json(&site.log.tail(first_line(&request))),
        _ => plain(StatusCode::NOT_FOUND, "The page is at /\n".to_owned()),
    }
}

/// The requested line of the log: `/log?from=N`.
fn first_line(request: &Request<Incoming>) -> u64 {
    let query = request.uri().query().unwrap_or_default();
    query.strip_prefix("from=").and_then(|from| from.parse().ok()).unwrap_or(0)
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    // Serializing plain values cannot fail.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
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
