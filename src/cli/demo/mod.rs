//! `framewall demo`: the gateway in front of a small application, with nothing else installed. It
//! writes to a temporary folder only, and removes it.

mod folder;
mod guide;
mod tokens;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::run::{CUT_OFF, RunError, Signals, open, runtime, until_stopped};
use super::{Failure, cert, print};
use crate::config::{self, Config};
use crate::demo::{Page, serve};
use crate::observe;
use folder::Folder;
use guide::Guide;
use tokens::{AUDIENCE, Tokens};

/// The port that the gateway listens on if it is free.
const PORT: u16 = 8443;
const CERTIFICATE_DAYS: u16 = 7;
/// What a browser offers beside its token, and the gateway answers.
const SUBPROTOCOL: &str = "demo";

/// Runs the demonstration until a signal.
pub(super) fn demo() -> Result<(), Failure> {
    let runtime = runtime().map_err(Failure::other)?;
    let folder = Folder::new().map_err(Failure::other)?;
    let outcome = runtime.block_on(show(&folder));
    runtime.shutdown_timeout(CUT_OFF);
    outcome
}

async fn show(folder: &Folder) -> Result<(), Failure> {
    let made = cert::make(&[], CERTIFICATE_DAYS).map_err(Failure::other)?;
    let paths = cert::write(folder.path(), &made, false).map_err(Failure::other)?;
    let tokens = Tokens::make().map_err(Failure::other)?;
    folder.write_secret(&tokens.secret).map_err(Failure::other)?;
    let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::other)?;
    let application_address = application.local_addr().map_err(Failure::other)?;
    let port = free_port().await.map_err(Failure::other)?;
    let config = configure(folder, port, application_address)?;
    let _log = observe::start(&config.log).map_err(Failure::other)?;
    let signals = Signals::new().map_err(Failure::other)?;
    let (gateway, listeners) = open(&config).map_err(Failure::other)?;
    let guide = Guide {
        port,
        application: application_address,
        cert: &paths.cert,
        folder,
        tokens: &tokens,
        framewall: std::env::current_exe().map_err(Failure::other)?,
    };
    print(&guide.to_string())?;

    let shutdown = CancellationToken::new();
    let page = Page {
        wss_url: format!("wss://localhost:{port}/ws"),
        subprotocol: SUBPROTOCOL.to_owned(),
        valid: tokens.valid.clone(),
        expired: tokens.expired.clone(),
        forged: tokens.forged.clone(),
    };
    let served = serve(application, page, shutdown.clone());
    let gateway = async {
        let outcome = until_stopped(gateway, listeners, signals).await;
        shutdown.cancel();
        outcome
    };
    let (served, outcome): (io::Result<()>, Result<(), RunError>) = tokio::join!(served, gateway);
    outcome.map_err(Failure::other)?;
    served.map_err(Failure::other)
}

/// Writes the configuration, so that it can be read, and loads it as `run` would.
fn configure(folder: &Folder, port: u16, application: SocketAddr) -> Result<Config, Failure> {
    folder.write_config(&configuration(port, application)).map_err(Failure::other)?;
    let loaded = config::load(&folder.config());
    loaded.map(|loaded| loaded.config).map_err(|error| Failure::Config(error.to_string()))
}

fn configuration(port: u16, application: SocketAddr) -> String {
    format!(
        r#"[server]
listen = ["127.0.0.1:{port}"]

[tls]
certificates = [{{ cert = "dev.pem", key = "dev.key" }}]

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
websocket = {{ max_message_size = "1MiB" }}

[log]
format = "pretty"
"#
    )
}

/// [`PORT`], or one that the system gives where that is taken.
async fn free_port() -> io::Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
        Ok(_) => Ok(PORT),
        Err(_) => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port()),
    }
}
