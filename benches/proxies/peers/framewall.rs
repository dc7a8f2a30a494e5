//! Framewall with every check on: frame rules, UTF-8, rates that are counted and never met, address
//! rules, origins, a verified token. The clients answer no pings, so that none is due while they are
//! measured. The first handshake may take as long as the clients wait: under callgrind it collects
//! entropy for longer than the default, on a busy machine.

use std::path::{Path, PathBuf};

use super::{Setup, Site, arguments};
use crate::load::ORIGIN;
use crate::messages::{self, Rules};
use crate::token::{AUDIENCE, ISSUER, PUBLIC_KEY};

/// Names the program to measure; otherwise it is the one that cargo built beside the benchmark, with
/// the features that only tests ask for.
const FRAMEWALL: &str = "FRAMEWALL";
const FRAMEWALL_BESIDE: &str = env!("CARGO_BIN_EXE_framewall");

pub(super) fn program() -> PathBuf {
    std::env::var_os(FRAMEWALL).map_or_else(|| FRAMEWALL_BESIDE.into(), PathBuf::from)
}

pub(super) fn setup(site: &Site<'_>, file: &Path) -> Setup {
    let arguments = arguments([&"run", &"--config", &file]);
    let environment = vec![("TOKIO_WORKER_THREADS", "1".into())];
    Setup { config: config(site), arguments, environment }
}

fn config(site: &Site<'_>) -> String {
    let common = common(site);
    messages::ALL.into_iter().fold(common, |config, rules| config + &route(site, rules))
}

/// A route for the messages that meet `rules`.
fn route(site: &Site<'_>, rules: Rules) -> String {
    format!(
        r#"
[routes.{name}]
path = "{path}"
upstream = ["ws://{application}"]
origins = ["{ORIGIN}"]
auth = "main"
{tables}"#,
        name = rules.route(),
        path = rules.path("*"),
        application = site.application,
        tables = rules.tables(),
    )
}

fn common(site: &Site<'_>) -> String {
    format!(
        r#"
[server]
listen = ["{address}"]
handshake_timeout = "30s"
[tls]
certificates = [{{ cert = "cert.pem", key = "key.pem" }}]
[firewall]
deny = ["192.0.2.0/24", "2001:db8::/32"]
[firewall.ban]
[limits]
connections_per_ip = 1000000
handshakes_per_ip = "1000000/s"
connections_per_user = 1000000
messages = "1000000/s"
messages_per_user = "1000000/s"
requests = "1000000/s"
bytes = "10GiB/s"
control_frames = "1000000/s"
[websocket]
ping_interval = "10m"
[jwt.main]
algorithms = ["RS256"]
public_key = "{PUBLIC_KEY}"
issuer = "{ISSUER}"
audience = ["{AUDIENCE}"]
forward = {{ "X-User-Id" = "sub" }}
[routes.pages]
path = "/page/*"
serve = ["http"]
upstream = ["ws://{application}"]
auth = "none"
[log]
level = "error"
"#,
        address = site.address,
        application = site.application,
    )
}
