//! `framewall explain`: prints how the gateway would decide about a client, check by check. It runs the gateway's own
//! checks on a described request, and connects neither to a gateway nor to an upstream.

mod admission;
mod request;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::admin::plain;
use super::run::runtime;
use super::{CommandFailure, ConfigFile, REFUSED, print};
use crate::config;
use crate::config::{Config, token_place};
use crate::gateway::runtime::InForce;
use crate::policy::Step;
use crate::state::State;
use crate::tls::Certificate;
use crate::values::Refusal;
use crate::values::canonical_ip;
use crate::values::file;
use crate::values::{Host, TokenPlace};

/// The largest file of a message, in bytes.
const LONGEST_MESSAGE: u64 = 16 << 20;

/// The arguments of `framewall explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    ip: IpAddr,
    /// The server name in the TLS handshake (SNI); default: none, as from some programs
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    server_name: Option<String>,
    /// A PEM file with the client's TLS certificate and its chain; default: none
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Explain a plain HTTP request, a GET, in place of a WebSocket handshake
    #[arg(long)]
    plain: bool,
    /// The request's path, with its query if it has one
    #[arg(long, value_name = "PATH")]
    path: String,
    /// The Host header
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// The Origin header; default: none, as from a program
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// A token, or - to read it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The place of the token: header, header:NAME, subprotocol, query:NAME, cookie:NAME or message; default: the
    /// first of the route's `token_from`
    #[arg(long, value_name = "PLACE", requires = "token", value_parser = token_place)]
    token_from: Option<TokenPlace>,
    /// Also judge a message of this client by the rules of the route: a file with its payload
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    message: Option<PathBuf>,
    /// The message is a binary one
    #[arg(long, requires = "message")]
    binary: bool,
}

/// The final decision: the admitted user, or the refusal.
type ExplainVerdict = Result<String, Refusal>;

/// Prints the decision. Exit code 0: the client is admitted; 2: it is refused.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, CommandFailure> {
    let loaded = config::load(&args.config.path()?)
        .map_err(|error| CommandFailure::Config(error.to_string()))?;
    let token = args.token.as_deref().map(read_token).transpose().map_err(CommandFailure::other)?;
    if args.server_name.is_some() && loaded.config.tls.is_none() {
        let what = "--server-name: there is no TLS, [tls] mode is \"off\"; leave it out";
        return Err(CommandFailure::Usage(what.to_owned()));
    }
    let shown = args.client_cert.as_deref().map(read_certificates).transpose()?;
    let message = args.message.as_deref().map(read_message).transpose()?;
    let runtime = runtime().map_err(CommandFailure::other)?;
    let deciding = decide(args, loaded.config, shown, token, message);
    let (steps, verdict) = runtime.block_on(deciding)?;
    print(&text(&steps, &verdict))?;
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

async fn decide(
    args: &ExplainArgs,
    mut config: Config,
    shown: Option<Vec<Certificate>>,
    token: Option<String>,
    message: Option<Vec<u8>>,
) -> Result<(Vec<Step>, ExplainVerdict), CommandFailure> {
    // The socket and files of a running gateway are not opened or created; nothing is written.
    config.admin.socket = None;
    if config.admin.revocations.as_deref().is_some_and(|path| !path.exists()) {
        config.admin.revocations = None;
    }
    if let Some(ban) = &mut config.firewall.ban {
        ban.file.take_if(|path| !path.exists());
    }
    let state = State::open(&config).map_err(CommandFailure::other)?;
    let in_force =
        InForce::new(&config, &state, None).map_err(|error| CommandFailure::start(error.into()))?;
    let mut checks = in_force.policy.traced(canonical_ip(args.ip));
    let verdict =
        admission::admit(args, &state, &in_force, shown, token, message, &mut checks).await;
    Ok((checks.into_steps(), verdict))
}

/// One line per step, then the verdict.
fn text(steps: &[Step], verdict: &ExplainVerdict) -> String {
    let mut text = String::new();
    let mut line = |name: &str, result: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<12} {}", plain(result));
    };
    for Step { name, text: result, key } in steps {
        match key {
            Some(key) => line(name, &format!("{result} ({key})")),
            None => line(name, result),
        }
    }
    match verdict {
        Ok(admitted) => line("admitted", admitted),
        Err(Refusal { reason, .. }) => {
            let (status, close) = reason.codes();
            // The status of a message's refusal is for long polling.
            let is_message = reason.name().starts_with("message.");
            let code = if is_message { close.or(status) } else { status.or(close) };
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            line("refused", &format!("{reason}{code}"));
        }
    }
    text
}

/// The certificates of a PEM file, at least one.
fn read_certificates(path: &Path) -> Result<Vec<Certificate>, CommandFailure> {
    let wrong =
        |why: String| CommandFailure::Usage(format!("--client-cert {}: {why}", path.display()));
    match Certificate::from_pem_file(path) {
        Ok(found) if found.is_empty() => Err(wrong("there is no certificate in it".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// The payload of a message; of a text message it must be UTF-8, as frames are checked before.
fn read_message(path: &Path) -> Result<Vec<u8>, CommandFailure> {
    let wrong = |why: String| CommandFailure::Usage(format!("--message {}: {why}", path.display()));
    match file::read(path, LONGEST_MESSAGE) {
        Ok(Some(payload)) => Ok(payload),
        Ok(None) => Err(wrong("it is larger than 16 MiB".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn read_token(given: &str) -> io::Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    io::stdin().take(64 * 1024).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// RFC 6066 section 3: a DNS name, never an address. In canonical form, as a handshake gives it.
fn server_name(text: &str) -> Result<String, String> {
    let host = Host::parse(text).map_err(|error| error.to_string())?;
    if host.is_address() {
        return Err("a client asks for a DNS name, or for none where it knows an address".into());
    }
    Ok(host.to_string())
}
