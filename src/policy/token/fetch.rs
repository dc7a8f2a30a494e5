//! Fetches a JWK Set from one `https://` or `http://` URL: a new connection, one request, a bounded
//! response. Redirects are not followed, because only the configured URL is trusted.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::key::KeyError;
use crate::handshake::interim::{self, Interim};
use crate::tls::socket::tune;
use crate::tls::{Connector, Roots, ServerTrust, TlsClient};

/// The deadline, from the first packet to the last byte of the response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest response body in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The largest response head in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The reason why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer begins with more informational answers than are read (the last was {0})")]
    Informational(StatusCode),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("the answer is a redirect ({0}), which is not followed: give the address it leads to")]
    Redirect(StatusCode),
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("there was no whole answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// A response of status 200.
pub(super) struct Fetched {
    /// The body.
    pub(super) body: Bytes,
    /// The lifetime that the issuer states.
    pub(super) max_age: Option<Duration>,
}

/// Fetches from one URL.
pub(super) struct Fetcher {
    url: Uri,
    host: String,
    /// TLS to the server; `None` for `http://`.
    secure: Option<Connector>,
}

/// A connection to the server.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Fetcher {
    /// `url` must be `https://` or `http://`, with a host and without user information; the
    /// server's certificate must chain to `roots`.
    pub(super) fn new(url: &Uri, roots: &Roots) -> Result<Self, KeyError> {
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
        let host = authority.ok_or(KeyError::Url)?.host();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = match url.scheme_str() {
            Some("https") => {
                let client = TlsClient::new(&ServerTrust::from(roots.clone()))?;
                Some(client.connector(&host).map_err(|_| KeyError::Url)?)
            }
            Some("http") => None,
            _ => return Err(KeyError::Url),
        };
        Ok(Self { url: url.clone(), host, secure })
    }

    /// The URL for logs, without its query, which may contain a secret.
    pub(super) fn shown(&self) -> String {
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let scheme = self.url.scheme_str().unwrap_or_default();
        format!("{scheme}://{authority}{}", self.url.path())
    }

    /// Sends one request.
    pub(super) async fn fetch(&self) -> Result<Fetched, FetchError> {
        tokio::time::timeout(TIMEOUT, self.exchange()).await.map_err(|_| FetchError::Timeout)?
    }

    async fn exchange(&self) -> Result<Fetched, FetchError> {
        let usual = if self.secure.is_some() { 443 } else { 80 };
        let address = (self.host.as_str(), self.url.port_u16().unwrap_or(usual));
        let stream = TcpStream::connect(address).await.map_err(FetchError::Connect)?;
        tune(&stream);
        let stream: Box<dyn ByteStream> = match &self.secure {
            Some(connector) => connector.connect(stream).await.map_err(FetchError::Connect)?,
            None => Box::new(stream),
        };
        let mut request = self.request()?;
        let interim = Interim::allowing(interim::MOST);
        interim.watch(&mut request);
        let stream = TokioIo::new(interim.guard(stream));
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(stream).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            read(response).await
        };
        let outcome = tokio::select! {
            answer = answer => answer,
            // The end of the connection matters only if there is no response.
            Err(error) = connection => Err(FetchError::Http(error)),
        };
        match interim.refused() {
            Some(status) => Err(FetchError::Informational(status)),
            None => outcome,
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, http::Error> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.authority().map_or("", |authority| authority.as_str());
        Request::get(path)
            .header(HOST, host)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("framewall/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
    }
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Fetched, FetchError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(FetchError::Redirect(status));
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status(status));
    }
    let max_age = max_age(response.headers());
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => FetchError::TooLarge,
        Err(error) => FetchError::Body(error),
    })?;
    Ok(Fetched { body: body.to_bytes(), max_age })
}

/// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let seconds = name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"'))?;
        seconds.parse().ok().map(Duration::from_secs)
    })
}
