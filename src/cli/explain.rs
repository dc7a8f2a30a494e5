//! `framewall explain`: what the gateway would decide about a client, step by step, without
//! connecting to anything. It calls what the gateway calls: one request, one policy.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::Request;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::run::runtime;
use super::{Failure, REFUSED, print};
use crate::config::{self, Auth, Config, Issuer, Origins, Route, TokenPlace};
use crate::gateway::Gateway;
use crate::handshake::{ClientAddress, Peer, UpgradeRequest};
use crate::listener::canonical_ip;
use crate::policy::{Arrival, Standing};
use crate::refusal::{Reason, Refusal};

/// How long the keys of an issuer may take to be fetched.
const KEYS_WITHIN: Duration = Duration::from_secs(10);
/// Any key: RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What `framewall explain` is given.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    ip: IpAddr,
    /// The request's path, with its query if it has one
    #[arg(long, value_name = "PATH")]
    path: String,
    /// The Host header
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// The Origin header; not given: none, as from a program
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// A token; - reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Where the token is: header, subprotocol, query:NAME, cookie:NAME or message; not given: the
    /// first of the route's `token_from`
    #[arg(long, value_name = "PLACE", requires = "token")]
    token_from: Option<String>,
}

/// One step of admission, and what came of it.
struct Step {
    name: &'static str,
    said: String,
}

/// Explains, and exits with 0 if the client is admitted, with 2 if it is refused.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let loaded = config::load(&args.config).map_err(|error| Failure::Config(error.to_string()))?;
    let token = args.token.as_deref().map(read_token).transpose().map_err(Failure::other)?;
    let runtime = runtime().map_err(Failure::other)?;
    let (steps, verdict) = runtime.block_on(decide(args, &loaded.config, token))?;
    let mut text = String::new();
    for Step { name, said } in &steps {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<12}{said}");
    }
    let code = match verdict {
        Ok(admitted) => {
            let _ = writeln!(text, "{:<12}{admitted}", "admitted");
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            let code = refusal.reason.codes().0.or(refusal.reason.codes().1);
            let code = code.map_or(String::new(), |code| format!(" ({code})"));
            let _ = writeln!(text, "{:<12}{}{code}: {}", "refused", refusal.reason, refusal.detail);
            ExitCode::from(REFUSED)
        }
    };
    print(&text)?;
    Ok(code)
}

fn read_token(given: &str) -> io::Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    io::stdin().take(64 * 1024).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

type Verdict = Result<String, Refusal>;

/// Every step that was passed, and the verdict.
async fn decide(
    args: &ExplainArgs,
    config: &Config,
    token: Option<String>,
) -> Result<(Vec<Step>, Verdict), Failure> {
    let mut quiet = config.clone();
    // What belongs to a running gateway is left to it.
    quiet.admin.socket = None;
    let gateway = Gateway::new(&quiet).map_err(Failure::other)?;
    let mut steps = Vec::new();
    let verdict = admit(args, &gateway, token, &mut steps).await;
    Ok((steps, verdict))
}

async fn admit(
    args: &ExplainArgs,
    gateway: &Arc<Gateway>,
    token: Option<String>,
    steps: &mut Vec<Step>,
) -> Verdict {
    let mut step = |name, said: String| steps.push(Step { name, said });
    let in_force = gateway.in_force();
    let trusted = &in_force.server.trusted_proxies;
    let address = canonical_ip(args.ip);
    let peer = Peer {
        address: SocketAddr::new(address, 0),
        trusted: Peer::is_trusted(address, trusted),
        tls: in_force.terminator.is_some(),
    };
    let whose = if peer.trusted { "a trusted proxy" } else { "a client" };
    step("address", format!("{address} is {whose} ([server] trusted_proxies)"));

    let plain = request(args, None)?;
    let client = ClientAddress::resolve(&peer, trusted, plain.headers());
    let arrival = Arrival { client: &client, server_name: None };
    step("head", format!("a well-formed handshake for {}{}", plain.host(), plain.path()));
    let route = in_force.policy.route(&plain, arrival)?;
    step("route", format!("routes.{} (host, path {})", route.name, route.path));

    let carried = token.map(|token| (place(args, route), token));
    let mut request = request(args, carried.as_ref())?;
    if let Auth::Jwt(issuer) = &route.auth {
        wait_for_keys(gateway, issuer).await;
    }
    let admitted = in_force.policy.admit(route, &mut request, arrival).await;
    let failed = admitted.as_ref().err().map(|refusal| refusal.reason);
    for (name, said) in passed(route, args.origin.as_deref(), failed) {
        step(name, said);
    }
    let user = match (admitted?.standing(), &carried) {
        (Standing::Anybody, _) => "anybody".to_owned(),
        (Standing::Identified(identity), _) => identity.user().to_owned(),
        (Standing::Announced(issuer), Some((_, token))) => {
            let identity = in_force.policy.identify(issuer, token).await?;
            identity.user().to_owned()
        }
        (Standing::Announced(_), None) => {
            let detail = "no first message came within message_deadline";
            return Err(Refusal::new(Reason::AuthTimeout, detail));
        }
    };
    let upstreams: Vec<String> = route.upstreams.iter().map(ToString::to_string).collect();
    Ok(format!("as {user}, to {} (routes.{}.upstream)", upstreams.join(", "), route.name))
}

