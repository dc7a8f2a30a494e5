//! Active health checks of servers: `[upstreams.NAME.health]`, and the keys beside it that depend on it.

use std::time::Duration;

use super::balance::Balance;
use super::keys::{self, HealthKeys};
use super::kinds::Fault;
use super::reader::SectionReader;

/// An active health check of the servers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is done with a server.
    pub kind: CheckKind,
    /// The Host header, if the file sets one.
    pub host: Option<String>,
    /// From the start of one check to the start of the next, before its jitter.
    pub interval: Duration,
    /// The bound of a whole check. One that takes longer than the interval delays the next.
    pub timeout: Duration,
    /// Failures in a row that mark a server as down, at least 1.
    pub down_after: u32,
    /// Passes in a row that mark it as up again, at least 1.
    pub up_after: u32,
}

/// What a check does with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Connects, with TLS where the server has it.
    Tcp,
    /// Requests this path, and expects a status from 200 to 399.
    Http(String),
    /// Opens a WebSocket at this path, and expects the answer to a ping.
    WebSocket(String),
}

impl CheckKind {
    /// The value of `check`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            Self::WebSocket(_) => "websocket",
        }
    }
}

/// `upstreams.*.unhealthy`: the fate of the open sessions of a server that its check marks as down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unhealthy {
    /// They stay open.
    Stop,
    /// They are ended one after the other.
    Drain,
}

/// The values of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckName {
    Off,
    Tcp,
    Http,
    WebSocket,
}

impl CheckName {
    pub(super) const ALL: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("websocket", Self::WebSocket),
    ];
}

/// A fault of the table `health` was reported.
struct Reported;

/// Reads the table `health` of `cluster`, the reader of an `[upstreams.NAME]`, and checks the keys beside it.
/// Returns `None` if its servers are not checked, and after a fault, which was reported.
pub(super) fn check(
    cluster: &SectionReader<'_>,
    unhealthy: Unhealthy,
    slow_start: Option<Duration>,
    balance: &Balance,
) -> Option<HealthCheck> {
    let health = read(cluster);
    if let (Unhealthy::Drain, Ok(None)) = (unhealthy, &health) {
        let what = "is \"drain\", but no active check marks a server as down";
        cluster.cx.refuse(cluster.problem(keys::UNHEALTHY.name, what).map(|problem| {
            problem.help("add a check, such as health = { check = \"websocket\", path = \"/ws\" }")
        }));
    }
    if slow_start.is_some() && !matches!(balance, Balance::Least | Balance::Random) {
        let what = format!("is given, but balance = \"{balance}\" has no weight that could grow");
        cluster.cx.refuse(cluster.problem(keys::SLOW_START.name, &what).map(|problem| {
            problem
                .related(cluster.span_of(keys::BALANCE.name), "the balance")
                .help("remove it, or say balance = \"least\" or \"random\"")
        }));
    }
    health.ok().flatten()
}

fn read(cluster: &SectionReader<'_>) -> Result<Option<HealthCheck>, Reported> {
    if cluster.span_of(keys::HEALTH.name).is_none() {
        return Ok(None);
    }
    let reader = cluster.table(&keys::HEALTH);
    let HealthKeys { path, host, interval, timeout, down_after, up_after } =
        HealthKeys::read(&reader);
    let kind = match reader.required(&keys::CHECK).ok_or(Reported)? {
        CheckName::Off => return Ok(None),
        CheckName::Tcp => {
            for name in [keys::CHECK_PATH.name, keys::CHECK_HOST.name] {
                let problem =
                    reader.problem(name, "is given, but check = \"tcp\" sends no request");
                let help = "remove it, or say check = \"http\" or \"websocket\"";
                reader.cx.refuse(problem.map(|problem| problem.help(help)));
            }
            CheckKind::Tcp
        }
        CheckName::Http => CheckKind::Http(required(&reader, path, "/healthz")?),
        CheckName::WebSocket => CheckKind::WebSocket(required(&reader, path, "/ws")?),
    };
    Ok(Some(HealthCheck { kind, host, interval, timeout, down_after, up_after }))
}

fn required(
    reader: &SectionReader<'_>,
    path: Option<String>,
    example: &str,
) -> Result<String, Reported> {
    let help = format!("write the path to request, such as path = \"{example}\"");
    reader.demand(keys::CHECK_PATH.name, &help);
    path.ok_or(Reported)
}

/// Reads the path of a check: the target of a request in origin form (RFC 9112 section 3.2.1).
pub(super) fn parse_path(text: &str) -> Result<String, Fault> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !text.starts_with('/') {
        return Err(Fault::new(format!("\"{text}\" does not begin with /")));
    }
    if !text.bytes().all(allowed) {
        let fault = Fault::new(format!("\"{text}\" cannot be the target of a request"));
        return Err(fault.help("percent-encode spaces and other characters, and leave out #"));
    }
    Ok(text.to_owned())
}
