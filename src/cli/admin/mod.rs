//! `framewall status`, `reload`, `sessions`, `kick`, `revoke`, `ban`, `unban`, `bans`, `drain`, `undrain`, `observe` and `upgrade`: the admin
//! client. It sends one request over the gateway's socket and prints the answer, as text or as the
//! received JSON.

mod bans;
mod client;
mod drain;
mod observe;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{CommandFailure, config_file, print};
use crate::config::duration;
use crate::control::admin::{Request, RevokeRequest};
use crate::gateway::session::Filter;
use crate::values::Network;
use crate::values::UnixTime;
pub(super) use bans::{BanArgs, BansArgs, UnbanArgs, ban, bans, unban};
use client::ask;
pub(super) use drain::{DrainArgs, UndrainArgs, drain, undrain};
pub(super) use observe::{ObserveArgs, observe};
pub(super) use show::plain;

/// The gateway's socket, and the format of the printed answer.
#[derive(Debug, Args)]
pub(super) struct Reach {
    #[command(flatten)]
    place: SocketPlace,
    /// Print the gateway's answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct SocketPlace {
    /// The gateway's TOML file, for its `[admin] socket`; default: framewall.toml in this folder, then
    /// /etc/framewall/framewall.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The gateway's admin socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// A filter; a session must match every given option.
#[derive(Debug, Args)]
struct Which {
    /// Sessions of this user
    #[arg(long)]
    user: Option<String>,
    /// Sessions on this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Sessions at this server of the application, as `status` names it
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    /// Sessions from this address or network
    #[arg(long, value_name = "ADDRESS[/PREFIX]")]
    ip: Option<Network>,
    /// The session with this request id
    #[arg(long)]
    id: Option<String>,
    /// Sessions with the token that has this `jti`
    #[arg(long, value_name = "JTI")]
    token: Option<String>,
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            user: self.user.clone(),
            route: self.route.clone(),
            server: self.server.clone(),
            ip: self.ip,
            id: self.id.clone(),
            token: self.token.clone(),
            removed_by: None,
            target: None,
        }
    }
}

/// The arguments of `framewall status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    reach: Reach,
}

/// The arguments of `framewall reload`.
#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    reach: Reach,
}

/// The arguments of `framewall upgrade`.
#[derive(Debug, Args)]
pub(super) struct UpgradeArgs {
    #[command(flatten)]
    reach: Reach,
}

/// The arguments of `framewall sessions`.
#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// List at most this many sessions
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

/// The arguments of `framewall kick`.
#[derive(Debug, Args)]
#[command(group(
    clap::ArgGroup::new("which")
        .args(["user", "route", "server", "ip", "id", "token", "all"])
        .required(true)
        .multiple(true)
))]
pub(super) struct KickArgs {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    which: Which,
    /// Every session
    #[arg(long, conflicts_with_all = ["user", "route", "server", "ip", "id", "token"])]
    all: bool,
}

/// The arguments of `framewall revoke`.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    whose: Whose,
    /// Duration, such as 30m, 24h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = lasting, default_value = "24h")]
    lasting: String,
    /// End time (RFC 3339), instead of a duration
    #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
    until: Option<UnixTime>,
    /// A remark, stored with the revocation
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Every token of this user
    #[arg(long)]
    user: Option<String>,
    /// The token with this `jti`
    #[arg(long, value_name = "JTI")]
    token: Option<String>,
}

fn lasting(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

pub(super) fn status(args: &StatusArgs) -> Result<ExitCode, CommandFailure> {
    command(&args.reach, &Request::Status {}, |answer| Ok(show::status(answer)))
}

pub(super) fn reload(args: &ReloadArgs) -> Result<ExitCode, CommandFailure> {
    command(&args.reach, &Request::Reload {}, |answer| Ok(show::reload(answer)))
}

pub(super) fn upgrade(args: &UpgradeArgs) -> Result<ExitCode, CommandFailure> {
    command(&args.reach, &Request::Upgrade {}, |answer| Ok(show::upgrade(answer)))
}

pub(super) fn sessions(args: &SessionsArgs) -> Result<ExitCode, CommandFailure> {
    let request = Request::Sessions { filter: args.which.filter(), limit: args.limit };
    command(&args.reach, &request, |answer| Ok(show::sessions(answer, UnixTime::now())))
}

pub(super) fn kick(args: &KickArgs) -> Result<ExitCode, CommandFailure> {
    let request = Request::Kick { filter: args.which.filter(), all: args.all };
    command(&args.reach, &request, |answer| Ok(show::kick(answer)))
}

pub(super) fn revoke(args: RevokeArgs) -> Result<ExitCode, CommandFailure> {
    let RevokeArgs { reach, whose, lasting, until, why } = args;
    let lasting = until.is_none().then_some(lasting);
    let target = RevokeRequest { user: whose.user, token: whose.token, until, lasting, why };
    command(&reach, &Request::Revoke { target }, |answer| Ok(show::revoke(answer)))
}

/// Sends the request and prints the answer. Exit code 0: done; 1: refused or not found.
fn command(
    reach: &Reach,
    request: &Request,
    show: impl FnOnce(&Value) -> Result<String, CommandFailure>,
) -> Result<ExitCode, CommandFailure> {
    let answer = ask(&socket_of(reach)?, request)?;
    let done = answer["result"] == "done";
    if reach.json {
        print(&format!("{answer}\n"))?;
    } else if done {
        print(&show(&answer)?)?;
    } else {
        let error = answer["error"].as_str().unwrap_or("the gateway did not say why");
        return Err(CommandFailure::Other(show::lines(error)));
    }
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn socket_of(reach: &Reach) -> Result<PathBuf, CommandFailure> {
    match &reach.place {
        SocketPlace { socket: Some(socket), .. } => Ok(socket.clone()),
        SocketPlace { config: Some(config), .. } => client::socket_of(config),
        SocketPlace { .. } => client::socket_of(&config_file::default()?),
    }
}