/// The steps within a route that were passed: all before the one that refused.
fn passed(
    route: &Route,
    origin: Option<&str>,
    failed: Option<Reason>,
) -> Vec<(&'static str, String)> {
    let key = format!("routes.{}", route.name);
    let mut steps = Vec::new();
    if matches!(failed, Some(Reason::TokenMultiple | Reason::HandshakeMalformed)) {
        return steps;
    }
    if let Auth::Jwt(issuer) = &route.auth {
        steps.push(("credential", format!("at most one (jwt.{}.token_from)", issuer.name)));
    }
    if failed == Some(Reason::OriginDenied) {
        return steps;
    }
    let said = match (origin, &route.origins) {
        (None, _) => format!("none, as from a program ({key}.require_origin)"),
        (Some(origin), Origins::Any) => format!("{origin}, as any ({key}.origins)"),
        (Some(origin), Origins::Listed(_)) => format!("{origin} is listed ({key}.origins)"),
        (Some(origin), Origins::Same) => format!("{origin} is the same origin ({key}.origins)"),
    };
    steps.push(("origin", said));
    match (&route.auth, failed) {
        (Auth::None, _) => steps.push(("token", format!("none is wanted ({key}.auth)"))),
        (Auth::Jwt(issuer), None) if issuer.token_from == [TokenPlace::Message] => {
            steps.push(("token", format!("awaited in the first message (jwt.{})", issuer.name)));
        }
        (Auth::Jwt(issuer), None) => {
            steps.push(("token", format!("verified (jwt.{})", issuer.name)));
            steps.push(("claims", format!("as required (jwt.{}.require)", issuer.name)));
        }
        (Auth::Jwt(issuer), Some(Reason::ClaimsDenied)) => {
            steps.push(("token", format!("verified (jwt.{})", issuer.name)));
        }
        (Auth::Jwt(_), Some(_)) => {}
    }
    steps
}

/// Where the token is said, or first looked for.
fn place(args: &ExplainArgs, route: &Route) -> TokenPlace {
    let first = match &route.auth {
        Auth::Jwt(issuer) => issuer.token_from.first().cloned(),
        Auth::None => None,
    };
    let given = args.token_from.as_deref().map(|text| match text.split_once(':') {
        Some(("query", name)) => TokenPlace::Query(name.to_owned()),
        Some(("cookie", name)) => TokenPlace::Cookie(name.to_owned()),
        _ if text == "subprotocol" => TokenPlace::Subprotocol,
        _ if text == "message" => TokenPlace::Message,
        _ => TokenPlace::Header,
    });
    given.or(first).unwrap_or(TokenPlace::Header)
}

/// The request that is described, with the token in its place.
fn request(
    args: &ExplainArgs,
    token: Option<&(TokenPlace, String)>,
) -> Result<UpgradeRequest, Refusal> {
    let mut target = args.path.clone();
    let mut request = Request::builder()
        .header("host", &args.host)
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY);
    if let Some(origin) = &args.origin {
        request = request.header("origin", origin);
    }
    request = match token {
        Some((TokenPlace::Header, token)) => {
            request.header("authorization", format!("Bearer {token}"))
        }
        Some((TokenPlace::Subprotocol, token)) => {
            request.header("sec-websocket-protocol", format!("explained, bearer.{token}"))
        }
        Some((TokenPlace::Cookie(name), token)) => {
            request.header("cookie", format!("{name}={token}"))
        }
        Some((TokenPlace::Query(name), token)) => {
            let mark = if target.contains('?') { '&' } else { '?' };
            let _ = write!(target, "{mark}{name}={token}");
            request
        }
        Some((TokenPlace::Message, _)) | None => request,
    };
    let (head, ()) = request
        .body(())
        .map_err(|error| Refusal::new(Reason::HandshakeMalformed, error.to_string()))?
        .into_parts();
    UpgradeRequest::parse(target, head)
}

/// Keys at an address are fetched once.
async fn wait_for_keys(gateway: &Gateway, issuer: &Issuer) {
    let in_force = gateway.in_force();
    let Some(verifier) = in_force.policy.verifiers().get(&issuer.name) else {
        return;
    };
    let stop = CancellationToken::new();
    in_force.policy.verifiers().run(&TaskTracker::new(), &stop);
    // Without them the verdict says so.
    let _ = tokio::time::timeout(KEYS_WITHIN, verifier.looked()).await;
    stop.cancel();
}
