//! `framewall demo`: the gateway in front of a small application, with nothing else installed. It
//! writes to a temporary folder only, and removes it.

mod folder;
mod guide;
mod tokens;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::run::{CUT_OFF, RunError, open, runtime, until_stopped};
use super::signals::Signals;
use super::{CommandFailure, cert, print};
use crate::config::{self, Config};
use crate::demo::{Listeners, LogLines, Page, Targets, serve};
use crate::journal;
use folder::Folder;
use guide::{Guide, TALK};
use tokens::{AUDIENCE, Tokens};

/// The port of the gateway, if it is free.
const PORT: u16 = 8443;
const CERTIFICATE_DAYS: u16 = 7;
/// The subprotocol that a browser offers in addition to its token, and that the gateway selects.
const SUBPROTOCOL: &str = "demo";

/// Runs the demonstration until a signal.
pub(super) fn demo() -> Result<(), CommandFailure> {
    let runtime = runtime().map_err(CommandFailure::other)?;
    let folder = Folder::new().map_err(CommandFailure::other)?;
    let outcome = runtime.block_on(show(&folder));
    runtime.shutdown_timeout(CUT_OFF);
    outcome
}

async fn show(folder: &Folder) -> Result<(), CommandFailure> {
    let made = cert::make(&[], CERTIFICATE_DAYS).map_err(CommandFailure::other)?;
    let paths = cert::write(folder.path(), &made, false).map_err(CommandFailure::other)?;
    let tokens = Tokens::make().map_err(CommandFailure::other)?;
    Folder::write(&folder.secret(), &tokens.secret).map_err(CommandFailure::other)?;
    let sockets = Listeners {
        application: loopback().await?,
        witness: loopback().await?,
        blind: loopback().await?,
    };
    let application = sockets.application.local_addr().map_err(CommandFailure::other)?;
    let witness = sockets.witness.local_addr().map_err(CommandFailure::other)?;
    let port = free_port().await.map_err(CommandFailure::other)?;
    let routes = routes(application, witness);
    let config = configure(&folder.config(), &(with_tls(port) + &routes))?;
    let plain_config = configure(&folder.plain_config(), &(WITHOUT_TLS.to_owned() + &routes))?;
    let log = LogLines::default();
    let guard =
        journal::start_with_copy(&config.log, log.clone()).map_err(CommandFailure::other)?;
    let journal = guard.journal();
    let (signals, plain_signals) = (Signals::new(), Signals::new());
    let (signals, plain_signals) =
        (signals.map_err(CommandFailure::other)?, plain_signals.map_err(CommandFailure::other)?);
    let (gateway, listeners) = open(&config, &journal).map_err(CommandFailure::other)?;
    let (plain_gateway, plain_listeners) =
        open(&plain_config, &journal).map_err(CommandFailure::other)?;
    let plain = plain_listeners.first().map(|listener| listener.socket.local_addr());
    let plain = plain.transpose().map_err(CommandFailure::other)?.unwrap_or(application);
    let guide = Guide {
        port,
        plain,
        application,
        cert: &paths.cert,
        folder,
        tokens: &tokens,
        framewall: std::env::current_exe().map_err(CommandFailure::other)?,
    };
    for (path, text) in [
        (folder.environment(), guide.environment()),
        (folder.curl(), guide.curl_options()),
        (folder.talk(), TALK.to_owned()),
    ] {
        Folder::write(&path, &text).map_err(CommandFailure::other)?;
    }
    print(&guide.to_string())?;

    let shutdown = CancellationToken::new();
    let page = Page { url: format!("ws://{plain}/ws"), subprotocol: SUBPROTOCOL.to_owned() };
    let targets = Targets {
        gateway: plain,
        origin: format!("http://{application}"),
        valid: tokens.valid.clone(),
        expired: tokens.expired.clone(),
        forged: tokens.forged.clone(),
    };
    let served = serve(sockets, page, targets, log, shutdown.clone());
    let gateways = async {
        let (outcome, plain_outcome) = tokio::join!(
            until_stopped(gateway, &journal, listeners, signals),
            until_stopped(plain_gateway, &journal, plain_listeners, plain_signals)
        );
        shutdown.cancel();
        outcome.and(plain_outcome)
    };
    let (served, outcome): (io::Result<()>, Result<(), RunError>) = tokio::join!(served, gateways);
    outcome.map_err(CommandFailure::other)?;
    served.map_err(CommandFailure::other)
}

async fn loopback() -> Result<TcpListener, CommandFailure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(CommandFailure::other)
}

/// Writes a configuration so that the user can read it, and loads it as `run` would.
fn configure(path: &Path, text: &str) -> Result<Config, CommandFailure> {
    Folder::write(path, text).map_err(CommandFailure::other)?;
    let loaded = config::load(path);
    loaded.map(|loaded| loaded.config).map_err(|error| CommandFailure::Config(error.to_string()))
}

fn with_tls(port: u16) -> String {
    format!(
        r#"[server]
listen = ["127.0.0.1:{port}"]
shutdown_spread = "0s"

[tls]
certificates = [{{ cert = "dev.pem", key = "dev.key" }}]
"#
    )
}

/// A browser does not trust the certificate, so the page and its attacks use a listener without TLS.
const WITHOUT_TLS: &str = r#"[server]
listen = ["127.0.0.1:0"]
shutdown_spread = "0s"

[tls]
mode = "off"
"#;

/// The whole configuration except the listener; both gateways use it.
fn routes(application: SocketAddr, witness: SocketAddr) -> String {
    format!(
        r#"
[jwt.demo]
algorithms = ["HS256"]
secret = "file:secret"
audience = ["{AUDIENCE}"]
leeway = "0s"                              # a token ends when it says
token_from = ["header", "subprotocol"]     # programs, and browsers
forward = {{ "X-User-Id" = "sub" }}          # how the application knows whom it greets

[routes.demo]
path = "/ws"
upstream = ["ws://{application}"]
origins = ["http://{application}"]   # the page's own
auth = "demo"
subprotocols = ["{SUBPROTOCOL}"]

[routes.attack]                            # where the page sends its attacks
path = "/attack"
upstream = ["ws://{witness}"]
origins = ["http://{application}"]
auth = "demo"
websocket = {{ max_message_size = "1MiB", max_fragments = 16, message_timeout = "2s", compression = "inspect" }}

[log]
format = "pretty"
"#
    )
}

/// [`PORT`], or a port chosen by the system if it is taken.
async fn free_port() -> io::Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
        Ok(_) => Ok(PORT),
        Err(_) => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port()),
    }
}
