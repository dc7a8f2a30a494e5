//! `framewall demo`: the gateway in front of a small application, with nothing else installed. It
//! writes to a temporary folder only, and removes it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::run::{CUT_OFF, RunError, Signals, open, runtime, until_stopped};
use super::{Failure, cert, print};
use crate::config::{self, Config};
use crate::demo::{Page, serve};
use crate::observe;

/// The port that the gateway listens on if it is free.
const PORT: u16 = 8443;
const CERTIFICATE_DAYS: u16 = 7;

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
    let paths = cert::write(&folder.0, &made, false).map_err(Failure::other)?;
    let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::other)?;
    let application_address = application.local_addr().map_err(Failure::other)?;
    let port = free_port().await.map_err(Failure::other)?;
    let config = configure(folder, port, application_address)?;
    let _log = observe::start(&config.log).map_err(Failure::other)?;
    let signals = Signals::new().map_err(Failure::other)?;
    let (gateway, listeners) = open(&config).map_err(Failure::other)?;
    print(&what_to_try(port, application_address, &paths.cert, &folder.config()))?;

    let shutdown = CancellationToken::new();
    let page = Page { wss_url: format!("wss://localhost:{port}/ws") };
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
    let text = format!(
        r#"[server]
listen = ["127.0.0.1:{port}"]

[tls]
certificates = [{{ cert = "dev.pem", key = "dev.key" }}]

[routes.demo]
path = "/ws"
upstream = ["ws://{application}"]
origins = ["http://{application}"]   # the page's own
auth = "none"
websocket = {{ max_message_size = "1MiB" }}

[log]
format = "pretty"
"#
    );
    fs::write(folder.config(), &text).map_err(Failure::other)?;
    let loaded = config::load(&folder.config());
    loaded.map(|loaded| loaded.config).map_err(|error| Failure::Config(error.to_string()))
}

fn what_to_try(port: u16, application: SocketAddr, cert: &Path, config: &Path) -> String {
    let (cert, config) = (cert.display(), config.display());
    let url = format!("localhost:{port}/ws");
    let handshake = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' \
                     -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='";
    let python = |call: &str| {
        format!(
            "python3 -c \"import ssl; from websockets.sync.client import connect; \
             ws = connect('wss://{url}', ssl=ssl.create_default_context(cafile='{cert}')); {call}\""
        )
    };
    let echo = python("print(ws.recv()); ws.send('hello'); print(ws.recv()); ws.close()");
    let too_big = python("ws.send(bytes(2 << 20)); [print(message) for message in ws]");
    format!(
        "
Framewall is on wss://{url}, in front of a small application on ws://{application}.
Its configuration: {config}

In a browser: open https://localhost:{port}/ once and accept the development certificate (the
answer there is a refusal: this is no web server), then open
  http://{application}/

With Python (pip install websockets): a greeting, and an echo
  {echo}

With curl: accepted, a 101 and the greeting
  curl -i -m 2 --http1.1 --cacert {cert} {handshake} https://{url}

What is refused, and what the log below then says:
  a page of another origin: 403, reason=origin.denied
  curl -i --http1.1 --cacert {cert} -H 'Origin: https://evil.example' {handshake} https://{url}
  plain HTTP: 426, reason=upgrade.required
  curl -i --cacert {cert} https://{url}
  a message above max_message_size: close code 1009, reason=frame.too_big
  {too_big}

Ctrl-C stops it.

"
    )
}

/// [`PORT`], or one that the system gives where that is taken.
async fn free_port() -> io::Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
        Ok(_) => Ok(PORT),
        Err(_) => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port()),
    }
}

/// A temporary folder, readable by this user alone; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("framewall-demo-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn config(&self) -> PathBuf {
        self.0.join("framewall.toml")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the temporary folder is left");
        }
    }
}
